"""New poses near those of a data set: turned, bent or stretched a little, or between near neighbours.

Where 3D joints are known, the fingers bend within `hand.ANGLE_LIMITS`: the rotation that a change of joint
angles gives the bones of the kinematic hand is applied to the labelled bones. So their lengths stay, and so
does all in which the hand differs from the model. The 2D joints follow the 3D joints.

Where only 2D joints are known, the whole hand turns and stretches in the picture plane, or mixes with a hand
whose joints lie much the same.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from handvae.data.check import FLAT_LIMIT, flat_bone_limits
from handvae.data.crop import in_own_crop
from handvae.data.hands import Hands
from handvae.geometry import (
    joints_box,
    mirror_3d,
    nearest_rotation,
    project,
    rotation_x,
    rotation_y,
    rotation_z,
)
from handvae.hand import (
    ANGLE_LIMITS,
    LEFT,
    REST_FRAMES,
    THUMB_PRONATION,
    HandShape,
    axis_rotation,
    bone_lengths,
    forward_kinematics,
)
from handvae.noise import Noise

TURN_DEG = 15.0
"""A perturbed hand turns in the picture by at most this."""
STRETCH = 0.08
"""Without 3D joints it also stretches in one direction by at most this share."""
TILT_DEG = 8.0
"""With 3D joints it also tilts out of the picture plane by at most this about each axis."""
BEND_DEG = (6.0, 2.5, 7.0, 4.0)
"""Standard deviations of the changes of a finger's four angles; changes stay within two of them."""

MIXED = (0.25, 0.75)
"""Range of the neighbour's share in an interpolated pose."""
NEIGHBOURS = 8
"""Nearest hands to choose from."""
SEARCHED = 20_000
"""Hands that are searched for neighbours, at most."""
SHORTEST = 0.9
"""In 2D, the least length of a mixed bone over the mix of both lengths: a shorter one points in different
directions on the two hands."""

_PALM = [0, 5, 9, 13, 17]


def movable_labels(labels: Hands, in_camera: bool) -> Hands:
    """The labels that stay true when hands move: joints, side and, where joints are in its frame, the camera.

    Args:
        labels: with `joints_2d` and `side`.
        in_camera: whether `joints_3d` are in the camera frame.
    """
    joints, side = labels.require_all("joints_2d", "side")
    has_camera = in_camera and labels.joints_3d is not None
    return Hands(
        joints_2d=joints,
        joints_3d=labels.joints_3d,
        joint_valid=torch.ones(joints.shape[:2], dtype=torch.bool),
        intrinsics=labels.intrinsics if has_camera else None,
        side=side,
    )


# -------------------------------------------------------------------------------------------------- perturbed


def perturbed(hands: Hands, noise: Noise) -> Hands:
    """Change every hand a little, within the constants above.

    Args:
        hands: from `movable_labels`.
        noise: draws the changes.
    """
    count = len(hands)
    turn = noise.uniform(count, low=-1, high=1) * math.radians(TURN_DEG)
    if hands.joints_3d is None:
        stretch = 1 + STRETCH * noise.uniform(count)
        direction = noise.uniform(count, high=math.pi)
        return _moved_flat(hands, turn, stretch, direction)

    # bend within the limits; an angle already beyond its limit moves no farther out
    old = joint_angles(_as_right(hands))
    change = noise.normal(count, 5, 4).clamp(-2, 2) * torch.tensor(BEND_DEG).deg2rad()
    low, high = (limit.to(old) for limit in ANGLE_LIMITS)
    new = torch.minimum(old + change, torch.maximum(high, old))
    new = torch.maximum(new, torch.minimum(low, old))

    tilt = noise.uniform(count, 2, low=-1, high=1) * math.radians(TILT_DEG)
    rotation = rotation_z(turn) @ rotation_x(tilt[:, 0]) @ rotation_y(tilt[:, 1])

    return _moved_solid(hands, old, new, rotation)


def _moved_flat(
    hands: Hands,
    turn: Float[Tensor, " hand"],
    stretch: Float[Tensor, " hand"],
    direction: Float[Tensor, " hand"],
) -> Hands:
    """Turn 2D joints, then stretch them along a direction of the picture and shorten them across it."""
    axes = rotation_z(direction)[:, :2, :2]
    scales = torch.diag_embed(torch.stack([stretch, 1 / stretch], 1))
    linear = axes @ scales @ axes.mT @ rotation_z(turn)[:, :2, :2]

    joints = hands.require("joints_2d")
    centre = joints.mean(1, keepdim=True)
    return _with_joints(hands, joints_2d=centre + (joints - centre) @ linear.mT)


def _with_joints(hands: Hands, **joints: Tensor) -> Hands:
    """The same hands with other joints."""
    return Hands(**(dict(hands.items()) | joints))


# ----------------------------------------------------------------------------------------------- interpolated


