"""Rotations, pinhole cameras, crops, the canonical frame, view normalisation, mirrors, Procrustes, plain
orthographic views.

Camera frame: x right, y down, z forward, in mm. Pictures: pixel (0, 0) covers [0, 1) x [0, 1), so its centre
is at (0.5, 0.5) and a picture W pixels wide spans 0..W. Pictures, points and intrinsics share this
convention. Matrices act on column vectors. Functions take any leading batch dimensions and keep dtype and
device.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from handvae.hand import RIGHT, axis_rotation, root, scale_bone

# -------------------------------------------------------------------------------------------------- rotations


def rotation_x(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about x by `angle` radians; takes y towards z."""
    return axis_rotation("x", angle)


def rotation_y(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about y by `angle` radians; takes z towards x."""
    return axis_rotation("y", angle)


def rotation_z(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about z by `angle` radians; takes x towards y."""
    return axis_rotation("z", angle)


def random_rotation(
    count: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "{count} 3 3"]:
    """Draw rotations uniformly from SO(3), on the generator's device: matrices of normal quaternions brought
    to unit length."""
    # normal numbers have no preferred direction, so unit quaternions are uniform on the sphere
    quaternion = torch.randn(count, 4, generator=generator, dtype=torch.float64, device=generator.device)
    w, x, y, z = (quaternion / quaternion.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3)).to(dtype)


