"""The named metrics of `handvae evaluate`: each takes a study and gives measures, values hand by hand, and figures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.data.reader import HandData
from handvae.data.view import cut
from handvae.evaluation.calibration import appearance_calibration
from handvae.evaluation.comparison import Comparison
from handvae.evaluation.features import Extractor, HandFeatures
from handvae.evaluation.generated import FEWEST, Poses, picture_measures
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.plots import Curve, Figure
from handvae.evaluation.pose import bone_measures_3d, joint_errors, pose_measures_2d, pose_measures_3d, spread_coverage
from handvae.evaluation.reading import Reading
from handvae.evaluation.resampling import PerHand
from handvae.hand import JOINT_NAMES
from handvae.systems.srv_vae import SrvVae
from handvae.systems.system import Generator, Reader

CALIBRATED = 32
"""Hands whose pixel variances are compared."""


@dataclass(frozen=True)
class Study:
    """A model on a data set, read once for all metrics."""

    name: str
    """The model's, for people."""
    system: Reader
    data: HandData
    reading: Reading
    seed: int = 0
    poses: Poses = "unseen"
    """Whether models were trained on these hands."""
    extractors: tuple[Extractor, ...] = ()
    """Spaces in which generated pictures are compared with real ones, beside that of hands."""
    cache: Path | None = None
    """Where real pictures' features are kept."""


@dataclass(frozen=True)
class Outcome:
    """What a metric found; figures of one title are drawn together for all models."""

    measures: tuple[Measure, ...]
    per_hand: tuple[PerHand, ...] = ()
    figures: tuple[Figure, ...] = ()


def pose(study: Study) -> Outcome:
    """Errors of the joints read."""
    reading = study.reading
    errors, valid = joint_errors(reading.predicted, reading.truth, reading.valid), reading.valid
    figures = (_pck(study), _per_joint(study))
    if reading.scale_mm is not None:
        truth_mm, by_bones = reading.truth * reading.scale_mm[:, None, None], Comparison("wrist", "truth", "bone units")
        measures = (
            *bone_measures_3d(reading.predicted, reading.truth, valid),
            *pose_measures_3d(reading.predicted, truth_mm, valid, comparison=by_bones),
        )
        return Outcome(measures, (_pooled("mpjpe_bone_units", "bone", errors, valid), _pooled("epe", "mm", reading.errors, valid)), figures)
    measures = pose_measures_2d(reading.predicted, reading.truth, valid, f"{reading.crop.size_px} px crop")
    relative = reading.errors
    sized, mean = valid & relative.isfinite(), relative.nanmean(1).numpy()
    per_hand = (
        _pooled("mpjpe_px", "px", errors, valid),
        PerHand("error_over_hand_size_median", "%", "median", mean, np.ones(len(mean))),
        PerHand("error_over_hand_size_mean", "%", "mean", mean, np.ones(len(mean))),
        _pooled("pckb@0.05", "%", 100 * (relative <= 5).float(), sized),
        _pooled("pckb@0.10", "%", 100 * (relative <= 10).float(), sized),
    )
    return Outcome(measures, per_hand, figures)


def picture(study: Study) -> Outcome:
    """How well a hand is painted again."""
    psnr = (-10 * study.reading.squared_error.log10()).numpy()
    per_hand = PerHand("psnr", "dB", "mean", psnr, np.ones(len(psnr)))
    protocol = Stated(
        f"peak signal-to-noise ratio, {study.reading.crop.size_px} px crop in [0, 1], own appearance (posterior mean), true pose"
    )
    return Outcome((Measure("psnr", per_hand.value(), "dB", int(np.isfinite(psnr).sum()), protocol, "mean over pictures"),), (per_hand,))


def spread(study: Study) -> Outcome:
    """Whether the errors are as large as the model claims."""
    reading = study.reading
    return Outcome((spread_coverage(reading.predicted - reading.truth, reading.spread, reading.valid),))


def pixels(study: Study) -> Outcome:
    """Modelled against true variance of pixels."""
    system = study.system
    if not isinstance(system, SrvVae):
        raise TypeError(f"{type(system).__name__} has no variance of pixels")
    hands = cut(study.data, study.reading.whole[:CALIBRATED], system.crop)
    (image,) = hands.need("image")
    return Outcome(appearance_calibration(system, image, system.joints_of(hands)))


def sets(study: Study) -> Outcome:
    """How near pictures of these poses with random appearances are to the real pictures, as sets."""
    system = study.system
    if not isinstance(system, Generator):
        raise TypeError(f"{type(system).__name__} makes no pictures")
    spaces = (HandFeatures(), *study.extractors)
    found = [picture_measures(system, study.data, space, study.poses, seed=study.seed, cache=study.cache) for space in spaces]
    return Outcome(tuple(measure for measures in found for measure in measures))


def _sets_lacking(study: Study) -> str:
    few = f"fewer than {FEWEST} hands have all their joints labelled"
    return _pictures_lacking(study) or (few if len(study.reading.whole) < FEWEST else "")


def _pictures_lacking(study: Study) -> str:
    if not isinstance(study.system, Generator):
        return f"{study.name} makes no pictures"
    return "" if len(study.reading.whole) else "no hand has all its joints labelled, so no picture can be asked for"


def _pixels_lacking(study: Study) -> str:
    return _pictures_lacking(study) if isinstance(study.system, SrvVae) else f"{study.name} has no variance of pixels"


@dataclass(frozen=True)
class Metric:
    """A named metric."""

    measure: Callable[[Study], Outcome]
    lacking: Callable[[Study], str] = lambda study: ""
    """Why it cannot be measured, in words; empty where it can."""


METRICS = {
    "pose": Metric(pose),
    "picture": Metric(picture, _pictures_lacking),
    "spread": Metric(spread),
    "pixels": Metric(pixels, _pixels_lacking),
    "sets": Metric(sets, _sets_lacking),
}


def _pooled(name: str, unit: str, values: Float[Tensor, "batch joint"], counted: Bool[Tensor, "batch joint"]) -> PerHand:
    """A mean over the counted joints of all hands: a hand counts for as many joints as it has."""
    weights = counted.sum(1).double()
    per_hand = values.masked_fill(~counted, 0.0).double().sum(1) / weights  # NaN for a hand without any
    return PerHand(name, unit, "mean", per_hand.numpy(), weights.numpy())


def _pck(study: Study) -> Figure:
    """Share of joints against the error allowed."""
    errors = study.reading.errors
    errors = errors[errors.isfinite()].sort().values
    thresholds = torch.linspace(0, 20 if study.reading.flat else 50, 101)
    share = torch.searchsorted(errors, thresholds, right=True) / max(len(errors), 1)
    note = (
        "2D, no alignment, all labelled joints; hand size = sqrt of the area of the joints' bounding box"
        if study.reading.flat
        else "3D, root wrist, prediction in bone units times the true bone 9-10, no alignment, all labelled joints"
    )
    curve = Curve(study.name, tuple(thresholds.tolist()), tuple(share.tolist()))
    return Figure("Share of joints within an error (PCK)", f"error, {study.reading.error_unit}", "share of joints", (curve,), note)


def _per_joint(study: Study) -> Figure:
    """Mean error of each joint."""
    means = study.reading.errors.nanmean(0).tolist()
    curve = Curve(study.name, tuple(float(place) for place in range(len(means))), tuple(means), "dots")
    return Figure(
        "Error of each joint", "", f"mean error, {study.reading.error_unit}", (curve,), "mean over hands in which it is labelled",
        ticks=JOINT_NAMES if len(means) == len(JOINT_NAMES) else tuple(map(str, range(len(means)))),
    )  # fmt: skip