@dataclass(frozen=True)
class Mixed:
    """Hands between two hands each."""

    hands: Hands
    other: Int[Tensor, " hand"]
    """Which hand of the neighbourhood each was mixed with; -1 where none fitted: the pose is unchanged."""
    share: Float[Tensor, " hand"]
    """Of that other hand; 0 where there is none."""


class Neighbourhood:
    """Hands to mix others with, found by pose: joint angles where 3D joints are known, else 2D joints.

    Args:
        hands: from `movable_labels`; of more than `SEARCHED`, that many are drawn.
        noise: draws them.
    """

    def __init__(self, hands: Hands, noise: Noise) -> None:
        order = torch.randperm(len(hands), generator=noise.generator)[:SEARCHED]
        self.rows = order.sort().values
        self._poses = _pose_of(hands[self.rows])
        self._tree = KDTree(self._poses.flatten(1).numpy())

    def mixed(self, hands: Hands, noise: Noise) -> Mixed:
        """Mix each hand with a random one of its nearest, in a share drawn from `MIXED`.

        `Mixed.other` counts the hands that the neighbourhood was made of.
        """
        count = len(hands)
        own = _pose_of(hands)

        # one more than NEIGHBOURS: the hand itself is usually among them
        most = min(NEIGHBOURS + 1, len(self.rows))
        _, nearest = self._tree.query(own.flatten(1).numpy(), k=most)
        near = torch.from_numpy(nearest).view(count, most)
        theirs = self._poses[near]

        # which neighbours fit: other poses, and in 2D bones that keep their lengths
        share = noise.uniform(count, low=MIXED[0], high=MIXED[1])
        fits = (theirs - own[:, None]).flatten(2).norm(dim=2) > 1e-6
        if hands.joints_3d is None:
            fits &= believable_mix(own[:, None], theirs, share[:, None])

        # a random one of those that fit
        chosen = noise.uniform(count, most).masked_fill(~fits, -1.0).argmax(1)
        any_fits = fits.any(1)
        share = share * any_fits
        every = torch.arange(count)
        blend = own + share[:, None, None] * (theirs[every, chosen] - own)

        if hands.joints_3d is None:
            moved = _in_place(hands, blend)
        else:
            moved = _moved_solid(hands, own, blend, torch.eye(3).expand(count, 3, 3))

        other = self.rows[near[every, chosen]].masked_fill(~any_fits, -1)
        return Mixed(moved, other, share)


def believable_mix(
    own: Float[Tensor, "hand #near 21 2"],
    other: Float[Tensor, "hand near 21 2"],
    share: Float[Tensor, "hand #near"],
) -> Bool[Tensor, "hand near"]:
    """Whether the straight mix of 2D hands keeps its bones.

    None may be much shorter than the mix of both lengths, and none longer than on any hand.
    """
    blend = own + share[..., None, None] * (other - own)
    lengths = bone_lengths(blend)
    own_lengths = bone_lengths(own)
    expected = own_lengths + share[..., None] * (bone_lengths(other) - own_lengths)

    # a bone that points at the camera is short, and its direction means nothing
    extent = (blend.amax(-2) - blend.amin(-2)).amax(-1)[..., None]
    too_short = (lengths < SHORTEST * expected) & (expected > 0.05 * extent)
    too_long = lengths > FLAT_LIMIT * flat_bone_limits() * extent

    return ~(too_short | too_long).any(-1)


def _pose_of(hands: Hands) -> Float[Tensor, "hand some axis"]:
    """What poses are compared and mixed in: joint angles, or joints of right hands in their own crops."""
    if hands.joints_3d is not None:
        return joint_angles(_as_right(hands))
    return in_own_crop(_flipped_left(hands, hands.require("joints_2d")), 1.0)


def _in_place(hands: Hands, poses: Float[Tensor, "hand 21 2"]) -> Hands:
    """Hands with the joints whose `_pose_of` is `poses`, where and as large as they were."""
    centre, side_px = joints_box(hands.require("joints_2d"))
    offsets = _flipped_left(hands, poses) * side_px[:, None, None] / 2
    return _with_joints(hands, joints_2d=centre[:, None] + offsets)


def _flipped_left(hands: Hands, flat: Float[Tensor, "hand 21 2"]) -> Float[Tensor, "hand 21 2"]:
    """2D joints, those of left hands with x negated."""
    is_left = hands.require("side") == LEFT
    return torch.where(is_left[:, None, None], flat * flat.new_tensor([-1.0, 1.0]), flat)


# --------------------------------------------------------------------------------------------------- in space


