"""A reproduced table as text and as JSON: published numbers, ours over seeds, and what each depends on."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handvae.evaluation.measure import Measure
from handvae.evaluation.page import Section, page, plot
from handvae.files import write_text_atomically
from handvae.reproduction.experiment import Reproduction, RowResult
from handvae.reproduction.recipe import resolve
from handvae.reproduction.table import TableColumn, TableRow
from handvae.systems.pose_appearance import PoseAppearanceConfig


@dataclass(frozen=True)
class Summary:
    """A number of one row over seeds."""

    measure: Measure
    """Of the first seed, for its name, unit, N and protocol."""
    values: tuple[float, ...]

    @classmethod
    def of(cls, results: Sequence[RowResult], name: str) -> "Summary":
        """The number of that name over the results of a row."""
        first = next(measure for measure in results[0].measures if measure.name == name)
        return cls(first, tuple(result.value(name) for result in results))

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.values)

    def __str__(self) -> str:
        # NaN: this kind of model has no such number
        if math.isnan(self.mean):
            return "-"
        if len(self.values) == 1:
            return f"{self.mean:.4g}"
        return f"{self.mean:.4g} ({min(self.values):.4g} to {max(self.values):.4g})"

    def to_json(self) -> dict[str, Any]:
        """Mean, range and every seed's value; infinite values and NaN become null."""
        return {
            "mean": _finite(self.mean),
            "low": _finite(min(self.values)),
            "high": _finite(max(self.values)),
            "values": [_finite(value) for value in self.values],
            "unit": self.measure.unit,
            "n": self.measure.n,
            "terms": self.measure.terms,
        }


@dataclass(frozen=True)
class WrittenTable:
    """The text of a table, and its files."""

    text: str
    path: Path
    figure: Path | None


def write_table(work: Reproduction, results: Sequence[RowResult]) -> WrittenTable:
    """Write table.md, report.json and, if there are curves, figure.html into the table's folder."""
    plan = work.plan
    folder = plan.out / plan.table.name

    # trainings that ran in several processes arrive in any order
    order = [(row.name, seed) for row, _, seed in plan.trainings]
    results = sorted(results, key=lambda result: order.index((result.row.name, result.seed)))

    text = markdown(work, results)
    write_text_atomically(folder / "report.json", json.dumps(as_json(work, results), indent=1) + "\n")
    write_text_atomically(folder / "table.md", text)

    figure = None
    plots = work.figures(results)

    if plots:
        figure = folder / "figure.html"
        section = Section("", "".join(plot(curves) for curves in plots))
        write_text_atomically(figure, page(plan.table.name, [section]))

    return WrittenTable(text, folder / "table.md", figure)


def markdown(work: Reproduction, results: Sequence[RowResult]) -> str:
    """The table and its protocols, for a terminal and for table.md."""
    table, columns = work.plan.table, work.columns
    ours = by_row(results)

    heads = ["row"]

    for column in columns:
        if column.published:
            heads.append(f"paper, {column.published}")
        heads.append(column.heading)

    lines = [f"# {table.name}: {table.about}", "", _line(heads), "|---" * len(heads) + "|"]
    for row in table.rows:
        if row.name in ours or any(column in row.published for column in table.columns):
            lines.append(_line([row.name, *_entries(row, columns, ours.get(row.name, []))]))

    findings = work.findings(results)
    if findings:
        lines += ["", *(f"- {finding}" for finding in findings)]

    lines += ["", "Ours: mean over seeds, in brackets the lowest and the highest; -: not trained here."]
    lines += [f"Paper: {table.published}. {_comparable(work)}", ""]

    trainings = [trained_as(mine) for mine in ours.values()]
    lines += [f"- {note}" for note in (*work.data, *trainings, *_protocols(columns, ours))]
    return "\n".join(lines) + "\n"


def _line(entries: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(entries)} |"


def _entries(row: TableRow, columns: Sequence[TableColumn], mine: Sequence[RowResult]) -> list[str]:
    """The published numbers and ours, column by column; a dash where there is none."""
    entries = []
    for column in columns:
        if column.published:
            number = row.published.get(column.published)
            entries.append("-" if number is None else f"{number:g}")
        entries.append(str(Summary.of(mine, column.measure)) if mine else "-")
    return entries


def _protocols(columns: Sequence[TableColumn], ours: dict[str, list[RowResult]]) -> list[str]:
    """What each column's numbers depend on, once where rows agree."""
    protocols: dict[str, None] = {}
    for mine in ours.values():
        for column in columns:
            measure = Summary.of(mine, column.measure).measure
            protocols[f"{column.heading}: N = {measure.n}; {measure.terms}"] = None
    return list(protocols)


def as_json(work: Reproduction, results: Sequence[RowResult]) -> dict[str, Any]:
    """The table with every seed's numbers, including those without a column."""
    plan = work.plan
    rows = []
    for mine in by_row(results).values():
        row = mine[0].row
        names = [measure.name for measure in mine[0].measures]
        rows.append(
            {
                "name": row.name,
                "published": dict(row.published),
                "training": trained_as(mine),
                "runs": [str(result.model.parent) for result in mine],
                "measures": {name: Summary.of(mine, name).to_json() for name in names},
            }
        )

    return {
        "table": plan.table.name,
        "scale": plan.scale,
        "seeds": list(plan.seeds),
        "published": plan.table.published,
        "data": list(work.data),
        "columns": [column.measure for column in work.columns],
        "rows": rows,
    }


def by_row(results: Sequence[RowResult]) -> dict[str, list[RowResult]]:
    """The results of each row, by its name."""
    rows: dict[str, list[RowResult]] = {}
    for result in results:
        rows.setdefault(result.row.name, []).append(result)
    return rows


def trained_as(results: Sequence[RowResult]) -> str:
    """How a row was trained and makes its pictures."""
    first = results[0]
    row, preset = first.row, resolve(first.recipe, first.seed, None)

    training = f"{row.name}: {first.recipe.words}"
    if row.after:
        training += f" after {row.after}"
    if row.pictures:
        training += f", on {row.pictures}"

    seeds = ", ".join(str(result.seed) for result in results)
    training += f", {first.steps} steps of {preset.train.batch}, seeds {seeds}"

    # only a decoder that passes random variables has a variance to choose
    system = preset.system
    if isinstance(system, PoseAppearanceConfig) and system.latent == "rv":
        training += f"; generation variance of z_t: {system.generation_variance}"

    return training


def _comparable(work: Reproduction) -> str:
    """What may be compared with what."""
    if work.plan.scale == "laptop":
        return (
            "Ours is other data at laptop scale: compare the order of the rows and one column with another, "
            "not numbers with the paper's."
        )
    if work.plan.steps is None:
        return "Ours is the paper's data and preset."
    return "Ours is the paper's data and preset, but another number of steps."


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
