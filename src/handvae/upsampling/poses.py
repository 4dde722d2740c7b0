"""Poses beside those of a data set: hands turned, bent or stretched a little, or half way to a near
neighbour, that are still hands.

Where joints in space are known, the fingers bend within the limits of `hand.ANGLE_LIMITS`: what a change of
joint angles does to the bones
of the kinematic hand is done to the labelled bones, so that their lengths, and all in which the hand differs
from the model, stay. What
the picture shows follows the joints in space. Where only 2D joints are known, the whole hand turns and
stretches in the picture plane, or
mixes with a hand whose joints lie much the same.
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

TURN_DEG, STRETCH = 15.0, 0.08
"""A perturbed hand turns in the picture by at most the one; without joints in space it stretches one way by
at most the other."""
TILT_DEG = 8.0
"""With joints in space it also tilts out of the picture plane by at most this about each axis."""
BEND_DEG = (6.0, 2.5, 7.0, 4.0)
"""Standard deviations of the changes of a finger's four angles, cut at two of them."""
MIXED = (0.25, 0.75)
"""Share of the neighbour in an interpolated pose."""
NEIGHBOURS, SEARCHED = 8, 20_000
"""Nearest hands to choose from, and the most hands that are searched for them."""
SHORTEST = 0.9
"""In 2D, a bone of a mixed hand may be that much shorter than the mix of both lengths, or the two hands point
it different ways."""
_PALM = (0, 5, 9, 13, 17)


def plain(labels: Hands, in_camera: bool) -> Hands:
    """What stays true of hands that move: joints, side and, if the joints lie before it, the camera.

    Args:
        labels: with `joints_2d` and `side`.
        in_camera: whether `joints_3d` are in the camera frame.
    """
    joints, _ = labels.require_all("joints_2d", "side")
    camera = labels.intrinsics if in_camera and labels.joints_3d is not None else None
    everything = torch.ones(joints.shape[:2], dtype=torch.bool)
    return Hands(
        joints_2d=joints,
        joints_3d=labels.joints_3d,
        joint_valid=everything,
        intrinsics=camera,
        side=labels.side,
    )


# ---------------------------------------------------------------------------------------------- --- perturbed


def perturbed(hands: Hands, noise: Noise) -> Hands:
    """Every hand a little different: see the constants above.

    Args:
        hands: as `plain` gives them.
        noise: where the changes come from.
    """
    count = len(hands)
    turn = noise.uniform(count, low=-1, high=1) * math.radians(TURN_DEG)
    if hands.joints_3d is None:
        return _moved_flat(
            hands, turn, 1 + STRETCH * noise.uniform(count), noise.uniform(count, high=math.pi)
        )
    old = joint_angles(_as_right(hands))
    change = noise.normal(count, 5, 4).clamp(-2, 2) * torch.tensor(BEND_DEG).deg2rad()
    low, high = (limit.to(old) for limit in ANGLE_LIMITS)
    new = torch.maximum(
        torch.minimum(old + change, torch.maximum(high, old)), torch.minimum(low, old)
    )  # never farther out than it was
    tilt = noise.uniform(count, 2, low=-1, high=1) * math.radians(TILT_DEG)
    return _moved_solid(hands, old, new, rotation_z(turn) @ rotation_x(tilt[:, 0]) @ rotation_y(tilt[:, 1]))


def _moved_flat(
    hands: Hands, turn: Float[Tensor, " hand"], stretch: Float[Tensor, " hand"], way: Float[Tensor, " hand"]
) -> Hands:
    """Joints turned and then stretched by a factor along a direction of the picture, and as much shortened
    across it."""
    joints = hands.require("joints_2d")
    across = rotation_z(way)[:, :2, :2]
    linear = (
        across
        @ torch.diag_embed(torch.stack([stretch, 1 / stretch], 1))
        @ across.mT
        @ rotation_z(turn)[:, :2, :2]
    )
    centre = joints.mean(1, keepdim=True)
    return Hands(**(dict(hands.items()) | {"joints_2d": centre + (joints - centre) @ linear.mT}))


# ----------------------------------------------------------------------------------------------- interpolated


