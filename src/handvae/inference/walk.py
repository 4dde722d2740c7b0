"""Paths between two poses, or between two appearances."""

import torch
from jaxtyping import Float
from torch import Tensor

from handvae.geometry import VIEWS, orthographic_view
from handvae.hand import POSE_NAMES, HandShape, forward_kinematics, named_pose
from handvae.inference.poses import read_poses
from handvae.systems.system import Generator


def pose_walk(
    system: Generator, a: str, b: str, share: Float[Tensor, " frame"]
) -> Float[Tensor, "frame joint axis"]:
    """Poses between two, in the unit that the model takes.

    Named poses turn their joint angles, so that bones keep their length; others move along straight lines.

    Args:
        system: takes the poses.
        a: a pose's name or a file of joints: where `share` is 0.
        b: likewise, where `share` is 1.
        share: of the way.
    """
    if not (a in POSE_NAMES and b in POSE_NAMES and system.pose == "2d"):
        start = read_poses(a, None, "palm", system, 1).joints[:1]
        end = read_poses(b, None, "palm", system, 1).joints[:1]
        return start + share[:, None, None] * (end - start)

    # angles turn at even speed; the picture plane would shorten fingers that point to the camera
    first, last = named_pose(a), named_pose(b)
    angles = first + share[:, None, None] * (last - first)
    joints = forward_kinematics(angles, HandShape.mean()).joints

    view = VIEWS["palm"].float()[None]
    flat = orthographic_view(joints, view, margin=system.crop.margin).joints_2d
    mirror = -1.0 if system.spec.sides == "left" else 1.0
    return flat * torch.tensor([mirror, 1.0])


def appearance_walk(
    start: Float[Tensor, "1 appearance"], end: Float[Tensor, "1 appearance"], share: Float[Tensor, " frame"]
) -> Float[Tensor, "frame appearance"]:
    """Appearances between two along a great circle, whose length does not dip as a straight line's does."""
    weight = share[:, None]
    cosine = torch.nn.functional.cosine_similarity(start, end).clamp(-0.9999, 0.9999)
    angle = torch.acos(cosine)
    # sin((1 - t) a) / sin(a) start + sin(t a) / sin(a) end
    return (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / torch.sin(angle)
