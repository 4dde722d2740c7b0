"""From whole pictures to square crops: pixels, joints, camera and side move together."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from handvae.data.augment import Augment, corrupt, photometric
from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.data.visibility import with_visibility
from handvae.errors import UserError
from handvae.geometry import (
    apply_affine,
    compose_affine,
    crop_affine,
    crop_intrinsics,
    hand3d_crop,
    joints_box,
    pixel_index_affine,
    project,
    rotation_z,
)
from handvae.hand import LEFT, RIGHT
from handvae.noise import Noise

OwnField = Literal["image", "depth", "segmentation", "mask"]
CompanionField = Literal["tag", "tag_segmentation"]
PixelField = OwnField | CompanionField
"""Fields of `Hands` that are pictures.

`tag` is the `image` of another row of the same content, cut by that row's joints; `tag_segmentation` is its
`segmentation`.
"""
_COMPANION_FIELDS: dict[CompanionField, OwnField] = {"tag": "image", "tag_segmentation": "segmentation"}
"""The field of the companion that each field holds."""


@dataclass(frozen=True)
class Crop:
    """How a hand is cut out of its picture; a model keeps it, for it reads only pictures cut this way."""

    size_px: int = 64
    """Side of the square crop in pixels."""
    margin: float = 1.35
    """Side of the crop over the larger side of the joints' bounding box."""
    sides: Literal["keep", "left", "right"] = "keep"
    """Mirror every hand to this side."""
    box: Literal["joints", "hand3d", "cube", "picture"] = "joints"
    """What the crop is cut round: the labelled joints; the visible joints (without such labels those inside
    the picture) by the rule of Zimmermann & Brox (2017), which knows no margin; a cube about the joints' mean
    in space, as depth data are cut; or the whole picture, of which every hand is wanted (`data.scenes`)."""
    cube_mm: float = 300.0
    """Side of that cube."""

    def __post_init__(self) -> None:
        if not 8 <= self.size_px <= 2048 or not 1 <= self.margin <= 10:
            raise ValueError("size_px is 8 to 2048 and margin 1 to 10")
        if not 10 <= self.cube_mm <= 2000:
            raise ValueError("cube_mm is 10 to 2000")


_BOX_LABELS = {
    "joints": ("joints_2d", "joint_valid"),
    "hand3d": ("joints_2d", "joint_valid"),
    "cube": ("joints_3d", "joint_valid", "intrinsics"),
    "picture": ("picture_size",),
}
"""Labels that each kind of box is found by."""


def check_crop(data: HandData, crop: Crop, where: str | Path) -> None:
    """Check that hands of a data set can be cut out this way.

    Raises:
        UserError: its labels lack what the crop is found by; `where` names the data set.
    """
    labels = {name for name, _ in data.labels(torch.arange(1)).items()}
    if crop.sides != "keep" and "side" not in labels:
        fault = f"does not tell left hands from right ones, and the crops are to show {crop.sides} ones"
        remedy = (
            "give their side (--data.side in training, --side in evaluate and data convert), "
            "or take crops as they are (--crop.sides keep, in training)"
        )
        raise UserError(where, fault, remedy)

    missing = [name for name in _BOX_LABELS[crop.box] if name not in labels]
    if missing:
        fault = f"has no {', '.join(missing)}, by which crops of box {crop.box!r} are found"
        remedy = "give hands that have them, or cut by another box (--crop.box, in training)"
        raise UserError(where, fault, remedy)


# ------------------------------------------------------------------------------------------- crop units


def to_crop_units(joints_px: Float[Tensor, "*batch 2"], size_px: int) -> Float[Tensor, "*batch 2"]:
    """Pixels of a crop as crop units: -1 at the left and upper edge, 1 at the right and lower edge."""
    return joints_px * (2 / size_px) - 1


def to_crop_px(joints: Float[Tensor, "*batch 2"], size_px: int) -> Float[Tensor, "*batch 2"]:
    """Inverse of `to_crop_units`."""
    return (joints + 1) * (size_px / 2)


def in_own_crop(joints: Float[Tensor, "batch joint 2"], margin: float) -> Float[Tensor, "batch joint 2"]:
    """Joints of any unit, in the crop units of the crop that is cut round their own box."""
    # the middle of the box goes to 0, its larger half side to 1 / margin
    low = joints.amin(1, keepdim=True)
    high = joints.amax(1, keepdim=True)
    half_side = (high - low).amax(2, keepdim=True) / 2
    return (joints - (low + high) / 2) / (half_side * margin)