def joint_angles(joints: Float[Tensor, "hand 21 3"]) -> Float[Tensor, "hand 5 4"]:
    """Angles (radians) of right hands in any frame: the inverse of `forward_kinematics`, in closed form.

    Exact for hands that it made with the mean palm; of other hands it drops what bends out of the fingers'
    planes.
    """
    bones = _local_bones(joints, _palm_frames(joints))
    rest = REST_FRAMES.to(joints)

    # the first bone; a finger bent at a right angle does not show its abduction
    first = torch.einsum("fij,hfi->hfj", rest, bones[:, :, 0])
    level = first[..., 0] > 0.05
    abduction = torch.where(level, torch.atan2(first[..., 1], first[..., 0]), 0.0)
    forward = torch.where(level, first[..., :2].norm(dim=-1), first[..., 0])
    flexion = torch.atan2(-first[..., 2], forward)

    # the frame of the first bone; only the thumb turns about it
    pronation = flexion * flexion.new_tensor([THUMB_PRONATION, 0, 0, 0, 0])
    turns = axis_rotation("z", abduction) @ axis_rotation("y", flexion) @ axis_rotation("x", pronation)
    frame = rest @ turns

    angles = [flexion, abduction]

    for number in (1, 2):
        bone = torch.einsum("hfij,hfi->hfj", frame, bones[:, :, number])
        angles.append(torch.atan2(-bone[..., 2], bone[..., 0]))
        frame = frame @ axis_rotation("y", angles[-1])

    return torch.stack(angles, -1)


def _palm_frames(joints: Float[Tensor, "hand 21 3"]) -> Float[Tensor, "hand 3 3"]:
    """Rotations of the hand frame to the joints' frame that fit the palm best."""
    base = HandShape.mean().base_mm.to(joints)
    mean = torch.cat([torch.zeros_like(base[:1]), base[1:]])
    palm = joints[:, _PALM]
    return nearest_rotation((palm - palm.mean(1, keepdim=True)).mT @ (mean - mean.mean(0)))


def _local_bones(
    joints: Float[Tensor, "hand 21 3"], frames: Float[Tensor, "hand 3 3"]
) -> Float[Tensor, "hand 5 3 3"]:
    """Unit vectors of each finger's three bones in the hand frame."""
    fingers = (joints[:, 1:] @ frames).unflatten(1, (5, 4))
    return F.normalize(fingers[:, :, 1:] - fingers[:, :, :-1], dim=-1)


def _moved_solid(
    hands: Hands,
    old: Float[Tensor, "hand 5 4"],
    new: Float[Tensor, "hand 5 4"],
    turn: Float[Tensor, "hand 3 3"],
) -> Hands:
    """Bend fingers from the old angles to the new ones, then turn the hand about its wrist.

    A left hand moves as its mirror image.
    """
    right = _as_right(hands)
    frames, shape = _palm_frames(right), HandShape.mean()

    # what the change does to each bone of the kinematic hand, in the joints' frame
    before = forward_kinematics(old, shape).rotations
    after = forward_kinematics(new, shape).rotations
    bend = frames[:, None, None] @ (after @ before.mT) @ frames.mT[:, None, None]

    # the same done to the labelled bones, from each finger's base outwards
    fingers = right[:, 1:].unflatten(1, (5, 4))
    base = fingers[:, :, :1]
    bones = fingers[:, :, 1:] - fingers[:, :, :-1]
    bones = (bones[..., None, :] @ bend.mT)[..., 0, :]
    fingers = torch.cat([base, base + bones.cumsum(2)], 2)
    wrist = right[:, :1]
    bent = torch.cat([wrist, fingers.flatten(1, 2)], 1)

    solid = _mirrored_left(hands, wrist + (bent - wrist) @ turn.mT)
    flat, old_solid = hands.require_all("joints_2d", "joints_3d")

    # the labels keep their distance from the projection
    shift = _projected(hands, solid) - _projected(hands, old_solid)

    return _with_joints(hands, joints_2d=flat + shift, joints_3d=solid)


def _projected(hands: Hands, solid: Float[Tensor, "hand 21 3"]) -> Float[Tensor, "hand 21 2"]:
    """Pixels of 3D joints by the camera; where it is not known, at the scale at which the labels fit best."""
    if hands.intrinsics is not None:
        return project(solid, hands.intrinsics)

    flat, labelled = hands.require_all("joints_2d", "joints_3d")
    a = flat - flat.mean(1, keepdim=True)
    b = labelled[..., :2] - labelled[..., :2].mean(1, keepdim=True)
    scale = (a * b).sum((1, 2)) / b.square().sum((1, 2)).clamp_min(1e-12)
    return solid[..., :2] * scale[:, None, None]


def _as_right(hands: Hands) -> Float[Tensor, "hand 21 3"]:
    return _mirrored_left(hands, hands.require("joints_3d"))


def _mirrored_left(hands: Hands, solid: Float[Tensor, "hand 21 3"]) -> Float[Tensor, "hand 21 3"]:
    """3D joints, those of left hands as their mirror images."""
    is_left = hands.require("side") == LEFT
    return torch.where(is_left[:, None, None], mirror_3d(solid), solid)
