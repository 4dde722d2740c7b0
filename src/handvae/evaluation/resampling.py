"""How sure a number is, and whether two models differ: bootstrap intervals and a paired permutation test.

Hands of one person are not independent, so where a data set names its people, whole people are drawn (and
exchanged between the models), not single hands. All models see the same draws.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Statistic = Literal["mean", "median"]
DRAWS = 2000
CHUNK_VALUES = 4_000_000
"""Numbers in memory at the same time, so that many hands need no more memory than few."""


@dataclass(frozen=True)
class PerHand:
    """A metric hand by hand."""

    name: str
    """Of the measure that its statistic gives."""
    unit: str
    statistic: Statistic
    values: Float[np.ndarray, " hand"]
    """NaN for a hand that does not count."""
    weights: Float[np.ndarray, " hand"]
    """What a hand counts for in the mean, such as its number of labelled joints."""

    def value(self) -> float:
        """The statistic over all hands."""
        return float(_statistic(self.values[None], self.weights[None], self.statistic)[0])


@dataclass(frozen=True)
class Interval:
    """Where a number would fall if other hands had been measured: the middle of its bootstrap draws."""

    low: float
    high: float
    level: float = 0.95
    """Share of the draws inside."""


@dataclass(frozen=True)
class Difference:
    """A metric of one model minus that of another, on the same hands."""

    name: str
    unit: str
    first: str
    second: str
    value: float
    interval: Interval
    p_value: float
    """Share of exchanges of the two models, person by person or hand by hand, that differ as much or more."""
    n: int
    """Hands that both models have a value for."""
    protocol: str


@dataclass(frozen=True)
class Draws:
    """Which hands count how often in each bootstrap draw, and which each permutation exchanges.

    They are made from a seed, in pieces, so that memory does not grow with their number.
    """

    group: Int[np.ndarray, " hand"]
    """Number of the person, counted from 0; or of the hand, where people are unknown."""
    unit: str
    """What is drawn: persons or hands."""
    seed: int = 0
    count: int = DRAWS

    @classmethod
    def of(
        cls, hands: int, subject: Int[np.ndarray, " hand"] | None, seed: int = 0, count: int = DRAWS
    ) -> "Draws":
        """Draws over people where they are known and more than one, else over hands."""
        if subject is None or len(np.unique(subject)) < 2:
            return cls(np.arange(hands), "hands", seed, count)

        _, number = np.unique(subject, return_inverse=True)
        return cls(number.reshape(-1), "persons", seed, count)

    @property
    def groups(self) -> int:
        """Number of persons, or hands."""
        return int(self.group.max()) + 1

    def _chunks(self, stream: int) -> Iterator[tuple[np.random.Generator, int]]:
        """The stream's generator, and how many draws to take of it next."""
        generator, left = np.random.default_rng([self.seed, stream]), self.count
        most = max(1, CHUNK_VALUES // len(self.group))
        while left > 0:
            yield generator, min(most, left)

            left -= most

    def resampled(self) -> Iterator[Float[np.ndarray, "draw hand"]]:
        """How often each hand is in each draw of as many groups as there are, with replacement."""
        for generator, count in self._chunks(0):
            drawn = generator.multinomial(self.groups, np.full(self.groups, 1 / self.groups), size=count)
            yield drawn[:, self.group].astype(np.float64)

    def exchanged(self) -> Iterator[np.ndarray]:
        """Which hands are exchanged between two models, half of the groups at random: bool, (draw, hand)."""
        for generator, count in self._chunks(1):
            yield generator.integers(2, size=(count, self.groups)).astype(bool)[:, self.group]


def bootstrap(metric: PerHand, draws: Draws) -> Float[np.ndarray, " draw"]:
    """The metric's statistic in every draw."""
    return np.concatenate(
        [
            _statistic(metric.values[None], metric.weights * counts, metric.statistic)
            for counts in draws.resampled()
        ]
    )


def interval(values: Float[np.ndarray, " draw"], level: float = 0.95) -> Interval:
    """The percentile interval of bootstrap draws."""
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)


def difference(first: tuple[str, PerHand], second: tuple[str, PerHand], draws: Draws) -> Difference:
    """Compare two models on one metric: first minus second, paired hand by hand.

    Raises:
        ValueError: the two are different metrics or were measured on different hands.
    """
    (name_a, a), (name_b, b) = first, second
    if a.name != b.name or a.values.shape != b.values.shape:
        raise ValueError(
            f"{a.name} on {len(a.values)} hands and {b.name} on {len(b.values)} hands cannot be paired"
        )

    # only hands that both models have a value for
    both = np.isfinite(a.values) & np.isfinite(b.values)
    a, b = (replace(metric, values=np.where(both, metric.values, np.nan)) for metric in (a, b))
    observed = a.value() - b.value()

    # the difference, had the models been exchanged on half of the groups
    exchanges = []
    for swap in draws.exchanged():
        one = _statistic(
            np.where(swap, b.values, a.values), np.where(swap, b.weights, a.weights), a.statistic
        )
        other = _statistic(
            np.where(swap, a.values, b.values), np.where(swap, a.weights, b.weights), a.statistic
        )
        exchanges.append(one - other)

    # the observed labelling is one of the exchanges, so p is never 0; a tie may differ by rounding
    extreme = np.abs(np.concatenate(exchanges)) >= abs(observed) * (1 - 1e-9)
    p_value = float((extreme.sum() + 1) / (draws.count + 1))

    protocol = (
        f"{a.statistic} over hands, first minus second; interval: percentile bootstrap of {draws.count} "
        f"paired draws of {draws.groups} {draws.unit}; p: two-sided permutation test, models exchanged "
        f"{draws.unit[:-1]} by {draws.unit[:-1]}, {draws.count} draws"
    )

    return Difference(
        name=a.name,
        unit=a.unit,
        first=name_a,
        second=name_b,
        value=observed,
        interval=interval(bootstrap(a, draws) - bootstrap(b, draws)),
        p_value=p_value,
        n=int(both.sum()),
        protocol=protocol,
    )


def _statistic(
    values: Float[np.ndarray, "#draw hand"], weights: Float[np.ndarray, "#draw hand"], statistic: Statistic
) -> Float[np.ndarray, " draw"]:
    """Weighted mean or median of each draw, hands without a value left out."""
    counted = np.isfinite(values)
    weights, values = np.where(counted, weights, 0.0), np.where(counted, values, 0.0)
    total = weights.sum(1)

    # a draw in which no hand counts is NaN
    with np.errstate(invalid="ignore"):
        if statistic == "mean":
            return (weights * values).sum(1) / total

        # hands by their value, and the weight up to each
        order = np.argsort(np.where(counted, values, np.inf), axis=1)
        shape = np.broadcast_shapes(values.shape, weights.shape)
        order, values, weights = (np.broadcast_to(array, shape) for array in (order, values, weights))
        upto = np.take_along_axis(weights, order, 1).cumsum(1)

        # the middle two, which are the same hand where their number is odd
        half = total[:, None] / 2
        middles = np.stack([(upto >= half - 1e-9).argmax(1), (upto > half + 1e-9).argmax(1)], 1)
        ascending = np.take_along_axis(values, order, 1)
        found = np.take_along_axis(ascending, middles, 1).mean(1)
        return np.where(total > 0, found, np.nan)
