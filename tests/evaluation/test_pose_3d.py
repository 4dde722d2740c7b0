"""3D pose metrics against hand-made cases, loops, similarities and published numbers."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handvae.errors import UserError
from handvae.evaluation.comparison import Comparison, aligned
from handvae.evaluation.external_predictions import INTRINSICS, back_projected
from handvae.evaluation.measure import Measure, PoseProtocol
from handvae.evaluation.pose import joint_errors
from handvae.evaluation.pose_3d import HAND3D, PoseMetrics, RelativeRoots, pose_measures_3d
from handvae.geometry import procrustes_align, random_rotation
from handvae.hand import scale_bone


def measured(*arguments, **options) -> dict[str, Measure]:
    return {measure.name: measure for measure in pose_measures_3d(*arguments, **options)}


def hands(count: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Predictions, truths (mm, before a camera) and which joints have labels: eight in ten."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randn(count, 21, 3, generator=generator, dtype=torch.float64) * 40 + torch.tensor(
        [10.0, -20.0, 600.0]
    )
    prediction = truth + torch.randn(count, 21, 3, generator=generator, dtype=torch.float64) * 15
    return prediction, truth, torch.rand(count, 21, generator=generator) < 0.8


def off_by(
    errors_mm: list[list[float]], missing: tuple[tuple[int, int], ...] = ()
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hands whose joints are wrong by given lengths."""
    lengths = torch.tensor(errors_mm, dtype=torch.float64)
    truth = (
        torch.randn(*lengths.shape, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 50
    )
    valid = torch.ones(lengths.shape, dtype=torch.bool)
    for place in missing:
        valid[place] = False
    return truth + lengths[..., None] * torch.tensor([0.0, 0.6, -0.8]), truth, valid


# -------------------------------------------------------------------------------------------- hand-made cases


def test_mean_median_pck_and_pcf_of_six_joints():
    found = measured(*off_by([[1.0, 9.0, 35.0], [2.0, 12.0, 19.0]]), within_mm=(10, 20, 40))
    assert found["epe"].value == pytest.approx(13.0)
    assert found["epe_median"].value == pytest.approx(10.5)
    assert found["epe_median_hand3d"].value == pytest.approx((1.5 + 10.5 + 27.0) / 3)
    assert [found[f"pck@{mm}_mm"].value for mm in (10, 20, 40)] == pytest.approx([50.0, 100 * 5 / 6, 100.0])
    assert [found[f"pcf@{mm}_mm"].value for mm in (10, 20, 40)] == pytest.approx([0.0, 50.0, 100.0])
    assert [found[f"frame_mean@{mm}_mm"].value for mm in (10, 20, 40)] == pytest.approx([0.0, 100.0, 100.0])


def test_pooling_and_averaging_over_joints_differ_where_labels_are_missing():
    """Joint 0 has errors 1 and 2, joint 1 has 9 alone, joint 2 has 30 and 18."""
    found = measured(*off_by([[1.0, 9.0, 30.0], [2.0, 500.0, 18.0]], missing=((1, 1),)))
    assert found["epe"].value == pytest.approx(60 / 5)
    assert found["epe_hand3d"].value == pytest.approx((1.5 + 9 + 24) / 3)
    assert found["epe_median"].value == pytest.approx(9.0)
    assert found["pck@20_mm"].value == pytest.approx(100 * 4 / 5)
    assert found["pcf@20_mm"].value == pytest.approx(50.0)


def test_a_frame_without_labels_is_no_frame():
    prediction, truth, valid = hands()
    blank = valid.clone()
    blank[2] = False
    with_it, without = (
        measured(prediction, truth, blank),
        measured(*(part[[0, 1, 3, 4, 5]] for part in (prediction, truth, valid))),
    )
    assert {name: (m.value, m.n) for name, m in with_it.items()} == {
        name: (m.value, m.n) for name, m in without.items()
    }
    assert with_it["epe"].n == 5


def test_every_plain_metric_agrees_with_a_loop():
    prediction, truth, valid = hands(9)
    rows = [
        [math.dist(p, t) if ok else None for p, t, ok in zip(*frame, strict=True)]
        for frame in zip(prediction.tolist(), truth.tolist(), valid.tolist(), strict=True)
    ]
    frames = [[e for e in row if e is not None] for row in rows]
    pooled = [e for frame in frames for e in frame]
    joints = [[row[j] for row in rows if row[j] is not None] for j in range(21)]
    found = measured(prediction, truth, valid)
    assert found["epe"].value == pytest.approx(np.mean(pooled))
    assert found["epe_median"].value == pytest.approx(np.median(pooled))
    assert found["epe_hand3d"].value == pytest.approx(np.mean([np.mean(j) for j in joints]))
    assert found["epe_median_hand3d"].value == pytest.approx(np.mean([np.median(j) for j in joints]))
    assert found["pck@30_mm"].value == pytest.approx(100 * np.mean([e <= 30 for e in pooled]))
    assert found["pcf@40_mm"].value == pytest.approx(100 * np.mean([max(f) <= 40 for f in frames]))
    assert found["frame_mean@30_mm"].value == pytest.approx(100 * np.mean([np.mean(f) <= 30 for f in frames]))
    for name, thresholds in {
        "hand3d": np.linspace(0, 50, 20)[8:],
        "freihand": np.linspace(0, 50, 100),
    }.items():
        curves = [[np.mean([e <= t for e in joint]) for t in thresholds] for joint in joints]
        area = np.mean([np.trapezoid(curve, thresholds) for curve in curves]) / (
            thresholds[-1] - thresholds[0]
        )
        assert found[
            {"hand3d": "auc_20_50_hand3d", "freihand": "auc_0_50_freihand"}[name]
        ].value == pytest.approx(area)
    curve = [np.mean([e <= t for e in pooled]) for t in range(20, 51)]
    assert found["auc_20_50"].value == pytest.approx(np.trapezoid(curve, dx=1) / 30)


def test_the_hand3d_area_has_twelve_thresholds_from_21_05():
    assert len(HAND3D[8:]) == 12
    assert HAND3D[8] == pytest.approx(21.0526, abs=1e-4)
    found = measured(*off_by([[20.5, 20.5]]))  # between 20, where the plain area begins, and 21.05
    assert found["auc_20_50_hand3d"].value == 1.0
    assert found["auc_20_50"].value == pytest.approx(29.5 / 30)
    assert "12 thresholds from 21.0526 to 50 mm" in str(found["auc_20_50_hand3d"])


def test_an_invisible_joint_is_left_out_of_hand3d_names_only():
    prediction, truth, valid = off_by([[1.0, 100.0, 4.0], [3.0, 2.0, 5.0]])
    visible = torch.tensor([[True, False, True], [True, True, True]])
    found = measured(prediction, truth, valid, visible)
    assert found["epe_hand3d"].value == pytest.approx((2 + 2 + 4.5) / 3)
    assert found["epe"].value == pytest.approx(115 / 6)
    assert found["auc_20_50_hand3d"].value == 1.0
    assert found["auc_20_50"].value < 1.0
    assert found["epe_hand3d"].protocol != found["epe"].protocol


def test_visibility_is_asked_for_once():
    prediction, truth, valid = hands()
    with pytest.raises(ValueError, match="visibility=True"):
        PoseMetrics(visibility=True).add(prediction, truth, valid)
    with pytest.raises(ValueError, match="visibility=True"):
        PoseMetrics().add(prediction, truth, valid, valid)


def test_bone_error_is_the_mean_difference_of_lengths():
    """Twice the size: each bone is wrong by its own length."""
    _, truth, _ = hands()
    valid = torch.ones(6, 21, dtype=torch.bool)
    lengths = (
        truth[:, 1:] - truth[:, [0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19]]
    ).norm(dim=-1)
    assert measured(2 * truth, truth, valid)["bone_error"].value == pytest.approx(float(lengths.mean()))
    valid[:, 0] = False  # the five bones at the wrist lose an end
    assert measured(2 * truth, truth, valid)["bone_error"].value == pytest.approx(
        float(lengths[:, [i for i in range(20) if i % 4]].mean())
    )


def test_other_joint_sets_have_no_bones_and_no_roots():
    prediction, truth, valid = (part[:, :16] for part in hands())
    assert "bone_error" not in measured(prediction, truth, valid)
    with pytest.raises(UserError, match="need the 21 joints"):
        PoseMetrics(16, Comparison("wrist"))


def test_mrrpe_is_the_mean_error_of_the_vector_between_roots():
    roots = RelativeRoots()
    truth = torch.tensor([[100.0, 0.0, 0.0], [50.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    roots.add(
        truth + torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 11.0], [900.0, 0.0, 0.0]]),
        truth,
        torch.tensor([True, True, False]),
    )
    assert (roots.measure().value, roots.measure().n) == (pytest.approx(8.0), 2)


def test_a_prediction_that_is_not_finite_is_refused_where_it_counts():
    prediction, truth, valid = hands()
    valid[1, 4], valid[1, 5] = True, False
    prediction[1, 5] = float("nan")
    assert math.isfinite(measured(prediction, truth, valid)["epe"].value)
    prediction[1, 4, 2] = float("nan")
    with pytest.raises(UserError, match="joint 4 of hand 1"):
        measured(prediction, truth, valid)


# ------------------------------------------------------------------------------------------------ comparisons


@pytest.mark.parametrize("kind", ["palm", "wrist", "middle_mcp"])
def test_a_shift_of_the_whole_hand_is_no_error_relative_to_a_root(kind):
    _, truth, _ = hands()
    valid = torch.ones(6, 21, dtype=torch.bool)
    found = measured(truth + torch.tensor([30.0, 0.0, 40.0]), truth, valid, comparison=Comparison(kind))
    assert found["epe"].value == pytest.approx(0, abs=1e-9)
    assert found["epe"].protocol == PoseProtocol("3D", root=kind, joints="all 21 labelled")
    assert measured(truth + torch.tensor([30.0, 0.0, 40.0]), truth, valid)["epe"].value == pytest.approx(50.0)


def test_a_hand_whose_root_has_no_label_does_not_count():
    prediction, truth, valid = hands()
    valid[:, 0], valid[:, 9], valid[2, 9] = True, True, False
    assert measured(prediction, truth, valid, comparison=Comparison("palm"))["epe"].n == 5
    assert measured(prediction, truth, valid, comparison=Comparison("wrist"))["epe"].n == 6


def test_the_root_joint_of_a_prediction_that_is_kept_can_be_wrong():
    """As in hand3d's script, where only the truth is made root-relative."""
    _, truth, _ = hands()
    valid = torch.ones(6, 21, dtype=torch.bool)
    prediction = truth - truth[:, :1]
    prediction[:, 0, 0] += 21.0
    found = measured(prediction, truth, valid, comparison=Comparison("wrist", reroot="truth"))
    assert found["epe_hand3d"].value == pytest.approx(1.0)
    assert found["epe"].protocol.root == "wrist of the truth"


def test_bone_units_and_the_true_bone_give_the_prediction_the_true_size():
    _, truth, _ = hands()
    valid = torch.ones(6, 21, dtype=torch.bool)
    relative = truth - truth[:, :1]
    in_bones = relative / scale_bone(truth)[:, None, None]
    for scale, prediction in {"bone units": in_bones, "true bone": 0.37 * relative}.items():
        assert measured(prediction, truth, valid, comparison=Comparison("wrist", scale=scale))[
            "epe"
        ].value == pytest.approx(0, abs=1e-9)
        assert measured(prediction, truth, valid, comparison=Comparison("wrist"))["epe"].value > 10


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100), missing=st.integers(0, 17))
def test_pa_mpjpe_is_zero_under_any_similarity(seed, scale, missing):
    generator = torch.Generator().manual_seed(seed)
    _, truth, _ = hands(4, seed)
    valid = torch.rand(4, 21, generator=generator).argsort(1) >= missing
    turned = (
        scale * truth @ random_rotation(4, generator, torch.float64).mT
        + torch.randn(4, 1, 3, generator=generator) * 300
    )
    turned[~valid] = 1e4
    found = measured(turned, truth, valid)
    assert found["pa_mpjpe"].value == pytest.approx(0, abs=1e-6)
    assert found["pa_auc_0_50_freihand"].value == pytest.approx(1.0, abs=0.0051)  # at 0 mm rounding decides
    assert found["pa_mpjpe"].n == 4


