"""Metrics of pictures: reconstruction, pixel variance, distances of sets, consistency and leakage."""

import numpy as np

from handvae.data.crop import cut
from handvae.evaluation.calibration import appearance_calibration
from handvae.evaluation.consistency import APPEARANCE_SOURCES, pose_consistency
from handvae.evaluation.features import HandFeatures
from handvae.evaluation.generation_inputs import GenerationInputs, real_pictures
from handvae.evaluation.leakage import leakage
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.picture_distances import picture_measures
from handvae.evaluation.plots import Curve, Plot
from handvae.evaluation.resampling import PerHand
from handvae.evaluation.study import MetricResult, Sheet, Study
from handvae.hand import JOINT_NAMES
from handvae.systems.pose_appearance import PoseAppearanceVae
from handvae.systems.system import Generator

CALIBRATED = 32
"""Hands whose pixel variances are compared: each costs hundreds of decodings."""


def picture_metric(study: Study) -> MetricResult:
    """How well a hand's picture is reconstructed."""
    predictions = study.predictions
    psnr = (-10 * predictions.squared_error.log10()).numpy()
    per_hand = PerHand("psnr", "dB", "mean", psnr, np.ones(len(psnr)))

    protocol = Stated(
        f"peak signal-to-noise ratio, {predictions.crop.size_px} px crop in [0, 1], "
        "own appearance (posterior mean), true pose"
    )
    n = int(np.isfinite(psnr).sum())
    measure = Measure("psnr", per_hand.value(), "dB", n, protocol, "mean over pictures")

    return MetricResult((measure,), (per_hand,))


def pixels_metric(study: Study) -> MetricResult:
    """Modelled against true variance of pixels."""
    system = study.system
    if not isinstance(system, PoseAppearanceVae):
        raise TypeError(f"{type(system).__name__} has no variance of pixels")
    hands = cut(study.data, study.predictions.fully_labelled[:CALIBRATED], system.crop)
    image = hands.require("image")
    return MetricResult(appearance_calibration(system, image, system.joints_of(hands)))


def sets_metric(study: Study) -> MetricResult:
    """Distances between generated pictures (these poses, random appearances) and real ones, as sets."""
    system = study.system
    if not isinstance(system, Generator):
        raise TypeError(f"{type(system).__name__} makes no pictures")
    measures: list[Measure] = []
    for extractor in (HandFeatures(), *study.extractors):
        measures += picture_measures(
            system, study.data, extractor, study.poses, seed=study.seed, cache=study.cache
        )
    return MetricResult(tuple(measures))


def consistency_metric(study: Study) -> MetricResult:
    """Whether generated pictures show the requested pose."""
    inputs = GenerationInputs.of(study.system, study.predictions, study.seed)
    detector = study.require_detector()
    kinds = [
        pose_consistency(
            inputs,
            real_pictures(study.data, inputs.rows, study.system.crop),
            detector,
            appearances,
            study.seed,
        )
        for appearances in APPEARANCE_SOURCES
    ]

    measures: list[Measure] = []
    per_hand: list[PerHand] = []
    curves: list[Curve] = []
    places = tuple(float(place) for place in range(len(JOINT_NAMES)))

    for kind in kinds:
        measures += kind.measures()
        per_hand += kind.compared(inputs.rows, len(study.predictions.target))
        means = tuple(kind.errors.nanmean(0).tolist())
        curves.append(Curve(f"{study.name}, {kind.appearances}", places, means, "dots"))

    figure = Plot(
        title="Requested against detected joints",
        x_label="",
        y_label="mean error, % of hand size",
        curves=tuple(curves),
        note=f"mean over pictures in which a hand is found; {detector.relation(study.system)}",
        ticks=JOINT_NAMES,
    )
    return MetricResult(tuple(measures), tuple(per_hand), (figure,))


def leakage_metric(study: Study) -> MetricResult:
    """Whether swapping the appearance moves the pose, and the other way round."""
    inputs = GenerationInputs.of(study.system, study.predictions, study.seed)
    result = leakage(inputs, study.require_detector(), study.seed)
    sheet = Sheet(
        f"Swaps of {study.name}", result.sheet, "Each row has one appearance, each column one pose."
    )
    return MetricResult(result.measures, sheets=(sheet,))
