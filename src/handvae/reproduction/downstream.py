"""Do new pictures help? The small detector trained on real pictures alone, and on real and new ones, in as
many steps."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.data.mixture import Mixture
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.model_predictions import predict_hands
from handvae.reproduction.experiment import trained
from handvae.reproduction.table import Recipe
from handvae.systems.system import PoseEstimator
from handvae.training.checkpoint import Model
from handvae.training.distributed import Ranks
from handvae.training.presets import find_preset

PRESET = "detector-64"
Schedule = Literal["mix", "mix-then-real"]
"""What a training on real and new pictures sees: batches of all of them, or these for the first half and then
real ones alone."""
WORDS: dict[Schedule, str] = {
    "mix": "real and new pictures",
    "mix-then-real": "real and new pictures, then real ones alone for the second half",
}


def downstream(
    real: HandData,
    new: HandData,
    test: HandData,
    folder: Path,
    seeds: Sequence[int],
    steps: int,
    schedule: Schedule = "mix",
) -> Iterator[Measure]:
    """Train and test with each seed; all errors are on `test`, over hands, in % of hand size.

    Args:
        real: the real training pictures.
        new: pictures to add.
        test: real pictures of the test split.
        folder: of the runs; a run that is there whole or in part is gone on with.
        seeds: of weights, order and augmentation; the two runs of a seed share it.
        steps: of each run.
        schedule: of the run on both.
    """
    recipe, both = Recipe(PRESET), "real_and_new" if schedule == "mix" else "real_and_new_then_real"
    errors: dict[str, list[float]] = {"real": [], both: []}
    for seed in seeds:
        alone = trained(recipe, real, folder / f"real-{seed}", seed, steps, Ranks())
        mixed = trained_on_both(recipe, real, new, folder / f"{both}-{seed}", seed, steps, Ranks(), schedule)
        for name, model in (("real", alone), (both, mixed)):
            found = hand_errors(model.reader, test)
            errors[name].append(float(found[found.isfinite()].mean()))
    batch = find_preset(PRESET).train.batch
    counts = {"real": f"{len(real)} real pictures", both: f"{len(real)} and {len(new)} {WORDS[schedule]}"}
    for name, found in errors.items():
        words = f"detector {PRESET} trained {steps} steps of {batch} on {counts[name]}"
        protocol = Stated(
            f"{words}; seeds {', '.join(map(str, seeds))}; tested on {len(test)} real pictures, 2D, all labelled joints"
        )
        each = ", ".join(f"{value:.3f}" for value in found)
        yield Measure(
            f"downstream_error_{name}",
            statistics.fmean(found),
            "%",
            len(test),
            protocol,
            f"mean error over hand size; {each}",
        )
    gains = [100 * (1 - b / a) for a, b in zip(errors["real"], errors[both], strict=True)]
    spread = f"; standard deviation over seeds {statistics.stdev(gains):.2f}" if len(gains) > 1 else ""
    each = ", ".join(f"{gain:.2f}" for gain in gains)
    stated = Stated(
        f"detector {PRESET}, {steps} steps of {batch} each, {len(real)} real and {len(new)} new pictures ({schedule}), {len(seeds)} seeds"
    )
    yield Measure(
        "downstream_gain",
        statistics.fmean(gains),
        "%",
        len(test),
        stated,
        f"error taken away by the new pictures; {each}{spread}",
    )


def hand_errors(system: PoseEstimator, test: HandData) -> Float[Tensor, " hand"]:
    """Mean error of each hand's labelled joints, in % of hand size (2D) or mm (3D); NaN for a hand without
    any."""
    return predict_hands(system, test).errors.nanmean(1)


def trained_on_both(
    recipe: Recipe,
    real: HandData,
    new: HandData,
    folder: Path,
    seed: int,
    steps: int | None,
    ranks: Ranks,
    schedule: Schedule,
) -> Model:
    """The model of a training on real and new pictures; the arguments are those of `trained`."""
    both = Mixture([real, new])
    if schedule == "mix":
        return trained(recipe, both, folder, seed, steps, ranks)
    total = recipe.settled(seed, steps).train.total_steps(len(real))
    first = trained(recipe, both, folder / "mix", seed, total - total // 2, ranks)
    return trained(recipe, real, folder / "then-real", seed, max(1, total // 2), ranks, init=first)
