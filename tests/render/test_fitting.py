"""Inverse kinematics: the sampler's own hands are found again, within the limits, and drawn where they
were."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from handvae.geometry import mirror_3d, project, random_rotation
from handvae.hand import ANGLE_LIMITS, LEFT, HandShape, bone_lengths, forward_kinematics, sample_shape
from handvae.render.hand.fitting import fit_hands
from handvae.render.hand.pose import sample_pose
from handvae.render.picture import draw

COUNT = 48


@pytest.fixture(scope="module")
def true():
    """Angles, joints in mm before a camera, sides, of random persons in random poses, half of them left
    hands."""
    generator, of_poses = torch.Generator().manual_seed(0), np.random.default_rng(0)
    shapes = sample_shape(COUNT, generator, 1.0, torch.float64)
    each = [
        HandShape(*(getattr(shapes, field.name)[row] for field in fields(HandShape))) for row in range(COUNT)
    ]
    angles = torch.stack([torch.from_numpy(sample_pose(of_poses, shape).angles) for shape in each])
    turn = random_rotation(COUNT, generator, torch.float64)
    joints = forward_kinematics(angles, shapes).joints @ turn.mT + torch.tensor([30.0, -20.0, 500.0])
    side = torch.arange(COUNT) % 2
    return angles, torch.where((side == LEFT)[:, None, None], mirror_3d(joints), joints), side


@pytest.fixture(scope="module")
def fitted(true):
    return fit_hands(true[1].float(), true[2])


def test_joints_of_the_samplers_hands_are_met(true, fitted):
    errors = (fitted.joints - true[1]).norm(dim=2)
    assert errors.median() < 0.05, "mm"
    assert errors.max() < 1
    torch.testing.assert_close(fitted.error_mm, (fitted.joints - true[1].float()).norm(dim=2).mean(1))


def test_angles_and_sizes_are_found_again(true, fitted):
    assert (fitted.angles - true[0]).abs().rad2deg().quantile(0.95) < 1
    torch.testing.assert_close(bone_lengths(fitted.joints), bone_lengths(true[1]), rtol=0, atol=0.2)


@pytest.mark.parametrize("noise_mm", [0.0, 15.0, 60.0])
def test_angles_stay_within_the_limits_whatever_the_joints(noise_mm, true):
    joints = true[1] + noise_mm * torch.randn(true[1].shape, generator=torch.Generator().manual_seed(1))
    fitted = fit_hands(joints, true[2])
    lower, upper = ANGLE_LIMITS
    assert (fitted.angles >= lower).all()
    assert (fitted.angles <= upper).all()
    turned = fitted.rotation
    torch.testing.assert_close(turned @ turned.mT, torch.eye(3, dtype=torch.float64).expand_as(turned))
    assert (torch.linalg.det(turned) > 0).all()


def test_what_no_hand_can_do_is_brought_nearer_to_the_truth(true):
    noisy = true[1] + 4 * torch.randn(true[1].shape, generator=torch.Generator().manual_seed(1))
    found = fit_hands(noisy, true[2]).joints
    assert (found - true[1]).norm(dim=2).mean() < 0.9 * (noisy - true[1]).norm(dim=2).mean()


def test_hands_do_not_hear_of_one_another(true, fitted):
    alone = fit_hands(true[1][5:6].float(), true[2][5:6], steps=40)
    torch.testing.assert_close(alone.joints, fitted.joints[5:6], rtol=0, atol=0.05)


@pytest.mark.parametrize("row", [0, 1], ids=["left", "right"])
def test_a_fitted_hand_is_drawn_as_the_joints_were_seen(row, fitted):
    picture = draw(fitted.scene(row), 96)
    centred, given = (
        joints - joints.mean(0)
        for joints in (torch.from_numpy(picture.joints_3d).double(), fitted.joints[row])
    )
    torch.testing.assert_close(centred, given, rtol=0, atol=1e-2)
    assert picture.side == row
    assert (picture.segmentation > 0).mean() > 0.03
    inside = (picture.joints_2d > 0).all() and (picture.joints_2d < 96).all()
    assert inside
    projected = project(torch.from_numpy(picture.joints_3d), torch.from_numpy(picture.intrinsics)).long()
    seen = picture.segmentation[projected[:, 1].numpy(), projected[:, 0].numpy()] > 0
    assert seen.mean() > 0.8, "joints lie under skin"


@pytest.mark.parametrize("spoil", ["nan", "no length"])
def test_joints_that_are_no_hand_are_refused(spoil, true):
    joints = true[1][:2].clone()
    joints[1, 4] = float("nan") if spoil == "nan" else joints[1, 3]
    with pytest.raises(ValueError, match="finite"):
        fit_hands(joints, true[2][:2])
