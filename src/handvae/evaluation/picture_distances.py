"""Distances between sets of generated and real pictures, as in SRV-VAE's tables: `fid_seen` and others."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.errors import UserError
from handvae.evaluation.batch_norm import batch_norm_mode
from handvae.evaluation.features import Extractor, features_of, kept_features
from handvae.evaluation.frechet import FEWEST_BLOCKS, frechet_distance, gaussian_of, kernel_distance, manifold
from handvae.evaluation.generation_inputs import fully_labelled_rows, random_rows
from handvae.evaluation.measure import Measure, PictureProtocol
from handvae.evaluation.model_predictions import BATCH
from handvae.noise import Noise, Stream
from handvae.systems.pose_appearance import PoseAppearanceVae
from handvae.systems.system import Generator

MOST = 10_000
"""Most pictures of each set."""
FEWEST = 2 * FEWEST_BLOCKS
"""Fewest fully labelled hands; with fewer nothing is compared."""

Poses = Literal["seen", "unseen"]
AppearanceSource = Literal["prior", "aggregate"]


@dataclass(frozen=True)
class _Real:
    """Real crops in batches; can be iterated several times."""

    data: HandData
    rows: Int[Tensor, " rows"]
    system: Generator

    def __iter__(self) -> Iterator[Float[Tensor, "batch 3 height width"]]:
        for rows in self.rows.split(BATCH):
            yield cut(self.data, rows, self.system.crop).require("image")


@dataclass(frozen=True)
class _Generated:
    """One picture of each pose, each with a random appearance."""

    data: HandData
    rows: Int[Tensor, " rows"]
    system: Generator
    appearances: AppearanceSource
    seed: int

    def __iter__(self) -> Iterator[Float[Tensor, "batch 3 height width"]]:
        for step, rows in enumerate(self.rows.split(BATCH)):
            joints = self.system.joints_of(cut(self.data, rows, self.system.crop, fields=()))
            appearance = self.system.random_appearance(len(rows), Noise(self.seed, step), self.appearances)
            yield self.system.synthesize(joints, appearance)


def picture_measures(
    system: Generator,
    data: HandData,
    extractor: Extractor,
    poses: Poses,
    *,
    appearances: AppearanceSource = "prior",
    most: int = MOST,
    seed: int = 0,
    cache: Path | None = None,
) -> tuple[Measure, ...]:
    """Compare a split's real pictures with pictures generated from its poses, one random appearance each.

    Both sets have N = min(fully labelled hands, `most`) pictures, because a Frechet distance depends on N.

    Args:
        system: generates the pictures; its crop cuts the real ones too.
        data: the training split for `seen`, the test split for `unseen`.
        extractor: features to compare in.
        poses: part of the numbers' names.
        appearances: the distribution that appearances are drawn from.
        most: most pictures of each set; a larger split is sampled without replacement.
        seed: of the draws.
        cache: folder that keeps the real pictures' features; None keeps none.

    Raises:
        UserError: fewer than 20 hands have all their joints labelled.
    """
    rows = fully_labelled_rows(data)
    if len(rows) < FEWEST:
        fault = (
            f"{len(rows)} hands of {len(data)} have all their joints labelled, "
            f"and distances of sets need {FEWEST}"
        )
        raise UserError("data set", fault, "give a larger split")

    rows = random_rows(rows, most, Noise(seed, stream=Stream.GENERATED_ROWS))
    real = kept_features(_Real(data, rows, system), extractor, cache)
    generated = features_of(_Generated(data, rows, system, appearances, seed), extractor)
    protocol = _protocol(system, extractor, poses, appearances)
    return set_measures(real, generated, extractor, protocol, poses, seed)


def set_measures(
    real: Float[Tensor, "n feature"],
    generated: Float[Tensor, "m feature"],
    extractor: Extractor,
    protocol: PictureProtocol,
    suffix: str,
    seed: int = 0,
) -> tuple[Measure, ...]:
    """All distances of two sets of features, named `<distance>_<suffix>`, or `<share>_<space>_<suffix>`."""
    n = min(len(real), len(generated))
    frechet = frechet_distance(gaussian_of(real), gaussian_of(generated))
    kernel = kernel_distance(real, generated, Noise(seed, stream=Stream.KERNEL_DISTANCE).generator)
    overlap = manifold(real, generated)

    frechet_name, kernel_name = (f"{name}_{suffix}" for name in extractor.distances)
    space = f"{extractor.space}_{suffix}"
    blocks = f"unbiased, polynomial kernel, {kernel.blocks} disjoint blocks of {kernel.block}"
    nearest = f"{overlap.neighbours} nearest neighbours"
    hold_generated = f"real neighbourhoods that hold a generated picture, mean; {nearest}"

    def number(name: str, value: float, definition: str) -> Measure:
        return Measure(name, value, "", n, protocol, definition)

    def percent(name: str, share: float, definition: str) -> Measure:
        return Measure(name, 100 * share, "%", n, protocol, f"{definition}; {nearest}")

    return (
        number(frechet_name, frechet, "Frechet distance, float64"),
        number(kernel_name, kernel.value, f"mean; {blocks}"),
        number(f"{kernel_name}_standard_error", kernel.standard_error, f"of that mean; {blocks}"),
        percent(f"precision_{space}", overlap.precision, "generated pictures within the real manifold"),
        percent(f"recall_{space}", overlap.recall, "real pictures within the generated manifold"),
        number(f"density_{space}", overlap.density, hold_generated),
        percent(f"coverage_{space}", overlap.coverage, "real neighbourhoods that hold a generated picture"),
    )


def _protocol(
    system: Generator, extractor: Extractor, poses: Poses, appearances: AppearanceSource
) -> PictureProtocol:
    split = "training" if poses == "seen" else "test"
    source = "N(0, I)" if appearances == "prior" else "the aggregate posterior"
    variance = ""
    if isinstance(system, PoseAppearanceVae):
        variance = f", variance of z_t {system.config.generation_variance}"

    return PictureProtocol(
        extractor=extractor.described(system),
        size_px=system.crop.size_px,
        batch_norm=batch_norm_mode(system),
        real=f"real {split} pictures",
        generated=f"pictures of the {split} poses, one appearance each from {source}{variance}",
    )
