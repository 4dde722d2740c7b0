"""A hand cut out of a depth picture: in a box, or as what is nearest to the camera."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from handvae.choices import Between, Encoding
from handvae.data.crop import Crop, warp_nearest
from handvae.data.files.depth import is_plane, read_depth
from handvae.data.files.pictures import read_picture
from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.inference.arguments import check_fields
from handvae.inference.crops import HandCrop, check_box
from handvae.inference.square import Box, Square

NEAR_MM, FAR_MM = 80.0, 5000.0
"""The median depth of any picture of a hand lies between these; otherwise the unit is another one."""
FEWEST_PIXELS = 30
"""Pixels that a hand has at least."""
FRONT = 0.002
"""Share of the pixels that may be nearer than the hand: specks of the sensor."""
ROUNDS = 8
"""Steps in which the cube settles on the hand."""
USUAL_FOCAL = 0.85
"""Focal length over the picture's width where none is given; depth cameras have 0.74 to 0.96."""


@dataclass(frozen=True)
class DepthFormat:
    """How depth pictures are to be understood."""

    encoding: Encoding = "plane"
    """One channel of 16 bits, or bits packed into colours as a data set does it."""
    unit_mm: Annotated[int | float, Between(1e-9, 1e6)] = 1.0
    """What one unit of a 16-bit plane stands for."""
    focal_px: Annotated[int | float, Between(0, 1e6)] = 0.0
    """Focal length of the camera; 0 takes a usual one."""

    def __post_init__(self) -> None:
        check_fields(self)


def crop_depth(
    path: Path,
    crop: Crop,
    mirror: bool,
    box: Box | None = None,
    depth_format: DepthFormat = DepthFormat(),
) -> HandCrop:
    """Cut a hand out of a depth picture.

    Args:
        path: PNG file.
        crop: of the model; a `cube` is put round the hand's surface, others round the hand's pixels.
        mirror: whether the model knows the other hand only.
        box: x, y, width, height of the hand, px; without it the nearest thing in the picture is taken.
        depth_format: how the depth is packed, its unit, and the camera.

    Raises:
        UserError: the file cannot be read, the box does not lie in it, or it holds no hand's depth.
    """
    if depth_format.encoding == "plane" and not is_plane(path):
        read_picture(path)  # has its own error for a file that is missing or damaged
        remedy = "give one, or say with --depth-encoding how its colours pack the depth: nyu, rhd or stb"
        raise UserError(path, "is no picture of one channel of 16 bits", remedy)

    # find the hand, then the square that the model wants to see of it
    depth = read_depth(path, depth_format.encoding, float(depth_format.unit_mm))
    region = _region(path, depth, box)
    focal = float(depth_format.focal_px) or USUAL_FOCAL * depth.shape[1]
    hand, centre_mm = _nearest(depth, region, focal, crop.cube_mm)
    centre, side_px = _square(hand, centre_mm, focal, crop)
    affine = Square(centre, side_px).affine(crop, mirror)

    # what lies outside the cube must not move the median depth of the crop
    inside = np.abs(depth - centre_mm) <= crop.cube_mm / 2
    warped = warp_nearest(np.where(inside, depth, np.float32(0)), affine.numpy(), crop.size_px)

    located_by = "what is nearest to the camera" if box is None else "the given box"
    if not depth_format.focal_px and crop.box == "cube":
        located_by += f", with a focal length of {focal:.0f} px, which is a guess (--focal)"

    return HandCrop(
        source=path,
        pixels=_as_grey(depth, centre_mm, crop.cube_mm),
        affine=affine,
        hands=Hands(depth=torch.from_numpy(warped)[None, None]),
        located_by=located_by,
        mirrored=mirror,
    )