# ------------------------------------------------------------------------------------------- where to cut


def crop_affines(
    labels: Hands, crop: Crop, augment: Augment | None, noise: Noise
) -> Float[Tensor, "batch 2 3"]:
    """The affine map from source pixels to crop pixels of each hand.

    Its box is cut out, turned, scaled, shifted and mirrored.
    """
    count = len(labels)
    centre, side_px = _box(labels, crop)
    # without augmentation a crop depends on the labels alone
    angle = torch.zeros(count)
    mirror = _mirrored(labels, crop)

    # the order of the draws is part of the result
    if augment is not None:
        angle = noise.uniform(count, low=-1, high=1) * math.radians(augment.rotation_deg)
        side_px = side_px * (1 + augment.scale * noise.uniform(count, low=-1, high=1))
        centre = centre + side_px[:, None] / 2 * augment.shift * noise.uniform(count, 2, low=-1, high=1)
        mirror = mirror ^ (noise.uniform(count) < augment.mirror)
        # drawn only where it is used: recipes without it keep their draws
        if augment.shrink:
            side_px = side_px / noise.uniform(count, low=1 - augment.shrink)
        if augment.any_turn:
            anywhere = noise.uniform(count, low=-math.pi, high=math.pi)
            angle = torch.where(noise.uniform(count) < augment.any_turn, anywhere, angle)

    affine = crop_affine(centre, side_px, crop.size_px, angle)
    if augment is not None and augment.stretch:
        affine = compose_affine(affine, _stretches(count, augment.stretch, crop.size_px, noise))

    # mirrored last, in crop pixels: u -> size - u
    flip = torch.tensor([[-1.0, 0.0, crop.size_px], [0.0, 1.0, 0.0]]).expand(count, 2, 3)
    return torch.where(mirror[:, None, None], compose_affine(affine, flip), affine)


def _box(labels: Hands, crop: Crop) -> tuple[Float[Tensor, "batch 2"], Float[Tensor, " batch"]]:
    """Centre and side, in pixels of the whole picture, of each hand's crop."""
    match crop.box:
        case "joints":
            joints, valid = labels.require_all(*_BOX_LABELS["joints"])
            return joints_box(joints, valid, margin=crop.margin)
        case "hand3d":
            # labels that do not tell, and come without their picture's size, count valid joints
            labels = with_visibility(labels, labels.picture_size)
            joints, visible = labels.require_all("joints_2d", "joint_visible")
            # a visible joint lies in the picture: there is nothing to clip
            return hand3d_crop(joints, visible, (2**31, 2**31))
        case "cube":
            joints, valid, intrinsics = labels.require_all(*_BOX_LABELS["cube"])
            centre = cube_centre(joints, valid)
            # the geometric mean of the focal lengths, also of a turned camera
            focal = torch.linalg.det(intrinsics[:, :2, :2]).abs().sqrt()
            side_px = crop.cube_mm * focal / centre[:, 2]
            return project(centre[:, None], intrinsics)[:, 0], side_px
        case "picture":
            size = labels.require("picture_size")
            return size / 2, size.amax(1) * crop.margin


def _mirrored(labels: Hands, crop: Crop) -> Bool[Tensor, " batch"]:
    """Which hands are mirrored to show the side that the crop asks for."""
    # some data sets do not give the side
    if crop.sides == "keep":
        return torch.zeros(len(labels), dtype=torch.bool)
    side = labels.require("side")
    return side != (RIGHT if crop.sides == "right" else LEFT)


def _stretches(count: int, size: float, size_px: int, noise: Noise) -> Float[Tensor, "batch 2 3"]:
    """Area-preserving stretches of crops about their centres."""
    # R diag(f, 1/f) R^T: along a random direction by f, across it by 1 / f
    turn = rotation_z(noise.uniform(count, high=math.pi))[:, :2, :2]
    factor = 1 + noise.uniform(count, high=size)
    linear = turn @ torch.diag_embed(torch.stack([factor, 1 / factor], 1)) @ turn.mT
    centre = torch.full((2, 1), size_px / 2)
    return torch.cat([linear, centre - linear @ centre], 2)


def cube_centre(
    joints_3d: Float[Tensor, "batch joint 3"], valid: Bool[Tensor, "batch joint"]
) -> Float[Tensor, "batch 3"]:
    """Mean of the labelled joints, mm, about which depth is cut and normalised."""
    weight = valid[..., None].to(joints_3d)
    return (joints_3d * weight).sum(1) / weight.sum(1).clamp_min(1)


