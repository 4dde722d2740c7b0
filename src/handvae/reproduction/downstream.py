"""Do new pictures help? The small detector trained on real pictures alone, and on real and new ones.

Both take equally many steps.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from handvae.choices import Schedule
from handvae.data.dataset import HandData
from handvae.data.mixture import Mixture
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.model_predictions import predict_hands
from handvae.reproduction.experiment import trained
from handvae.reproduction.recipe import resolve
from handvae.reproduction.table import SCHEDULES, Recipe
from handvae.systems.system import PoseEstimator
from handvae.training.checkpoint import Model
from handvae.training.distributed import Ranks
from handvae.training.presets import find_preset

PRESET = "detector-64"


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
        folder: of the runs; finished runs are kept, unfinished ones resume.
        seeds: of weights, order and augmentation; the two runs of a seed share it.
        steps: of each run.
        schedule: of the run on both.
    """
    recipe = Recipe(PRESET)
    both = "real_and_new" if schedule == "mix" else "real_and_new_then_real"

    real_errors, both_errors = [], []

    for seed in seeds:
        alone = trained(recipe, real, folder / f"real-{seed}", seed, steps, Ranks())
        real_errors.append(_mean_error(alone, test))
        mixed = trained_on_both(recipe, real, new, folder / f"{both}-{seed}", seed, steps, Ranks(), schedule)
        both_errors.append(_mean_error(mixed, test))

    # the error of each kind of training
    batch = find_preset(PRESET).train.batch
    seed_list = ", ".join(map(str, seeds))
    tested = f"seeds {seed_list}; tested on {len(test)} real pictures, 2D, all labelled joints"
    for name, pictures, errors in (
        ("real", f"{len(real)} real pictures", real_errors),
        (both, f"{len(real)} and {len(new)} {SCHEDULES[schedule]}", both_errors),
    ):
        protocol = f"detector {PRESET} trained {steps} steps of {batch} on {pictures}; {tested}"
        each = ", ".join(f"{error:.3f}" for error in errors)
        yield Measure(
            name=f"downstream_error_{name}",
            value=statistics.fmean(errors),
            unit="%",
            n=len(test),
            protocol=Stated(protocol),
            definition=f"mean error over hand size; {each}",
        )

    # the gain, paired by seed
    gains = [100 * (1 - b / a) for a, b in zip(real_errors, both_errors, strict=True)]
    definition = f"error taken away by the new pictures; {', '.join(f'{gain:.2f}' for gain in gains)}"
    if len(gains) > 1:
        definition += f"; standard deviation over seeds {statistics.stdev(gains):.2f}"

    yield Measure(
        name="downstream_gain",
        value=statistics.fmean(gains),
        unit="%",
        n=len(test),
        protocol=Stated(
            f"detector {PRESET}, {steps} steps of {batch} each, {len(real)} real and {len(new)} new pictures "
            f"({schedule}), {len(seeds)} seeds"
        ),
        definition=definition,
    )


def gains_on(
    test: HandData, seeds: Sequence[int], steps: int, schedule: Schedule
) -> Callable[[HandData, HandData, Path], list[Measure]]:
    """`downstream` of real and new pictures in a folder, with all else given."""

    def measure_gains(real: HandData, new: HandData, folder: Path) -> list[Measure]:
        return list(downstream(real, new, test, folder, seeds, steps, schedule))

    return measure_gains


def training_commands(dataset: Path, new: Path, include_real: bool, schedule: Schedule) -> list[str]:
    """How to train on the new pictures and the real ones.

    Args:
        dataset: the real pictures.
        new: the new ones.
        include_real: whether the folder of the new ones also holds the real ones.
        schedule: of the training.
    """
    mixed = Path("runs/mixed")
    data = f"--data.root {new}" if include_real else f"--data.root {dataset} --data.also {new}"
    commands = [f"handvae train {PRESET} {data} --out {mixed}"]
    if schedule == "mix-then-real":
        commands.append(f"handvae train {PRESET} --data.root {dataset} --init {mixed} --out runs/then_real")

    return commands


def _mean_error(model: Model, test: HandData) -> float:
    """Mean over the test hands that have labelled joints, in % of hand size."""
    errors = hand_errors(model.pose_estimator, test)
    return float(errors[errors.isfinite()].mean())


def hand_errors(system: PoseEstimator, test: HandData) -> Float[Tensor, " hand"]:
    """Mean error of each hand's labelled joints, in % of hand size (2D) or mm (3D); NaN without any."""
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

    # half of the steps each; the first half takes the odd one
    total = resolve(recipe, seed, steps).train.total_steps(len(real))
    first = trained(recipe, both, folder / "mix", seed, total - total // 2, ranks)
    return trained(recipe, real, folder / "then-real", seed, max(1, total // 2), ranks, init=first)