def test_both_fits_are_procrustes_of_the_labelled_joints():
    prediction, truth, valid = hands()
    fit = aligned(prediction, truth, valid)
    for hand in range(6):
        labelled = valid[hand]
        for scale, found in ((True, fit.similar), (False, fit.rigid)):
            alone = procrustes_align(prediction[hand, labelled], truth[hand, labelled], scale)
            torch.testing.assert_close(found[hand, labelled], alone)


def test_a_mirrored_hand_is_not_aligned_away():
    _, truth, _ = hands()
    mirrored = truth * torch.tensor([-1.0, 1.0, 1.0])
    assert measured(mirrored, truth, torch.ones(6, 21, dtype=torch.bool))["pa_mpjpe"].value > 5


def test_the_rigid_fit_keeps_the_scale():
    _, truth, _ = hands()
    found = measured(1.2 * truth, truth, torch.ones(6, 21, dtype=torch.bool))
    centred = truth - truth.mean(1, keepdim=True)
    assert found["pa_mpjpe"].value == pytest.approx(0, abs=1e-6)
    assert found["pa_mpjpe_rigid"].value == pytest.approx(0.2 * float(centred.norm(dim=-1).mean()))


def test_two_labelled_joints_are_too_few_to_align():
    prediction, truth, valid = hands()
    valid[:] = True
    valid[3, 2:] = False
    assert (
        measured(prediction, truth, valid)["pa_mpjpe"].n,
        measured(prediction, truth, valid)["epe"].n,
    ) == (5, 6)


