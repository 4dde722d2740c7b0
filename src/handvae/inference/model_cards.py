"""The shipped models, as their files and their cards in `weights/*.md` describe them."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handvae.training.model_files import WEIGHTS, shipped_header

NOT_MEASURED = "not measured"

ERRORS = ("error_over_hand_size_median", "epe")
"""Rows of a card with the error of a model's joints, 2D or 3D; the first that the card has counts."""

READS = {"RGB crop": "pictures", "depth": "depth", "2D joints": "2D joints"}
MAKES = {
    "hands of a picture": "hands",
    "joints in 2D": "2D joints",
    "3D joints": "3D joints",
    "pictures from": "pictures",
    "surface as": "point cloud",
    "hand before black": "cut-out hand",
    "features": "features",
}
"""Words of a card, and what they come to in short."""


@dataclass(frozen=True)
class ModelCard:
    """A shipped model in a few words."""

    name: str
    """What `handvae.load_model` and `--model` call it."""
    system: str
    """The kind of model, such as `cm_vae`."""
    reads: str
    """`pictures`, `2D joints`, or both."""
    makes: str
    """`2D joints`, `3D joints`, `pictures` and others, separated by commas."""
    size_mb: float
    """Size of its file, 10^6 bytes."""
    pixels: int
    """Side of its square crops."""
    licence: str
    error_at_home: str
    """Of the joints it reads, on people or scenes like those it was trained on that it never saw."""
    error_on_foreign_photos: str
    """The same on photos of another source, where a card has it."""
    trained_on: str
    not_for: str
    """What it must not be used for."""

    @property
    def makes_pictures(self) -> bool:
        """Whether `handvae.synthesize` and `handvae.transfer` take it."""
        return "pictures" in self.makes.split(", ")

    def to_dict(self) -> dict[str, Any]:
        """Texts and numbers that JSON takes."""
        return asdict(self)


def models() -> list[ModelCard]:
    """The models that come with the package, by name."""
    return [_read(path) for path in sorted(WEIGHTS.glob("*.safetensors"))]


def _read(path: Path) -> ModelCard:
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    header = shipped_header(path)

    return ModelCard(
        name=path.stem,
        system=header["system"],
        reads=_short(_line(card, "Reads"), READS),
        makes=_short(_line(card, "Gives"), MAKES),
        size_mb=round(path.stat().st_size / 1e6, 1),
        pixels=header["crop"]["size_px"],
        licence=_line(card, "Licence"),
        error_at_home=_error(card, r"split test"),
        error_on_foreign_photos=_error(card, r"foreign photos"),
        trained_on=_line(card, "Trained on"),
        not_for=_line(card, "Not for"),
    )


def _line(card: str, name: str) -> str:
    """What a card's list has under a name; a line may continue on the next."""
    match = re.search(rf"^- \*\*{name}\*\*: (.*(?:\n  .*)*)", card, re.MULTILINE)
    return " ".join(match[1].split()).rstrip(".") if match else ""


def _short(text: str, words: dict[str, str]) -> str:
    """What a card's line comes to, in a few words."""
    return ", ".join(short for word, short in words.items() if word in text)


def _error(card: str, title: str) -> str:
    """The joints' error in a card's tables whose titles match; each names its data."""
    found = []
    for heading, table in re.findall(r"^## Measured on (.*)\n((?:(?!^## ).*\n?)*)", card, re.MULTILINE):
        if not re.search(title, heading):
            continue

        for metric in ERRORS:
            match = re.search(rf"^\| {metric} \| ([^|]+?) \|", table, re.MULTILINE)
            if match:
                data = re.search(r" of (\w[\w-]*)", heading)
                found.append(_plain(match[1]) + (f" ({data[1]})" if data else ""))
                break

    return ", ".join(found) or NOT_MEASURED


def _plain(value: str) -> str:
    """A card's value with three digits."""
    number, unit = value.split()
    return f"{float(number):.3g} {'% of hand size' if unit == '%' else unit}"
