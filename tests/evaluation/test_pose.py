"""Pose metrics against loops and known values."""

import math
import statistics

import pytest
import torch

from handvae.evaluation.measure import Measure
from handvae.evaluation.pose import hand_size, joint_errors
from handvae.evaluation.pose_2d import pose_measures_2d
from handvae.evaluation.pose_3d import bone_measures_3d


@pytest.fixture
def hands():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(7, 21, 2, generator=generator) * 40
    prediction = truth + torch.randn(7, 21, 2, generator=generator)
    valid = torch.rand(7, 21, generator=generator) < 0.8
    return prediction, truth, valid


def by_name(measures: tuple[Measure, ...]) -> dict[str, Measure]:
    return {measure.name: measure for measure in measures}


def test_every_2d_metric_agrees_with_a_loop_over_joints(hands):
    prediction, truth, valid = hands
    errors, relative, per_hand = [], [], []
    for p, t, v in zip(prediction.tolist(), truth.tolist(), valid.tolist(), strict=True):
        xs, ys = (
            [j[0] for j, ok in zip(t, v, strict=True) if ok],
            [j[1] for j, ok in zip(t, v, strict=True) if ok],
        )
        size = math.sqrt((max(xs) - min(xs)) * (max(ys) - min(ys)))
        mine = [math.dist(a, b) for a, b, ok in zip(p, t, v, strict=True) if ok]
        errors += mine
        relative += [e / size for e in mine]
        per_hand.append(sum(mine) / len(mine) / size)
    measured = by_name(pose_measures_2d(prediction, truth, valid, "64 px crop"))
    assert measured["epe_median_px"].value == pytest.approx(statistics.median(errors), rel=1e-5)
    assert measured["mpjpe_px"].value == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    assert measured["error_over_hand_size_median"].value == pytest.approx(100 * sorted(per_hand)[3], rel=1e-5)
    assert measured["error_over_hand_size_mean"].value == pytest.approx(100 * sum(per_hand) / 7, rel=1e-5)
    assert measured["pckb@0.05"].value == pytest.approx(
        100 * sum(e <= 0.05 for e in relative) / len(relative), rel=1e-5
    )


def test_a_joint_without_label_never_counts(hands):
    prediction, truth, valid = hands
    spoilt = torch.where(valid[..., None], prediction, torch.full_like(prediction, 1e6))
    lost = torch.where(valid[..., None], truth, torch.full_like(truth, -1e6))
    assert pose_measures_2d(prediction, truth, valid, "crop") == pose_measures_2d(spoilt, lost, valid, "crop")
    assert joint_errors(spoilt, lost, valid).isnan().equal(~valid)


def test_a_shift_of_three_and_four_pixels_is_an_error_of_five():
    truth = torch.rand(4, 21, 2) * 30
    everything = torch.ones(4, 21, dtype=torch.bool)
    measured = by_name(pose_measures_2d(truth + torch.tensor([3.0, 4.0]), truth, everything, "crop"))
    assert measured["mpjpe_px"].value == pytest.approx(5.0, rel=1e-4)
    assert measured["pckb@0.10"].value == 0.0


def test_hand_size_is_the_side_of_a_square_as_large_as_the_joints_box():
    joints = torch.zeros(1, 21, 2)
    joints[0, 1] = torch.tensor([4.0, 9.0])
    joints[0, 2] = torch.tensor([100.0, 100.0])
    valid = torch.ones(1, 21, dtype=torch.bool)
    valid[0, 2] = False
    assert hand_size(joints, valid).item() == pytest.approx(6.0)


def test_a_hand_without_a_size_counts_in_pixels_only(hands):
    """Two labelled joints on a level line: the box has no area."""
    prediction, truth, valid = hands
    truth, valid = truth.clone(), valid.clone()
    valid[0] = torch.arange(21) < 2
    truth[0, :, 1] = 7.0
    with_it, without = (
        by_name(pose_measures_2d(prediction[s:], truth[s:], valid[s:], "crop")) for s in (0, 1)
    )
    for name in ("error_over_hand_size_median", "error_over_hand_size_mean", "pckb@0.05"):
        assert with_it[name].value == pytest.approx(without[name].value, rel=1e-6)
    assert with_it["mpjpe_px"].value != without["mpjpe_px"].value


def test_the_3d_error_is_in_bone_units():
    truth = torch.randn(3, 21, 3)
    (measured,) = bone_measures_3d(
        truth + torch.tensor([0.0, 0.0, 0.5]), truth, torch.ones(3, 21, dtype=torch.bool)
    )
    assert measured.value == pytest.approx(0.5, rel=1e-5)
    assert measured.unit == "bone"
