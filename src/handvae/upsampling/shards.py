"""The pictures of a plan on disk: shards written, and all of them read."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.data.files.shards import write_shard
from handvae.data.readers.shards import ShardHands
from handvae.upsampling.plan import shard_file
from handvae.upsampling.upsample import Upsampler


def write_shards(folder: Path, maker: Upsampler, first: int, step: int, report: Callable[[int], None]) -> int:
    """Make the shards that are missing, every `step`-th beginning with number `first`.

    Args:
        folder: of the shards; see `begin`.
        maker: of the pictures.
        first: number of this job's first shard.
        step: number of jobs that share the work.
        report: called after each shard with its number of pictures, those that existed included.

    Returns:
        The number of pictures made.
    """
    made = 0
    for number in maker.plan.shards[first::step]:
        path = shard_file(folder, number)
        if not path.is_file():
            description = f"handvae upsample, {maker.plan.model}"
            made += write_shard(path, maker.spec, maker.shard(number), description)
        report(len(maker.plan.numbers(number)))

    return made


@dataclass(frozen=True)
class GeneratedSet:
    """All pictures of a plan, read from its shards."""

    data: ShardHands
    error: Float[Tensor, " picture"]
    """Mean error of the detector's joints, over hand size; NaN where it finds no hand."""
    kept: Int[Tensor, " kept"]
    dropped: Int[Tensor, " dropped"]
    """The worst first; those in which no hand was found before all others."""
    kinds: tuple[str, ...]
    """Where the pose of each comes from."""

    @classmethod
    def of(cls, folder: Path) -> "GeneratedSet":
        """Read the finished shards."""
        data = ShardHands(folder)
        provenances = [json.loads(data.provenance_of(row)) for row in range(len(data))]

        errors = [provenance["check_error"] for provenance in provenances]
        error = torch.tensor([float("nan") if value is None else value for value in errors])
        kept = torch.tensor([provenance["kept"] for provenance in provenances], dtype=torch.bool)

        # no hand found counts as the largest error
        order = error.nan_to_num(float("inf")).argsort(descending=True, stable=True)

        return cls(
            data=data,
            error=error,
            kept=kept.nonzero()[:, 0],
            dropped=order[~kept[order]],
            kinds=tuple(str(provenance["pose"]["kind"]) for provenance in provenances),
        )