@dataclass(frozen=True)
class Mixed:
    """Hands between two hands each."""

    hands: Hands
    other: Int[Tensor, " hand"]
    """Which hand of the neighbourhood each was mixed with; -1 where none fitted, and the pose is its own."""
    share: Float[Tensor, " hand"]
    """Of that other hand; 0 where there is none."""


class Neighbourhood:
    """Hands to mix others with, found by their pose: joint angles where joints in space are known, else the
    joints' places.

    Args:
        hands: as `plain` gives them; of more than `SEARCHED`, so many are drawn.
        noise: draws them.
    """

    def __init__(self, hands: Hands, noise: Noise) -> None:
        order = torch.randperm(len(hands), generator=noise.generator)[:SEARCHED].sort().values
        self.rows, self._hands = order, hands[order]
        self._poses = _pose_of(self._hands)
        self._tree = KDTree(self._poses.flatten(1).numpy())

    def mixed(self, hands: Hands, noise: Noise) -> Mixed:
        """Mix each hand with one of its nearest at random, in a share drawn from `MIXED`; `other` counts the
        hands first given."""
        own, count = _pose_of(hands), len(hands)
        most = min(NEIGHBOURS + 1, len(self.rows))
        _, found = self._tree.query(own.flatten(1).numpy(), k=most)
        near = torch.from_numpy(found).view(count, most)
        share = noise.uniform(count, low=MIXED[0], high=MIXED[1])
        theirs = self._poses[near]
        apart = (theirs - own[:, None]).flatten(2).norm(dim=2) > 1e-6  # the hand itself is no neighbour
        if hands.joints_3d is None:
            apart &= believable_mix(own[:, None], theirs, share[:, None])
        score = noise.uniform(count, most).masked_fill(~apart, -1.0)
        chosen, fits = score.argmax(1), apart.any(1)
        share = share * fits
        there = torch.arange(count)
        blend = own + share[:, None, None] * (theirs[there, chosen] - own)
        still = torch.eye(3).expand(count, 3, 3)
        moved = _in_place(hands, blend) if hands.joints_3d is None else _moved_solid(hands, own, blend, still)
        return Mixed(moved, self.rows[near[there, chosen]].masked_fill(~fits, -1), share)


def believable_mix(
    own: Float[Tensor, "hand #near 21 2"],
    other: Float[Tensor, "hand near 21 2"],
    share: Float[Tensor, "hand #near"],
) -> Bool[Tensor, "hand near"]:
    """Whether the straight mix of 2D hands keeps its bones: none much shorter than the mix of both, none
    longer than on any hand."""
    blend = own + share[..., None, None] * (other - own)
    wanted = bone_lengths(own) + share[..., None] * (bone_lengths(other) - bone_lengths(own))
    found = bone_lengths(blend)
    extent = (blend.amax(-2) - blend.amin(-2)).amax(-1)[..., None]
    short = (found < SHORTEST * wanted) & (
        wanted > 0.05 * extent
    )  # the direction of a bone that points at the camera means nothing
    return ~(short | (found > FLAT_LIMIT * flat_bone_limits() * extent)).any(-1)


def _pose_of(hands: Hands) -> Float[Tensor, "hand some axis"]:
    """What poses are compared and mixed in: joint angles, or joints of right hands in their own crops."""
    if hands.joints_3d is not None:
        return joint_angles(_as_right(hands))
    flat, side = hands.require_all("joints_2d", "side")
    return in_own_crop(
        torch.where((side == LEFT)[:, None, None], flat * flat.new_tensor([-1.0, 1.0]), flat), 1.0
    )


def _in_place(hands: Hands, poses: Float[Tensor, "hand 21 2"]) -> Hands:
    """Hands with the joints that `_pose_of` would give as `poses`, where and as large as they were."""
    flat, side = hands.require_all("joints_2d", "side")
    centre, across = joints_box(flat)
    back = torch.where((side == LEFT)[:, None, None], poses * poses.new_tensor([-1.0, 1.0]), poses)
    return Hands(**(dict(hands.items()) | {"joints_2d": centre[:, None] + back * across[:, None, None] / 2}))


# ---------------------------------------------------------------------------------------------- ---- in space


