"""Clouds of points: the visible surface of a hand from its depth picture, and clouds as files."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.data.crop import to_crop_px
from handvae.data.hands import Hands
from handvae.files import write_atomically
from handvae.geometry import back_project
from handvae.noise import Noise


def surface_points(
    hands: Hands, points: int, noise: Noise
) -> tuple[Float[Tensor, "batch point 3"], Bool[Tensor, " batch"]]:
    """Points of each hand's visible surface, mm in the camera frame.

    They are drawn with replacement from the depth within the mask.

    Args:
        hands: crops with depth, mask and intrinsics.
        points: of each hand.
        noise: where the draws come from.

    Returns:
        The points, and which hands have any; those of the other hands are zeros.
    """
    depth, mask, intrinsics = hands.require_all("depth", "mask", "intrinsics")

    # the n-th surface pixel is where the running count reaches n
    counted = ((depth > 0) & (mask > 0.5)).flatten(1).cumsum(1)
    total = counted[:, -1:]
    # an index into the surface pixels; hands differ in how many they have
    drawn = (noise.uniform(len(hands), points).to(depth.device) * total).long()
    pixel = torch.searchsorted(counted, drawn + 1).clamp_max(counted.shape[1] - 1)

    width = depth.shape[-1]
    # pixel centres lie at halves
    centre = torch.stack([pixel % width, pixel // width], 2) + 0.5
    cloud = back_project(centre, depth.flatten(1).gather(1, pixel), intrinsics)
    has_points = total[:, 0] > 0

    return cloud.masked_fill(~has_points[:, None, None], 0.0), has_points


def dots(points: Float[Tensor, "batch point 2"], size_px: int) -> Float[Tensor, "batch 3 size size"]:
    """Points in crop units as black dots on white; points outside lie on the edge."""
    pixel = to_crop_px(points, size_px).long().clamp(0, size_px - 1)
    canvas = torch.ones(len(points), size_px**2, device=points.device)
    canvas.scatter_(1, pixel[..., 1] * size_px + pixel[..., 0], 0.0)
    return canvas.view(-1, 1, size_px, size_px).expand(-1, 3, -1, -1)


def write_ply(path: Path, points: Float[np.ndarray, "point 3"], comment: str) -> None:
    """Write a cloud as a binary PLY file, which 3D programs open.

    Args:
        path: the file.
        points: any unit.
        comment: a line that says what the numbers are.
    """
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {comment}",
        f"element vertex {len(points)}",
        *(f"property float {axis}" for axis in "xyz"),
        "end_header\n",
    ]
    content = "\n".join(header).encode("ascii") + np.ascontiguousarray(points, "<f4").tobytes()
    write_atomically(path, lambda partial: partial.write_bytes(content))
