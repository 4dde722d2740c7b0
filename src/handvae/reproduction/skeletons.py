"""3D joints as cells of a sheet: the skeleton seen from the camera or from the side, in millimetres."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float

from handvae.hand import BONES, PARENTS
from handvae.inference.drawing import RIM, joint_colour
from handvae.reproduction.sheets import CELL, Sheet

View = Literal["camera", "side"]
"""From the camera x runs to the right; from the side z does, away from the camera. y always runs down."""

Colour = tuple[int, int, int]
BLUE: Colour = (30, 90, 220)
RED: Colour = (220, 50, 40)

BAR_MM = 50.0
"""Length of the bar that shows the scale."""
_BAR_COLOUR = (150, 150, 150)

# OpenCV draws at sixteenths of a pixel
_SHIFT = 4
_SUBPIXELS = 2**_SHIFT


def reach_of(poses: Float[np.ndarray, "hand joint 3"]) -> float:
    """Half of the side of a cell, mm, that holds every one of these hands about the middle of its box."""
    half = np.ptp(poses, axis=1).max() / 2
    return float(max(1.15 * half, BAR_MM))


def middle_of(pose: Float[np.ndarray, "joint 3"]) -> Float[np.ndarray, "3"]:
    """The middle of a hand's box."""
    return (pose.min(0) + pose.max(0)) / 2


def skeleton_cell(
    poses: Sequence[tuple[Float[np.ndarray, "joint 3"], Colour | None]],
    view: View,
    middle: Float[np.ndarray, "3"],
    reach: float,
) -> Sheet:
    """Skeletons of one hand over each other, and a bar of 50 mm.

    Hands of other joints than our 21 are dots, as their bones are not known.

    Args:
        poses: joints in mm, each with its colour; None for a colour a finger.
        view: where they are seen from.
        middle: the point in the middle of the cell.
        reach: half of the side of the cell, mm.
    """
    canvas = np.full((CELL, CELL, 3), 255, np.uint8)
    px = CELL / 2 / reach
    cv2.line(canvas, (5, CELL - 6), (5 + round(BAR_MM * px), CELL - 6), _BAR_COLOUR, 2)

    axes = [0, 1] if view == "camera" else [2, 1]
    for joints, colour in poses:
        places = (joints - middle)[:, axes] * px + CELL / 2
        points = [(round(x * _SUBPIXELS), round(y * _SUBPIXELS)) for x, y in places.tolist()]

        if len(joints) == len(PARENTS):
            for parent, child in BONES:
                line = colour or joint_colour(child)
                cv2.line(canvas, points[parent], points[child], line, 2, cv2.LINE_AA, _SHIFT)
            cv2.circle(canvas, points[0], 3 * _SUBPIXELS, colour or RIM, 1, cv2.LINE_AA, _SHIFT)
        else:
            for point in points:
                cv2.circle(canvas, point, 2 * _SUBPIXELS, colour or RIM, -1, cv2.LINE_AA, _SHIFT)

    return canvas
