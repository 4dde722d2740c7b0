"""What all figures share: sheets of labelled cells, under each other with titles."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from handvae.errors import UserError
from handvae.inference.drawing import grid
from handvae.training.checkpoint import Model

Sheet = UInt8[np.ndarray, "_ _ 3"]
"""Height, width, RGB: a picture of any size."""

CELL = 128
"""Pixels of a cell."""
GAP = 2
"""Pixels between cells."""
TITLE = 22
"""Pixels of the line above each model's sheet."""
HEADER = 34
"""Pixels of the two lines that name columns."""
LABELS = 96
"""Pixels of the margin that names rows."""
LETTER = 7
"""Pixels of a letter of these names, about."""
LINE = 14
"""Pixels from one line of a name to the next."""
GREY = (60, 60, 60)


@dataclass(frozen=True)
class DrawnFigure:
    """A figure's picture, and notes about it, one line each."""

    pixels: Sheet
    notes: tuple[str, ...]
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """What it shows in numbers, for JSON."""


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


def labelled_grid(
    rows: Sequence[Sequence[Sheet]], row_labels: Sequence[str] = (), column_labels: Sequence[str] = ()
) -> Sheet:
    """Equal square cells as a sheet, with names left of the rows and above the columns.

    Args:
        rows: the cells; missing ones at the end of a row stay white.
        row_labels: one for each row, broken into lines where it is long; none for no margin.
        column_labels: one for each column, or for the first ones, in two lines at most; none for no header.
    """
    sheet = grid(rows)

    if row_labels:
        sheet = np.pad(sheet, ((0, 0), (LABELS, 0), (0, 0)), constant_values=255)
        for number, label in enumerate(row_labels):
            middle = number * (CELL + GAP) + CELL // 2
            _write_lines(sheet, textwrap.wrap(label, LABELS // LETTER), 4, middle)

    if column_labels:
        sheet = np.pad(sheet, ((HEADER, 0), (0, 0), (0, 0)), constant_values=255)
        start = LABELS if row_labels else 0
        for number, label in enumerate(column_labels):
            lines = textwrap.wrap(label, CELL // LETTER)
            _write_lines(sheet, lines, start + number * (CELL + GAP) + 4, HEADER // 2)

    return sheet


def _write_lines(sheet: Sheet, lines: Sequence[str], left: int, middle: int) -> None:
    """Small grey text, its lines about a height."""
    for number, line in enumerate(lines):
        base = middle + LINE * number - LINE * (len(lines) - 1) // 2 + 4
        cv2.putText(sheet, line, (left, base), cv2.FONT_HERSHEY_SIMPLEX, 0.38, GREY, 1, cv2.LINE_AA)


def stacked(sheets: Sequence[tuple[str, Sheet]]) -> Sheet:
    """Sheets under each other, each below its title, white at the right of narrow ones."""
    lines = [(_title(title), sheet) for title, sheet in sheets]
    width = max(part.shape[1] for pair in lines for part in pair)
    parts = []
    for pair in lines:
        for part in pair:
            missing = width - part.shape[1]
            parts.append(np.pad(part, ((0, 0), (0, missing), (0, 0)), constant_values=255))
    return np.concatenate(parts)


def _title(text: str) -> Sheet:
    """A white line with grey text, as wide as the text."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    line = np.full((TITLE, width + 8, 3), 255, np.uint8)
    cv2.putText(line, text, (4, TITLE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, GREY, 1, cv2.LINE_AA)
    return line