def depth_centre(hands: Hands, in_camera_frame: bool) -> Float[Tensor, "batch 3"]:
    """The middle of a hand's cube, mm.

    The mean of the labelled joints, as depth data sets give it; without these the median of the depth.

    Args:
        hands: crops with depth.
        in_camera_frame: whether the 3D joints are in the camera's frame, so that their mean is a place.
    """
    depth = hands.require("depth")
    median = depth.masked_fill(depth <= 0, float("nan")).flatten(1).nanmedian(1).values.nan_to_num()
    # (0, 0, z): without joints only the depth of the centre is known
    on_axis = F.pad(median[:, None], (2, 0))
    if hands.joints_3d is None or not in_camera_frame:
        return on_axis

    valid = hands.joint_valid
    if valid is None:
        valid = torch.ones_like(hands.joints_3d[..., 0], dtype=torch.bool)

    return torch.where(valid.any(1, keepdim=True), cube_centre(hands.joints_3d, valid), on_axis)


def normalise_depth(
    depth: Float[Tensor, "batch 1 height width"], centre: Float[Tensor, "batch 3"], cube_mm: float
) -> Float[Tensor, "batch 1 height width"]:
    """Depth in mm as -1 at the near face of the cube to 1 at its far face; what is unknown or outside the
    cube is 1."""
    # unknown depth and what lies outside count as background: the far face
    relative = (depth - centre[:, 2, None, None, None]) / (cube_mm / 2)
    return torch.where((depth > 0) & (relative.abs() <= 1), relative, 1.0)


# ------------------------------------------------------------------------------------------- what moves


def move_labels(labels: Hands, affine: Float[Tensor, "batch 2 3"], size_px: int | None = None) -> Hands:
    """Labels after an affine map of the picture.

    In 3D the hand turns about the camera's axis and mirrors with the picture, by G, the orthogonal part of
    the map. The intrinsics take up the rest, K' = A K G^T, so that projecting the new joints with the new
    intrinsics gives the new pixels exactly.

    Args:
        labels: in pixels of the source pictures.
        affine: source pixels to crop pixels.
        size_px: side of the crop: a joint outside is no longer visible; None leaves visibility as it was.
    """
    # G = U V^T of the singular value decomposition
    linear = affine[:, :, :2]
    left, _, right = torch.linalg.svd(linear)
    turn = torch.eye(3).repeat(len(affine), 1, 1)
    turn[:, :2, :2] = left @ right
    determinant = torch.linalg.det(linear)

    changes: dict[str, Tensor] = {}

    if labels.joints_2d is not None:
        moved = apply_affine(labels.joints_2d, affine)
        changes["joints_2d"] = moved
        if labels.joint_visible is not None and size_px is not None:
            changes["joint_visible"] = labels.joint_visible & ((moved >= 0) & (moved <= size_px)).all(-1)

    if labels.joint_spread is not None:
        # the scale of the map, as the square root of its area factor
        changes["joint_spread"] = labels.joint_spread * determinant.abs().sqrt()[:, None]

    if labels.joints_3d is not None:
        changes["joints_3d"] = labels.joints_3d @ turn.mT
    if labels.cloud is not None:
        changes["cloud"] = labels.cloud @ turn.mT
    if labels.intrinsics is not None:
        # K' = A K G^T
        changes["intrinsics"] = crop_intrinsics(labels.intrinsics, affine) @ turn.mT
    if labels.side is not None:
        changes["side"] = _mirrored_side(labels.side, determinant < 0)

    if labels.instances is not None:
        changes["instances"] = apply_affine(labels.instances.flatten(1, 2), affine).view_as(labels.instances)
    if labels.instance_side is not None:
        mirrored = (determinant < 0)[:, None].expand_as(labels.instance_side)
        changes["instance_side"] = _mirrored_side(labels.instance_side, mirrored)

    return replace(labels, **changes)


