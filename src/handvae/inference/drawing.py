"""Skeleton overlays, sheets and animations."""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from handvae.data.files.pictures import as_pixels
from handvae.files import write_atomically
from handvae.hand import BONES

FINGER_COLOURS = ((229, 57, 53), (251, 140, 0), (67, 160, 71), (30, 136, 229), (142, 36, 170))
"""RGB of thumb to little finger."""
WRIST_COLOUR = (250, 250, 250)
RIM = (90, 90, 90)
"""Round the wrist, which would not be seen on white."""

# OpenCV draws at sixteenths of a pixel
_SHIFT = 4
_SUBPIXELS = 2**_SHIFT


def enlarge(pixels: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "big wide 3"]:
    """Scale so that the larger side has `side` pixels."""
    zoom = side / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * zoom)), max(1, round(pixels.shape[0] * zoom)))
    interpolation = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)


def square_cell(pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "side side 3"]:
    """A picture in the middle of a white square."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    cell = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    cell[top : top + height, left : left + width] = pixels
    return cell


def picture_cell(picture: Float[Tensor, "3 height width"], side: int) -> UInt8[np.ndarray, "big wide 3"]:
    """A generated picture (0 to 1) as a cell of a sheet, its larger side `side` pixels."""
    return enlarge(as_pixels(picture.numpy()), side)


def draw_skeleton(
    pixels: UInt8[np.ndarray, "height width 3"],
    joints_px: Float[np.ndarray, "21 2"],
    spread_px: Float[np.ndarray, " 21"] | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw bones in the fingers' colours, joints as dots, and the spread as circles."""
    canvas = np.ascontiguousarray(pixels).copy()
    thickness = max(1, round(max(canvas.shape[:2]) / 160))
    points = [_subpixel(float(x), float(y)) for x, y in joints_px]
    for parent, child in BONES:
        cv2.line(canvas, points[parent], points[child], joint_colour(child), thickness, cv2.LINE_AA, _SHIFT)

    radius = (thickness + 1) * _SUBPIXELS
    for joint, point in enumerate(points):
        colour = joint_colour(joint)
        cv2.circle(canvas, point, radius, colour, -1, cv2.LINE_AA, _SHIFT)
        if joint == 0:
            cv2.circle(canvas, point, radius, RIM, 1, cv2.LINE_AA, _SHIFT)
        if spread_px is not None:
            spread = max(_SUBPIXELS, round(float(spread_px[joint]) * _SUBPIXELS))
            cv2.circle(canvas, point, spread, colour, 1, cv2.LINE_AA, _SHIFT)

    return canvas


def draw_joints(
    pixels: UInt8[np.ndarray, "height width 3"], joints_px: Float[np.ndarray, "joint 2"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw joints as dots, of hands whose bones are not known."""
    canvas = np.ascontiguousarray(pixels).copy()
    for x, y in joints_px:
        cv2.circle(
            canvas, _subpixel(float(x), float(y)), 2 * _SUBPIXELS, FINGER_COLOURS[0], -1, cv2.LINE_AA, _SHIFT
        )
    return canvas


def joint_colour(joint: int) -> tuple[int, int, int]:
    """The colour of a joint's finger, or the wrist's."""
    return FINGER_COLOURS[(joint - 1) // 4] if joint else WRIST_COLOUR


def grid(
    rows: Sequence[Sequence[UInt8[np.ndarray, "side side 3"]]], gap: int = 2
) -> UInt8[np.ndarray, "height width 3"]:
    """Equal square pictures as a sheet; missing ones at the end of a row stay white."""
    side, columns = rows[0][0].shape[0], max(len(row) for row in rows)
    sheet = np.full((len(rows) * (side + gap) - gap, columns * (side + gap) - gap, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, pixels in enumerate(row):
            top, left = r * (side + gap), c * (side + gap)
            sheet[top : top + side, left : left + side] = pixels
    return sheet


def write_gif(
    path: Path, frames: Sequence[UInt8[np.ndarray, "height width 3"]], milliseconds: int = 60
) -> None:
    """Write an endless animation of equally large frames, there and back."""
    # one palette for all: found once instead of per frame (0.1 s each), and colours do not flicker
    sample = Image.fromarray(np.concatenate([frame[::4, ::4] for frame in frames]))
    palette = sample.quantize(256, dither=Image.Dither.NONE)
    pictures = []
    for frame in frames:
        pictures.append(Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE))

    pictures += pictures[-2:0:-1]

    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)
    write_atomically(path, lambda partial: partial.write_bytes(buffer.getvalue()))


def _subpixel(x: float, y: float) -> tuple[int, int]:
    return round(x * _SUBPIXELS), round(y * _SUBPIXELS)
