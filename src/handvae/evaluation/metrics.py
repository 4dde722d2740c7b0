"""The named metrics of `handvae evaluate`, and why a metric cannot be measured on a study."""

from collections.abc import Callable
from dataclasses import dataclass

from handvae.evaluation.code_metrics import factors_metric, latent_factors_metric
from handvae.evaluation.estimate_metrics import pose_metric, spread_metric
from handvae.evaluation.picture_distances import FEWEST
from handvae.evaluation.picture_metrics import (
    consistency_metric,
    leakage_metric,
    picture_metric,
    pixels_metric,
    sets_metric,
)
from handvae.evaluation.reading_metrics import reading_lacking, reading_metric
from handvae.evaluation.study import MetricResult, Study
from handvae.systems.da_vae import DaVae
from handvae.systems.pose_appearance import PoseAppearanceVae
from handvae.systems.system import Generator


@dataclass(frozen=True)
class Metric:
    """A named metric."""

    measure: Callable[[Study], MetricResult]
    lacking: Callable[[Study], str] = lambda study: ""
    """Why it cannot be measured; empty where it can."""


def _picture_lacking(study: Study) -> str:
    if not isinstance(study.system, Generator):
        return f"{study.name} makes no pictures"
    if not len(study.predictions.fully_labelled):
        return "no hand has all its joints labelled, so no picture can be generated"
    return ""


def _pixels_lacking(study: Study) -> str:
    if not isinstance(study.system, PoseAppearanceVae):
        return f"{study.name} has no variance of pixels"
    return _picture_lacking(study)


def _sets_lacking(study: Study) -> str:
    if fault := _picture_lacking(study):
        return fault
    if len(study.predictions.fully_labelled) < FEWEST:
        return f"fewer than {FEWEST} hands have all their joints labelled"
    return ""


def _detection_lacking(study: Study) -> str:
    if study.detector is None:
        return (
            f"{study.name} reads 3D poses, which do not say where joints are in a picture: "
            "give a 2D model or program as detector"
        )
    if fault := _picture_lacking(study):
        return fault
    if len(study.predictions.fully_labelled) < 3 or study.predictions.joints_px is None:
        return "fewer than three hands have all their 2D joints labelled"
    return ""


def _factors_lacking(study: Study) -> str:
    if "factors" in study.data.spec.modalities:
        return ""
    return "the data set has no true factors"


def _latent_factors_lacking(study: Study) -> str:
    if not isinstance(study.system, DaVae):
        return f"{study.name} has no factors of pose, appearance and shape"
    missing = [name for name in study.system.fields if name not in study.data.spec.modalities]
    return f"the data set has no {', '.join(missing)}" if missing else ""


METRICS = {
    "pose":           Metric(pose_metric),
    "reading":        Metric(reading_metric, reading_lacking),
    "picture":        Metric(picture_metric, _picture_lacking),
    "spread":         Metric(spread_metric),
    "pixels":         Metric(pixels_metric, _pixels_lacking),
    "sets":           Metric(sets_metric, _sets_lacking),
    "consistency":    Metric(consistency_metric, _detection_lacking),
    "leakage":        Metric(leakage_metric, _detection_lacking),
    "factors":        Metric(factors_metric, _factors_lacking),
    "latent_factors": Metric(latent_factors_metric, _latent_factors_lacking),
}  # fmt: skip