def _mirrored_side(side: Int[Tensor, "*shape"], mirrored: Bool[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Sides after mirroring; one that is not known stays so."""
    known = (side == LEFT) | (side == RIGHT)
    return torch.where(mirrored & known, LEFT + RIGHT - side, side)


def warp(
    picture: UInt8[np.ndarray, "height width 3"], affine: Float[np.ndarray, "2 3"], size_px: int
) -> UInt8[np.ndarray, "size size 3"]:
    """Resample one picture through an affine map.

    Strong reductions are averaged first; the border is repeated outwards.
    """
    # crop pixels for each source pixel
    scale = math.sqrt(abs(float(np.linalg.det(affine[:, :2]))))
    matrix = affine.astype(np.float64)

    # bilinear sampling alone would skip source pixels
    shrink = max(2 * scale, 8 / min(picture.shape[:2]))

    if scale < 0.5 and shrink < 1:
        height = max(1, round(picture.shape[0] * shrink))
        width = max(1, round(picture.shape[1] * shrink))
        # of rounded sizes, so that the map stays exact
        ratios = np.array([picture.shape[1] / width, picture.shape[0] / height])
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        matrix = np.concatenate([matrix[:, :2] * ratios, matrix[:, 2:]], axis=1)

    size = (size_px, size_px)
    warped = cv2.warpAffine(
        picture, _for_opencv(matrix), size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.uint8)


def warp_nearest(
    values: Shaped[np.ndarray, "height width"], affine: Float[np.ndarray, "2 3"], size_px: int
) -> Shaped[np.ndarray, "size size"]:
    """Resample depth or labels through an affine map without mixing them; 0 beyond the border."""
    matrix = _for_opencv(affine.astype(np.float64))
    size = (size_px, size_px)
    warped = cv2.warpAffine(values, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(warped)


def _for_opencv(matrix: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "2 3"]:
    """The same map for warpAffine, which counts from the first pixel's centre."""
    return pixel_index_affine(torch.from_numpy(matrix)).numpy()


# ------------------------------------------------------------------------------------------- a batch


def cut(
    data: HandData,
    rows: Int[Tensor, " rows"],
    crop: Crop,
    augment: Augment | None = None,
    noise: Noise | None = None,
    fields: tuple[PixelField, ...] = ("image",),
) -> Hands:
    """Read, crop and augment a batch.

    Args:
        data: the data set.
        rows: which hands.
        crop: how they are cut out.
        augment: random changes, None for none.
        noise: where the changes come from.
        fields: which pictures to read and cut; the others stay None and are not read.

    Raises:
        ValueError: the data set does not offer one of the fields.
    """
    noise = noise or Noise(0)
    labels = data.labels(rows)
    affine = crop_affines(labels, crop, augment, noise)
    pairs = list(zip(rows.tolist(), affine.numpy(), strict=True))
    pictures: dict[str, Tensor] = {}

    for field in fields:
        if field == "image":
            pictures["image"] = _cut_images(data, pairs, crop.size_px, augment, noise)
        elif field not in ("tag", "tag_segmentation"):
            pictures[field] = _cut_plane(data, field, pairs, crop.size_px)

    if augment is not None and "image" in pictures:
        pictures["image"] = photometric(pictures["image"], augment, noise)

    # pictures of another row of the same content, in that row's own crop
    companion_fields: dict[CompanionField, OwnField] = {
        field: own for field, own in _COMPANION_FIELDS.items() if field in fields
    }
    if companion_fields:
        others = data.companions(rows, noise.uniform(len(rows)))
        companions = cut(data, others, crop, augment, noise, tuple(companion_fields.values()))
        for field, own in companion_fields.items():
            pictures[field] = companions.require(own)

    return replace(move_labels(labels, affine, crop.size_px), **pictures)


def _cut_images(
    data: HandData,
    pairs: list[tuple[int, np.ndarray]],
    size_px: int,
    augment: Augment | None,
    noise: Noise,
) -> Float[Tensor, "batch 3 size size"]:
    """Pictures, cropped; hidden, blurred and compressed as `augment` asks for."""
    pixels = np.stack([warp(data.picture(row), matrix, size_px) for row, matrix in pairs])
    if augment is not None:
        pixels = corrupt(pixels, augment, noise)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)


def _cut_plane(
    data: HandData,
    field: Literal["depth", "segmentation", "mask"],
    pairs: list[tuple[int, np.ndarray]],
    size_px: int,
) -> Tensor:
    """One kind of picture of one channel, cropped, as the field of `Hands` has it."""
    match field:
        case "depth":
            return _nearest(data.depth, pairs, size_px)
        case "segmentation":
            return _nearest(data.segmentation, pairs, size_px).long()
        case "mask":
            return _nearest(data.mask, pairs, size_px).float()


def _nearest(read: Callable[[int], np.ndarray], pairs: list[tuple[int, np.ndarray]], size_px: int) -> Tensor:
    crops = [warp_nearest(read(row), matrix, size_px) for row, matrix in pairs]
    return torch.from_numpy(np.stack(crops))[:, None]