# ------------------------------------------------------------------------------------------------ - streaming


def test_batches_give_what_the_whole_gives():
    prediction, truth, valid = hands(200)
    visible = valid & (torch.rand(200, 21, generator=torch.Generator().manual_seed(5)) < 0.5)
    comparison = Comparison("palm", scale="true bone")
    metrics = PoseMetrics(comparison=comparison, visibility=True, kept=1000)
    for rows in zip(*(part.split(7) for part in (prediction, truth, valid, visible)), strict=True):
        metrics.add(*rows)
    whole = measured(prediction, truth, valid, visible, comparison)
    for measure in metrics.measures():
        loose = 2e-4 if "median" in measure.name else 1e-9
        assert measure.value == pytest.approx(whole[measure.name].value, rel=loose), measure.name
        assert ("from a histogram, within 0.012 %" in measure.definition) == ("median" in measure.name)
        assert (measure.n, measure.protocol) == (whole[measure.name].n, whole[measure.name].protocol)


# ------------------------------------------------------------------------------------------ published numbers


def test_published_predictions_give_the_published_numbers(data_root):
    folder = data_root / "metrics"
    if not (folder / "published_predictions.npz").is_file():
        pytest.skip(f"no metrics/published_predictions.npz under {data_root}")
    published = json.loads((folder / "published_values.json").read_text())
    with np.load(folder / "published_predictions.npz") as arrays:
        for dataset, methods in published.items():
            truth = back_projected(torch.from_numpy(arrays[f"{dataset}_gt_uvd"]), INTRINSICS[dataset])
            for method, values in methods.items():
                prediction = back_projected(
                    torch.from_numpy(arrays[f"{dataset}__{method}_uvd"]), INTRINSICS[dataset]
                )
                found = measured(
                    prediction,
                    truth,
                    torch.ones(truth.shape[:2], dtype=torch.bool),
                    within_mm=(10, 20, 30, 40),
                )
                value = {name: measure.value for name, measure in found.items()}
                assert round(value["epe"], 3) == values["published"]
                assert round(value["epe"], 4) == values["mean_mm"]
                assert round(value["epe_median"], 4) == values["median_mm"]
                assert round(value["pck@20_mm"] / 100, 5) == values["pck20"]
                assert round(value["auc_20_50"], 5) == values["auc_20_50"]
                assert [round(value[f"pcf@{mm}_mm"] / 100, 5) for mm in (20, 30, 40)] == values[
                    "maxframe_20_30_40"
                ]
                assert [round(value[f"frame_mean@{mm}_mm"] / 100, 5) for mm in (10, 20)] == values[
                    "meanframe_10_20"
                ]


def test_joint_errors_are_those_of_the_axes_given():
    assert (
        joint_errors(torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1, 2), torch.tensor([[True]])).item() == 5.0
    )
