"""Several models on the same hands: their measures in columns, with intervals, differences and figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from handvae.errors import UserError
from handvae.evaluation.measure import Measure
from handvae.evaluation.metrics import METRICS
from handvae.evaluation.plots import Plot
from handvae.evaluation.resampling import (
    Difference,
    Draws,
    Interval,
    PerHand,
    bootstrap,
    difference,
    interval,
)
from handvae.evaluation.study import Sheet, Study


@dataclass(frozen=True)
class StudyColumn:
    """One model's numbers."""

    name: str
    measures: tuple[Measure, ...]
    intervals: dict[str, Interval]
    """Of the measures that are statistics over hands, by name."""


@dataclass(frozen=True)
class StudyRow:
    """A measure of all models, as text; models whose protocols differ have a row each."""

    name: str
    cells: tuple[str, ...]
    n: str
    definition: str
    protocol: str


@dataclass(frozen=True)
class Report:
    """All that was found out about some models on one data set."""

    columns: tuple[StudyColumn, ...]
    differences: tuple[Difference, ...]
    """Of the first model and each other one, where their protocols agree."""
    figures: tuple[Plot, ...]
    sheets: tuple[Sheet, ...]
    interval_protocol: str

    def rows(self) -> list[StudyRow]:
        """The table, a row a measure and protocol."""
        keys = dict.fromkeys(
            (m.name, m.definition, str(m.protocol)) for column in self.columns for m in column.measures
        )
        found = [
            {(m.name, m.definition, str(m.protocol)): m for m in column.measures} for column in self.columns
        ]
        rows = []
        for key in keys:
            name, of_models = key[0], [measures.get(key) for measures in found]
            cells = tuple(
                "" if m is None else _cell(m, c.intervals.get(name))
                for m, c in zip(of_models, self.columns, strict=True)
            )
            counts = dict.fromkeys(str(m.n) for m in of_models if m is not None)
            rows.append(StudyRow(name, cells, ", ".join(counts), *key[1:]))
        return rows


def report(studies: Sequence[Study], wanted: Sequence[str] | None) -> Report:
    """Run metrics on studies of one data set.

    Args:
        studies: a model each, read on the same hands.
        wanted: names out of `METRICS`; None for all that fit each model and the data.

    Raises:
        UserError: a wanted metric does not fit.
    """
    if wanted is not None:
        for name in wanted:
            if lacking := next(filter(None, map(METRICS[name].lacking, studies)), ""):
                raise UserError("--metrics", f"{name}: {lacking}", "leave it out")
    outcomes = [[METRICS[name].measure(study) for name in wanted or _fitting(study)] for study in studies]
    first = studies[0].predictions
    subject = None if first.subject is None else first.subject.numpy()
    draws = Draws.of(len(first.target), subject, studies[0].seed)
    measures = [tuple(m for outcome in row for m in outcome.measures) for row in outcomes]
    per_hand = [{p.name: p for outcome in row for p in outcome.per_hand} for row in outcomes]
    columns = tuple(
        StudyColumn(study.name, found, {name: interval(bootstrap(p, draws)) for name, p in hands.items()})
        for study, found, hands in zip(studies, measures, per_hand, strict=True)
    )
    differences = [
        difference((columns[0].name, per_hand[0][name]), (column.name, hands[name]), draws)
        for column, hands in zip(columns[1:], per_hand[1:], strict=True)
        for name in _comparable(columns[0], column, per_hand[0], hands)
    ]
    figures = _merged([figure for row in outcomes for outcome in row for figure in outcome.figures])
    protocol = (
        f"95 % percentile bootstrap, {draws.count} draws of {draws.groups} {draws.unit}, seed {draws.seed}"
    )
    sheets = tuple(sheet for row in outcomes for outcome in row for sheet in outcome.sheets)
    return Report(columns, tuple(differences), figures, sheets, protocol)


def _fitting(study: Study) -> list[str]:
    return [name for name, metric in METRICS.items() if not metric.lacking(study)]


def _comparable(
    a: StudyColumn, b: StudyColumn, hands_a: dict[str, PerHand], hands_b: dict[str, PerHand]
) -> list[str]:
    """Metrics that both have with equal protocols."""
    terms = {m.name: m.terms for m in b.measures}
    return [
        m.name for m in a.measures if m.name in hands_a and m.name in hands_b and terms.get(m.name) == m.terms
    ]


def _cell(measure: Measure, of: Interval | None) -> str:
    text = f"{measure.value:.4g} {measure.unit}".strip()
    return text if of is None else f"{text} [{of.low:.4g}, {of.high:.4g}]"


def _merged(figures: Sequence[Plot]) -> tuple[Plot, ...]:
    """Figures of one title and one scale as one."""
    kept: dict[tuple[str, str, str], Plot] = {}
    for figure in figures:
        key = (figure.title, figure.x_label, figure.y_label)
        before = kept.get(key)
        if before is not None:
            figure = replace(
                before, curves=tuple(dict.fromkeys((*before.curves, *figure.curves)))
            )  # a reference curve stays one
        kept[key] = figure
    return tuple(kept.values())
