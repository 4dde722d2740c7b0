"""A hand cut out of a user's depth picture: by a box, or as what is nearest to the camera."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from handvae.choices import Encoding
from handvae.data.crop import Crop, warp_nearest
from handvae.data.files.depth import is_plane, read_depth
from handvae.data.files.pictures import read_picture
from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.inference.inputs import Box, Seen, need_box, square_affine

NEAR_MM, FAR_MM = 80.0, 5000.0
"""Between these lies the middle of the depths of any picture of a hand; else the unit is another one."""
FEWEST_PIXELS = 30
"""Of a hand."""
FRONT = 0.002
"""Share of the pixels that may be nearer than the hand: specks of the sensor."""
ROUNDS = 8
"""In which the cube comes to lie about the hand."""
USUAL_FOCAL = 0.85
"""Focal length over the picture's width where nothing is given; depth cameras have 0.74 to 0.96."""


def see_depth(
    path: Path,
    crop: Crop,
    mirror: bool,
    box: Box | None = None,
    encoding: Encoding = "plane",
    unit_mm: float = 1.0,
    focal_px: float = 0.0,
) -> Seen:
    """Cut a hand out of a depth picture.

    Args:
        path: PNG file.
        crop: of the model; a `cube` is put about the hand's surface, other crops about the pixels that
            belong to it.
        mirror: whether the model wants the other side.
        box: x, y, width, height of the hand, px; else it is looked for as the nearest thing in the whole
            picture.
        encoding: how the depth is packed.
        unit_mm: what one unit of a 16-bit plane stands for.
        focal_px: of the camera; 0 for the usual one of a picture of this width.

    Raises:
        UserError: the file cannot be read, the box does not lie in it, or no hand's depth is found.
    """
    if encoding == "plane" and not is_plane(path):
        read_picture(path)  # says what is wrong with a file that is missing or damaged
        remedy = "give one, or say with --depth-encoding how its colours pack the depth: nyu, rhd or stb"
        raise UserError(path, "is no picture of one channel of 16 bits", remedy)
    depth = read_depth(path, encoding, unit_mm)
    height, width = depth.shape
    region = np.ones_like(depth, dtype=bool)
    if box is not None:
        need_box(path, box, width, height)
        rows, columns = np.mgrid[:height, :width] + 0.5
        region = (
            (columns >= box[0]) & (columns <= box[0] + box[2]) & (rows >= box[1]) & (rows <= box[1] + box[3])
        )
    if np.count_nonzero(region & (depth > 0)) < FEWEST_PIXELS:
        where = "in --box" if box is not None else "in the picture"
        raise UserError(
            path,
            f"fewer than {FEWEST_PIXELS} pixels {where} have a depth",
            "give a picture with depth (0 is unknown)",
        )
    middle = float(np.median(depth[region & (depth > 0)]))
    if not NEAR_MM <= middle <= FAR_MM:
        fault = f"its depths lie about {middle:.4g} mm, where no hand can be read"
        raise UserError(
            path, fault, "give the unit with --depth-unit-mm, or how the file is packed with --depth-encoding"
        )
    focal = focal_px or USUAL_FOCAL * width
    hand, centre_mm = _nearest(depth, region, focal, crop.cube_mm)
    rows, columns = np.nonzero(hand)
    if crop.box == "cube":
        centre, side = (
            (float(columns.mean()) + 0.5, float(rows.mean()) + 0.5),
            crop.cube_mm * focal / centre_mm,
        )
    else:
        low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
        centre, side = (
            ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2),
            max(high[0] - low[0], high[1] - low[1]) * crop.margin,
        )
    affine = square_affine(centre, float(side), crop, mirror)
    kept = np.where(
        np.abs(depth - centre_mm) <= crop.cube_mm / 2, depth, np.float32(0)
    )  # what is beyond must not move the median
    cut = torch.from_numpy(warp_nearest(kept, affine.numpy(), crop.size_px))[None, None]
    found_by = "--box" if box is not None else "what is nearest to the camera"
    if not focal_px and crop.box == "cube":
        found_by += f", with a focal length of {focal:.0f} px, which is a guess (--focal)"
    return Seen(path, _shown(depth, centre_mm, crop.cube_mm), affine, Hands(depth=cut), found_by, mirror)


def _nearest(
    depth: Float[np.ndarray, "height width"],
    region: Bool[np.ndarray, "height width"],
    focal: float,
    cube_mm: float,
) -> tuple[Bool[np.ndarray, "height width"], float]:
    """Pixels of the nearest thing within a cube, and the depth of the cube's middle, mm."""
    there = region & (depth > 0)
    front = float(np.quantile(depth[there], FRONT))
    things = _connected(there & (depth < front + cube_mm / 2))
    large = [
        thing
        for thing in things
        if np.count_nonzero(thing) >= max(FEWEST_PIXELS, FRONT * np.count_nonzero(there))
    ]
    hand = min(large or things, key=lambda thing: float(np.quantile(depth[thing], 0.1)))
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]]
    middle = float(np.median(depth[hand]))
    for _ in range(ROUNDS):
        u, v = columns[hand].mean(), rows[hand].mean()
        reach = cube_mm / 2 * focal / middle
        inside = (
            there
            & (np.abs(depth - middle) <= cube_mm / 2)
            & (np.abs(columns - u) <= reach)
            & (np.abs(rows - v) <= reach)
        )
        touching = [thing for thing in _connected(inside) if (thing & hand).any()]
        if not touching:
            break
        hand = max(touching, key=lambda thing: np.count_nonzero(thing & hand))
        middle = float(np.median(depth[hand]))
    return hand, middle


def _connected(mask: Bool[np.ndarray, "height width"]) -> list[Bool[np.ndarray, "height width"]]:
    """The connected parts of a mask, the largest first, at most twenty."""
    _, labels, about, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    order = 1 + np.argsort(-about[1:, cv2.CC_STAT_AREA], kind="stable")[:20]
    return [labels == number for number in order]


def _shown(depth: Float[np.ndarray, "height width"], centre_mm: float, cube_mm: float) -> np.ndarray:
    """Grey picture: the cube from light (near) to dark, white beyond it and where nothing is known."""
    share = np.clip((depth - (centre_mm - cube_mm / 2)) / cube_mm, 0, 1)
    grey = np.where((depth > 0) & (np.abs(depth - centre_mm) <= cube_mm / 2), 220 - 170 * share, 255)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
