"""Hands cut out of pictures: by a box, by the labels next to a photo, or the whole picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from handvae.geometry import crop_affine
from handvae.hand import LEFT, RIGHT, UNKNOWN
from handvae.inference.pictures import PictureSource, read_rgb, source_name, source_path
from handvae.noise import Noise

Box = tuple[float, float, float, float]
"""x, y, width, height, px: what the hand's joints lie in."""
LARGEST_BOX = 10
"""Side of a box over the picture's side; a larger one is a slip."""
SMALLEST_CROP_PX = 8.0
"""Side of a crop that is cut round predicted joints."""


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
    whole: bool = False
    """Whether the whole picture was taken, for want of a box."""

    @property
    def image(self) -> Float[Tensor, "1 3 size size"]:
        """The crop of a photo, RGB in [0, 1]."""
        return self.hands.require("image")

    @property
    def name(self) -> str:
        """The file's path, or words for a picture in memory."""
        return source_name(self.source)


def crop_photo(source: PictureSource, box: Box | None, crop: Crop, mirror: bool = False) -> HandCrop:
    """Cut the hand out of a picture.

    Args:
        source: the picture.
        box: what the joints lie in, px. Without it a COCO file next to the picture tells, else the whole
            picture is taken.
        crop: how the model's crops are cut.
        mirror: whether the model knows the other hand only. Labels next to the picture overrule it.

    Raises:
        UserError: the file cannot be read, or the box does not lie in the picture.
        TypeError: as `read_rgb`.
        ValueError: as `read_rgb`.
    """
    pixels = read_rgb(source)
    path = source_path(source)

    # the caller's box outranks the labels next to the photo
    if box is not None:
        height, width = pixels.shape[:2]
        check_box(source_name(source), box, width, height)
        x, y, across, down = box

        # the box bounds the joints; crops are larger by the model's margin, so that the fingertips are in
        centre = (x + across / 2, y + down / 2)
        side_px = max(across, down) * crop.margin
        return _cut_square(path, pixels, centre, side_px, crop, "the given box", mirror)

    labels = None if path is None else _labels_beside(path)
    if labels is not None:
        # where several hands are labelled, the first
        return _cut_by_labels(path, pixels, labels[:1], crop)

    return crop_whole(pixels, crop, "the whole picture", mirror, path)


def crop_whole(
    pixels: UInt8[np.ndarray, "height width 3"],
    crop: Crop,
    located_by: str,
    mirror: bool = False,
    source: Path | None = None,
) -> HandCrop:
    """Take a picture whole, its longer side as wide as the crop."""
    height, width = pixels.shape[:2]
    middle = (width / 2, height / 2)
    cut = _cut_square(source, pixels, middle, float(max(width, height)), crop, located_by, mirror)
    return replace(cut, whole=True)


def crop_again(photo: HandCrop, joints_px: Float[Tensor, "joint 2"], crop: Crop) -> HandCrop:
    """Cut a photo again, round joints that a first reading gave in pixels of the picture."""
    # a reading that puts all joints on one point must still leave a crop
    low, high = joints_px.amin(0), joints_px.amax(0)
    x, y = ((low + high) / 2).tolist()
    side_px = max(float((high - low).max()) * crop.margin, SMALLEST_CROP_PX)

    located_by = f"{photo.located_by}, then the box of the joints found there"
    cut = _cut_square(photo.source, photo.pixels, (x, y), side_px, crop, located_by, photo.mirrored)
    return replace(cut, side=photo.side)


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


def square_affine(
    centre: tuple[float, float], side_px: float, crop: Crop, mirror: bool
) -> Float[Tensor, "2 3"]:
    """Map a square of the picture, px, to the crop; mirrored if asked for."""
    affine = crop_affine(torch.tensor([centre]), torch.tensor([side_px]), crop.size_px)[0]
    if not mirror:
        return affine

    # x' = size - x
    flipped_x = torch.tensor([0.0, 0.0, crop.size_px]) - affine[0]
    return torch.stack([flipped_x, affine[1]])


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


def _cut_square(
    source: Path | None,
    pixels: np.ndarray,
    centre: tuple[float, float],
    side_px: float,
    crop: Crop,
    located_by: str,
    mirror: bool,
) -> HandCrop:
    affine = square_affine(centre, side_px, crop, mirror)
    return HandCrop(source, pixels, affine, _warped(pixels, affine, crop), located_by, mirror)


def _cut_by_labels(path: Path | None, pixels: np.ndarray, labels: Hands, crop: Crop) -> HandCrop:
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


def crop_labelled(source: PictureSource, crop: Crop, shown: Side, unknown: Side) -> list[HandCrop]:
    """All hands that a COCO file next to a photo names in it, each cut by its labels.

    Args:
        source: the picture.
        crop: how the model's crops are cut.
        shown: the side that crops show; hands of the other one are mirrored.
        unknown: side of hands whose side the file does not tell.

    Returns:
        The crops; none where no such file names the picture.

    Raises:
        UserError: the picture cannot be read.
    """
    path = source_path(source)
    labels = None if path is None else _labels_beside(path)
    if labels is None:
        return []

    pixels = read_rgb(source)
    side = torch.full((len(labels),), UNKNOWN) if labels.side is None else labels.side
    side = side.masked_fill(side == UNKNOWN, LEFT if unknown == "left" else RIGHT)
    labels = replace(labels, side=side)

    crops = []
    for row in range(len(labels)):
        hand = labels[row : row + 1]
        cut = _cut_by_labels(path, pixels, hand, replace(crop, sides=shown))
        crops.append(replace(cut, side="left" if int(side[row]) == LEFT else "right"))
    return crops


def _labels_beside(path: Path) -> Hands | None:
    """The labels of a picture's hands, where a COCO file in its folder or the one above names it."""
    for folder in (path.parent, path.parent.parent):
        if not (folder / "annotations.json").is_file():
            continue
        data = CocoHands(folder)
        rows = [
            row for row, name in enumerate(data.file_names) if (folder / name).resolve() == path.resolve()
        ]
        if rows:
            return data.labels(torch.tensor(rows))
    return None
