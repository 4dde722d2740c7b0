"""What all figures share: the trained models they show, and sheets under each other with titles."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from handvae.errors import UserError
from handvae.reproduction.experiment import run_folder
from handvae.training.checkpoint import Model

Sheet = UInt8[np.ndarray, "_ _ 3"]
"""Height, width, RGB: a picture of any size."""

CELL = 128
"""Pixels of a cell."""
TITLE = 22
"""Pixels of the line above each model's sheet."""


@dataclass(frozen=True)
class DrawnFigure:
    """A figure's picture, and notes about it, one line each."""

    pixels: Sheet
    notes: tuple[str, ...]


def trained_models(rows: Sequence[str], out: Path, seed: int) -> list[str]:
    """Run folders of table rows below a reproduction's folder; empty where none is trained.

    Full scale comes before laptop scale.
    """
    for scale in ("full", "laptop"):
        folders = [run_folder(out / scale, row, seed) for row in rows]
        trained = [str(folder) for folder in folders if (folder / "model.safetensors").is_file()]
        if trained:
            return trained
    return []


def check_least(*options: tuple[str, int, int]) -> None:
    """Refuse numbers below their least value; each option is its name, value and least value."""
    for name, value, least in options:
        if value < least:
            raise UserError(name, f"is {value}", f"give at least {least}")


def title_of(model: Model) -> str:
    """The model's run folder or file, its preset and steps."""
    name = model.path.parent.name if model.path.stem == "model" else model.path.stem
    preset = model.header.preset or model.header.system
    label = name if preset == name else f"{name}: {preset}"
    return f"{label}, {model.header.steps} steps"


def stacked(sheets: Sequence[tuple[str, Sheet]]) -> Sheet:
    """Sheets under each other, each below its title, white at the right of narrow ones."""
    width = max(sheet.shape[1] for _, sheet in sheets)
    parts = []
    for title, sheet in sheets:
        titled = np.concatenate([_title(title, sheet.shape[1]), sheet])
        missing = width - sheet.shape[1]
        parts.append(np.pad(titled, ((0, 0), (0, missing), (0, 0)), constant_values=255))
    return np.concatenate(parts)


def _title(text: str, width: int) -> Sheet:
    """A white line with grey text."""
    line = np.full((TITLE, width, 3), 255, np.uint8)
    cv2.putText(line, text, (4, TITLE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    return line
