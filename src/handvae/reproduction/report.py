"""A reproduced table as text and as JSON: what was published beside ours, mean and range over seeds, and what
each number depends on."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from handvae.evaluation.measure import Measure
from handvae.reproduction.experiment import Cell, Reproduction


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
        if math.isnan(mean):  # this kind of model has no such number
            return "-"
        return f"{mean:.4g}" if len(values) == 1 else f"{mean:.4g} ({min(values):.4g} to {max(values):.4g})"

    def to_json(self) -> dict[str, Any]:
        """Mean, range and every seed's value; what is not finite becomes null."""
        numbers = {"mean": statistics.fmean(self.values), "low": min(self.values), "high": max(self.values)}
        return {
            **{name: _finite(value) for name, value in numbers.items()},
            "values": [_finite(value) for value in self.values],
            "unit": self.measure.unit, "n": self.measure.n, "terms": self.measure.terms,
        }  # fmt: skip


def markdown(work: Reproduction, cells: Sequence[Cell]) -> str:
    """The table and its protocols, for a terminal and for table.md."""
    table, mine, columns = work.job.table, by_row(cells), work.columns
    heads = [
        head
        for column in columns
        for head in ((f"paper, {column.published}",) if column.published else ()) + (column.heading,)
    ]
    lines = [
        f"# {table.name}: {table.about}",
        "",
        f"| row | {' | '.join(heads)} |",
        "|---" * (1 + len(heads)) + "|",
    ]
    protocols: dict[str, None] = {}
    for row in table.rows:
        if row.name not in mine and not any(column in row.published for column in table.columns):
            continue
        entries = []
        for column in columns:
            if column.published:
                entries.append(
                    f"{row.published[column.published]:g}" if column.published in row.published else "-"
                )
            if row.name not in mine:
                entries.append("-")
                continue
            summary = Summary.of(mine[row.name], column.measure)
            protocols[f"{column.heading}: N = {summary.measure.n}; {summary.measure.terms}"] = None
            entries.append(str(summary))
        lines.append(f"| {row.name} | {' | '.join(entries)} |")
    if findings := work.findings(cells):
        lines += ["", *(f"- {line}" for line in findings)]
    lines += ["", "Ours: mean over seeds, in brackets the lowest and the highest; -: not trained here."]
    lines += [f"Paper: {table.published}. {_comparable(work)}", ""]
    lines += [
        f"- {line}" for line in (*work.data, *(trained_as(found) for found in mine.values()), *protocols)
    ]
    return "\n".join(lines) + "\n"


def as_json(work: Reproduction, cells: Sequence[Cell]) -> dict[str, Any]:
    """The same with every seed's numbers, those that the table has no column for included."""
    job, rows = work.job, []
    for mine in by_row(cells).values():
        row, names = mine[0].row, [measure.name for measure in mine[0].measures]
        rows.append(
            {
                "name": row.name, "published": dict(row.published), "training": trained_as(mine),
                "runs": [str(cell.model.parent) for cell in mine],
                "measures": {name: Summary.of(mine, name).to_json() for name in names},
            }
        )  # fmt: skip
    return {
        "table": job.table.name, "scale": job.scale, "seeds": list(job.seeds), "published": job.table.published,
        "data": list(work.data), "columns": [column.measure for column in work.columns], "rows": rows,
    }  # fmt: skip


def by_row(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells of each row, by its name."""
    names = dict.fromkeys(cell.row.name for cell in cells)
    return {name: [cell for cell in cells if cell.row.name == name] for name in names}


def trained_as(cells: Sequence[Cell]) -> str:
    """How a row was trained and makes its pictures."""
    row, recipe = cells[0].row, cells[0].recipe
    preset = recipe.settled(cells[0].seed, None)
    after = f" after {row.after}" if row.after else ""
    on = f", on {row.pictures}" if row.pictures else ""
    spread = getattr(preset.system, "generation_variance", None)
    variance = (
        f"; generation variance of z_t: {spread}"
        if spread is not None and getattr(preset.system, "latent", "") == "rv"
        else ""
    )
    seeds = ", ".join(str(cell.seed) for cell in cells)
    return f"{row.name}: {recipe.words}{after}{on}, {cells[0].steps} steps of {preset.train.batch}, seeds {seeds}{variance}"


def _comparable(work: Reproduction) -> str:
    """What may be compared with what."""
    if work.job.scale == "full":
        return f"Ours is the paper's data and preset{'' if work.job.steps is None else ', but another number of steps'}."
    return "Ours is other data at laptop scale: compare the order of the rows and one column with another, not numbers with the paper's."


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
