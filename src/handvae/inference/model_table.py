"""What the shipped models' cards and files say, as rows of a table."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from handvae.training.checkpoint import KEY, WEIGHTS

NOT_MEASURED = "not measured"

ERRORS = ("error_over_hand_size_median", "epe")
"""Rows of a card that say how well a model reads joints, the first that there is: 2D, 3D."""

READS = {"RGB crop": "pictures", "depth": "depth", "2D joints": "2D joints"}
MAKES = {
    "joints in 2D": "2D joints",
    "3D joints": "3D joints",
    "pictures from": "pictures",
    "surface as": "point cloud",
    "hand before black": "cut-out hand",
    "features": "features",
}
"""Words of a card, and what they come to in short."""


@dataclass(frozen=True)
class ModelRow:
    """A shipped model in a line."""

    name: str
    reads: str
    makes: str
    size_mb: float
    """Size of its file, 10^6 bytes."""
    pixels: int
    """Side of its square crops."""
    licence: str
    error_at_home: str
    """Of the joints it reads, on people or scenes like those it was trained on that it never saw."""
    error_on_foreign_photos: str
    """The same on photos of another source, where a card has it."""


def shipped_models() -> list[ModelRow]:
    """The models that come with the package, by name."""
    return [_row(path) for path in sorted(WEIGHTS.glob("*.safetensors"))]


def _row(path: Path) -> ModelRow:
    card = path.with_suffix(".md").read_text()
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()[KEY])
    return ModelRow(
        name=path.stem,
        reads=_short(_line(card, "Reads"), READS),
        makes=_short(_line(card, "Gives"), MAKES),
        size_mb=round(path.stat().st_size / 1e6, 1),
        pixels=header["crop"]["size_px"],
        licence=_line(card, "Licence"),
        error_at_home=_error(card, r"split test"),
        error_on_foreign_photos=_error(card, r"foreign photos"),
    )


def _line(card: str, name: str) -> str:
    """What a card's list says under a name; a line may continue on the next."""
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
