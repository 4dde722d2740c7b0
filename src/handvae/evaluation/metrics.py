"""The named metrics of `handvae evaluate`: each takes a study and gives measures, values hand by hand, and
figures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.evaluation.calibration import appearance_calibration
from handvae.evaluation.comparison import Comparison
from handvae.evaluation.consistency import APPEARANCE_SOURCES, pose_consistency
from handvae.evaluation.disentangle import dci, mig, sap
from handvae.evaluation.features import Extractor, HandFeatures
from handvae.evaluation.finding import Finder
from handvae.evaluation.generated import FEWEST, Poses, picture_measures
from handvae.evaluation.latent_factors import factor_measures
from handvae.evaluation.leakage import leakage
from handvae.evaluation.measure import Measure, PoseProtocol, Stated
from handvae.evaluation.plots import Curve, Plot
from handvae.evaluation.pose import bone_measures_3d, joint_errors, pose_measures_2d, pose_measures_3d
from handvae.evaluation.reading import Asked, Reading, pictures
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
from handvae.hand import JOINT_NAMES
from handvae.noise import Noise, Stream
from handvae.systems.da_vae import DaVae
from handvae.systems.pose_appearance import PoseAppearanceVae
from handvae.systems.system import Generator, PoseEstimator

MOST_CODES = 3000
"""Hands whose codes are compared with true factors, at most."""
CALIBRATED = 32
"""Hands whose pixel variances are compared."""
CENTRE = "the joints' mean"
"""A root in words."""


@dataclass(frozen=True)
class Study:
    """A model on a data set, read once for all metrics."""

    name: str
    """The model's, for people."""
    system: PoseEstimator
    data: HandData
    reading: Reading
    finder: Finder | None = None
    """Finds joints in generated pictures."""
    seed: int = 0
    poses: Poses = "unseen"
    """Whether models were trained on these hands."""
    extractors: tuple[Extractor, ...] = ()
    """Spaces in which generated pictures are compared with real ones, beside that of hands."""
    cache: Path | None = None
    """Where real pictures' features are kept."""

    def need_finder(self) -> Finder:
        """What finds joints, or a ValueError."""
        if self.finder is None:
            raise ValueError(f"nothing finds joints in the pictures of {self.name}")
        return self.finder


@dataclass(frozen=True)
class Sheet:
    """A picture for the page."""

    title: str
    pixels: Float[Tensor, "3 height width"]
    caption: str


@dataclass(frozen=True)
class MetricResult:
    """What a metric found; figures of one title are drawn together for all models."""

    measures: tuple[Measure, ...]
    per_hand: tuple[PerHand, ...] = ()
    figures: tuple[Plot, ...] = ()
    sheets: tuple[Sheet, ...] = ()


def pose(study: Study) -> MetricResult:
    """Errors of the joints read."""
    reading = study.reading
    errors, valid = joint_errors(reading.predicted, reading.truth, reading.valid), reading.valid
    figures = (_pck(study), _per_joint(study))
    if reading.scale_mm is not None:
        unit, root, predicted, scale = (
            reading.scale_mm[:, None, None],
            study.system.root,
            reading.predicted,
            "bone units",
        )
        if study.system.unit_mm is not None:  # the hand's size is part of what it read
            predicted, scale = predicted * unit, "as given"
        truth, epe = reading.truth * unit, _pooled("epe", "mm", reading.errors, valid)
        if (
            root == "centre"
        ):  # of all joints, also where some of them are judged; and there is no bone to count in
            return MetricResult(
                pose_measures_3d(predicted, truth, valid, comparison=Comparison(given_root=CENTRE)),
                (epe,),
                figures,
            )
        measures = (
            *bone_measures_3d(
                reading.predicted, reading.truth, valid, PoseProtocol("3D", root, _unit_of(study.system))
            ),
            *pose_measures_3d(predicted, truth, valid, comparison=Comparison(root, "truth", scale)),
        )
        return MetricResult(measures, (_pooled("mpjpe_bone_units", "bone", errors, valid), epe), figures)
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
    return MetricResult(measures, per_hand, figures)


