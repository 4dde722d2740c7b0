"""What the training loop asks of a system: stages, steps, phases."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.hands import DataSpec, Hands
from handvae.data.view import Crop
from handvae.noise import Noise


@dataclass(frozen=True)
class Losses:
    """What one optimiser step minimises, and its named parts; a system adds a field for each part."""

    total: Float[Tensor, ""]

    def scalars(self) -> dict[str, float]:
        """Field names and values, for the log."""
        return {field.name: float(getattr(self, field.name).detach()) for field in fields(self)}


@dataclass(frozen=True)
class Prediction:
    """A pose read from a picture, in crop units (2D) or bone units (3D)."""

    joints: Float[Tensor, "batch joint axis"]
    spread: Float[Tensor, "batch joint axis"]
    """Standard deviation that the encoder claims; not calibrated."""


@dataclass(frozen=True)
class Phase:
    """One optimiser step: back-propagate `losses.total` into the parameters of `group`, and into no others."""

    losses: Losses
    group: str
    name: str = ""
    """Prefix of its scalars in the log; needed where one step has several phases."""


@dataclass(frozen=True)
class Stage:
    """A stretch of training; everything outside `trains` is frozen and at rest (its normalisation statistics included)."""

    name: str
    trains: tuple[str, ...]
    """Names of parameter groups."""
    share: float = 1.0
    """Share of the run's steps, relative to the other stages'."""


class System(nn.Module, ABC):
    """A model with its way of training: what the one loop asks for. An interface only; what systems share they import from below."""

    config: Any
    """The system's frozen configuration dataclass."""
    spec: DataSpec
    crop: Crop
    objectives: tuple[str, ...] = ()
    """Names of methods that are pure in their arguments and take most of a step's time: the loop may compile them."""

    @property
    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """The stretches of training, in order."""

    @property
    @abstractmethod
    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Named sets of modules; each group has its own optimiser."""

    @abstractmethod
    def prepare(self, labels: Hands) -> None:
        """Take what is constant from the training labels (means, scales) before the first step."""

    @abstractmethod
    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """Yield one phase per optimiser step; a later phase sees the parameters that the earlier one has updated."""

    @abstractmethod
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Measure and keep what generation needs (latent moments) from training pictures; called before a model is written."""

    @abstractmethod
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """A picture that shows how training goes."""
