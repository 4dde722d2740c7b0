"""Which joints can be seen, where labels do not tell."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.data.hands import Hands


def inside_picture(
    joints_px: Float[Tensor, "*batch joint 2"], size_px: Float[Tensor, "*batch 2"]
) -> Bool[Tensor, "*batch joint"]:
    """Which joints lie in a picture of that width and height."""
    return ((joints_px >= 0) & (joints_px <= size_px[..., None, :])).all(-1)


def with_visibility(labels: Hands, size_px: Float[Tensor, "batch 2"] | tuple[int, int] | None) -> Hands:
    """The labels with `joint_visible`: where they do not have it, the valid joints inside the picture.

    Args:
        labels: in pixels of the whole pictures, with `joints_2d` and `joint_valid`.
        size_px: width and height, of each picture or of all; None where it is not known: valid joints then
            count as visible.
    """
    if labels.joint_visible is not None:
        return labels

    joints, visible = labels.require_all("joints_2d", "joint_valid")
    if size_px is not None:
        size = torch.as_tensor(size_px, dtype=joints.dtype).expand(len(joints), 2)
        visible = visible & inside_picture(joints, size)
    return replace(labels, joint_visible=visible)
