"""Where the appearances of new pictures come from: random, other hands of the set, or one for all."""

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
class ChosenAppearances:
    """An appearance for each of some pictures."""

    appearance: Float[Tensor, "picture appearance"]
    names: tuple[str, ...]
    """Where each comes from, in words."""
    people: tuple[int, ...] | None = None
    """Whose appearances they are, where they are of people in the data set."""


class Appearances(ABC):
    """A source of appearances."""

    name: str
    """In words."""

    @abstractmethod
    def draw(self, rows: Int[Tensor, " picture"], noise: Noise) -> ChosenAppearances:
        """Appearances for pictures of the poses of these rows of the data set."""


@dataclass(frozen=True)
class RandomAppearances(Appearances):
    """Drawn from the Gaussian fitted to the appearances of the generator's training pictures."""

    system: Generator
    name: str = "random from the aggregate"

    def draw(self, rows: Int[Tensor, " picture"], noise: Noise) -> ChosenAppearances:
        """Another one for each picture."""
        appearance = self.system.random_appearance(len(rows), noise, "aggregate")
        return ChosenAppearances(appearance, (self.name,) * len(rows))


@dataclass(frozen=True)
class FixedAppearance(Appearances):
    """The same for all."""

    appearance: Float[Tensor, "1 appearance"]
    name: str

    def draw(self, rows: Int[Tensor, " picture"], noise: Noise) -> ChosenAppearances:
        """The one appearance, for each picture."""
        return ChosenAppearances(self.appearance.expand(len(rows), -1), (self.name,) * len(rows))


@dataclass(frozen=True)
class AppearancesOfOthers(Appearances):
    """Each picture gets the appearance of another hand of the set.

    Where people are known, it is a hand of another person than the pose's.
    """

    system: Generator
    data: HandData
    name: str = "of another hand of the set"

    def draw(self, rows: Int[Tensor, " picture"], noise: Noise) -> ChosenAppearances:
        """Encode one hand for each picture."""
        count = len(rows)
        candidates = noise.uniform(count, TRIES, high=len(self.data)).long().clamp_max(len(self.data) - 1)

        owners, candidate_people = self._people(rows), self._people(candidates.flatten())

        if owners is None or candidate_people is None:
            fits = candidates != rows[:, None]
        else:
            fits = candidate_people.view_as(candidates) != owners[:, None]

        # the first that fits; in a set of one person, the first of all
        givers = candidates[torch.arange(count), fits.int().argmax(1)]
        image = cut(self.data, givers, self.system.crop).require("image")
        people = self._people(givers)
        return ChosenAppearances(
            appearance=self.system.appearance_of(image),
            names=tuple(f"hand {self.data.name(row)}" for row in givers.tolist()),
            people=None if people is None else tuple(people.tolist()),
        )

    def _people(self, rows: Int[Tensor, " row"]) -> Int[Tensor, " row"] | None:
        return self.data.labels(rows).subject