def _region(
    path: Path, depth: Float[np.ndarray, "height width"], box: Box | None
) -> Bool[np.ndarray, "height width"]:
    """Where the hand may be: the box, or the whole picture; its depths are believable."""
    height, width = depth.shape
    region = np.ones_like(depth, dtype=bool)
    if box is not None:
        check_box(str(path), box, width, height)
        x, y, across, down = box
        rows, columns = np.mgrid[:height, :width] + 0.5
        region = (columns >= x) & (columns <= x + across) & (rows >= y) & (rows <= y + down)

    known = region & (depth > 0)
    if np.count_nonzero(known) < FEWEST_PIXELS:
        place = "in the picture" if box is None else "in --box"
        fault = f"fewer than {FEWEST_PIXELS} pixels {place} have a depth"
        raise UserError(path, fault, "give a picture with depth (0 is unknown)")

    median = float(np.median(depth[known]))
    if not NEAR_MM <= median <= FAR_MM:
        fault = f"its depths lie about {median:.4g} mm, where no hand can be read"
        remedy = "give the unit with --depth-unit-mm, or how the file is packed with --depth-encoding"
        raise UserError(path, fault, remedy)

    return region


def _square(
    hand: Bool[np.ndarray, "height width"], centre_mm: float, focal: float, crop: Crop
) -> tuple[tuple[float, float], float]:
    """Centre and side, px, of the square to cut."""
    rows, columns = np.nonzero(hand)
    if crop.box == "cube":
        centre = (float(columns.mean()) + 0.5, float(rows.mean()) + 0.5)
        return centre, crop.cube_mm * focal / centre_mm
    left, right = float(columns.min()), float(columns.max() + 1)
    top, bottom = float(rows.min()), float(rows.max() + 1)
    return ((left + right) / 2, (top + bottom) / 2), max(right - left, bottom - top) * crop.margin


def _nearest(
    depth: Float[np.ndarray, "height width"],
    region: Bool[np.ndarray, "height width"],
    focal: float,
    cube_mm: float,
) -> tuple[Bool[np.ndarray, "height width"], float]:
    """Pixels of the nearest thing within a cube, and the depth of the cube's middle, mm."""
    known = region & (depth > 0)
    front = float(np.quantile(depth[known], FRONT))
    things = _connected(known & (depth < front + cube_mm / 2))
    fewest = max(FEWEST_PIXELS, FRONT * np.count_nonzero(known))
    large = [thing for thing in things if np.count_nonzero(thing) >= fewest]
    hand = min(large or things, key=lambda thing: float(np.quantile(depth[thing], 0.1)))

    # the cube moves to the middle of what it holds, which then changes what it holds
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]]
    middle = float(np.median(depth[hand]))

    for _ in range(ROUNDS):
        u, v = columns[hand].mean(), rows[hand].mean()
        reach = cube_mm / 2 * focal / middle
        near = np.abs(depth - middle) <= cube_mm / 2
        inside = known & near & (np.abs(columns - u) <= reach) & (np.abs(rows - v) <= reach)
        touching = [thing for thing in _connected(inside) if (thing & hand).any()]
        if not touching:
            break

        hand = max(touching, key=lambda thing: np.count_nonzero(thing & hand))
        middle = float(np.median(depth[hand]))

    return hand, middle


def _connected(mask: Bool[np.ndarray, "height width"]) -> list[Bool[np.ndarray, "height width"]]:
    """The connected parts of a mask, the largest first, at most twenty."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    order = 1 + np.argsort(-statistics[1:, cv2.CC_STAT_AREA], kind="stable")[:20]
    return [labels == number for number in order]


def _as_grey(
    depth: Float[np.ndarray, "height width"], centre_mm: float, cube_mm: float
) -> UInt8[np.ndarray, "height width 3"]:
    """The cube from light (near) to dark; white outside it and where nothing is known."""
    share = np.clip((depth - (centre_mm - cube_mm / 2)) / cube_mm, 0, 1)
    inside = (depth > 0) & (np.abs(depth - centre_mm) <= cube_mm / 2)
    grey = np.where(inside, 220 - 170 * share, 255)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
