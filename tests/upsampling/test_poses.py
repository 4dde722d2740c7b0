"""Poses beside those of a set: still hands, with their own bones, within the limits of joints."""

import math

import pytest
import torch
from torch import Tensor

from handvae.data.hands import Hands
from handvae.geometry import mirror_3d, project, random_rotation
from handvae.hand import (
    ANGLE_LIMITS,
    LEFT,
    POSE_NAMES,
    RIGHT,
    HandShape,
    bone_lengths,
    clamp_to_limits,
    forward_kinematics,
    named_pose,
    sample_shape,
)
from handvae.noise import Noise
from handvae.upsampling.poses import (
    MIXED,
    STRETCH,
    TURN_DEG,
    Neighbourhood,
    believable_mix,
    joint_angles,
    movable_labels,
    perturbed,
)

CAMERA = torch.tensor([[300.0, 0.0, 64.0], [0.0, 310.0, 60.0], [0.0, 0.0, 1.0]])


def hands_of(count: int = 40, side: int = RIGHT, camera: bool = True, solid: bool = True) -> Hands:
    """Hands of all named poses, seen from anywhere, half a metre away."""
    generator = torch.Generator().manual_seed(3)
    base = torch.stack([named_pose(POSE_NAMES[i % len(POSE_NAMES)]) for i in range(count)])
    angles = clamp_to_limits(base + 0.1 * torch.randn(base.shape, generator=generator))
    joints = (
        forward_kinematics(angles, sample_shape(count, generator)).joints
        @ random_rotation(count, generator).mT
    )
    joints = (mirror_3d(joints) if side == LEFT else joints) + torch.tensor([0.0, 0.0, 500.0])
    cameras = CAMERA.expand(count, 3, 3)
    labels = Hands(
        joints_2d=project(joints, cameras), joints_3d=joints if solid else None, intrinsics=cameras,
        side=torch.full((count,), side), joint_visible=torch.ones(count, 21, dtype=torch.bool),
    )  # fmt: skip
    return movable_labels(labels, camera)


def outside(angles: Tensor) -> Tensor:
    """How far angles lie beyond the limits, radians."""
    low, high = (limit.to(angles) for limit in ANGLE_LIMITS)
    return torch.maximum(low - angles, angles - high).clamp_min(0)


@pytest.mark.parametrize("name", POSE_NAMES)
def test_angles_are_read_back_from_joints_in_any_frame(name):
    angles = named_pose(name)[None]
    joints = (
        forward_kinematics(angles, HandShape.mean()).joints
        @ random_rotation(1, torch.Generator().manual_seed(1)).mT
    )
    torch.testing.assert_close(joint_angles(joints + 7), angles, atol=1e-3, rtol=0)


def test_labels_that_a_moved_hand_would_belie_are_left_out():
    assert {name for name, _ in hands_of(2).items()} == {
        "joints_2d",
        "joints_3d",
        "joint_valid",
        "intrinsics",
        "side",
    }
    assert hands_of(2, camera=False).intrinsics is None


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_a_perturbed_hand_keeps_its_bones_and_projects_on_its_labels(side):
    before = hands_of(side=side)
    after = perturbed(before, Noise(5))
    assert before.joints_3d is not None
    assert after.joints_3d is not None
    assert after.joints_2d is not None
    torch.testing.assert_close(
        bone_lengths(after.joints_3d), bone_lengths(before.joints_3d), atol=2e-3, rtol=0
    )
    torch.testing.assert_close(
        project(after.joints_3d, CAMERA.expand(40, 3, 3)), after.joints_2d, atol=2e-3, rtol=0
    )
    assert ((after.joints_3d - before.joints_3d).norm(dim=-1).mean(1) > 2).all()


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_a_perturbed_hand_stays_within_the_limits_of_its_joints(side):
    def angles(hands: Hands) -> Tensor:
        joints = hands.require("joints_3d")
        return joint_angles(mirror_3d(joints) if side == LEFT else joints)

    before = hands_of(side=side)
    moved = perturbed(before, Noise(6))
    assert (angles(moved) - angles(before)).abs().mean() > math.radians(2)
    slack = math.radians(
        0.5
    )  # a finger bent at a right angle does not tell its abduction, and is read back less exactly
    assert (outside(angles(moved)) <= outside(angles(before)) + slack).all()


