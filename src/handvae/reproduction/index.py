"""Every table and figure of the four papers: the command that makes it, or why there is nothing to run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from handvae.reproduction.papers import FIGURES, TABLES


@dataclass(frozen=True)
class Made:
    """A table or figure that a command makes."""

    number: str
    """As the paper has it, such as `figure 3`."""
    command: str
    """A name for `handvae reproduce`."""
    part: str = ""
    """Which part of the command's output it is, where it is not all of it."""

    @property
    def about(self) -> str:
        """What the command makes."""
        made = (TABLES | FIGURES)[self.command]
        return f"{made.about} ({self.part})" if self.part else made.about


@dataclass(frozen=True)
class Drawn:
    """A drawing of the model, or a list of its layers: nothing is measured in it."""

    number: str
    what: str
    """What it is, and where the same is found here."""
    command: str = ""

    @property
    def about(self) -> str:
        """Why there is nothing to run."""
        return f"nothing to run: {self.what}"


@dataclass(frozen=True)
class Paper:
    """What a paper shows, in its order, and what we add."""

    title: str
    shows: tuple[Made | Drawn, ...]
    ours: tuple[str, ...] = ()
    """Commands for what the paper does not have."""


PAPERS = (
    Paper(
        "SRV-VAE (Nicodemou et al.)",
        shows=(
            Made("table 1", "srv-vae-table1"),
            Made("table 2", "srv-vae-table2"),
            Made("table 3", "srv-vae-table3"),
            Made("table 4", "srv-vae-table4"),
            Made("figure 1", "srv-vae-figure4", part="the rest of it is a drawing"),
            Drawn("figure 2", "drawing of the model (docs/papers/srv_vae.md)"),
            Made("figure 3", "srv-vae-figure3"),
            Made("figure 4", "srv-vae-figure4"),
            Made("figure 5", "srv-vae-figure5"),
            Made("figure 6", "srv-vae-figure6"),
        ),
    ),
    Paper(
        "cm-VAE (Spurr et al., CVPR 2018)",
        shows=(
            Made("table 1", "cm-vae-table1", part="mean EPE"),
            Made("table 2", "cm-vae-table2", part="mean EPE"),
            Drawn("table 3", "list of layers of the joint nets (handvae.nets.mlp)"),
            Drawn("table 4", "list of layers of the picture nets (handvae.nets.resnet, dcgan)"),
            Made("table 5", "cm-vae-table1", part="median EPE"),
            Made("table 6", "cm-vae-table2", part="median EPE"),
            Made("section 4.5", "cm-vae-depth", part="the numbers of section 7.3"),
            Made("figure 1", "cm-vae-figure8", part="the plane of codes"),
            Drawn("figure 2", "drawing of the model (docs/papers/cm_vae.md)"),
            Made("figure 3", "cm-vae-figure3"),
            Made("figure 4", "cm-vae-figure4"),
            Made("figure 5", "cm-vae-figure5"),
            Made("figure 6", "cm-vae-figure6"),
            Made("figure 7", "cm-vae-figure7"),
            Made("figure 8", "cm-vae-figure8"),
            Made("figure 9", "cm-vae-figure6", part="2D joints too"),
            Made("figure 10", "cm-vae-figure10"),
            Made("figure 11", "cm-vae-figure11"),
            Made("figure 12", "cm-vae-figure12"),
        ),
    ),
    Paper(
        "dVAE (Yang and Yao, CVPR 2019)",
        shows=(
            Drawn("figure 1", "drawing of the model (docs/papers/dvae.md)"),
            Drawn("figure 2", "drawing of the graphical models (docs/papers/dvae.md)"),
            Drawn("figure 3", "drawing of the inference models (docs/papers/dvae.md)"),
            Made("figure 4", "dvae-figure4"),
            Made("figure 5", "dvae-figure5"),
            Made("figure 6", "dvae-figure6"),
            Made("figure 7", "dvae-figure7", part="the numbers"),
            Made("figure 7", "dvae-figure7-curves", part="the curves"),
            Made("figure 8", "dvae-figure8"),
            Made("figure 9", "dvae-figure9"),
        ),
        ours=("dvae-layers",),
    ),
    Paper(
        "da-VAE (Guo et al., 2022)",
        shows=(
            Made("table 1", "da-vae-table1"),
            Made("table 2", "da-vae-table2"),
            Made("table 3", "da-vae-table3"),
            Made("table 4", "da-vae-table4"),
            Drawn("figure 1", "drawing of the model (docs/papers/da_vae.md)"),
            Made("figure 2", "da-vae-figure2"),
            Made("figure 3", "da-vae-figure3"),
            Made("figure 4", "da-vae-figure4"),
            Made("figure 5", "da-vae-figure5"),
            Made("figure 6", "da-vae-figure6"),
            Made("section 4.5", "da-vae-shape"),
            Made("figure 7", "da-vae-figure7"),
            Made("figure 8", "da-vae-figure8"),
        ),
    ),
)


def listing() -> Iterator[str]:
    """All papers; a line for each of their tables and figures: the command, the number, what it is."""
    width = max(map(len, TABLES | FIGURES)) + 2
    for title, entries in as_json().items():
        yield f"\n{title}"
        for entry in entries:
            yield f"  {entry['command'] or '-':<{width}}{entry['number']:<13}{entry['about']}"


def as_json() -> dict[str, list[Mapping[str, str]]]:
    """What each paper shows, by its title; `command` is empty where there is nothing to run."""
    return {
        paper.title: [
            {"number": entry.number, "command": entry.command, "about": entry.about}
            for entry in (*paper.shows, *(Made("ours", name) for name in paper.ours))
        ]
        for paper in PAPERS
    }
