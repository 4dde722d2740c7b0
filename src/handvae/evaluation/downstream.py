"""Do new pictures help? The small detector trained on real pictures alone, and on real and new ones, in as many steps."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from handvae.data.mixture import Mixture
from handvae.data.reader import HandData
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.reading import read
from handvae.evaluation.reproduction import trained
from handvae.evaluation.table import Recipe
from handvae.systems.system import Reader
from handvae.training.distributed import Ranks
from handvae.training.presets import find_preset

PRESET = "detector-64"


def downstream(real: HandData, new: HandData, test: HandData, folder: Path, seeds: Sequence[int], steps: int) -> Iterator[Measure]:
    """Train and test with each seed; all errors are on `test`, over hands, in % of hand size.

    Args:
        real: the real training pictures.
        new: pictures to add.
        test: real pictures of the test split.
        folder: of the runs; a run that is there whole or in part is gone on with.
        seeds: of weights, order and augmentation; the two runs of a seed share it.
        steps: of each run.
    """
    sets = {"real": real, "real_and_new": Mixture([real, new])}
    errors = {name: [_error(data, test, folder / f"{name}-{seed}", seed, steps) for seed in seeds] for name, data in sets.items()}
    batch = find_preset(PRESET).train.batch
    for name, found in errors.items():
        words = f"detector {PRESET} trained {steps} steps of {batch} on {len(sets[name])} pictures ({name.replace('_', ' ')})"
        protocol = Stated(f"{words}; seeds {', '.join(map(str, seeds))}; tested on {len(test)} real pictures, 2D, all labelled joints")
        each = ", ".join(f"{value:.3f}" for value in found)
        yield Measure(f"downstream_error_{name}", statistics.fmean(found), "%", len(test), protocol, f"mean error over hand size; {each}")
    gains = [100 * (1 - b / a) for a, b in zip(errors["real"], errors["real_and_new"], strict=True)]
    spread = f"; standard deviation over seeds {statistics.stdev(gains):.2f}" if len(gains) > 1 else ""
    each = ", ".join(f"{gain:.2f}" for gain in gains)
    stated = Stated(f"detector {PRESET}, {steps} steps of {batch} each, {len(real)} real and {len(new)} new pictures, {len(seeds)} seeds")
    yield Measure(
        "downstream_gain", statistics.fmean(gains), "%", len(test), stated, f"error taken away by the new pictures; {each}{spread}"
    )


def hand_errors(system: Reader, test: HandData) -> Float[Tensor, " hand"]:
    """Mean error of each hand's labelled joints, in % of hand size (2D) or mm (3D); NaN for a hand without any."""
    return read(system, test).errors.nanmean(1)


def _error(data: HandData, test: HandData, folder: Path, seed: int, steps: int) -> float:
    """Mean error, in % of hand size, of a detector trained on these pictures."""
    found = hand_errors(trained(Recipe(PRESET), data, folder, seed, steps, Ranks()).reader, test)
    return float(found[found.isfinite()].mean())
