"""A study report in the terminal: a line that sums up, tables, the protocols of their numbers."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from handvae.evaluation.measure import Measure
from handvae.evaluation.resampling import Difference
from handvae.evaluation.study import Study
from handvae.evaluation.study_report import Report

WIDTH = 120
"""Narrowest table, characters; definitions are unreadable in fewer."""
SIGNIFICANT = 0.05

# the first measure of a line that a model has is its headline
_HEADLINES: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("error_over_hand_size_median", lambda value: f"{value:.1f} % of hand size in 2D"),
    ("epe", lambda value: f"{value:.1f} mm in 3D"),
    ("psnr", lambda value: f"pictures reconstructed at {value:.1f} dB"),
    ("spread_coverage", lambda value: f"spread {value:.0f} % within one deviation"),
    ("fid_unseen", lambda value: f"FID {value:.1f} on unseen poses"),
    ("fid_seen", lambda value: f"FID {value:.1f} on seen poses"),
    ("fd_hand_unseen", lambda value: f"hand-feature Frechet distance {value:.2f} on unseen poses"),
    ("fd_hand_seen", lambda value: f"hand-feature Frechet distance {value:.2f} on seen poses"),
    (
        "consistency_random_within_10",
        lambda value: f"{value:.0f} % of generated pictures show the requested pose",
    ),
    ("leak_appearance_to_pose", lambda value: f"appearance to pose leak {value:.3f}"),
    ("dci_disentanglement", lambda value: f"DCI disentanglement {value:.2f}"),
    ("chamfer_mm", lambda value: f"cloud {value:.1f} mm"),
)


# ---------------------------------------------------------------------------------------------------- summary


def summary_of_measures(measures: Iterable[Measure]) -> str:
    """The most important numbers in a few words; the first number where none of these was measured."""
    measures = tuple(measures)
    values = {measure.name: measure.value for measure in measures}
    headlines = [text(values[name]) for name, text in _HEADLINES if math.isfinite(values.get(name, math.nan))]
    if headlines:
        return ", ".join(headlines)

    for measure in measures:
        if math.isfinite(measure.value):
            return f"{measure.name} {measure.value:.4g} {measure.unit}".rstrip()

    return "nothing could be measured"


def summary(studies: Sequence[Study], report: Report, dataset: str, split: str | None) -> str:
    """One line: the models, the data, N and the most important numbers of each model."""
    n = len(studies[0].predictions.target)
    data = f"on {dataset} ({split or 'all splits'}, N = {n})"
    texts = [(column.name, summary_of_measures(column.measures)) for column in report.columns]
    if len(texts) == 1:
        ((name, text),) = texts
        return f"{name} {data}: {text}"
    return f"{len(texts)} models {data}: " + "; ".join(f"{name}: {text}" for name, text in texts)


def summary_of_differences(differences: Sequence[Difference]) -> str:
    """One line: how many comparisons there are, and how many are unlikely by chance."""
    small = sum(difference.p_value < SIGNIFICANT for difference in differences)
    first = differences[0].first
    return (
        f"{first} compared with the others, {len(differences)} differences: "
        f"{small} with p < {SIGNIFICANT:g}, not corrected for their number"
    )


# ----------------------------------------------------------------------------------------------------- tables


def print_report(report: Report, title: str) -> None:
    """The table of measures with its protocols, then that of differences between several models."""
    console = _console()
    rows = report.rows()
    protocols = list(dict.fromkeys(row.protocol for row in rows))

    values = (Column(column.name, overflow="fold") for column in report.columns)
    table = Table(Column("metric", no_wrap=True), *values, "N", "definition", "protocol", title=escape(title))

    for row in rows:
        number = protocols.index(row.protocol) + 1
        table.add_row(row.name, *map(escape, row.cells), row.n, row.definition, f"({number})")

    console.print(table)

    console.print(f"In brackets: {report.interval_protocol}.", markup=False, highlight=False)
    for number, protocol in enumerate(protocols, 1):
        console.print(f"({number}) {protocol}", markup=False, highlight=False)

    if report.differences:
        print(summary_of_differences(report.differences))
        console.print(_difference_table(report.differences))
        console.print(report.differences[0].protocol, markup=False)


def _difference_table(differences: Sequence[Difference]) -> Table:
    table = Table(
        Column("metric", no_wrap=True),
        Column("models", overflow="fold"),
        "difference",
        "95 % interval",
        "p",
        title="Compared on the same hands",
    )
    for difference in differences:
        table.add_row(
            difference.name,
            f"{difference.first} - {difference.second}",
            f"{difference.value:.3g} {difference.unit}",
            f"{difference.interval.low:.3g} to {difference.interval.high:.3g}",
            f"{difference.p_value:.2g}",
        )

    return table


def print_measures(title: str, measures: Sequence[Measure]) -> None:
    """A table of measures, and below it each protocol with the names that share it."""
    table = Table("metric", "value", "N", "definition", title=escape(title))
    for measure in measures:
        value = f"{measure.value:.5g} {measure.unit}"
        table.add_row(measure.name, value, str(measure.n), measure.definition)

    console = _console()
    console.print(table)
    for protocol in dict.fromkeys(measure.protocol for measure in measures):
        names = ", ".join(measure.name for measure in measures if measure.protocol == protocol)
        console.print(f"[bold]{escape(str(protocol))}[/bold]: {names}", highlight=False)


def _console() -> Console:
    console = Console()
    console.width = max(console.width, WIDTH)
    return console


# ------------------------------------------------------------------------------------------------------- JSON


def report_json(report: Report) -> dict[str, Any]:
    """The report as plain lists and dictionaries; a number that is not finite becomes null."""
    models = []
    for column in report.columns:
        measures = []
        for measure in column.measures:
            entry = measure.to_json()
            interval = column.intervals.get(measure.name)
            if interval is not None:
                entry["interval"] = [_finite(interval.low), _finite(interval.high)]
            measures.append(entry)

        models.append({"name": column.name, "measures": measures})

    return {
        "interval_is": report.interval_protocol,
        "models": models,
        "differences": [asdict(difference) for difference in report.differences],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
