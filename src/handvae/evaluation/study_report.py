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
from handvae.evaluation.study import MetricResult, Sheet, Study


@dataclass(frozen=True)
class StudyColumn:
    """One model's numbers."""

    name: str
    measures: tuple[Measure, ...]
    intervals: dict[str, Interval]
    """By the name of a measure, of those that are statistics over hands."""


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
    """All numbers and figures of some models on one data set."""

    columns: tuple[StudyColumn, ...]
    differences: tuple[Difference, ...]
    """Between the first model and each other one, where their protocols agree."""
    figures: tuple[Plot, ...]
    sheets: tuple[Sheet, ...]
    interval_protocol: str

    def rows(self) -> list[StudyRow]:
        """The table, a row for each measure and protocol."""
        by_key = [{_row_key(measure): measure for measure in column.measures} for column in self.columns]
        keys = dict.fromkeys(key for measures in by_key for key in measures)

        rows = []

        for key in keys:
            name, definition, protocol = key
            cells = []
            counts = []

            for column, measures in zip(self.columns, by_key, strict=True):
                measure = measures.get(key)
                if measure is None:
                    cells.append("")
                else:
                    cells.append(_cell(measure, column.intervals.get(name)))
                    counts.append(str(measure.n))

            n = ", ".join(dict.fromkeys(counts))
            rows.append(StudyRow(name, tuple(cells), n, definition, protocol))

        return rows


def _row_key(measure: Measure) -> tuple[str, str, str]:
    """What measures of one row share."""
    return measure.name, measure.definition, str(measure.protocol)


def _cell(measure: Measure, interval: Interval | None) -> str:
    text = f"{measure.value:.4g} {measure.unit}".strip()
    return text if interval is None else f"{text} [{interval.low:.4g}, {interval.high:.4g}]"


# -------------------------------------------------------------------------------------------------- measuring


@dataclass(frozen=True)
class _Results:
    """The results of all metrics of one study, joined."""

    measures: tuple[Measure, ...]
    per_hand: dict[str, PerHand]
    figures: tuple[Plot, ...]
    sheets: tuple[Sheet, ...]

    @classmethod
    def of(cls, results: Sequence[MetricResult]) -> "_Results":
        """The results one after the other."""
        return cls(
            measures=tuple(measure for result in results for measure in result.measures),
            per_hand={values.name: values for result in results for values in result.per_hand},
            figures=tuple(figure for result in results for figure in result.figures),
            sheets=tuple(sheet for result in results for sheet in result.sheets),
        )


def report_studies(studies: Sequence[Study], metrics: Sequence[str] | None) -> Report:
    """Run metrics on studies of one data set.

    Args:
        studies: one for each model, predicted on the same hands.
        metrics: names out of `METRICS`; None for all that fit each model and the data.

    Raises:
        UserError: a metric in `metrics` does not fit.
    """
    for name in metrics or ():
        for study in studies:
            if fault := METRICS[name].lacking(study):
                raise UserError("--metrics", f"{name}: {fault}", "leave it out")

    # all models see the same bootstrap draws
    first = studies[0]
    subject = first.predictions.subject
    people = None if subject is None else subject.numpy()
    draws = Draws.of(len(first.predictions.target), people, first.seed)

    results = [_measure(study, metrics) for study in studies]
    columns = [
        StudyColumn(study.name, result.measures, _intervals(result.per_hand, draws))
        for study, result in zip(studies, results, strict=True)
    ]
    differences: list[Difference] = []
    for column, result in zip(columns[1:], results[1:], strict=True):
        differences += _differences(columns[0], results[0], column, result, draws)

    return Report(
        columns=tuple(columns),
        differences=tuple(differences),
        figures=_merged([figure for result in results for figure in result.figures]),
        sheets=tuple(sheet for result in results for sheet in result.sheets),
        interval_protocol=(
            f"95 % percentile bootstrap, {draws.count} draws of {draws.groups} {draws.unit}, "
            f"seed {draws.seed}"
        ),
    )


def _measure(study: Study, metrics: Sequence[str] | None) -> _Results:
    names = metrics
    if names is None:
        names = [name for name, metric in METRICS.items() if not metric.lacking(study)]
    return _Results.of([METRICS[name].measure(study) for name in names])


def _intervals(per_hand: dict[str, PerHand], draws: Draws) -> dict[str, Interval]:
    return {name: interval(bootstrap(values, draws)) for name, values in per_hand.items()}


def _differences(
    first_column: StudyColumn, first: _Results, other_column: StudyColumn, other: _Results, draws: Draws
) -> list[Difference]:
    """The first model minus another one, for each metric that both have by hand with equal protocols."""
    terms = {measure.name: measure.terms for measure in other.measures}
    differences = []
    for measure in first.measures:
        name = measure.name
        in_both = name in first.per_hand and name in other.per_hand
        if in_both and terms.get(name) == measure.terms:
            pair = (first_column.name, first.per_hand[name]), (other_column.name, other.per_hand[name])
            differences.append(difference(*pair, draws))
    return differences


def _merged(figures: Sequence[Plot]) -> tuple[Plot, ...]:
    """Figures of one title and one scale as one; a curve that several share is drawn once."""
    merged: dict[tuple[str, str, str], Plot] = {}
    for figure in figures:
        key = (figure.title, figure.x_label, figure.y_label)
        if key in merged:
            curves = dict.fromkeys((*merged[key].curves, *figure.curves))
            figure = replace(merged[key], curves=tuple(curves))
        merged[key] = figure
    return tuple(merged.values())
