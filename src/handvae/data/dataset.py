"""An opened data set, as every reader offers it, and the checks of files that readers share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from handvae.data.hands import DataSpec, Hands
from handvae.data.visibility import with_visibility
from handvae.errors import UserError
from handvae.geometry import project
from handvae.hand import SEGMENTATION_CLASSES

GIVE_ORIGINAL = "give the file that the authors published"
SPLIT_OR_CONVERT = "split it, or convert the data set to parquet in parts"
MOST_ROWS = 1_000_000
"""Rows of an annotation file that is read row by row: some 800 bytes each, so less than 1 GiB."""
PLAN_FILE = "plan.json"
"""The file that says which hands a rendered data set holds."""
HAND_CLASSES_FROM = SEGMENTATION_CLASSES.index("palm")
"""Classes from here on are the hand; background and forearm come before."""


class HandData(ABC):
    """An opened data set: labels in memory, pictures read on demand.

    `spec.modalities` names what every row has: `image`, `depth`, `segmentation` and `mask` are methods, all
    others are fields of `labels`. A method that the data set does not offer raises a ValueError.
    """

    spec: DataSpec
    remarks: tuple[str, ...] = ()
    """What a user should know of this copy of the data."""
    left_out: tuple[str, ...] = ()
    """Of these, what is not used or not as it stands: unusable labels, missing pictures."""
    authors: str = ""
    """Where its authors publish it; empty for anybody's own data."""
    evaluated_joints: tuple[int, ...] = ()
    """Joints that published evaluations count; empty: all of them."""
    slow_labels: bool = False
    """Whether `labels` opens a file for each new row, so that millions of rows take hours."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows, in pixels of the whole pictures."""

    def name(self, row: int) -> str:
        """The name of a row in messages: its picture's path below the root where it has one."""
        return f"row {row}"

    def picture_name(self, row: int) -> str:
        """The picture that shows a row's hand: rows of one name and split are hands of one picture."""
        return self.name(row)

    def split_of(self, row: int) -> str:
        """The split that a row belongs to, such as `train`; empty where the data set has none."""
        return ""

    def provenance_of(self, row: int) -> str:
        """Where a row comes from: the text of a JSON object, or nothing."""
        return ""

    def files(self) -> Iterator[tuple[str, ...]]:
        """For each row in order the files that are read when it is asked for.

        Nothing where rows have no files of their own. `handvae.data.missing` looks for them at opening.
        """
        return iter(())

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        self._lacks("image")

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """The whole depth map of one row, float32 mm along the camera's axis, 0 where unknown."""
        self._lacks("depth")

    def segmentation(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """The class of each pixel, for this row's hand: indices into `handvae.hand.SEGMENTATION_CLASSES`."""
        self._lacks("segmentation")

    def mask(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """1 on this row's hand, the forearm not included."""
        if "segmentation" not in self.spec.modalities:
            self._lacks("mask")
        # classes are ordered: background and forearm, then the hand
        return (self.segmentation(row) >= HAND_CLASSES_FROM).astype(np.uint8)

    def companions(self, rows: Int[Tensor, " rows"], draws: Float[Tensor, " rows"]) -> Int[Tensor, " rows"]:
        """For each row another one of the same content; the row itself where it is alone.

        Args:
            rows: any rows.
            draws: a number in [0, 1) for each, which decides among the others.
        """
        content, order = self._by_content
        sorted_content = content[order]

        # rows of one content stand together in `order`, from `first` up to `end`
        first = torch.searchsorted(sorted_content, content[rows])
        end = torch.searchsorted(sorted_content, content[rows], right=True)
        own = order.argsort()[rows] - first
        others = end - first - 1

        # go on from the row's own place by 1 to `others` steps, around the end
        step = 1 + (draws * others).long().clamp_max((others - 1).clamp_min(0))

        return order[first + (own + step) % (others + 1)]

    @cached_property
    def _by_content(self) -> tuple[Int[Tensor, " rows"], Int[Tensor, " rows"]]:
        """Content of each row, and the rows in order of content."""
        content = self.labels(torch.arange(len(self))).require("content")
        # stable, so that a draw means the same companion on every machine
        return content, content.argsort(stable=True)

    def _lacks(self, modality: str) -> NoReturn:
        raise ValueError(f"{self.spec.name} has no {modality}; it has {', '.join(self.spec.modalities)}")


class InMemoryData(HandData):
    """A data set whose labels are one batch in memory.

    Args:
        root: its folder.
        names: paths of the rows' pictures, below the root.
        labels: of the rows.
    """

    def __init__(self, root: Path, names: Sequence[str], labels: Hands) -> None:
        self.root = root
        self.names = names
        self.kept = labels

    def __len__(self) -> int:
        return len(self.names)

    def files(self) -> Iterator[tuple[str, ...]]:
        """Of each row its picture."""
        return ((f"{self.root}/{name}",) for name in self.names)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows, without pixels."""
        return self.kept[rows]

    def name(self, row: int) -> str:
        """The picture's name below the root."""
        return self.names[row]


def camera_labels(
    joints_3d: Float[Tensor, "row joint 3"],
    intrinsics: Float[Tensor, "row 3 3"],
    side: int,
    size_px: tuple[int, int],
    joints_2d: Float[Tensor, "row joint 2"] | None = None,
) -> Hands:
    """Labels of hands of one side, seen by a pinhole camera.

    Joints at the camera's plane or behind it are not valid; valid ones inside the picture are visible.

    Args:
        joints_3d: mm.
        intrinsics: px.
        side: `handvae.hand.LEFT` or `RIGHT`.
        size_px: width and height of the pictures.
        joints_2d: px, where they were measured; None projects the 3D joints.
    """
    labels = Hands(
        joints_2d=project(joints_3d, intrinsics) if joints_2d is None else joints_2d,
        joints_3d=joints_3d,
        # at or behind the camera's plane a projection means nothing
        joint_valid=joints_3d[..., 2] > 0,
        intrinsics=intrinsics,
        side=torch.full((len(joints_3d),), side),
    )
    return with_visibility(labels, size_px)


def pinhole(focal_x: float, focal_y: float, centre_x: float, centre_y: float) -> Float[Tensor, "3 3"]:
    """Intrinsics of a camera without skew, px."""
    return torch.tensor([[focal_x, 0.0, centre_x], [0.0, focal_y, centre_y], [0.0, 0.0, 1.0]])


def require_file(path: Path, authors: str) -> Path:
    """The path, if a file or folder exists under it.

    Args:
        path: what a data set must hold.
        authors: where its authors publish it.

    Raises:
        UserError: there is none.
    """
    if not path.exists():
        raise UserError(path, "is missing", f"its authors publish it at {authors}")

    return path


def require_size(path: Path, most: int) -> None:
    """Refuse a file of more than `most` bytes before it is read.

    Raises:
        UserError: it is larger, or it is not there.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the file") from error

    # a pipe would wait for ever, a device never end
    if not path.is_file():
        raise UserError(path, "is no regular file", "give a file")
    if size > most:
        raise UserError(path, f"is larger than {most >> 20} MiB", SPLIT_OR_CONVERT)


def require_few(path: Path, what: str, count: int) -> None:
    """Refuse an annotation whose labels would fill the memory.

    Raises:
        UserError: there are more than `MOST_ROWS`.
    """
    if count > MOST_ROWS:
        raise UserError(path, f"holds more than {MOST_ROWS:,} {what}", SPLIT_OR_CONVERT)


def require_numbers(
    path: Path, name: str, value: Any, shape: tuple[int | None, ...] | None
) -> Float[np.ndarray, "..."]:
    """`value` as a float32 array.

    Args:
        path: the file, for messages.
        name: the field, for messages.
        value: what the file holds.
        shape: of the array, None for any length; or None for any shape.

    Raises:
        UserError: it has another shape, is no array of numbers, or holds a number that is not finite.
    """
    try:
        given = np.asarray(value)
    except ValueError as error:
        # rows of different lengths
        raise UserError(path, f"{name} is no array", GIVE_ORIGINAL) from error

    if given.dtype.kind not in "biuf":
        raise UserError(path, f"{name} is no array of numbers", GIVE_ORIGINAL)

    if shape is not None and not _fits(given.shape, shape):
        expected = " x ".join("any" if length is None else str(length) for length in shape)
        raise UserError(path, f"{name} has shape {given.shape}, not {expected}", GIVE_ORIGINAL)

    # float64 that overflows float32 becomes infinite, and is refused below
    with np.errstate(over="ignore"):
        array = given.astype(np.float32)

    if not np.isfinite(array).all():
        raise UserError(path, f"{name} holds a number that is not finite", GIVE_ORIGINAL)

    return array


def usable_numbers(
    path: Path, name: str, values: Any, shape: tuple[int, ...]
) -> tuple[Float[np.ndarray, "entry ..."], Bool[np.ndarray, " entry"]]:
    """A list of arrays as one float32 array, and which of its entries can be used; the others are zero.

    Raises:
        UserError: it is no list.
    """
    if not isinstance(values, (list, np.ndarray)):
        raise UserError(path, f"{name} is no list", GIVE_ORIGINAL)
    try:
        # nearly always, all are sound
        return require_numbers(path, name, values, (None, *shape)), np.ones(len(values), bool)
    except UserError:
        pass

    numbers = np.zeros((len(values), *shape), np.float32)
    usable = np.zeros(len(values), bool)
    for entry, value in enumerate(values):
        try:
            numbers[entry] = require_numbers(path, name, value, shape)
            usable[entry] = True
        except UserError:
            continue

    return numbers, usable


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    if len(shape) != len(expected):
        return False
    return all(length in (None, actual) for length, actual in zip(expected, shape, strict=True))


def chosen_splits(root: Path, split: str | None, places: dict[str, Path]) -> tuple[str, ...]:
    """The named split; without a name every split on disk, or the first one if there is none.

    Args:
        root: the data set, for messages.
        split: a key of `places`, or None.
        places: a file or folder that each split has.

    Raises:
        UserError: this data set has no such split.
    """
    if split is not None:
        return (require_choice(root, "split", split, tuple(places)),)

    present = tuple(name for name, path in places.items() if path.exists())
    # the first one, though absent: the reader's message then names a file that is missing
    return present or (next(iter(places)),)


def require_choice(root: Path, kind: str, given: str | None, known: tuple[str, ...]) -> str:
    """`given` if it is known; the first known one if it is None.

    Raises:
        UserError: this data set has no such split or protocol.
    """
    if given is None:
        return known[0]
    if given not in known:
        raise UserError(root, f"there is no {kind} {given!r}", f"use {' or '.join(known)}")
    return given
