"""Random numbers that are handed in: the same seed and step give the same numbers on any number of ranks."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.errors import UserError


@dataclass(frozen=True)
class Noise:
    """The random numbers of one training step (or of one batch of the loader), for one rank's share of the
    global batch.

    Each draw is made for the whole global batch and cut to this rank's rows, so that two ranks with half a
    batch each see what one rank
    with the whole batch sees. Drawn on the CPU: the same numbers on every device.
    """

    seed: int
    step: int = 0
    stream: int = 0
    """Separates users of the same seed and step, such as the loader and the system."""
    rank: int = 0
    ranks: int = 1
    generator: torch.Generator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError("seed", f"is {self.seed}", "give 0 or more")
        state = np.random.SeedSequence([self.seed, self.step, self.stream]).generate_state(1, np.uint64)[0]
        object.__setattr__(self, "generator", torch.Generator().manual_seed(int(state)))

    def _own(self, drawn: Tensor, count: int) -> Tensor:
        return drawn[self.rank * count : (self.rank + 1) * count]

    def normal(self, count: int, *shape: int) -> Float[Tensor, "count *shape"]:
        """Standard normal numbers for `count` samples of this rank."""
        return self._own(torch.randn(count * self.ranks, *shape, generator=self.generator), count)

    def uniform(
        self, count: int, *shape: int, low: int | float = 0, high: int | float = 1
    ) -> Float[Tensor, "count *shape"]:
        """Uniform numbers in [low, high) for `count` samples of this rank."""
        return self._own(
            torch.rand(count * self.ranks, *shape, generator=self.generator) * (high - low) + low, count
        )

    def permutation(self, count: int) -> Int[Tensor, " count"]:
        """A shuffle of this rank's `count` samples among themselves (each rank its own)."""
        orders = [torch.randperm(count, generator=self.generator) for _ in range(self.ranks)]
        return orders[self.rank]


def foreign(count: int, noise: Noise) -> Tensor:
    """For each of `count` samples another one: neighbours in a random circle, so never the own where there
    are two."""
    order = noise.permutation(count)
    return order.roll(1)[order.argsort()]
