"""Whether a detector finds the requested pose in generated pictures, and as a floor in real ones."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.evaluation.detection import HandDetector
from handvae.evaluation.generation_inputs import GenerationInputs
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.pose import hand_size, joint_errors
from handvae.evaluation.resampling import PerHand
from handvae.noise import Noise, Stream

NEAR = 10
"""Error in % of hand size up to which a picture counts as showing the pose."""
APPEARANCE_SOURCES = ("real", "own", "random", "other")
SOURCE_TEXT = {
    "real": "the real pictures against their labels, the floor of the others",
    "own": "pictures of the true pose with the hand's own appearance",
    "random": "pictures of the true pose, appearances drawn from the training pictures' distribution",
    "other": (
        "pictures of the true pose with the appearance of another hand "
        "(of another person where people are known)"
    ),
}


@dataclass(frozen=True)
class Consistency:
    """What a detector finds in one kind of pictures."""

    appearances: str
    """The kind of pictures: one of `APPEARANCE_SOURCES`, or a word of another report."""
    errors: Float[Tensor, "batch joint"]
    """In % of hand size; NaN where no hand is found."""
    protocol: Stated

    @property
    def name(self) -> str:
        """What the names of its measures begin with."""
        return f"consistency_{self.appearances}"

    @property
    def per_hand(self) -> Float[Tensor, " batch"]:
        """Mean error of each picture in which a hand is found, else NaN."""
        return self.errors.nanmean(1)

    def measures(self) -> tuple[Measure, ...]:
        """Share of pictures with a hand, the error in these, share of pictures that show the pose."""
        error = self.per_hand
        found = error[error.isfinite()]
        median = float(found.quantile(0.5)) if len(found) else float("nan")

        def percent(name: str, value: float, n: int, definition: str) -> Measure:
            return Measure(f"{self.name}_{name}", value, "%", n, self.protocol, definition)

        return (
            percent(
                "found",
                100 * len(found) / len(error),
                len(error),
                "share of pictures in which a hand is found",
            ),
            percent(
                "error_median",
                median,
                len(found),
                "median of the mean errors over hand size where a hand is found",
            ),
            percent(
                "error_mean",
                float(found.mean()),
                len(found),
                "mean of the mean errors over hand size where a hand is found",
            ),
            percent(
                f"within_{NEAR}",
                100 * float((error <= NEAR).float().mean()),
                len(error),
                "share of pictures in which a hand is found "
                f"with a mean error of at most {NEAR} % of hand size",
            ),
        )

    def compared(self, rows: Int[Tensor, " batch"], count: int) -> tuple[PerHand, ...]:
        """The same values hand by hand, for comparisons of models.

        Args:
            rows: the pictures' rows in the data set.
            count: hands of the data set.
        """
        some = self.per_hand.numpy()
        error = _over_all(some, rows, count)
        found = _over_all(100.0 * np.isfinite(some), rows, count)
        near = _over_all(100.0 * (some <= NEAR), rows, count)
        once = np.ones(count)
        return (
            PerHand(f"{self.name}_found", "%", "mean", found, once),
            PerHand(f"{self.name}_error_median", "%", "median", error, once),
            PerHand(f"{self.name}_error_mean", "%", "mean", error, once),
            PerHand(f"{self.name}_within_{NEAR}", "%", "mean", near, once),
        )


def _over_all(values: np.ndarray, rows: Int[Tensor, " batch"], count: int) -> np.ndarray:
    """Values of some rows as values of all, NaN elsewhere."""
    spread_out = np.full(count, np.nan)
    spread_out[rows.numpy()] = values
    return spread_out


def pose_consistency(
    inputs: GenerationInputs,
    real: Iterable[Tensor],
    detector: HandDetector,
    appearances: str,
    seed: int = 0,
) -> Consistency:
    """Compare the joints detected in pictures of hands with the requested ones.

    Args:
        inputs: the hands.
        real: their real crops, batch by batch; read for `real` only.
        detector: looks at the pictures.
        appearances: one of `APPEARANCE_SOURCES`.
        seed: of the appearances.
    """
    system = inputs.system
    match appearances:
        case "real":
            pictures = real
        case "own":
            pictures = inputs.synthesize(inputs.appearance)
        case "random":
            noise = Noise(seed, stream=Stream.CONSISTENCY)
            pictures = inputs.synthesize(system.random_appearance(len(inputs), noise, "aggregate"))
        case "other":
            pictures = inputs.synthesize(inputs.other_appearance(seed))
        case _:
            raise ValueError(f"appearances is one of {APPEARANCE_SOURCES}, not {appearances!r}")

    detections = detector.detect(pictures, system.crop)
    target = inputs.joints_px
    valid = torch.ones(target.shape[:2], dtype=torch.bool)
    size = hand_size(target, valid)[:, None]
    errors = joint_errors(detections.joints_px.nan_to_num(), target, valid) / size

    protocol = Stated(
        f"{detector.relation(system)}; {SOURCE_TEXT[appearances]}; "
        f"{system.crop.size_px} px crop, 2D, no alignment, all 21 joints"
    )
    percent = (100 * errors).masked_fill(~detections.found[:, None], float("nan"))

    return Consistency(appearances, percent, protocol)
