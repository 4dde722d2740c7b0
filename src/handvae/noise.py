"""Random numbers that are passed in: the same seed and step give the same numbers on any number of ranks."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.errors import UserError


class Stream(IntEnum):
    """Who draws: users of the same seed and step that must not see the same numbers.

    Published numbers and shipped files depend on the values, so none of them changes. A few values occur
    twice (`tests/test_noise.py` lists them): their users never meet in one computation. A new stream takes
    a new value.
    """

    DEFAULT = 0

    # training
    LOADER = 1
    SYSTEM = 2
    SHEET = 3

    # evaluation
    GENERATED_ROWS = 1
    KERNEL_DISTANCE = 2
    RENEWAL = 3
    PAGE_ROWS = 7
    PAGE_SHEET = 8
    READ_ROWS = 11
    CONSISTENCY = 12
    OTHER_APPEARANCES = 13
    LEAKAGE = 21
    CODE_ROWS = 31
    LATENT_FACTORS = 41
    SPREAD_HALVES = 41
    LATENT = 51

    # upsampling
    UPSAMPLING_ORDER = 21
    NEIGHBOURS = 22
    POSES = 23
    APPEARANCES = 24
    REPORT_REAL = 25
    REPORT_KEPT = 26
    UPSAMPLING_PAGE = 27
    NAMED_APPEARANCES = 31

    # reproduction
    DETECTOR_ROWS = 27
    FIGURE_POSES = 31
    FIGURE_APPEARANCES = 32
    LATENT_ROWS = 33
    WALK_PAIRS = 33
    LATENT_SAMPLES = 34


@dataclass(frozen=True)
class Noise:
    """The random numbers of one training step, or of one batch of the loader, for one rank.

    Each draw is made for the whole global batch and cut to this rank's rows: two ranks with half a batch
    each see what one rank with the whole batch sees. Drawn on the CPU: the same numbers on every device.
    """

    seed: int
    step: int = 0
    stream: int = Stream.DEFAULT
    """Separates users of the same seed and step, such as the loader and the system."""
    rank: int = 0
    ranks: int = 1
    generator: torch.Generator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError("seed", f"is {self.seed}", "give 0 or more")

        # a hash of the three numbers: with their sum, step 1 of seed 0 would be step 0 of seed 1
        entropy = np.random.SeedSequence([self.seed, self.step, self.stream])
        state = int(entropy.generate_state(1, np.uint64)[0])
        object.__setattr__(self, "generator", torch.Generator().manual_seed(state))

    def _own_rows(self, drawn: Tensor, count: int) -> Tensor:
        return drawn[self.rank * count : (self.rank + 1) * count]

    def normal(self, count: int, *shape: int) -> Float[Tensor, "count *shape"]:
        """Standard normal numbers for `count` samples of this rank."""
        # drawn for all ranks: the generator then stands at the same place on each of them
        drawn = torch.randn(count * self.ranks, *shape, generator=self.generator)
        return self._own_rows(drawn, count)

    def uniform(
        self, count: int, *shape: int, low: int | float = 0, high: int | float = 1
    ) -> Float[Tensor, "count *shape"]:
        """Uniform numbers in [low, high) for `count` samples of this rank."""
        drawn = torch.rand(count * self.ranks, *shape, generator=self.generator)
        return self._own_rows(drawn * (high - low) + low, count)

    def permutation(self, count: int) -> Int[Tensor, " count"]:
        """A shuffle of this rank's `count` samples among themselves; each rank has its own."""
        # every rank draws all shuffles, so that later draws still join to those of one process
        orders = [torch.randperm(count, generator=self.generator) for _ in range(self.ranks)]
        return orders[self.rank]


def derangement(count: int, noise: Noise) -> Int[Tensor, " count"]:
    """For each of `count` samples a different one: its neighbour in a random circle.

    A single sample gets itself.
    """
    # neighbours in a circle differ, whatever the shuffle: no draw has to be repeated
    order = noise.permutation(count)
    return order.roll(1)[order.argsort()]
