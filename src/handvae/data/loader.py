"""Batches by step number: a pure function of (seed, step), prefetched by threads."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from handvae.data.augment import Augment
from handvae.data.crop import Crop, PixelField, cut
from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.data.prefetch import prefetch
from handvae.noise import Noise, Stream


@dataclass(frozen=True)
class Loader:
    """An endless, shuffled, augmented stream of batches.

    Batch `step` depends on nothing but the seed and the step: a resumed run sees what an unbroken one would
    have seen. Rank r of n sees rows [r b, (r+1) b) of the global batch of n b.
    """

    data: HandData
    crop: Crop
    augment: Augment | None
    batch: int
    """Hands in the global batch, over all ranks."""
    seed: int = 0
    rank: int = 0
    ranks: int = 1
    workers: int = 2
    """Threads that decode and warp; OpenCV releases the interpreter lock meanwhile."""
    prefetched: int = 4
    """Batches prepared in advance."""
    fields: tuple[PixelField, ...] = ("image",)
    """Which pictures to read; see `crop.cut`."""

    def __post_init__(self) -> None:
        if self.batch % self.ranks:
            raise ValueError(f"a batch of {self.batch} does not divide over {self.ranks} ranks")

    def rows_at(self, step: int) -> Int[Tensor, " rows"]:
        """Rows of the data set in this rank's batch: one shuffle an epoch, nothing dropped."""
        count = len(self.data)
        share = self.batch // self.ranks
        # positions count on over all epochs, so that the last batch of one is filled from the next
        start = step * self.batch + self.rank * share
        positions = torch.arange(start, start + share)
        epochs = positions // count
        places = positions % count

        # a batch may lie in several epochs
        rows = torch.empty(share, dtype=torch.int64)

        for epoch in epochs.unique().tolist():
            # shuffling the whole epoch for each batch keeps the loader without state
            order = torch.randperm(count, generator=Noise(self.seed, epoch).generator)
            rows[epochs == epoch] = order[places[epochs == epoch]]

        return rows

    def batch_at(self, step: int) -> Hands:
        """This rank's share of batch `step`."""
        noise = Noise(self.seed, step, Stream.LOADER, self.rank, self.ranks)
        return cut(self.data, self.rows_at(step), self.crop, self.augment, noise, self.fields)

    def batches(self, start: int, stop: int) -> Iterator[Hands]:
        """Batches `start` up to `stop`, prepared ahead of their use."""
        return prefetch(self.batch_at, range(start, stop), self.workers, self.prefetched)