def nearest_rotation(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation, determinant +1, that is nearest to a matrix in the Frobenius norm, by its singular
    vectors."""
    left, _, right = torch.linalg.svd(matrix)
    sign = torch.det(left @ right).sign()
    # The axis of the smallest singular value is the cheapest one to reverse.
    return torch.cat([left[..., :2], left[..., 2:] * sign[..., None, None]], -1) @ right


# ---------------------------------------------------------------------------------------------------- cameras


def project(
    points: Float[Tensor, "*batch joint 3"], intrinsics: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch joint 2"]:
    """Pixels of points in the camera frame, any unit; a point with z <= 0 is behind the camera and its pixel
    means nothing."""
    rays = points @ intrinsics.mT
    return rays[..., :2] / rays[..., 2:]


def back_project(
    pixels: Float[Tensor, "*batch joint 2"],
    depth: Float[Tensor, "*batch joint"],
    intrinsics: Float[Tensor, "*#batch 3 3"],
) -> Float[Tensor, "*batch joint 3"]:
    """Points in the camera frame, in the unit of `depth`, that lie at depth z under the given pixels: the
    inverse of `project`."""
    # X = z K^-1 (u, v, 1)
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)
    return homogeneous @ torch.linalg.inv(intrinsics).mT * depth[..., None]


# ------------------------------------------------------------------------------------------------------ crops

Affine = Float[Tensor, "*#batch 2 3"]
"""Maps source pixels to crop pixels: A = [M | t] takes p to M p + t.

Pixel centres are at halves on both sides. A warp that counts from the centre of the first pixel, as OpenCV's
does, takes `pixel_index_affine` of it.
"""


def crop_affine(
    centre: Float[Tensor, "*batch 2"],
    side_px: Float[Tensor, "*batch"],
    size_px: int,
    rotation_rad: Float[Tensor, "*#batch"] | int | float = 0.0,
) -> Affine:
    """Affine that maps a square of the source picture onto a crop of `size_px` x `size_px` pixels.

    Args:
        centre: of the square, source px.
        side_px: of the square, source px, above zero.
        size_px: side of the crop.
        rotation_rad: turns the square about its centre from x (right) towards y (down), so the content
            turns the other way in the crop.
    """
    angle = torch.as_tensor(rotation_rad, dtype=centre.dtype, device=centre.device).expand(side_px.shape)
    # M = (size / side) R(-angle); t puts the square's centre at the crop's centre
    linear = rotation_z(-angle)[..., :2, :2] * (size_px / side_px)[..., None, None]
    shift = size_px / 2 - linear @ centre[..., None]
    return torch.cat([linear, shift], -1)


def apply_affine(points: Float[Tensor, "*batch point 2"], affine: Affine) -> Float[Tensor, "*batch point 2"]:
    """Move pixel coordinates by an affine."""
    return points @ affine[..., :2].mT + affine[..., None, :, 2]


def _square(affine: Affine) -> Float[Tensor, "*batch 3 3"]:
    last = affine.new_tensor([[0, 0, 1]]).expand(*affine.shape[:-2], 1, 3)
    return torch.cat([affine, last], -2)


def invert_affine(affine: Affine) -> Affine:
    """The affine that undoes `affine`, which must not be singular."""
    # p = M^-1 (q - t)
    linear = torch.linalg.inv(affine[..., :2])
    return torch.cat([linear, -linear @ affine[..., 2:]], -1)


def compose_affine(first: Affine, second: Affine) -> Affine:
    """One affine that does `first`, then `second`."""
    return second @ _square(first)


def pixel_index_affine(affine: Affine) -> Affine:
    """The same map for warps whose first pixel has its centre at (0, 0), as OpenCV's warpAffine."""
    # p' = p - 1/2 on both sides: t' = M (1/2, 1/2) + t - 1/2
    shift = affine[..., :2].sum(-1) * 0.5 - 0.5
    return torch.cat([affine[..., :2], (affine[..., 2] + shift)[..., None]], -1)


def crop_intrinsics(intrinsics: Float[Tensor, "*batch 3 3"], affine: Affine) -> Float[Tensor, "*batch 3 3"]:
    """Intrinsics of the cropped picture.

    `project` with them equals `apply_affine` after `project` with the old ones. A rotated crop leaves a full
    upper 2 x 2 block, so read no focal length off its diagonal.
    """
    return _square(affine) @ intrinsics


def joints_box(
    joints_2d: Float[Tensor, "*batch joint 2"],
    valid: Bool[Tensor, "*batch joint"] | None = None,
    margin: int | float = 1.0,
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Centre and side in px of the square round the valid joints' bounding box.

    Its side is the box's larger side times `margin`. A hand without a valid joint gives centre 0 and side 0.
    """
    if valid is None:
        valid = torch.ones_like(joints_2d[..., 0], dtype=torch.bool)
    low, high = _bounds(joints_2d, valid)
    # without a valid joint the bounds are infinite and their mean NaN
    has_valid = valid.any(-1)
    centre = torch.where(has_valid[..., None], (low + high) / 2, 0.0)
    return centre, torch.where(has_valid, (high - low).amax(-1) * margin, 0.0)


def _bounds(joints_2d: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest coordinates of the valid joints; +inf and -inf where there is none."""
    low = torch.where(valid[..., None], joints_2d, math.inf).amin(-2)
    return low, torch.where(valid[..., None], joints_2d, -math.inf).amax(-2)


HAND3D_PX = 256
"""Side of the crops of Zimmermann & Brox (2017)."""


def hand3d_crop(
    joints_2d: Float[Tensor, "*batch 21 2"],
    visible: Bool[Tensor, "*batch 21"],
    image_size: tuple[int, int],
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Centre and side in source px of the square crop of Zimmermann & Brox (2017), for `crop_affine`.

    The centre is joint 9, the middle MCP. The side is twice the largest distance along an axis from there to
    the box of the visible joints, clipped to the picture, and is clamped to 50..500 px. The zoom to their
    256 px, 256 / side, is then clamped to 1..10, so that a crop takes at most 256 source pixels. That is so
    for crops of any size: a smaller one shows as much of the hand. A hand without a visible joint gets
    200 px, as their code has it.

    Args:
        joints_2d: px, internal order.
        visible: which joints count.
        image_size: width and height of the source picture, px.
    """
    centre = joints_2d[..., 9, :]
    low, high = _bounds(joints_2d, visible)
    # their code clips the box to the picture before it measures the reach
    low, high = low.clamp_min(0), torch.minimum(high, high.new_tensor(image_size))
    reach = torch.maximum(high - centre, centre - low).amax(-1)
    side = torch.where(visible.any(-1), (2 * reach).clamp(50, 500), 200.0)
    return centre, HAND3D_PX / (HAND3D_PX / side).clamp(1, 10)


# ---------------------------------------------------------------------------------- canonical frame and views

_DEGENERATE = 1e-4  # relative; below it float32 joints half a metre from the camera are noise


@dataclass(frozen=True)
class CanonicalPose:
    """A hand without its viewpoint, place, size and side, and what brings those back."""

    pose: Float[Tensor, "*batch 21 3"]
    """Joints in the canonical frame, bone units, as a left hand: joint 9 on -y, joint 17 at z = 0 with x >
    0."""
    viewpoint: Float[Tensor, "*batch 3 3"]
    """Rotation from the canonical frame to the camera frame."""
    root: Float[Tensor, "*batch 3"]
    """The root in the camera frame, in the joints' unit."""
    scale: Float[Tensor, "*batch"]
    """Length of the scale bone, in the joints' unit."""
    valid: Bool[Tensor, "*batch"]
    """False where the hand fixes no frame or no scale."""


def canonical_pose(
    joints_3d: Float[Tensor, "*batch 21 3"],
    side: Integer[Tensor, "*batch"],
    root_kind: Literal["palm", "wrist"] = "palm",
) -> CanonicalPose:
    """Split a 3D hand into canonical pose, viewpoint, root and scale (Zimmermann & Brox, 2017).

    With P the root-relative joints in bone units: y' = -P9 / |P9|, x' is the part of P17 orthogonal to y',
    brought to unit length, z' = x' x y'. The pose is (x' y' z') P, the viewpoint the transpose of that
    matrix. Right hands then have their canonical z negated, so that both sides share one frame.

    A hand whose scale bone has no length gets scale 1; one whose joints 9 and 17 lie on a line with the root
    gets the identity as its viewpoint. Both are marked by `valid`, hold no NaN and still come back through
    `from_canonical`.

    Args:
        joints_3d: any unit, internal order.
        side: `LEFT` or `RIGHT`.
        root_kind: "palm" where joint 0 is the wrist, "wrist" where the root is joint 0 itself.
    """
    origin, bone = root(joints_3d, root_kind), scale_bone(joints_3d)
    relative = joints_3d - origin[..., None, :]
    extent = relative.norm(dim=-1).amax(-1)
    has_scale = bone > _DEGENERATE * extent
    # 1 in place of no length: the inverse stays exact and no NaN reaches a gradient
    scale = torch.where(has_scale, bone, 1.0)

    middle, pinky = relative[..., 9, :], relative[..., 17, :]
    has_y = middle.norm(dim=-1) > _DEGENERATE * extent
    y = -_unit(middle, has_y)
    # Gram-Schmidt: the part of P17 orthogonal to y'
    across = pinky - (pinky * y).sum(-1, keepdim=True) * y
    has_frame = has_y & (across.norm(dim=-1) > _DEGENERATE * extent)
    x = _unit(across, has_frame)
    axes = torch.stack([x, y, torch.linalg.cross(x, y)], -2)
    axes = torch.where(has_frame[..., None, None], axes, torch.eye(3, dtype=axes.dtype, device=axes.device))

    pose = relative @ axes.mT / scale[..., None, None]

    return CanonicalPose(_flip_z(pose, side), axes.mT, origin, scale, has_scale & has_frame)


def from_canonical(canonical: CanonicalPose, side: Integer[Tensor, "*batch"]) -> Float[Tensor, "*batch 21 3"]:
    """Joints in the camera frame, viewpoint pose scale + root: the inverse of `canonical_pose`."""
    pose = _flip_z(canonical.pose, side)
    return pose @ canonical.viewpoint.mT * canonical.scale[..., None, None] + canonical.root[..., None, :]


def _unit(vector: Tensor, usable: Tensor) -> Tensor:
    """Unit vectors where `usable`, else any finite vector; gradients are finite too."""
    # replaced before the division: a NaN that `where` drops afterwards would still reach the gradient
    safe = torch.where(usable[..., None], vector, 1.0)
    return safe / safe.norm(dim=-1, keepdim=True)


def _flip_z(pose: Tensor, side: Tensor) -> Tensor:
    sign = torch.where(side == RIGHT, -1.0, 1.0).to(pose)
    return torch.cat([pose[..., :2], pose[..., 2:] * sign[..., None, None]], -1)


def view_normalise(
    joints: Float[Tensor, "*batch joint 3"], centre: Float[Tensor, "*batch 3"]
) -> tuple[Float[Tensor, "*batch joint 3"], Float[Tensor, "*batch 3 3"]]:
    """Turn the camera about its own centre until the hand's centre c lies on its axis.

    theta = atan2(c_x, c_z), phi = atan2(c_y, sqrt(c_x^2 + c_z^2)), R = Rx(phi) Ry(-theta), so that
    R c = (0, 0, |c|). Returns the turned points and R. Distances between points, hence errors, stay what they
    were. Also for point clouds.
    """
    x, y, z = centre.unbind(-1)
    theta, phi = torch.atan2(x, z), torch.atan2(y, torch.hypot(x, z))
    rotation = rotation_x(phi) @ rotation_y(-theta)
    return joints @ rotation.mT, rotation


def undo_view_normalise(
    joints: Float[Tensor, "*batch joint 3"], rotation: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch joint 3"]:
    """Points in the true camera's frame again: the inverse of `view_normalise`."""
    # points are rows: R^-1 = R^T of a column is R for a row
    return joints @ rotation


def turn_picture(
    image: Float[Tensor, "batch channel size size"],
    rotation: Float[Tensor, "batch 3 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
) -> Float[Tensor, "batch channel size size"]:
    """Pictures as the camera sees them after it was turned about its own centre.

    A place x of the turned picture shows K R^T K'^-1 x of the original. K' has the middle of the picture as
    its principal point, and a focal length that keeps the size of what is there. Beyond the original its edge
    is repeated.

    Args:
        image: square pictures.
        rotation: R of `view_normalise`.
        intrinsics: K of the pictures given.
    """
    size = image.shape[-1]
    # of the new axis: where it meets the original picture, times its depth
    ray = (intrinsics @ rotation.mT)[:, :, 2]
    # off its axis the original magnifies by 1 / (the new axis's depth), and so does K'
    turned = intrinsics / ray[:, 2, None, None].clamp_min(1e-3)
    turned = torch.cat(
        [torch.cat([turned[:, :2, :2], turned.new_full((len(image), 2, 1), size / 2)], 2), intrinsics[:, 2:]],
        1,
    )
    centres = torch.arange(size, device=image.device, dtype=intrinsics.dtype) + 0.5
    places = torch.stack(
        [*torch.meshgrid(centres, centres, indexing="xy"), torch.ones_like(centres).expand(size, size)], -1
    )
    # H = K R^T K'^-1
    homography = intrinsics @ rotation.mT @ torch.linalg.inv(turned)
    source = places.flatten(0, 1) @ homography.mT
    # pixels to the -1..1 of grid_sample
    grid = source[..., :2] / source[..., 2:].clamp_min(1e-6) * (2 / size) - 1

    return F.grid_sample(
        image, grid.unflatten(1, (size, size)).to(image.dtype), padding_mode="border", align_corners=False
    )


# ---------------------------------------------------------------------------------------------------- mirrors


def mirror_2d(
    joints: Float[Tensor, "*batch joint 2"], width_px: int | float
) -> Float[Tensor, "*batch joint 2"]:
    """Pixels after the picture, `width_px` wide, was flipped left to right: u -> width - u."""
    return torch.stack([width_px - joints[..., 0], joints[..., 1]], -1)


def mirror_3d(joints: Float[Tensor, "*batch joint 3"]) -> Float[Tensor, "*batch joint 3"]:
    """Camera-frame points after a flip left to right: X -> -X; the hand changes sides."""
    return joints * joints.new_tensor([-1, 1, 1])


def mirror_intrinsics(
    intrinsics: Float[Tensor, "*batch 3 3"], width_px: int | float
) -> Float[Tensor, "*batch 3 3"]:
    """Intrinsics that project `mirror_3d` points to `mirror_2d` pixels.

    c_x -> width - c_x, and skew or a crop's rotation turn round.
    """
    # K' = F K diag(-1, 1, 1), with F the flip of the pixels
    flip = intrinsics.new_tensor([[-1, 0, width_px], [0, 1, 0], [0, 0, 1]])
    return flip @ intrinsics * intrinsics.new_tensor([-1, 1, 1])


# ---------------------------------------------------------------------------------------- alignment and views


def procrustes_align(
    prediction: Float[Tensor, "*batch joint 3"], target: Float[Tensor, "*batch joint 3"], scale: bool = True
) -> Float[Tensor, "*batch joint 3"]:
    """Each prediction moved onto its target by the least-squares similarity of Umeyama (1991).

    It has a rotation with determinant +1, a shift and, if `scale`, a scale. A prediction whose points all
    coincide can only be shifted.
    """
    mean, target_mean = prediction.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
    source, goal = prediction - mean, target - target_mean
    # the rotation nearest to the covariance of target and prediction
    rotation = nearest_rotation(goal.mT @ source)
    turned = source @ rotation.mT

    if scale:
        spread = source.square().sum((-2, -1), keepdim=True)
        # s = <R p, g> / |p|^2
        ratio = (turned * goal).sum((-2, -1), keepdim=True) / torch.where(spread > 0, spread, 1.0)
        turned = turned * ratio

    return turned + target_mean


PALM_TO_CAMERA = torch.tensor([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], dtype=torch.float64)
"""Hand frame to camera frame of the palm view: fingers up, palm to the camera, the thumb of a right hand to
the right."""

_QUARTER = torch.tensor(math.pi / 2, dtype=torch.float64)
VIEWS: dict[str, Float[Tensor, "3 3"]] = {
    "palm":       torch.eye(3, dtype=torch.float64),
    "back":       rotation_y(2 * _QUARTER),
    "side_thumb": rotation_y(_QUARTER),
    "side_pinky": rotation_y(-_QUARTER),
}  # fmt: skip
"""Views for `orthographic_view`, named by what faces the camera; fingers point up in all of them."""


@dataclass(frozen=True)
class OrthographicView:
    """A hand in the hand frame as seen by a camera without perspective."""

    joints_2d: Float[Tensor, "*batch 21 2"]
    """Crop coordinates: x right and y down, -1..1 across the crop."""
    joints_mm: Float[Tensor, "*batch 21 3"]
    """The same joints turned into the camera frame, mm, the wrist still where it was."""


def orthographic_view(
    joints_mm: Float[Tensor, "*batch 21 3"], view: Float[Tensor, "*#batch 3 3"], margin: int | float = 1.2
) -> OrthographicView:
    """See a hand of the hand frame from a view, its bounding box in the middle of the crop.

    Args:
        joints_mm: right hand in the hand frame, as forward kinematics gives it.
        view: rotation of the camera frame after `PALM_TO_CAMERA`: the identity is the palm view; see `VIEWS`.
        margin: the larger half side of the bounding box is 1 / margin in crop coordinates.
    """
    rotation = view.to(joints_mm) @ PALM_TO_CAMERA.to(joints_mm)
    turned = joints_mm @ rotation.mT
    low, high = turned[..., :2].amin(-2, keepdim=True), turned[..., :2].amax(-2, keepdim=True)
    # the larger side alone: a square keeps the hand's proportions
    half_side = (high - low).amax(-1, keepdim=True) / 2
    return OrthographicView((turned[..., :2] - (low + high) / 2) / (half_side * margin), turned)
