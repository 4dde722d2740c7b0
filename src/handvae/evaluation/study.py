"""What a metric of `handvae evaluate` is given, and what it returns."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.evaluation.detection import HandDetector
from handvae.evaluation.features import Extractor
from handvae.evaluation.measure import Measure
from handvae.evaluation.model_predictions import ModelPredictions
from handvae.evaluation.picture_distances import Poses
from handvae.evaluation.plots import Plot
from handvae.evaluation.resampling import PerHand
from handvae.systems.system import PoseEstimator


@dataclass(frozen=True)
class Study:
    """A model on a data set, predicted once for all metrics."""

    name: str
    """The model's name in tables and figures."""
    system: PoseEstimator
    data: HandData
    predictions: ModelPredictions
    detector: HandDetector | None = None
    """Detects joints in generated pictures."""
    seed: int = 0
    poses: Poses = "unseen"
    """Whether the model was trained on these hands."""
    extractors: tuple[Extractor, ...] = ()
    """Feature spaces, in addition to that of hands, in which generated and real pictures are compared."""
    cache: Path | None = None
    """Folder that keeps the features of real pictures."""

    def require_detector(self) -> HandDetector:
        """The detector.

        Raises:
            ValueError: there is none.
        """
        if self.detector is None:
            raise ValueError(f"no detector looks at the pictures of {self.name}")
        return self.detector


@dataclass(frozen=True)
class Sheet:
    """A picture for the page."""

    title: str
    pixels: Float[Tensor, "3 height width"]
    caption: str


@dataclass(frozen=True)
class MetricResult:
    """What a metric returns; figures of one title are drawn together for all models."""

    measures: tuple[Measure, ...]
    per_hand: tuple[PerHand, ...] = ()
    figures: tuple[Plot, ...] = ()
    sheets: tuple[Sheet, ...] = ()
