"""Figures of pictures as sheets: test poses with random appearances, and the appearances of photos on other
poses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from handvae.apps.options import GENERATOR, parse
from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.data.files.pictures import as_pixels, write_picture
from handvae.data.open import open_data
from handvae.errors import UserError
from handvae.inference.drawing import enlarge, grid
from handvae.noise import Noise, Stream
from handvae.reproduction.experiment import run_folder
from handvae.systems.system import Generator
from handvae.training.checkpoint import Model, load_model
from handvae.upsampling.upsample import whole_rows

SIDE, TITLE = 128, 22
"""Pixels of a cell, and of the line above each model's sheet."""


@dataclass(frozen=True)
class PaperFigure:
    """A figure of a paper."""

    about: str
    rows: tuple[str, ...]
    """Rows of the paper's tables whose models it shows."""
    transfer: bool = False
    """Whether the looks are those of pictures, not random ones."""


FIGURES = {
    "srv-vae-figure3": PaperFigure(
        "SRV-VAE: test poses, a random appearance a row", ("SRV-VAE", "SRV-VAE, 3D")
    ),
    "srv-vae-figure4": PaperFigure(
        "Soft-Intro-SRV-VAE, 2D: test poses, a random appearance a row", ("Soft-Intro-SRV-VAE",)
    ),
    "srv-vae-figure5": PaperFigure(
        "Soft-Intro-SRV-VAE, 3D: test poses, a random appearance a row", ("Soft-Intro-SRV-VAE, 3D",)
    ),
    "srv-vae-figure6": PaperFigure(
        "appearances of pictures on other poses", ("Soft-Intro-SRV-VAE",), transfer=True
    ),
    "dvae-figure6": PaperFigure(
        "dVAE: contents of pictures on other poses",
        ("dVAE, pictures: tags (algorithm 1)", "dVAE, pictures: z_u (algorithm 2)"),
        transfer=True,
    ),
}


@dataclass(frozen=True)
class Options:
    """A sheet of a paper's figure: a pose of the test split a column, under the real picture it comes from,
    and an appearance a row."""

    data: Path
    """The data set whose test split gives poses, and in figure 6 appearances."""
    model: tuple[str, ...] = ()
    """Shipped models, files or run folders, a sheet each. Without: what is trained in --out, or the best
    shipped one."""
    split: str | None = "test"
    """Split of the data set; None for a set without splits."""
    poses: int = 8
    """Columns."""
    appearances: int = 5
    """Rows."""
    seed: int = 0
    """Of the poses and appearances, and of the trained models."""
    out: Path = Path("out/reproduce")
    """Folder of the reproductions; the sheet is FIGURE.png in it."""


def draw(name: str, words: Sequence[str]) -> None:
    """Parse, make the sheet, say what it shows."""
    options = parse(Options, words, f"handvae reproduce {name}")
    for option, value, least in (
        ("--poses", options.poses, 1),
        ("--appearances", options.appearances, 1),
        ("--seed", options.seed, 0),
    ):
        if value < least:
            raise UserError(option, f"is {value}", f"give at least {least}")
    figure, data = FIGURES[name], open_data(options.data, options.split)
    trained = trained_rows(figure.rows, options.out, options.seed)
    if not (options.model or trained):
        print(
            f"no {' or '.join(figure.rows)} of seed {options.seed} is trained in {options.out}: {GENERATOR} in its place"
        )
    models = [load_model(model) for model in options.model or trained or [GENERATOR]]
    sheets = [titled(sheet(figure, model.generator, data, options), title_of(model)) for model in models]
    width = max(part.shape[1] for part in sheets)
    padded = [
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in sheets
    ]
    path = options.out / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, np.concatenate(padded))
    print(
        f"the paper's figure: {figure.about}\nhere: {', '.join(model.name for model in models)}; {len(data)} hands of {data.spec.name}"
    )
    print(f"sheet: {path}")


def trained_rows(rows: Sequence[str], out: Path, seed: int) -> list[str]:
    """Run folders of rows of tables below a reproduction's folder, of full scale before laptop scale; empty
    where none is trained."""
    for scale in ("full", "laptop"):
        folders = [run_folder(out / scale, row, seed) for row in rows]
        if found := [str(folder) for folder in folders if (folder / "model.safetensors").is_file()]:
            return found
    return []


@torch.no_grad()
def sheet(
    figure: PaperFigure, system: Generator, data: HandData, options: Options
) -> UInt8[np.ndarray, "height width 3"]:
    """First row: the real pictures whose poses are asked for. Then a row an appearance; in figure 6 behind
    the picture that gives it."""
    rows = _chosen(
        data,
        whole_rows(data, system),
        options.poses + (options.appearances if figure.transfer else 0),
        options.seed,
    )
    posed, dressed = rows[: options.poses], rows[options.poses :]
    hands = cut(data, posed, system.crop)
    joints, (real,) = system.joints_of(hands), hands.require_all("image")
    cells = [[_cell(picture) for picture in real]]
    if figure.transfer:
        givers = cut(data, dressed, system.crop).require("image")
        appearances, first = system.appearance_of(givers), [[_cell(picture)] for picture in givers]
        cells[0].insert(0, np.full_like(cells[0][0], 255))
    else:
        appearances, first = (
            system.random_appearance(
                options.appearances, Noise(options.seed, stream=Stream.FIGURE_APPEARANCES)
            ),
            [[]] * options.appearances,
        )
    for beginning, appearance in zip(first, appearances, strict=False):
        cells.append(
            [
                *beginning,
                *(
                    _cell(picture)
                    for picture in system.synthesize(joints, appearance.expand(len(joints), -1))
                ),
            ]
        )
    return grid(cells)


def _chosen(data: HandData, rows: Int[Tensor, " row"], count: int, seed: int) -> Int[Tensor, " some"]:
    """Rows drawn at random, gesture by gesture in turn where gestures are known."""
    if len(rows) < count:
        raise UserError(
            data.spec.name,
            f"has {len(rows)} hands with all joints labelled, and {count} are asked for",
            "lower --poses or --looks",
        )
    rows = rows[torch.randperm(len(rows), generator=Noise(seed, stream=Stream.FIGURE_POSES).generator)]
    gestures = data.labels(rows).gesture
    if gestures is None:
        return rows[:count]
    again = torch.stack([(gestures[:place] == gesture).sum() for place, gesture in enumerate(gestures)])
    return rows[again.argsort(stable=True)[:count]]


def _cell(picture: Float[Tensor, "3 size size"]) -> UInt8[np.ndarray, "side side 3"]:
    return enlarge(as_pixels(picture.numpy()), SIDE)


def title_of(model: Model) -> str:
    """The model's preset and where it is from; parts of paths before the run's folder are left out."""
    name = model.path.parent.name if model.path.stem == "model" else model.path.stem
    preset = model.header.preset or model.header.system
    return f"{name}{'' if preset == name else f': {preset}'}, {model.header.steps} steps"


def titled(pixels: UInt8[np.ndarray, "height width 3"], text: str) -> UInt8[np.ndarray, "tall width 3"]:
    """A sheet under a line of words."""
    line = np.full((TITLE, pixels.shape[1], 3), 255, np.uint8)
    cv2.putText(line, text, (4, TITLE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    return np.concatenate([line, pixels])