def joint_angles(joints: Float[Tensor, "hand 21 3"]) -> Float[Tensor, "hand 5 4"]:
    """Angles (radians) of right hands in any frame: the inverse of `forward_kinematics`, in closed form.

    Exact for hands that it made with the mean palm; of other hands, what bends out of the fingers' planes is
    left over.
    """
    bones = _local_bones(joints, _palm_frames(joints))
    first = torch.einsum("fij,hfi->hfj", REST_FRAMES.to(joints), bones[:, :, 0])
    level = first[..., 0] > 0.05  # a finger bent at a right angle does not tell its abduction
    abduction = torch.where(level, torch.atan2(first[..., 1], first[..., 0]), 0.0)
    flexion = torch.atan2(-first[..., 2], torch.where(level, first[..., :2].norm(dim=-1), first[..., 0]))
    pronation = flexion * flexion.new_tensor([THUMB_PRONATION, 0, 0, 0, 0])
    frame = (
        REST_FRAMES.to(joints)
        @ axis_rotation("z", abduction)
        @ axis_rotation("y", flexion)
        @ axis_rotation("x", pronation)
    )
    angles = [flexion, abduction]
    for bone in (1, 2):
        seen = torch.einsum("hfij,hfi->hfj", frame, bones[:, :, bone])
        angles.append(torch.atan2(-seen[..., 2], seen[..., 0]))
        frame = frame @ axis_rotation("y", angles[-1])
    return torch.stack(angles, -1)


def _palm_frames(joints: Float[Tensor, "hand 21 3"]) -> Float[Tensor, "hand 3 3"]:
    """Rotations of the hand frame to the joints' frame that fit the palm best."""
    base = HandShape.mean().base_mm.to(joints)
    mean = torch.cat([torch.zeros_like(base[:1]), base[1:]])
    palm = joints[:, list(_PALM)]
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
    """Fingers bent from the old angles to the new ones, then the hand turned about its wrist (a left hand: as
    its mirror image)."""
    right = _as_right(hands)
    frames, shape = _palm_frames(right), HandShape.mean()
    was, now = (forward_kinematics(angles, shape).rotations for angles in (old, new))
    bend = frames[:, None, None] @ (now @ was.mT) @ frames.mT[:, None, None]
    fingers = right[:, 1:].unflatten(1, (5, 4))
    bones = ((fingers[:, :, 1:] - fingers[:, :, :-1])[..., None, :] @ bend.mT)[..., 0, :]
    base = fingers[:, :, :1]
    bent = torch.cat([right[:, :1], torch.cat([base, base + bones.cumsum(2)], 2).flatten(1, 2)], 1)
    solid = _mirrored_left(hands, bent[:, :1] + (bent - bent[:, :1]) @ turn.mT)
    (flat, was_solid) = hands.require_all("joints_2d", "joints_3d")
    shift = _seen(hands, solid) - _seen(
        hands, was_solid
    )  # what the labels differ from the projection by stays
    return Hands(**(dict(hands.items()) | {"joints_2d": flat + shift, "joints_3d": solid}))


def _seen(hands: Hands, solid: Float[Tensor, "hand 21 3"]) -> Float[Tensor, "hand 21 2"]:
    """Pixels of joints in space, by the camera or, where it is not known, at the scale at which the labels
    fit best (no perspective)."""
    if hands.intrinsics is not None:
        return project(solid, hands.intrinsics)
    flat, labelled = hands.require_all("joints_2d", "joints_3d")
    a, b = (points - points.mean(1, keepdim=True) for points in (flat, labelled[..., :2]))
    scale = (a * b).sum((1, 2)) / b.square().sum((1, 2)).clamp_min(1e-12)
    return solid[..., :2] * scale[:, None, None]


def _as_right(hands: Hands) -> Float[Tensor, "hand 21 3"]:
    solid = hands.require("joints_3d")
    return _mirrored_left(hands, solid)


def _mirrored_left(hands: Hands, solid: Float[Tensor, "hand 21 3"]) -> Float[Tensor, "hand 21 3"]:
    side = hands.require("side")
    return torch.where((side == LEFT)[:, None, None], mirror_3d(solid), solid)
