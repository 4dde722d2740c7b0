"""Tables on a data set of few people: each is left out of training once, and the numbers are their mean.

So is MSRA judged: nine models, each tested on the person that it has not seen.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy.stats import t as student

from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.plots import Plot
from handvae.reproduction.experiment import Reproduction, RowResult
from handvae.reproduction.pose_table import PoseTable
from handvae.reproduction.table import Recipe, TableColumn, TableRow
from handvae.training.checkpoint import Model

LEVEL = 0.95
"""Of the interval over people."""


@dataclass(frozen=True)
class LeaveOneOut(Reproduction):
    """A table whose every row is a training for each person left out."""

    folds: tuple[PoseTable, ...]
    """The table with each person left out."""
    people: tuple[str, ...]
    """Their names, in this order."""

    @property
    def columns(self) -> Sequence[TableColumn]:
        """Those of a table with one person left out."""
        return self.folds[0].columns

    @property
    def data(self) -> Sequence[str]:
        """The people, and the rows that these data cannot train."""
        name = self.folds[0].train.spec.name
        tested = sum(len(fold.test) for fold in self.folds)
        rule = f"each of {', '.join(self.people)} of {name} is left out of training once and then measured"
        return [
            f"{rule}: the mean over {len(self.people)} people, {tested} hands in all",
            *self.folds[0].data[1:],
        ]

    def check(self) -> None:
        """Refuse what any of the tables refuses."""
        for fold in self.folds:
            fold.check()

    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """The model that leaves the first person out."""
        return self.folds[0].model(row, recipe, seed)

    def depends_on(self, model: Model) -> dict[str, Any]:
        """As a table with one person left out."""
        return self.folds[0].depends_on(model)

    def measure(self, model: Model, seed: int) -> Iterable[Measure]:
        """The numbers of the first person."""
        return self.folds[0].measure(model, seed)

    def result(self, row: TableRow, recipe: Recipe, seed: int) -> RowResult:
        """Train and measure a row with one seed, once for each person."""
        results = [fold.result(row, recipe, seed) for fold in self.folds]
        return replace(results[0], measures=tuple(mean_measures([r.measures for r in results])))

    def findings(self, results: Sequence[RowResult]) -> Sequence[str]:
        """As a table with one person left out."""
        return self.folds[0].findings(results)

    def figures(self, results: Sequence[RowResult]) -> Sequence[Plot]:
        """As a table with one person left out."""
        return self.folds[0].figures(results)


def mean_measures(people: Sequence[Sequence[Measure]]) -> Iterable[Measure]:
    """The mean over people of each number that all of them have; every person counts the same.

    The interval of the mean error is Student's, over people.
    """
    by_name = [{measure.name: measure for measure in measures} for measures in people]
    count = len(people)

    for name, first in by_name[0].items():
        if not all(name in measures for measures in by_name):
            continue

        values = [measures[name].value for measures in by_name]
        value, definition = statistics.fmean(values), f"{first.definition}; mean over {count} people"
        if name in ("epe_low", "epe_high"):
            errors = [measures["epe"].value for measures in by_name]
            low, high = interval(errors)
            value = low if name == "epe_low" else high
            end = name.removeprefix("epe_")
            definition = f"95 % interval of the mean over {count} people (Student's t), {end} end"

        n = sum(measures[name].n for measures in by_name)
        yield replace(first, value=value, n=n, definition=definition, protocol=Stated(str(first.protocol)))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's interval of the mean of some values."""
    mean, count = statistics.fmean(values), len(values)
    reach = student.ppf((1 + LEVEL) / 2, count - 1) * statistics.stdev(values) / count**0.5
    return float(mean - reach), float(mean + reach)
