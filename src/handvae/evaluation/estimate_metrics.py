"""Metrics of estimated poses: errors of joints, and whether the predicted spread matches them."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from handvae.evaluation.comparison import Comparison
from handvae.evaluation.measure import Measure, PoseProtocol, Stated
from handvae.evaluation.model_predictions import ModelPredictions
from handvae.evaluation.plots import Curve, Plot
from handvae.evaluation.pose import joint_errors
from handvae.evaluation.pose_2d import pose_measures_2d
from handvae.evaluation.pose_3d import bone_measures_3d, pose_measures_3d
from handvae.evaluation.resampling import PerHand
from handvae.evaluation.spread import (
    LEVELS,
    SMALLEST,
    coverage,
    cross_fitted,
    crps,
    fit_spread_scale,
    spread_measures,
)
from handvae.evaluation.study import MetricResult, Study
from handvae.hand import JOINT_NAMES
from handvae.systems.spread import SpreadScale
from handvae.systems.system import PoseEstimator

CENTRE = "the joints' mean"
"""The root `centre` in words."""


def pose_metric(study: Study) -> MetricResult:
    """Errors of the estimated joints."""
    if study.predictions.is_2d:
        return _pose_2d(study)
    return _pose_3d(study)


def _pose_2d(study: Study) -> MetricResult:
    predictions = study.predictions
    valid = predictions.valid
    picture = f"{predictions.crop.size_px} px crop"
    measures = pose_measures_2d(predictions.prediction, predictions.target, valid, picture)

    errors_px = joint_errors(predictions.prediction, predictions.target, valid)
    relative = predictions.errors
    has_size = valid & relative.isfinite()
    hand_means = relative.nanmean(1).numpy()
    once = np.ones(len(hand_means))
    per_hand = (
        _pooled("mpjpe_px", "px", errors_px, valid),
        PerHand("error_over_hand_size_median", "%", "median", hand_means, once),
        PerHand("error_over_hand_size_mean", "%", "mean", hand_means, once),
        _pooled("pckb@0.05", "%", 100 * (relative <= 5).float(), has_size),
        _pooled("pckb@0.10", "%", 100 * (relative <= 10).float(), has_size),
    )

    return MetricResult(measures, per_hand, _pose_figures(study))


def _pose_3d(study: Study) -> MetricResult:
    predictions = study.predictions
    system = study.system
    valid = predictions.valid
    assert predictions.scale_mm is not None
    unit_mm = predictions.scale_mm[:, None, None]

    # the model predicts the hand's size too where its unit is one length for all hands
    prediction = predictions.prediction
    scale = "bone units"

    if system.unit_mm is not None:
        prediction = prediction * unit_mm
        scale = "as given"

    target_mm = predictions.target * unit_mm
    epe = _pooled("epe", "mm", predictions.errors, valid)

    # the centre is the mean of all joints, even where only some are evaluated; there is no bone unit then
    if system.root == "centre":
        comparison = Comparison(given_root=CENTRE)
        measures = pose_measures_3d(prediction, target_mm, valid, comparison=comparison)
        return MetricResult(measures, (epe,), _pose_figures(study))

    bone_protocol = PoseProtocol("3D", system.root, _unit_text(system))
    in_bones = bone_measures_3d(predictions.prediction, predictions.target, valid, bone_protocol)
    comparison = Comparison(system.root, "truth", scale)
    in_mm = pose_measures_3d(prediction, target_mm, valid, comparison=comparison)

    errors_in_bones = joint_errors(predictions.prediction, predictions.target, valid)
    per_hand = (_pooled("mpjpe_bone_units", "bone", errors_in_bones, valid), epe)
    return MetricResult((*in_bones, *in_mm), per_hand, _pose_figures(study))


def _pose_figures(study: Study) -> tuple[Plot, ...]:
    return _pck(study), _error_by_joint(study)


def _pck(study: Study) -> Plot:
    """Share of joints against the allowed error."""
    errors = study.predictions.errors
    errors = errors[errors.isfinite()].sort().values
    thresholds = torch.linspace(0, 20 if study.predictions.is_2d else 50, 101)
    share = torch.searchsorted(errors, thresholds, right=True) / max(len(errors), 1)

    if study.predictions.is_2d:
        note = (
            "2D, no alignment, all labelled joints; hand size = sqrt of the area of the joints' bounding box"
        )
    else:
        note = (
            f"3D, root {study.system.root}, prediction in bone units times the {_unit_text(study.system)}, "
            "no alignment, all labelled joints"
        )

    curve = Curve(study.name, tuple(thresholds.tolist()), tuple(share.tolist()))
    x_label = f"error, {study.predictions.error_unit}"
    return Plot("Share of joints within an error (PCK)", x_label, "share of joints", (curve,), note)


def _error_by_joint(study: Study) -> Plot:
    """Mean error of each joint."""
    means = study.predictions.errors.nanmean(0).tolist()
    places = tuple(float(place) for place in range(len(means)))
    names = JOINT_NAMES if len(means) == len(JOINT_NAMES) else tuple(map(str, range(len(means))))
    return Plot(
        title="Error of each joint",
        x_label="",
        y_label=f"mean error, {study.predictions.error_unit}",
        curves=(Curve(study.name, places, tuple(means), "dots"),),
        note="mean over hands in which it is labelled",
        ticks=names,
    )


def _unit_text(system: PoseEstimator) -> str:
    """The bone unit of a 3D model in words."""
    if system.root == "centre":
        return f"half of the crop's cube, {system.unit_mm:.4g} mm"
    if system.unit_mm is None:
        return "true bone 9-10"
    return f"mean bone 9-10 of its training hands, {system.unit_mm:.4g} mm"


def _pooled(
    name: str, unit: str, values: Float[Tensor, "batch joint"], counted: Bool[Tensor, "batch joint"]
) -> PerHand:
    """A mean over the counted joints of all hands: a hand weighs as much as it has counted joints."""
    weights = counted.sum(1).double()
    totals = values.masked_fill(~counted, 0.0).double().sum(1)
    hand_means = totals / weights  # NaN for a hand without counted joints
    return PerHand(name, unit, "mean", hand_means.numpy(), weights.numpy())


# ---------------------------------------------------------------------------------------------------- spread


def spread_metric(study: Study) -> MetricResult:
    """Whether errors match the predicted spread, as it is and after a scale fitted on other people."""
    predictions = study.predictions
    unit = predictions.unit
    errors = predictions.prediction - predictions.target
    claimed = predictions.spread
    valid = predictions.valid

    # halves of people, not of hands, where the people are known
    people = _people(predictions)
    group = torch.arange(len(errors)) if people is None else people
    scaled = cross_fitted(errors, claimed, valid, group, study.seed)
    fitted = fit_spread_scale(errors, claimed, valid)

    place = f"root {study.system.root}, bone units"
    if predictions.is_2d:
        place = f"{predictions.crop.size_px} px crop"

    source = "as the model claims it"
    if predictions.calibrated_on:
        source = f"calibrated on {predictions.calibrated_on}"

    halves = "hands" if people is None else "people"
    as_given = Stated(f"spread {source}; {place}, all labelled joints")
    after = Stated(
        f"spread scaled, factor and floor an axis, as fits the other half of the {halves}; "
        f"{place}, all labelled joints"
    )

    measures = (
        *spread_measures(errors, claimed, valid, unit=unit, protocol=as_given),
        *spread_measures(errors, scaled, valid, unit=unit, name="spread_scaled", protocol=after),
        *_scale_measures(fitted, len(errors), unit, place),
    )
    curves = (
        Curve(f"{study.name}, as given", LEVELS, tuple(coverage(errors, claimed, valid).tolist())),
        Curve(f"{study.name}, scaled", LEVELS, tuple(coverage(errors, scaled, valid).tolist())),
        Curve("calibrated", (0.0, 1.0), (0.0, 1.0), "dashed"),
    )
    figure = Plot(
        title="Reliability of the spread",
        x_label="probability claimed",
        y_label="share of coordinates inside",
        curves=curves,
        note=str(after),
    )
    per_hand = (
        _pooled("spread_crps", unit, _joint_crps(errors, claimed), valid),
        _pooled("spread_scaled_crps", unit, _joint_crps(errors, scaled), valid),
    )

    return MetricResult(measures, per_hand, (figure,))


def _people(predictions: ModelPredictions) -> Int[Tensor, " batch"] | None:
    """The person of each hand; None where fewer than two people are named."""
    subject = predictions.subject
    if subject is None or len(subject.unique()) < 2:
        return None
    return subject


def _scale_measures(scale: SpreadScale, n: int, unit: str, place: str) -> list[Measure]:
    """Factor and floor of each axis."""
    protocol = Stated(
        "sqrt((factor * spread)^2 + floor^2) that fits these hands' errors: lowest CRPS; "
        f"{place}, all labelled joints"
    )
    axes = "xyz"[: len(scale.factor)]
    factors = [
        Measure(f"spread_factor_{axis}", value, "", n, protocol)
        for axis, value in zip(axes, scale.factor, strict=True)
    ]
    floors = [
        Measure(f"spread_floor_{axis}", value, unit, n, protocol)
        for axis, value in zip(axes, scale.floor, strict=True)
    ]

    return factors + floors


def _joint_crps(
    errors: Float[Tensor, "batch joint axis"], spread: Float[Tensor, "batch joint axis"]
) -> Float[Tensor, "batch joint"]:
    return crps(errors, spread.clamp_min(SMALLEST)).mean(-1)
