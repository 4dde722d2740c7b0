"""Where the looks of new pictures come from: drawn at random, taken from other hands of the set, or the same
for all."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.noise import Noise
from handvae.systems.system import Generator

TRIES = 64
"""Hands drawn to find one of another person."""


@dataclass(frozen=True)
class Drawn:
    """Looks of some pictures."""

    appearance: Float[Tensor, "picture appearance"]
    names: tuple[str, ...]
    """Where each comes from, in words."""
    people: tuple[int, ...] | None = None
    """Whose looks they are, where that is somebody of the data set."""


class Appearances(ABC):
    """A source of looks."""

    name: str
    """In words."""

    @abstractmethod
    def draw(self, rows: Int[Tensor, " picture"], noise: Noise) -> Drawn:
        """Looks for pictures of the poses of these rows of the data set."""


@dataclass(frozen=True)
class RandomAppearances(Appearances):
    """Drawn from the Gaussian fitted to the looks of the generator's training pictures."""

    system: Generator
    name: str = "random from the aggregate"

    def draw(self, rows: Int[Tensor, " picture"], noise: Noise) -> Drawn:
        """A look a picture."""
        return Drawn(self.system.random_appearance(len(rows), noise, "aggregate"), (self.name,) * len(rows))


@dataclass(frozen=True)
class FixedAppearance(Appearances):
    """The same for all."""

    appearance: Float[Tensor, "1 appearance"]
    name: str

    def draw(self, rows: Int[Tensor, " picture"], noise: Noise) -> Drawn:
        """The one look, for each picture."""
        return Drawn(self.appearance.expand(len(rows), -1), (self.name,) * len(rows))


@dataclass(frozen=True)
class AppearancesOfOthers(Appearances):
    """Each picture gets the looks of another hand of the set: of another person than the pose's, where people
    are known."""

    system: Generator
    data: HandData
    name: str = "of another hand of the set"

    def draw(self, rows: Int[Tensor, " picture"], noise: Noise) -> Drawn:
        """Encode one hand a picture."""
        count = len(rows)
        tried = noise.uniform(count, TRIES, high=len(self.data)).long().clamp_max(len(self.data) - 1)
        own, theirs = self._people(rows), self._people(tried.flatten())
        fits = (
            tried != rows[:, None] if own is None or theirs is None else theirs.view_as(tried) != own[:, None]
        )
        givers = tried[
            torch.arange(count), fits.int().argmax(1)
        ]  # the first that fits; the first of all in a set of one person
        image = cut(self.data, givers, self.system.crop).require("image")
        people = self._people(givers)
        names = tuple(f"hand {self.data.name(row)}" for row in givers.tolist())
        return Drawn(
            self.system.appearance_of(image), names, None if people is None else tuple(people.tolist())
        )

    def _people(self, rows: Int[Tensor, " row"]) -> Int[Tensor, " row"] | None:
        return self.data.labels(rows).subject