def picture(study: Study) -> MetricResult:
    """How well a hand is painted again."""
    psnr = (-10 * study.reading.squared_error.log10()).numpy()
    per_hand = PerHand("psnr", "dB", "mean", psnr, np.ones(len(psnr)))
    protocol = Stated(
        f"peak signal-to-noise ratio, {study.reading.crop.size_px} px crop in [0, 1], own appearance (posterior mean), true pose"
    )
    return MetricResult(
        (
            Measure(
                "psnr", per_hand.value(), "dB", int(np.isfinite(psnr).sum()), protocol, "mean over pictures"
            ),
        ),
        (per_hand,),
    )


def spread(study: Study) -> MetricResult:
    """Whether the errors are as large as the spread that the model gives, and after a scale fitted on other
    people."""
    reading, unit = study.reading, study.reading.unit
    errors, claimed, valid = reading.predicted - reading.truth, reading.spread, reading.valid
    group = (
        torch.arange(len(errors))
        if reading.subject is None or len(reading.subject.unique()) < 2
        else reading.subject
    )
    scaled = cross_fitted(errors, claimed, valid, group, study.seed)
    people = "hands" if group is not reading.subject else "people"
    place = f"{reading.crop.size_px} px crop" if reading.flat else f"root {study.system.root}, bone units"
    given = f"calibrated on {reading.calibrated_on}" if reading.calibrated_on else "as the model claims it"
    as_given = Stated(f"spread {given}; {place}, all labelled joints")
    after = Stated(
        f"spread scaled, factor and floor an axis, as fits the other half of the {people}; {place}, all labelled joints"
    )
    scale = fit_spread_scale(errors, claimed, valid)
    how = Stated(
        f"sqrt((factor * spread)^2 + floor^2) that fits these hands' errors: lowest CRPS; {place}, all labelled joints"
    )
    n, axes = len(errors), "xyz"[: errors.shape[-1]]
    measures = (
        *spread_measures(errors, claimed, valid, unit=unit, protocol=as_given),
        *spread_measures(errors, scaled, valid, unit=unit, name="spread_scaled", protocol=after),
        *(
            Measure(f"spread_factor_{axis}", value, "", n, how)
            for axis, value in zip(axes, scale.factor, strict=True)
        ),
        *(
            Measure(f"spread_floor_{axis}", value, unit, n, how)
            for axis, value in zip(axes, scale.floor, strict=True)
        ),
    )
    curves = (
        Curve(f"{study.name}, as given", LEVELS, tuple(coverage(errors, claimed, valid).tolist())),
        Curve(f"{study.name}, scaled", LEVELS, tuple(coverage(errors, scaled, valid).tolist())),
        Curve("calibrated", (0.0, 1.0), (0.0, 1.0), "dashed"),
    )
    figure = Plot(
        "Reliability of the spread", "probability claimed", "share of coordinates inside", curves, str(after)
    )
    per_hand = tuple(
        _pooled(f"{name}_crps", unit, crps(errors, some.clamp_min(SMALLEST)).mean(-1), valid)
        for name, some in (("spread", claimed), ("spread_scaled", scaled))
    )
    return MetricResult(measures, per_hand, (figure,))


def pixels(study: Study) -> MetricResult:
    """Modelled against true variance of pixels."""
    system = study.system
    if not isinstance(system, PoseAppearanceVae):
        raise TypeError(f"{type(system).__name__} has no variance of pixels")
    hands = cut(study.data, study.reading.whole[:CALIBRATED], system.crop)
    image = hands.require("image")
    return MetricResult(appearance_calibration(system, image, system.joints_of(hands)))


def sets(study: Study) -> MetricResult:
    """How near pictures of these poses with random appearances are to the real pictures, as sets."""
    system = study.system
    if not isinstance(system, Generator):
        raise TypeError(f"{type(system).__name__} makes no pictures")
    spaces = (HandFeatures(), *study.extractors)
    found = [
        picture_measures(system, study.data, space, study.poses, seed=study.seed, cache=study.cache)
        for space in spaces
    ]
    return MetricResult(tuple(measure for measures in found for measure in measures))


def _sets_lacking(study: Study) -> str:
    few = f"fewer than {FEWEST} hands have all their joints labelled"
    return _pictures_lacking(study) or (few if len(study.reading.whole) < FEWEST else "")


