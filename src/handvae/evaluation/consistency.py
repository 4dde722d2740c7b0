"""Does the picture show the pose? A detector reads generated pictures, and the same detector reads real ones
beside them as the floor."""

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
"""Error in % of hand size below which a picture counts as showing the pose."""
APPEARANCE_SOURCES = ("real", "own", "random", "other")
WORDS = {
    "real": "the real pictures against their labels, the floor of the others",
    "own": "pictures of the true pose with the hand's own appearance",
    "random": "pictures of the true pose, appearances drawn from the training pictures' distribution",
    "other": "pictures of the true pose with the appearance of another hand (of another person where people are known)",
}


@dataclass(frozen=True)
class Consistency:
    """What a detector finds in one kind of pictures."""

    appearances: str
    """What the pictures are: one of `APPEARANCE_SOURCES`, or a word of another report."""
    errors: Float[Tensor, "batch joint"]
    """In % of hand size; NaN where no hand is found."""
    protocol: Stated

    @property
    def per_hand(self) -> Float[Tensor, " batch"]:
        """Mean error of each picture in which a hand is found, else NaN."""
        return self.errors.nanmean(1)

    def measures(self) -> tuple[Measure, ...]:
        """Share found, error of those, share that shows the pose."""
        error, name = self.per_hand, f"consistency_{self.appearances}"
        read = error[error.isfinite()]
        median = float(read.quantile(0.5)) if len(read) else float("nan")
        near = (
            f"share of pictures in which a hand is found with a mean error of at most {NEAR} % of hand size"
        )

        def percent(what: str, value: float, n: int, definition: str) -> Measure:
            return Measure(f"{name}_{what}", value, "%", n, self.protocol, definition)

        return (
            percent(
                "found",
                100 * len(read) / len(error),
                len(error),
                "share of pictures in which a hand is found",
            ),
            percent(
                "error_median",
                median,
                len(read),
                "median of the mean errors over hand size where a hand is found",
            ),
            percent(
                "error_mean",
                float(read.mean()),
                len(read),
                "mean of the mean errors over hand size where a hand is found",
            ),
            percent(f"within_{NEAR}", 100 * float((error <= NEAR).float().mean()), len(error), near),
        )

    def compared(self, rows: Int[Tensor, " batch"], count: int) -> tuple[PerHand, ...]:
        """The same hand by hand, over all `count` hands of the data set, of which these are `rows`."""
        error = np.full(count, np.nan)
        error[rows.numpy()] = self.per_hand.numpy()
        found, near = (np.full(count, np.nan) for _ in range(2))
        found[rows.numpy()] = 100.0 * np.isfinite(error[rows.numpy()])
        near[rows.numpy()] = 100.0 * (error[rows.numpy()] <= NEAR)
        name, once = f"consistency_{self.appearances}", np.ones(count)
        return (
            PerHand(f"{name}_found", "%", "mean", found, once),
            PerHand(f"{name}_error_median", "%", "median", error, once),
            PerHand(f"{name}_error_mean", "%", "mean", error, once),
            PerHand(f"{name}_within_{NEAR}", "%", "mean", near, once),
        )


def pose_consistency(
    inputs: GenerationInputs, real: Iterable[Tensor], detector: HandDetector, appearances: str, seed: int = 0
) -> Consistency:
    """Compare what is found in pictures of hands with the joints asked for.

    Args:
        inputs: the hands.
        real: their real crops, batch by batch; gone through for `real` only.
        detector: reads the pictures.
        looks: one of `APPEARANCE_SOURCES`.
        seed: of the appearances.
    """
    system = inputs.system
    match appearances:
        case "real":
            made = real
        case "own":
            made = inputs.synthesize(inputs.appearance)
        case "random":
            made = inputs.synthesize(
                system.random_appearance(len(inputs), Noise(seed, stream=Stream.CONSISTENCY), "aggregate")
            )
        case "other":
            made = inputs.synthesize(inputs.other_appearance(seed))
        case _:
            raise ValueError(f"looks is one of {APPEARANCE_SOURCES}, not {appearances!r}")
    found, truth = detector.detect(made, system.crop), inputs.joints_px
    everything = torch.ones(truth.shape[:2], dtype=torch.bool)
    errors = (
        joint_errors(found.joints_px.nan_to_num(), truth, everything) / hand_size(truth, everything)[:, None]
    )
    protocol = Stated(
        f"{detector.relation(system)}; {WORDS[appearances]}; {system.crop.size_px} px crop, 2D, no alignment, all 21 joints"
    )
    return Consistency(appearances, (100 * errors).masked_fill(~found.found[:, None], float("nan")), protocol)
