"""Squares of pictures, of which crops are cut."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handvae.data.crop import Crop
from handvae.geometry import crop_affine

Box = tuple[float, float, float, float]
"""x, y, width, height, px: what the hand's joints lie in."""
SMALLEST_PX = 8.0
"""Side of the smallest square that is cut round joints that a network read."""


@dataclass(frozen=True)
class Square:
    """A square, in pixels of the whole picture."""

    centre: tuple[float, float]
    side_px: float

    @classmethod
    def of_box(cls, box: Box, margin: float) -> "Square":
        """Round the box of a hand's joints, and larger by a model's margin: so the fingertips are in."""
        x, y, across, down = box
        return cls((x + across / 2, y + down / 2), max(across, down) * margin)

    @classmethod
    def of_joints(cls, joints_px: Float[np.ndarray, "joint 2"], margin: float) -> "Square":
        """Round joints that a network read: where all lie on one point, a square is left."""
        (left, top), (right, bottom) = joints_px.min(0).tolist(), joints_px.max(0).tolist()
        square = cls.of_box((left, top, right - left, bottom - top), margin)
        return cls(square.centre, max(square.side_px, SMALLEST_PX))

    @classmethod
    def of_picture(cls, pixels: UInt8[np.ndarray, "height width 3"]) -> "Square":
        """The smallest that holds a picture."""
        height, width = pixels.shape[:2]
        return cls((width / 2, height / 2), float(max(width, height)))

    def affine(self, crop: Crop, mirror: bool = False) -> Float[Tensor, "2 3"]:
        """From pixels of the picture to pixels of the crop, which shows a mirror image if asked for."""
        affine = crop_affine(torch.tensor([self.centre]), torch.tensor([self.side_px]), crop.size_px)[0]
        if not mirror:
            return affine

        # x' = size - x
        flipped_x = torch.tensor([0.0, 0.0, crop.size_px]) - affine[0]
        return torch.stack([flipped_x, affine[1]])