def consistency(study: Study) -> MetricResult:
    """Whether generated pictures show the asked pose."""
    asked, finder = Asked.of(study.system, study.reading, study.seed), study.need_finder()
    count = len(study.reading.truth)
    kinds = [
        pose_consistency(
            asked, pictures(study.data, asked.rows, study.system.crop), finder, appearances, study.seed
        )
        for appearances in APPEARANCE_SOURCES
    ]
    places = tuple(float(place) for place in range(len(JOINT_NAMES)))
    curves = [
        Curve(f"{study.name}, {kind.appearances}", places, tuple(kind.errors.nanmean(0).tolist()), "dots")
        for kind in kinds
    ]
    note = f"mean over pictures in which a hand is found; {finder.relation(study.system)}"
    figure = Plot(
        "Asked against found, by joint",
        "",
        "mean error, % of hand size",
        tuple(curves),
        note,
        ticks=JOINT_NAMES,
    )
    measures = tuple(measure for kind in kinds for measure in kind.measures())
    return MetricResult(
        measures, tuple(hands for kind in kinds for hands in kind.compared(asked.rows, count)), (figure,)
    )


def leak(study: Study) -> MetricResult:
    """Whether swapping the appearance moves the pose, and the other way about."""
    found = leakage(Asked.of(study.system, study.reading, study.seed), study.need_finder(), study.seed)
    return MetricResult(
        found.measures,
        sheets=(Sheet(f"Swaps of {study.name}", found.sheet, "An appearance a row, a pose a column."),),
    )


def factors(study: Study) -> MetricResult:
    """Which parts of the code stand for which true factors."""
    rows = torch.arange(len(study.data))
    if len(rows) > MOST_CODES:
        rows = (
            rows[
                torch.randperm(len(rows), generator=Noise(study.seed, stream=Stream.CODE_ROWS).generator)[
                    :MOST_CODES
                ]
            ]
            .sort()
            .values
        )
    truth = study.data.labels(rows).require("factors")
    reading, names = study.reading, study.data.spec.factors
    parts = [reading.predicted[rows].flatten(1)] + (
        [] if reading.appearance is None else [reading.appearance[rows]]
    )
    codes, values = torch.cat(parts, 1).double().numpy(), truth.double().numpy()
    discrete = (values == np.round(values)).all(0)
    found = dci(codes, values, discrete, seed=study.seed)
    protocol = Stated(
        f"code: {parts[0].shape[1]} coordinates read and {codes.shape[1] - parts[0].shape[1]} of the appearance; "
        f"{len(found.used)} true factors"
    )
    n, forest = len(rows), "forests of 30 trees, 20 % of the hands held out"
    measures = (
        Measure(
            "dci_disentanglement",
            found.disentanglement,
            "",
            n,
            protocol,
            f"1: a code value matters for one factor; {forest}",
        ),
        Measure(
            "dci_completeness",
            found.completeness,
            "",
            n,
            protocol,
            f"1: a factor is in one code value; {forest}",
        ),
        Measure(
            "dci_informativeness",
            found.informativeness,
            "",
            n,
            protocol,
            f"mean R² or accuracy above chance; {forest}",
        ),
        Measure(
            "mig",
            mig(codes, values, discrete),
            "",
            n,
            protocol,
            "mutual information gap, 20 bins of equal width",
        ),
        Measure(
            "sap",
            sap(codes, values, discrete, seed=study.seed),
            "",
            n,
            protocol,
            "gap of squared correlation or balanced accuracy",
        ),
    )
    in_pose = found.importance[: parts[0].shape[1]].sum(0)
    curve = Curve(
        study.name, tuple(float(place) for place in range(len(in_pose))), tuple(in_pose.tolist()), "dots"
    )
    ticks = tuple(names[factor] for factor in found.used)
    note = f"share of a factor's importance that lies in the pose read, the rest lies in the appearance; {forest}"
    return MetricResult(
        measures, figures=(Plot("Where a factor is", "", "share in the pose", (curve,), note, ticks=ticks),)
    )


def latent_factors(study: Study) -> MetricResult:
    """What da-VAE's parts of the latent cost, and which true factors each tells."""
    if not isinstance(study.system, DaVae):
        raise TypeError(f"{type(study.system).__name__} has no parts of pose, appearance and shape")
    return MetricResult(tuple(factor_measures(study.system, study.data, study.seed)))


