"""What every reader of a data set offers, and the errors that all of them share."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from handvae.data.hands import DataSpec, Hands
from handvae.errors import UserError
from handvae.hand import PARTS

HAND_PARTS_FROM = PARTS.index("palm")
"""Codes of `handvae.hand.PARTS` from here on are the hand; those before are the background and the forearm."""


class HandData(ABC):
    """An opened data set: labels in memory, pictures read when they are asked for.

    `spec.modalities` names what every row has: `image`, `depth`, `parts` and `mask` are the methods below, all else are fields of `labels`.
    A method that the data set does not offer raises a ValueError that says so.
    """

    spec: DataSpec

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows, in pixels of the whole pictures."""

    def name(self, row: int) -> str:
        """What a row is called in messages: its picture's name below the root where it has one."""
        return f"row {row}"

    def split_of(self, row: int) -> str:
        """The split that a row belongs to, such as `train`; empty where the data set has none."""
        return ""

    def provenance_of(self, row: int) -> str:
        """Where a row comes from: the text of a JSON object, or nothing."""
        return ""

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        self._lacks("image")

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """The whole depth map of one row, float32 mm along the camera's axis, 0 where unknown."""
        self._lacks("depth")

    def parts(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """What each pixel of the whole picture shows of this row's hand: indices into `handvae.hand.PARTS`."""
        self._lacks("parts")

    def mask(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """1 on this row's hand, the forearm not included."""
        if "parts" not in self.spec.modalities:
            self._lacks("mask")
        return (self.parts(row) >= HAND_PARTS_FROM).astype(np.uint8)

    def _lacks(self, modality: str) -> NoReturn:
        raise ValueError(f"{self.spec.name} has no {modality}; it has {', '.join(self.spec.modalities)}")


def need_file(path: Path, authors: str) -> Path:
    """The path, if there is a file or folder.

    Args:
        path: what a data set must hold.
        authors: where its authors publish it.

    Raises:
        UserError: there is none.
    """
    if not path.exists():
        raise UserError(path, "is missing", f"its authors publish it at {authors}")
    return path


def need_choice(root: Path, kind: str, given: str | None, known: tuple[str, ...]) -> str:
    """`given` if it is known, the first known one if nothing is given.

    Raises:
        UserError: this data set has no such split or protocol.
    """
    if given is None:
        return known[0]
    if given not in known:
        raise UserError(root, f"there is no {kind} {given!r}", f"use {' or '.join(known)}")
    return given
