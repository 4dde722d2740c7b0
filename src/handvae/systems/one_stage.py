"""Systems that train one network as a whole, with one optimiser."""

from collections.abc import Iterable

import torch
from torch import nn

from handvae.data.hands import Hands
from handvae.noise import Noise
from handvae.systems.system import Stage, System


class OneStage(System):
    """One stage, one group, nothing taken from the labels."""

    summarised: tuple[str, ...] = ()
    """Terms of the losses whose means over training pictures are kept with the model."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One: everything is trained together."""
        return (Stage("all", trains=("all",)),)

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """One: the whole network."""
        return {"all": tuple(self.children())}

    def prepare(self, labels: Hands) -> None:
        """Its units are those of the crop and of the hand: nothing is taken from the labels."""

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Means of `summarised` on training pictures; nothing is kept."""
        count = 0
        sums = dict.fromkeys(self.summarised, 0.0)
        for batch in batches:
            (phase,) = self.step(batch, "all", Noise(0))
            scalars = phase.losses.scalars()
            count += len(batch)
            for name in sums:
                sums[name] += len(batch) * scalars[name]
        return {f"training_{name}": value / count for name, value in sums.items()}
