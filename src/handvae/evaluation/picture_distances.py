"""How near generated pictures are to real ones: `fid_seen`, `fid_unseen` and their kin, as SRV-VAE's tables
have them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.errors import UserError
from handvae.evaluation.features import Extractor, features_of, kept_features
from handvae.evaluation.frechet import FEWEST_BLOCKS, frechet_distance, gaussian_of, kernel_distance, manifold
from handvae.evaluation.measure import Measure, PictureProtocol
from handvae.noise import Noise, Stream
from handvae.systems.pose_appearance import PoseAppearanceVae
from handvae.systems.system import Generator

MOST = 10_000
"""Pictures of each set."""
BATCH = 64

FEWEST = 2 * FEWEST_BLOCKS
"""Hands with all joints labelled, without which nothing is compared."""

Poses = Literal["seen", "unseen"]
AppearanceSource = Literal["prior", "aggregate"]


@dataclass(frozen=True)
class _Real:
    """Real crops in batches; can be gone through again."""

    data: HandData
    rows: Int[Tensor, " rows"]
    system: Generator

    def __iter__(self) -> Iterator[Float[Tensor, "batch 3 height width"]]:
        for rows in self.rows.split(BATCH):
            image = cut(self.data, rows, self.system.crop).require("image")
            yield image


@dataclass(frozen=True)
class _Generated:
    """One picture of each pose, each with looks of its own."""

    data: HandData
    rows: Int[Tensor, " rows"]
    system: Generator
    appearances: AppearanceSource
    seed: int

    def __iter__(self) -> Iterator[Float[Tensor, "batch 3 height width"]]:
        for step, rows in enumerate(self.rows.split(BATCH)):
            joints = self.system.joints_of(cut(self.data, rows, self.system.crop, fields=()))
            appearances = self.system.random_appearance(len(rows), Noise(self.seed, step), self.appearances)
            yield self.system.synthesize(joints, appearances)


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
    """Compare real pictures of a split with pictures generated from the poses of that split, one random
    appearance each.

    Both sets have N = min(hands whose joints are all labelled, `most`) pictures, because a Frechet distance
    depends on N.

    Args:
        system: makes the pictures; its crop cuts the real ones too.
        data: the training split for `seen`, the test split for `unseen`.
        extractor: features to compare in.
        poses: part of the numbers' names.
        looks: where appearances are drawn from.
        most: most pictures of each set; a larger split is drawn from without replacement.
        seed: of the draws.
        cache: folder that keeps the real pictures' features; None keeps none.

    Raises:
        UserError: fewer than 20 hands have all their joints labelled.
    """
    rows = fully_labelled_rows(data)
    if len(rows) < FEWEST:
        fault = f"{len(rows)} hands of {len(data)} have all their joints labelled, and distances of sets need {FEWEST}"
        raise UserError("data set", fault, "give a larger split")
    if len(rows) > most:
        rows = (
            rows[
                torch.randperm(len(rows), generator=Noise(seed, stream=Stream.GENERATED_ROWS).generator)[
                    :most
                ]
            ]
            .sort()
            .values
        )
    real = kept_features(_Real(data, rows, system), extractor, cache)
    generated = features_of(_Generated(data, rows, system, appearances, seed), extractor)
    return set_measures(
        real, generated, extractor, _protocol(system, extractor, poses, appearances), poses, seed
    )


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
    kernel = kernel_distance(real, generated, Noise(seed, stream=Stream.KERNEL_DISTANCE).generator)
    cover = manifold(real, generated)
    frechet_name, kernel_name = (f"{name}_{suffix}" for name in extractor.distances)
    blocks = f"unbiased, polynomial kernel, {kernel.blocks} disjoint blocks of {kernel.block}"
    where = f"{extractor.space}_{suffix}"
    near = f"{cover.neighbours} nearest neighbours"
    return (
        Measure(
            frechet_name,
            frechet_distance(gaussian_of(real), gaussian_of(generated)),
            "",
            n,
            protocol,
            "Frechet distance, float64",
        ),
        Measure(kernel_name, kernel.value, "", n, protocol, f"mean; {blocks}"),
        Measure(
            f"{kernel_name}_standard_error", kernel.standard_error, "", n, protocol, f"of that mean; {blocks}"
        ),
        Measure(
            f"precision_{where}",
            100 * cover.precision,
            "%",
            n,
            protocol,
            f"generated pictures within the real manifold; {near}",
        ),
        Measure(
            f"recall_{where}",
            100 * cover.recall,
            "%",
            n,
            protocol,
            f"real pictures within the generated manifold; {near}",
        ),
        Measure(
            f"density_{where}",
            cover.density,
            "",
            n,
            protocol,
            f"real neighbourhoods that hold a generated picture, mean; {near}",
        ),
        Measure(
            f"coverage_{where}",
            100 * cover.coverage,
            "%",
            n,
            protocol,
            f"real neighbourhoods that hold a generated picture; {near}",
        ),
    )


def batch_norm(system: nn.Module) -> str:
    """How a system's batch normalisation works as it stands: `eval`, `train`, `eval, renewed` or `none` where
    it has none."""
    layers = _batch_norms(system)
    if not layers:
        return "none"
    renewed = ", renewed" if any(layer.momentum is None for layer in layers) else ""
    return "train" if any(layer.training for layer in layers) else f"eval{renewed}"


@torch.no_grad()
def renew_statistics(system: Generator, data: HandData, batches: int, *, seed: int = 0) -> None:
    """Measure the statistics of batch normalisation anew where pictures are made: their means over batches of
    generated pictures.

    Those of training followed reconstructions and fakes of its last steps; a checkpoint can look far worse
    with them than with the batch's
    own. The layers keep no momentum afterwards, by which `batch_norm` knows them. The encoder's are left
    alone.

    Args:
        system: at rest.
        data: whose poses are asked for, over and over where there are fewer.
        batches: how many.
        seed: of the appearances.

    Raises:
        UserError: no hand has all its joints labelled.
    """
    rows = fully_labelled_rows(data)
    if not len(rows):
        raise UserError(
            data.spec.name,
            "no hand has all its joints labelled, so no picture can be asked for",
            "give another set",
        )
    layers = _batch_norms(system)
    before = [
        ({name: value.clone() for name, value in layer.named_buffers()}, layer.momentum) for layer in layers
    ]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
        layer.train()
    for step in range(batches):
        some = rows[(torch.arange(BATCH) + step * BATCH) % len(rows)]
        joints = system.joints_of(cut(data, some, system.crop, fields=()))
        system.synthesize(joints, system.random_appearance(len(some), Noise(seed, step, Stream.RENEWAL)))
    for layer, (buffers, momentum) in zip(layers, before, strict=True):
        layer.eval()
        if layer.num_batches_tracked == 0:  # it makes no pictures
            layer.load_state_dict(layer.state_dict() | buffers)
            layer.momentum = momentum


def _batch_norms(system: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [module for module in system.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def fully_labelled_rows(data: HandData) -> Int[Tensor, " rows"]:
    """Rows whose joints are all labelled."""
    valid = data.labels(torch.arange(len(data))).require("joint_valid")
    return valid.all(1).nonzero()[:, 0]


def _protocol(
    system: Generator, extractor: Extractor, poses: Poses, appearances: AppearanceSource
) -> PictureProtocol:
    split = "training" if poses == "seen" else "test"
    drawn = "N(0, I)" if appearances == "prior" else "the aggregate posterior"
    variance = (
        f", variance of z_t {system.config.generation_variance}"
        if isinstance(system, PoseAppearanceVae)
        else ""
    )
    generated = f"pictures of the {split} poses, one appearance each from {drawn}{variance}"
    return PictureProtocol(
        extractor.described(system),
        system.crop.size_px,
        batch_norm(system),
        f"real {split} pictures",
        generated,
    )
