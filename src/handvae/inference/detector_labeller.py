"""Labels for pictures that one hand fills, by a model of ours that reads crops."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8

from handvae.data.crop import in_own_crop, to_crop_px, warp
from handvae.data.hands import Hands
from handvae.data.labelling.label import TURNED, VIEWS, LabelledHand, Labeller
from handvae.geometry import apply_affine, crop_affine, invert_affine
from handvae.hand import LEFT, RIGHT
from handvae.systems.system import PoseEstimator

ROUNDS = 3
"""The whole picture is read first, then twice the box of the joints read before."""

SMALLEST_BOX_PX = 8


class DetectorLabeller(Labeller):
    """A model that reads one hand a picture; a model of one side reads the other side through a mirror.

    Args:
        model: reads crops.
        name: of the model, for the data set's description.
        side: that the pictures show, `LEFT` or `RIGHT`.
    """

    def __init__(self, model: PoseEstimator, name: str, side: int) -> None:
        self.model, self.name, self.side = model, name, side
        if model.spec.sides == "both":
            self.views, self.mirror = VIEWS, False
        else:
            self.views = TURNED
            self.mirror = side != (LEFT if model.spec.sides == "left" else RIGHT)

    def hands(self, pixels: UInt8[np.ndarray, "height width 3"]) -> Sequence[LabelledHand]:
        """The one hand, read from the whole picture and then from where its joints were."""
        height, width = pixels.shape[:2]
        upright = np.ascontiguousarray(pixels[:, ::-1]) if self.mirror else pixels
        centre = torch.tensor([[width / 2, height / 2]])
        side = torch.tensor([float(max(width, height))])

        joints = self._read(upright, centre, side)

        for _ in range(ROUNDS - 1):
            low, high = joints.amin(1), joints.amax(1)
            centre = (low + high) / 2
            side = (high - low).amax(1).clamp_min(SMALLEST_BOX_PX) * self.model.crop.margin
            joints = self._read(upright, centre, side)

        joints_2d = joints[0].numpy().astype(np.float64)
        if self.mirror:
            joints_2d = np.column_stack([width - joints_2d[:, 0], joints_2d[:, 1]])

        return [LabelledHand(joints_2d, self.side)]

    def _read(
        self,
        pixels: UInt8[np.ndarray, "height width 3"],
        centre: Float[torch.Tensor, "1 2"],
        side: Float[torch.Tensor, "1"],
    ) -> Float[torch.Tensor, "1 joint 2"]:
        """Joints in pixels of the picture, read from a square in it."""
        size_px = self.model.crop.size_px
        affine = crop_affine(centre, side, size_px)
        crop = torch.from_numpy(warp(pixels, affine[0].numpy(), size_px))
        image = crop.permute(2, 0, 1)[None].float() / 255

        joints = self.model.predict_uncalibrated(Hands(image=image)).joints
        if self.model.pose == "3d":
            joints = in_own_crop(joints[..., :2], self.model.crop.margin)
        return apply_affine(to_crop_px(joints, size_px), invert_affine(affine))
