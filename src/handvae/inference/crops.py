"""Hands cut out of pictures: by a box, by joints, or by the labels next to a photo."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handvae.choices import Side
from handvae.data.crop import Crop, crop_affines, warp
from handvae.data.hands import Hands
from handvae.data.readers.coco import CocoHands
from handvae.errors import ArgumentError, UserError
from handvae.inference.finding import Picture, SeenHand
from handvae.inference.pictures import source_name
from handvae.inference.square import Box, Square
from handvae.noise import Noise

LARGEST_BOX = 10
"""Side of a box over the picture's side; a larger one is a slip."""


@dataclass(frozen=True, eq=False)
class HandCrop:
    """A hand cut out of a picture, a depth picture or a set of 2D joints.

    The caller's coordinates are pixels of the picture, or the unit of the 2D joints that were given.
    """

    source: Path | None
    """The file; None for a picture in memory."""
    pixels: UInt8[np.ndarray, "height width 3"]
    """The whole picture, RGB, to draw on; of depth and of joints, a drawing of them."""
    affine: Float[Tensor, "2 3"]
    """The caller's coordinates to pixels of the crop."""
    hands: Hands
    """One crop, with the field that models read."""
    located_by: str
    """How the crop was found, in words."""
    mirrored: bool = False
    """Whether the crop shows the hand in a mirror."""
    corner: tuple[float, float] = (0.0, 0.0)
    """Where the upper left corner of `pixels` lies, in the caller's coordinates."""
    zoom: float = 1.0
    """Pixels of `pixels` to one unit of the caller's coordinates."""
    side: Side = "right"
    """Which hand the picture shows."""
    side_score: float | None = None
    """Probability of that side, where a network tells it."""
    score: float | None = None
    """Probability that the crop shows a hand, where a network was asked."""
    seen: SeenHand | None = None
    """What the reader saw, where it looked."""

    @property
    def image(self) -> Float[Tensor, "1 3 size size"]:
        """The crop of a photo, RGB in [0, 1]."""
        return self.hands.require("image")

    @property
    def name(self) -> str:
        """The file's path, or words for a picture in memory."""
        return source_name(self.source)


def crop_square(
    source: Path | None,
    pixels: Picture,
    square: Square,
    crop: Crop,
    located_by: str,
    mirror: bool = False,
) -> HandCrop:
    """Cut a square out of a picture.

    Args:
        source: the picture's file, if it has one.
        pixels: the picture, RGB.
        square: is cut.
        crop: how large the model's crops are.
        located_by: how the square was found, in words.
        mirror: whether the model knows the other hand only.
    """
    affine = square.affine(crop, mirror)
    return HandCrop(source, pixels, affine, _warped(pixels, affine, crop), located_by, mirror)


def as_box(values: Sequence[int | float], name: str = "box") -> Box:
    """A caller's box as floats; `name` is the argument's.

    Raises:
        ArgumentError: it is not four numbers.
    """
    array = np.asarray(values)
    if array.shape != (4,) or array.dtype.kind not in "iuf":
        raise ArgumentError(name, f"is {values!r}", "give four numbers: x, y, width, height in pixels")
    x, y, width, height = array.astype(float).tolist()
    return x, y, width, height


def check_box(name: str, box: Box, width: int, height: int) -> None:
    """Refuse a box that does not lie in the picture.

    Raises:
        UserError: it does not.
    """
    x, y, across, down = box
    finite = bool(np.isfinite(box).all())
    sound_size = min(across, down) >= 1 and max(across, down) <= LARGEST_BOX * max(width, height)

    # a box may reach beyond the picture: a hand that is cut off has joints there
    overlaps = x < width and y < height and x + across > 0 and y + down > 0

    if not (finite and sound_size and overlaps):
        fault = f"{box} does not lie in the {width} x {height} picture {name}"
        raise UserError("--box", fault, "give x,y,width,height in pixels")


def crop_by_labels(path: Path | None, pixels: Picture, labels: Hands, crop: Crop) -> HandCrop:
    """The crop that training would cut; photos have no depth, so a cube becomes the joints' box."""
    flat_crop = replace(crop, box="joints") if crop.box == "cube" else crop

    affine = crop_affines(labels, flat_crop, None, Noise(0))[0]

    # a map that turns left into right has a negative determinant
    mirrored = bool(torch.linalg.det(affine[:, :2]) < 0)
    located_by = "the keypoints' box in annotations.json"
    return HandCrop(path, pixels, affine, _warped(pixels, affine, crop), located_by, mirrored)


def _warped(pixels: np.ndarray, affine: Tensor, crop: Crop) -> Hands:
    warped = torch.from_numpy(warp(pixels, affine.numpy(), crop.size_px))
    return Hands(image=warped.permute(2, 0, 1)[None].float() / 255)


def labels_beside(path: Path) -> Hands | None:
    """The labels of a picture's hands, where a COCO file in its folder or the one above names it."""
    for folder in (path.parent, path.parent.parent):
        file = folder / "annotations.json"
        if not file.is_file():
            continue

        # the pictures of a folder ask for one file, which may be large
        data, rows_of = _opened(folder, file.stat().st_mtime_ns)
        rows = rows_of.get(path.resolve())
        if rows:
            return data.labels(torch.tensor(rows))
    return None


@lru_cache(maxsize=2)
def _opened(folder: Path, _modified: int) -> tuple[CocoHands, dict[Path, list[int]]]:
    """A folder's annotations, and the rows of each picture."""
    data = CocoHands(folder)
    rows: dict[Path, list[int]] = {}
    for row, name in enumerate(data.file_names):
        rows.setdefault((folder / name).resolve(), []).append(row)
    return data, rows
