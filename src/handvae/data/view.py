"""From whole pictures to square crops: pixels, joints, camera and side move together."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from handvae.data.augment import Augment, photometric
from handvae.data.hands import DataSpec, Hands
from handvae.geometry import apply_affine, compose_affine, crop_affine, joints_box, rotation_z
from handvae.hand import LEFT, RIGHT
from handvae.noise import Noise


@runtime_checkable
class HandData(Protocol):
    """What a reader offers."""

    spec: DataSpec

    def __len__(self) -> int: ...

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows, in pixels of the whole pictures."""
        ...

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        ...


@dataclass(frozen=True)
class Crop:
    """How a hand is cut out of its picture; a model keeps it, because it reads only pictures cut this way."""

    size_px: int = 64
    """Side of the square crop in pixels."""
    margin: float = 1.35
    """Side of the crop over the larger side of the joints' bounding box."""
    sides: Literal["keep", "left", "right"] = "keep"
    """Mirror every hand to this side."""

    def __post_init__(self) -> None:
        if not 8 <= self.size_px <= 2048 or not 1 <= self.margin <= 10:
            raise ValueError("size_px is 8 to 2048 and margin 1 to 10")


def to_crop_units(joints_px: Float[Tensor, "*batch 2"], size_px: int) -> Float[Tensor, "*batch 2"]:
    """Pixels of a crop as crop units: -1 at the left and upper edge, 1 at the right and lower edge."""
    return joints_px * (2 / size_px) - 1


def to_crop_px(joints: Float[Tensor, "*batch 2"], size_px: int) -> Float[Tensor, "*batch 2"]:
    """Inverse of `to_crop_units`."""
    return (joints + 1) * (size_px / 2)


def in_own_crop(joints: Float[Tensor, "batch joint 2"], margin: float) -> Float[Tensor, "batch joint 2"]:
    """Joints of any unit and place, in the crop units of the crop that is cut round their own box."""
    low, high = joints.amin(1, keepdim=True), joints.amax(1, keepdim=True)
    half_side = (high - low).amax(2, keepdim=True) / 2
    return (joints - (low + high) / 2) / (half_side * margin)


def place(labels: Hands, crop: Crop, augment: Augment | None, noise: Noise) -> Float[Tensor, "batch 2 3"]:
    """The affine map, source pixels to crop pixels, of each hand: its joints' box, turned, scaled, shifted and mirrored."""
    joints, valid, side = labels.need("joints_2d", "joint_valid", "side")
    centre, side_px = joints_box(joints, valid, margin=crop.margin)
    angle = torch.zeros(len(labels))
    mirror = _mirrored(side, crop)
    if augment is not None:
        count = len(labels)
        angle = noise.uniform(count, low=-1, high=1) * math.radians(augment.rotation_deg)
        side_px = side_px * (1 + augment.scale * noise.uniform(count, low=-1, high=1))
        centre = centre + side_px[:, None] / 2 * augment.shift * noise.uniform(count, 2, low=-1, high=1)
        mirror = mirror ^ (noise.uniform(count) < augment.mirror)
    affine = crop_affine(centre, side_px, crop.size_px, angle)
    if augment is not None and augment.stretch:
        affine = compose_affine(affine, _stretches(len(labels), augment.stretch, crop.size_px, noise))
    flip = torch.tensor([[-1.0, 0.0, crop.size_px], [0.0, 1.0, 0.0]]).expand(len(labels), 2, 3)
    return torch.where(mirror[:, None, None], compose_affine(affine, flip), affine)


def _stretches(count: int, size: float, size_px: int, noise: Noise) -> Float[Tensor, "batch 2 3"]:
    """Area-preserving stretches of crops about their centres."""
    turn = rotation_z(noise.uniform(count, high=math.pi))[:, :2, :2]
    factor = 1 + noise.uniform(count, high=size)
    linear = turn @ torch.diag_embed(torch.stack([factor, 1 / factor], 1)) @ turn.mT
    centre = torch.full((2, 1), size_px / 2)
    return torch.cat([linear, centre - linear @ centre], 2)


def _mirrored(side: Int[Tensor, " batch"], crop: Crop) -> Bool[Tensor, " batch"]:
    if crop.sides == "keep":
        return torch.zeros_like(side, dtype=torch.bool)
    return side != (RIGHT if crop.sides == "right" else LEFT)


def move_labels(labels: Hands, affine: Float[Tensor, "batch 2 3"]) -> Hands:
    """Labels after an affine map of the picture.

    In 3D the hand turns about the camera's axis and mirrors with the picture (by G, the orthogonal part of the map); the intrinsics take up
    the rest, so that projecting the new joints with the new intrinsics gives the new pixels exactly: K' = A K Gᵀ.
    """
    linear = affine[:, :, :2]
    left, _, right = torch.linalg.svd(linear)
    turn = torch.eye(3).repeat(len(affine), 1, 1)
    turn[:, :2, :2] = left @ right
    mirrored = torch.linalg.det(linear) < 0
    changes: dict[str, Tensor] = {}
    if labels.joints_2d is not None:
        changes["joints_2d"] = apply_affine(labels.joints_2d, affine)
    if labels.joints_3d is not None:
        changes["joints_3d"] = labels.joints_3d @ turn.transpose(1, 2)
    if labels.intrinsics is not None:
        bottom = torch.tensor([[0.0, 0.0, 1.0]]).expand(len(affine), 1, 3)
        changes["intrinsics"] = torch.cat([affine, bottom], 1) @ labels.intrinsics @ turn.transpose(1, 2)
    if labels.side is not None:
        changes["side"] = torch.where(mirrored, LEFT + RIGHT - labels.side, labels.side)
    return Hands(**(dict(labels.items()) | changes))


def warp(picture: UInt8[np.ndarray, "height width 3"], affine: Float[np.ndarray, "2 3"], size_px: int) -> UInt8[np.ndarray, "size size 3"]:
    """Resample one picture through an affine map; strong reductions are averaged first, the border is repeated outwards."""
    scale = math.sqrt(abs(float(np.linalg.det(affine[:, :2]))))
    matrix = affine.astype(np.float64)
    if scale < 0.5:  # bilinear sampling alone would skip source pixels
        shrink = max(2 * scale, 8 / min(picture.shape[:2]))
        if shrink < 1:
            height, width = (max(1, round(side * shrink)) for side in picture.shape[:2])
            ratios = np.array([picture.shape[1] / width, picture.shape[0] / height])
            picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
            matrix = np.concatenate([matrix[:, :2] * ratios, matrix[:, 2:]], axis=1)
    shift = matrix[:, :2].sum(1) * 0.5 - 0.5  # as geometry.pixel_index_affine: OpenCV counts from pixel centres
    indexed = np.concatenate([matrix[:, :2], (matrix[:, 2] + shift)[:, None]], axis=1)
    warped = cv2.warpAffine(picture, indexed, (size_px, size_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def cut(data: HandData, rows: Int[Tensor, " rows"], crop: Crop, augment: Augment | None = None, noise: Noise | None = None) -> Hands:
    """Read, crop and augment a batch."""
    noise = noise or Noise(0)
    labels = data.labels(rows)
    affine = place(labels, crop, augment, noise)
    pixels = np.stack([warp(data.picture(row), matrix, crop.size_px) for row, matrix in zip(rows.tolist(), affine.numpy(), strict=True)])
    image = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
    if augment is not None:
        image = photometric(image, augment, noise)
    return Hands(**(dict(move_labels(labels, affine).items()) | {"image": image}))
