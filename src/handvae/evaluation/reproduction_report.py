"""A reproduced table as text and as JSON: what was published beside ours, mean and range over seeds, and what each number depends on."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from handvae.evaluation.measure import Measure
from handvae.evaluation.paper_tables import Row
from handvae.evaluation.reproduction import Cell, Reproduction


@dataclass(frozen=True)
class Column:
    """A number of ours, and the published one that stands beside it."""

    heading: str
    measure: str
    published: str = ""
    """Key of `Row.published`; empty where the paper has no such number."""


def columns_of(work: Reproduction) -> list[Column]:
    """Distances of seen and unseen poses in each feature space, then how pictures of unseen poses are read again."""
    found = []
    spaces = [extractor.distances[0] for extractor in work.extractors]
    beside = "fid" if "fid" in spaces else spaces[0]
    for space in spaces:
        found += [Column(f"{space}, {poses}", f"{space}_{poses}", poses if space == beside else "") for poses in ("seen", "unseen")]
    return [*found, Column("pose error, % of hand", "consistency_random_error_median")]


@dataclass(frozen=True)
class Summary:
    """A number of one row over seeds."""

    measure: Measure
    """Of the first seed, for its name, unit, N and protocol."""
    values: tuple[float, ...]

    @classmethod
    def of(cls, cells: Sequence[Cell], name: str) -> "Summary":
        """The number of that name in the cells of a row."""
        each = [next(measure for measure in cell.measures if measure.name == name) for cell in cells]
        return cls(each[0], tuple(measure.value for measure in each))

    def __str__(self) -> str:
        mean, values = statistics.fmean(self.values), self.values
        return f"{mean:.4g}" if len(values) == 1 else f"{mean:.4g} ({min(values):.4g} to {max(values):.4g})"

    def to_json(self) -> dict[str, Any]:
        """Mean, range and every seed's value; what is not finite becomes null."""
        numbers = {"mean": statistics.fmean(self.values), "low": min(self.values), "high": max(self.values)}
        return {
            **{name: _finite(value) for name, value in numbers.items()},
            "values": [_finite(value) for value in self.values],
            "unit": self.measure.unit, "n": self.measure.n, "terms": self.measure.terms,
        }  # fmt: skip


def markdown(work: Reproduction, cells: Sequence[Cell], columns: Sequence[Column]) -> str:
    """The table and its protocols, for a terminal and for table.md."""
    table, rows = work.table, by_row(cells)
    heads = [head for column in columns for head in ((f"paper, {column.published}",) if column.published else ()) + (column.heading,)]
    lines = [f"# {table.name}: {table.about}", "", f"| row | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    protocols: dict[str, None] = {}
    for row, mine in rows:
        entries = []
        for column in columns:
            summary = Summary.of(mine, column.measure)
            protocols[f"{column.heading}: N = {summary.measure.n}; {summary.measure.terms}"] = None
            if column.published:
                entries.append(f"{row.published[column.published]:g}" if column.published in row.published else "-")
            entries.append(str(summary))
        lines.append(f"| {row.name} | {' | '.join(entries)} |")
    lines += ["", "Ours: mean over seeds, in brackets the lowest and the highest.", f"Paper: {table.published}. {_comparable(work)}", ""]
    lines += [f"- {line}" for line in (*_data(work), *(trained_as(work, row, mine) for row, mine in rows), *protocols)]
    return "\n".join(lines) + "\n"


def as_json(work: Reproduction, cells: Sequence[Cell], columns: Sequence[Column]) -> dict[str, Any]:
    """The same with every seed's numbers, those that the table has no column for included."""
    rows = []
    for row, mine in by_row(cells):
        names = [measure.name for measure in mine[0].measures]
        measures = {name: Summary.of(mine, name).to_json() for name in names}
        folders = [str(work.folder(row, cell.seed)) for cell in mine]
        rows.append(
            {
                "name": row.name,
                "published": dict(row.published),
                "training": trained_as(work, row, mine),
                "runs": folders,
                "measures": measures,
            }
        )
    return {
        "table": work.table.name, "scale": work.scale, "seeds": list(work.seeds), "published": work.table.published,
        "data": _data(work), "columns": [column.measure for column in columns], "rows": rows,
    }  # fmt: skip


def by_row(cells: Sequence[Cell]) -> list[tuple[Row, list[Cell]]]:
    """The cells of each row, rows in the table's order."""
    rows = {cell.row.name: cell.row for cell in cells}
    return [(row, [cell for cell in cells if cell.row.name == name]) for name, row in rows.items()]


def trained_as(work: Reproduction, row: Row, cells: Sequence[Cell]) -> str:
    """How a row was trained and makes its pictures."""
    recipe = cells[0].recipe
    preset = recipe.settled(cells[0].seed, work.steps)
    steps = min(preset.train.total_steps(len(work.poses.seen)), preset.train.stop_at or math.inf)
    after = f" after {row.after}" if row.after else ""
    spread = getattr(preset.system, "generation_variance", None)
    variance = f"; generation variance of z_t: {spread}" if spread is not None and getattr(preset.system, "latent", "") == "rv" else ""
    seeds = ", ".join(str(cell.seed) for cell in cells)
    return f"{row.name}: {recipe.words}{after}, {steps} steps of {preset.train.batch}, seeds {seeds}{variance}"


def _data(work: Reproduction) -> list[str]:
    seen, unseen = work.poses.seen, work.poses.unseen
    return [f"trained on {len(seen)} hands of {seen.spec.name}; unseen poses: {len(unseen)} hands, {work.poses.about}"]


def _comparable(work: Reproduction) -> str:
    """What may be compared with what."""
    if work.scale == "full":
        return f"Ours is the paper's data and preset{'' if work.steps is None else ', but another number of steps'}."
    return "Ours is other data at laptop scale: compare the order of the rows and unseen with seen, not numbers with the paper's."


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