def _split_latent_lacking(study: Study) -> str:
    if not isinstance(study.system, DaVae):
        return f"{study.name} has no parts of pose, appearance and shape"
    missing = [name for name in study.system.fields if name not in study.data.spec.modalities]
    return f"the data set has no {', '.join(missing)}" if missing else ""


def _unit_of(system: PoseEstimator) -> str:
    """What a bone unit of a 3D model is, in words."""
    if system.root == "centre":
        return f"half of the crop's cube, {system.unit_mm:.4g} mm"
    return (
        "true bone 9-10"
        if system.unit_mm is None
        else f"mean bone 9-10 of its training hands, {system.unit_mm:.4g} mm"
    )


def _pictures_lacking(study: Study) -> str:
    if not isinstance(study.system, Generator):
        return f"{study.name} makes no pictures"
    return (
        ""
        if len(study.reading.whole)
        else "no hand has all its joints labelled, so no picture can be asked for"
    )


def _asked_lacking(study: Study) -> str:
    few = len(study.reading.whole) < 3 or study.reading.joints_px is None
    if study.finder is None:
        return f"{study.name} reads 3D poses, which do not say where joints are in a picture: give a 2D model or program as detector"
    return _pictures_lacking(study) or (
        "fewer than three hands have all their 2D joints labelled" if few else ""
    )


def _factors_lacking(study: Study) -> str:
    return "" if "factors" in study.data.spec.modalities else "the data set does not tell its true factors"


def _pixels_lacking(study: Study) -> str:
    return (
        _pictures_lacking(study)
        if isinstance(study.system, PoseAppearanceVae)
        else f"{study.name} has no variance of pixels"
    )


@dataclass(frozen=True)
class Metric:
    """A named metric."""

    measure: Callable[[Study], MetricResult]
    lacking: Callable[[Study], str] = lambda study: ""
    """Why it cannot be measured, in words; empty where it can."""


METRICS = {
    "pose": Metric(pose),
    "picture": Metric(picture, _pictures_lacking),
    "spread": Metric(spread),
    "pixels": Metric(pixels, _pixels_lacking),
    "sets": Metric(sets, _sets_lacking),
    "consistency": Metric(consistency, _asked_lacking),
    "leakage": Metric(leak, _asked_lacking),
    "factors": Metric(factors, _factors_lacking),
    "latent_factors": Metric(latent_factors, _split_latent_lacking),
}


def _pooled(
    name: str, unit: str, values: Float[Tensor, "batch joint"], counted: Bool[Tensor, "batch joint"]
) -> PerHand:
    """A mean over the counted joints of all hands: a hand counts for as many joints as it has."""
    weights = counted.sum(1).double()
    per_hand = values.masked_fill(~counted, 0.0).double().sum(1) / weights  # NaN for a hand without any
    return PerHand(name, unit, "mean", per_hand.numpy(), weights.numpy())


def _pck(study: Study) -> Plot:
    """Share of joints against the error allowed."""
    errors = study.reading.errors
    errors = errors[errors.isfinite()].sort().values
    thresholds = torch.linspace(0, 20 if study.reading.flat else 50, 101)
    share = torch.searchsorted(errors, thresholds, right=True) / max(len(errors), 1)
    note = (
        "2D, no alignment, all labelled joints; hand size = sqrt of the area of the joints' bounding box"
        if study.reading.flat
        else f"3D, root {study.system.root}, prediction in bone units times the {_unit_of(study.system)}, no alignment, all labelled joints"
    )
    curve = Curve(study.name, tuple(thresholds.tolist()), tuple(share.tolist()))
    return Plot(
        "Share of joints within an error (PCK)",
        f"error, {study.reading.error_unit}",
        "share of joints",
        (curve,),
        note,
    )


def _per_joint(study: Study) -> Plot:
    """Mean error of each joint."""
    means = study.reading.errors.nanmean(0).tolist()
    curve = Curve(study.name, tuple(float(place) for place in range(len(means))), tuple(means), "dots")
    return Plot(
        "Error of each joint", "", f"mean error, {study.reading.error_unit}", (curve,), "mean over hands in which it is labelled",
        ticks=JOINT_NAMES if len(means) == len(JOINT_NAMES) else tuple(map(str, range(len(means)))),
    )  # fmt: skip