def test_without_joints_in_space_a_perturbation_turns_and_stretches_the_whole_hand():
    before = hands_of(solid=False)
    after = perturbed(before, Noise(7))
    (a, b) = (
        one.require("joints_2d") - one.require("joints_2d").mean(1, keepdim=True) for one in (before, after)
    )
    maps = torch.linalg.lstsq(a, b).solution.mT
    torch.testing.assert_close(a @ maps.mT, b, atol=2e-3, rtol=0)
    assert (torch.linalg.det(maps) - 1).abs().max() < 1e-3
    assert torch.linalg.svdvals(maps).max() <= 1 + STRETCH + 1e-3
    turn = torch.atan2(maps[:, 1, 0] - maps[:, 0, 1], maps[:, 0, 0] + maps[:, 1, 1]).abs().rad2deg()
    assert turn.max() <= TURN_DEG + 0.1
    assert turn.mean() > TURN_DEG / 4


def test_the_same_noise_gives_the_same_poses():
    first, same, other = (perturbed(hands_of(), Noise(seed)).require("joints_2d") for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_a_hand_mixed_in_space_has_its_own_bones_and_angles_between_both(side):
    hands = hands_of(side=side)
    mixed = Neighbourhood(hands, Noise(0)).mixed(hands, Noise(1))
    own, now = (
        joint_angles(mirror_3d(h.require("joints_3d")) if side == LEFT else h.require("joints_3d"))
        for h in (hands, mixed.hands)
    )
    assert (mixed.other >= 0).all()
    assert (mixed.other != torch.arange(40)).all()
    assert ((mixed.share >= MIXED[0]) & (mixed.share <= MIXED[1])).all()
    torch.testing.assert_close(
        bone_lengths(mixed.hands.require("joints_3d")),
        bone_lengths(hands.require("joints_3d")),
        atol=2e-3,
        rtol=0,
    )
    between = own + mixed.share[:, None, None] * (own[mixed.other] - own)
    assert (now - between).abs().median() < 1e-3  # not all: a real palm differs from the mean one


def test_a_flat_hand_is_mixed_where_and_as_large_as_it_was():
    hands = hands_of(solid=False)
    mixed = Neighbourhood(hands, Noise(0)).mixed(hands, Noise(1))
    (before, after) = (one.require("joints_2d") for one in (hands, mixed.hands))
    assert mixed.share.max() > 0
    torch.testing.assert_close(after[mixed.other < 0], before[mixed.other < 0], atol=1e-3, rtol=0)
    assert ((after - before).abs().amax((1, 2))[mixed.other >= 0] > 0.5).all()
    size = (before.amax(1) - before.amin(1)).amax(1)
    assert ((after.mean(1) - before.mean(1)).norm(dim=1) < 0.5 * size).all()


def test_hands_whose_bones_point_different_ways_are_not_mixed_in_the_picture():
    flat = forward_kinematics(named_pose("flat"), HandShape.mean()).joints[None, None, :, :2]
    turned = flat @ torch.tensor([[math.cos(1.2), math.sin(1.2)], [-math.sin(1.2), math.cos(1.2)]])
    half = torch.tensor([[0.5]])
    assert believable_mix(flat, flat + 1, half).item()
    assert not believable_mix(flat, turned, half).item()


def test_a_lone_hand_has_no_neighbour_and_keeps_its_pose():
    hand = hands_of(1, solid=False)
    mixed = Neighbourhood(hand, Noise(0)).mixed(hand, Noise(1))
    assert mixed.other.tolist() == [-1]
    torch.testing.assert_close(mixed.hands.require("joints_2d"), hand.require("joints_2d"))
