"""A pose drawn as soft limbs, one map for each bone, for networks that work on images."""

import torch
from jaxtyping import Float
from torch import Tensor

from handvae.hand import PARENTS


def limb_maps(
    joints: Float[Tensor, "batch joint 2"], size_px: int, width: float
) -> Float[Tensor, "batch bone size size"]:
    """exp(-d^2 / (2 width^2)) with d the distance of a pixel's centre to the bone's segment.

    Args:
        joints: crop units, [-1, 1] over the crop.
        size_px: side of the maps.
        width: standard deviation of a limb in crop units.
    """
    centres = (torch.arange(size_px, device=joints.device, dtype=joints.dtype) + 0.5) * (2 / size_px) - 1
    child = joints[:, 1:, :, None, None]
    parent = joints[:, PARENTS[1:], :, None, None]
    bone = child - parent

    # Pixel centres relative to the parent, and where on the segment each one's nearest point is (0 to 1).
    x = centres - parent[:, :, 0]
    y = centres[:, None] - parent[:, :, 1]
    along = (x * bone[:, :, 0] + y * bone[:, :, 1]) / bone.square().sum(2).clamp_min(1e-6)
    along = along.clamp(0, 1)

    squared_distance = (x - along * bone[:, :, 0]).square() + (y - along * bone[:, :, 1]).square()

    return torch.exp(squared_distance * (-0.5 / width**2))


def drawn(
    joints: Float[Tensor, "batch joint 2"], size_px: int, width: float = 0.03
) -> Float[Tensor, "batch 3 size size"]:
    """Limbs in black on white, for sheets; the arguments are those of `limb_maps`."""
    return (1 - limb_maps(joints, size_px, width).amax(1, keepdim=True)).expand(-1, 3, -1, -1)
