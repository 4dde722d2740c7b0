"""Poses: the same chain as forward kinematics, within the limits, without flesh in flesh, pads that meet."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handvae.errors import UserError
from handvae.hand import ANGLE_LIMITS, POSE_NAMES, HandShape, forward_kinematics, named_pose, sample_shape
from handvae.render.hand import pose
from handvae.render.hand.pose import (
    WRIST_LIMITS_RAD,
    PoseRanges,
    make_pose,
    penetration_mm,
    resolve,
    sample_pose,
)

MEAN = HandShape.mean(torch.float64)


def a_shape(seed):
    drawn = sample_shape(1, torch.Generator().manual_seed(seed), dtype=torch.float64)
    return HandShape(**{item.name: getattr(drawn, item.name)[0] for item in fields(HandShape)})


def pad_gap_mm(angles, shape, finger):
    """Distance between the thumb's pad and a finger's, mm, by `forward_kinematics`."""
    posed = forward_kinematics(torch.from_numpy(np.ascontiguousarray(angles)), shape)
    middles = posed.joints[1:].unflatten(0, (5, 4))[:, 2]
    along, dorsal = posed.rotations[:, 2, :, 0], posed.rotations[:, 2, :, 2]
    depths = shape.radii_mm[:, 3] + pose._PAD_DEPTH_MM
    pads = middles + along * shape.lengths_mm[:, 2:] * pose._PAD_ALONG - dorsal * depths[:, None]
    return float((pads[0] - pads[finger]).norm())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_compiled_chain_is_forward_kinematics(seed):
    shape = a_shape(seed)
    angles = np.random.default_rng(seed).normal(0, 0.6, (5, 4))
    origins, rotations, _, _ = pose._chain(
        angles, pose._REST, shape.base_mm.numpy(), shape.lengths_mm.numpy()
    )
    truth = forward_kinematics(torch.from_numpy(angles), shape)
    np.testing.assert_allclose(origins.reshape(20, 3), truth.joints[1:].numpy(), atol=1e-9)
    np.testing.assert_allclose(rotations, truth.rotations.numpy(), atol=1e-12)


def test_axes_and_pivots_are_the_derivative_of_the_joints():
    angles = np.random.default_rng(0).normal(0, 0.4, (5, 4))
    base, lengths = MEAN.base_mm.numpy(), MEAN.lengths_mm.numpy()
    origins, _, axes, pivots = pose._chain(angles, pose._REST, base, lengths)
    for finger in range(5):
        for angle in range(4):
            moved = angles.copy()
            moved[finger, angle] += 1e-6
            numeric = (
                pose._chain(moved, pose._REST, base, lengths)[0][finger, 3] - origins[finger, 3]
            ) / 1e-6
            analytic = np.cross(axes[finger, angle], origins[finger, 3] - pivots[finger, angle])
            np.testing.assert_allclose(analytic, numeric, atol=1e-3)


@pytest.fixture(scope="module")
def drawn():
    """300 random hands in random poses."""
    generator = np.random.default_rng(5)
    shapes = [a_shape(seed) for seed in range(300)]
    return shapes, [sample_pose(generator, shape) for shape in shapes]


def test_limits_are_never_exceeded(drawn):
    angles = np.stack([hand.angles for hand in drawn[1]])
    lower, upper = (limit.numpy() for limit in ANGLE_LIMITS)
    assert (angles >= lower - 1e-9).all()
    assert (angles <= upper + 1e-9).all()
    wrist = np.stack([hand.wrist for hand in drawn[1]])
    assert (wrist >= WRIST_LIMITS_RAD[:, 0]).all()
    assert (wrist <= WRIST_LIMITS_RAD[:, 1]).all()
    assert wrist.std(0).min() > 0.1  # both angles are used


def test_hardly_any_flesh_lies_deep_in_other_flesh(drawn):
    depths = np.array([penetration_mm(hand.angles, shape) for shape, hand in zip(*drawn, strict=True)])
    assert (depths > 3).mean() <= 0.01
    unresolved = [pose._mixed(np.random.default_rng(seed), PoseRanges())[0] for seed in range(100)]
    assert (
        np.mean([penetration_mm(angles, MEAN) > 3 for angles in unresolved]) > 0.05
    )  # the poses it starts from do overlap


def test_poses_are_of_all_kinds(drawn):
    curl = np.stack([hand.angles[1:, 2].mean() for hand in drawn[1]])
    assert (curl < 0.3).mean() > 0.05
    assert (curl > 1.2).mean() > 0.05
    names = {hand.name for hand in drawn[1]}
    assert "" in names
    assert len(names) > 5


@pytest.mark.parametrize("name", ["pinch", "ok"])
def test_pads_that_should_touch_do(name):
    before = named_pose(name, torch.float64).numpy()
    assert pad_gap_mm(make_pose(name, MEAN).angles, MEAN, 1) < 1.5
    assert pad_gap_mm(before, MEAN, 1) > 3


@pytest.mark.parametrize("finger", [1, 2, 3, 4])
def test_contact_closes_the_gap_to_the_asked_finger(finger):
    before = named_pose("relaxed", torch.float64).numpy()
    after = resolve(before, MEAN, finger)
    assert pad_gap_mm(after, MEAN, finger) < 0.25 * pad_gap_mm(before, MEAN, finger)
    assert penetration_mm(after, MEAN) < 3.5  # `sample_pose` then refuses what lies deeper than 3


@pytest.mark.parametrize("name", POSE_NAMES)
def test_a_named_pose_stays_what_it_is(name):
    wished, made = named_pose(name, torch.float64).numpy(), make_pose(name, MEAN)
    assert made.name == name
    assert penetration_mm(made.angles, MEAN) <= 2
    limit = 40 if name in ("pinch", "ok") else 12
    assert np.rad2deg(np.abs(made.angles - wished)).max() < limit


def test_unknown_pose():
    with pytest.raises(UserError, match="victory"):
        make_pose("victori", MEAN)


def test_same_numbers_same_pose():
    one, two = (sample_pose(np.random.default_rng(9), MEAN) for _ in range(2))
    assert np.array_equal(one.angles, two.angles)
    assert np.array_equal(one.wrist, two.wrist)
