"""The models that a figure shows: those named, those trained for the tables, or those that it trains itself.

Also which hands it shows: those that the paper's protocol keeps from training.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from handvae.data.dataset import HandData
from handvae.data.open import recognise
from handvae.errors import UserError
from handvae.reproduction.build import build_reproduction
from handvae.reproduction.experiment import run_folder, scale_folder
from handvae.reproduction.options import (
    TABLE_OPTIONS,
    FactorsOptions,
    FigureOptions,
    PoseFigureOptions,
    PoseOptions,
)
from handvae.reproduction.papers import TABLES
from handvae.reproduction.pose_table import PoseTable
from handvae.reproduction.protocol import protocol_of
from handvae.reproduction.table import Scale, Table, TableRow
from handvae.training.checkpoint import Model, load_model
from handvae.training.distributed import ranks


@dataclass(frozen=True)
class Shown:
    """What a figure is drawn of."""

    models: tuple[Model, ...]
    data: HandData
    notes: tuple[str, ...]


def shown(rows: Sequence[str], options: FigureOptions, fallback: str = "") -> Shown:
    """The models and the hands of a figure.

    Args:
        rows: table rows whose models it shows.
        options: of the figure.
        fallback: a shipped model, shown where none of the rows is trained; empty for none.

    Raises:
        UserError: there is no model, or what is asked for cannot be trained.
    """
    layout = recognise(options.data)
    homes = [row for name in rows for _, row in _homes(name)]
    data = protocol_of(homes, options.data, options.protocol, options.scale).hands(options.split)
    notes = []

    if options.model:
        names = list(options.model)
    else:
        if options.scale is not None:
            _train(rows, options.scale, layout, options)
        names = trained_models(rows, layout, options)

    if not names:
        quoted = " or ".join(repr(row) for row in rows)
        missing = f"no trained {quoted} of seed {options.seed}"
        if not fallback:
            remedy = "give --model, or --scale laptop or full, which first train it"
            raise UserError(options.out, f"holds {missing}", remedy)
        notes.append(f"{options.out} holds {missing}: {fallback} in its place")
        names = [fallback]

    return Shown(tuple(load_model(name) for name in names), data, tuple(notes))


def shown_people(rows: Sequence[str], options: FigureOptions, fallback: str = "") -> tuple[Shown, ...]:
    """As `shown`, once for each person that a table leaves out of training (MSRA's nine); else once.

    A model, a person (--protocol) or laptop scale that the user names is shown alone.
    """
    people = _people(rows, recognise(options.data), options)
    return tuple(shown(rows, replace(options, protocol=person), fallback) for person in people)


def _people(rows: Sequence[str], layout: str, options: FigureOptions) -> tuple[str | None, ...]:
    """Protocols that each leave a person out, if all of them are trained or to be trained; else the asked."""
    alone = (options.protocol,)
    if options.model or options.protocol is not None or options.scale == "laptop":
        return alone

    needs = [row.need for name in rows for _, row in _homes(name) if row.need is not None]
    need = next((need for need in needs if need.layout == layout and need.others), None)
    if need is None:
        return alone

    people = (need.protocol, *need.others)
    asked = [replace(options, protocol=person, scale="full") for person in people]
    if options.scale == "full" or all(trained_models(rows, layout, one) for one in asked):
        return people
    return alone


# ---------------------------------------------------------------------------------------------- of the tables


def trained_models(rows: Sequence[str], layout: str, options: FigureOptions) -> list[str]:
    """Run folders of those rows that are trained; empty where none is.

    Full scale comes before laptop scale, unless --scale says which.
    """
    scales: tuple[Scale, ...] = ("full", "laptop") if options.scale is None else (options.scale,)
    for scale in scales:
        names = [name for name in rows if _fits(name, scale, layout)]
        folders = [_run_folder(name, scale, layout, options) for name in names]
        found = [str(folder) for folder in folders if (folder / "model.safetensors").is_file()]
        if found:
            return found
    return []


def _run_folder(name: str, scale: Scale, layout: str, options: FigureOptions) -> Path:
    """Where a row is trained; on MSRA, with the person left out whom the figure shows."""
    needs = (row.need for _, row in _homes(name) if row.need is not None and row.need.layout == layout)
    need = next(needs, None) if scale == "full" else None
    return run_folder(scale_folder(options.out, scale, need, options.protocol), name, options.seed)


def _homes(name: str) -> Iterator[tuple[Table, TableRow]]:
    """The rows of that name, which are one training, with the tables that hold them."""
    for table in TABLES.values():
        for row in table.rows:
            if row.name == name:
                yield table, row


def _fits(name: str, scale: Scale, layout: str) -> bool:
    """Whether a row is trained at a scale; at full scale, not on another of the papers' data sets."""
    needs = {table_row.need.layout for _, table_row in _homes(name) if table_row.need is not None}
    known = {need.layout for table in TABLES.values() for need in table.needs}
    other_set = scale == "full" and layout in known and layout not in needs
    return not other_set and any(row.recipe(scale) is not None for _, row in _homes(name))


# --------------------------------------------------------------------------------------------------- training


def _train(rows: Sequence[str], scale: Scale, layout: str, options: FigureOptions) -> None:
    """Train the rows that are not trained yet, each as the first table that holds it does.

    Rows for which the data lack something are left out, and so are those that laptop scale trains on request
    alone, unless the figure has no others.

    Raises:
        UserError: no row is left.
    """
    homes = [home for name in rows for home in [_home(name, scale, layout)] if home is not None]
    if not homes:
        quoted = " or ".join(repr(row) for row in rows)
        fault = f"is no data set on which {scale} scale trains {quoted}"
        raise UserError(options.data, fault, "give the paper's, or use --scale laptop")

    usual = [home for home in homes if scale == "full" or not home[1].on_request]
    chosen = usual or homes
    trained = 0

    for table in dict.fromkeys(table.name for table, _ in chosen):
        names = [row.name for home, row in chosen if home.name == table]
        trained += _train_rows(TABLES[table], names, scale, options, on_request=not usual)

    if not trained:
        fault = f"lacks what {', '.join(repr(row.name) for _, row in chosen)} needs"
        raise UserError(options.data, fault, "give a data set that has it")


def _home(name: str, scale: Scale, layout: str) -> tuple[Table, TableRow] | None:
    """The first table that trains a row at a scale; at full scale, on a data set of that layout."""
    for table, row in _homes(name):
        right_set = scale == "laptop" or (row.need is not None and row.need.layout == layout)
        if row.recipe(scale) is not None and right_set:
            return table, row
    return None


def _train_rows(
    table: Table, names: Sequence[str], scale: Scale, options: FigureOptions, *, on_request: bool
) -> int:
    """Train these rows of a table, and those that initialise them; returns how many the data allow."""
    asked = TABLE_OPTIONS[table.kind](
        options.data,
        options.out,
        scale=scale,
        steps=options.steps,
        rows=tuple(names) if on_request else (),
    )
    if isinstance(asked, PoseOptions):
        asked = replace(asked, protocol=options.protocol)
    if isinstance(asked, FactorsOptions) and isinstance(options, PoseFigureOptions):
        asked = replace(asked, mask=options.mask)

    with ranks() as alone:
        work = build_reproduction(table, asked, alone)
        first = {row.after for row, _ in work.plan.rows if row.name in names}
        pairs = tuple(pair for pair in work.plan.rows if pair[0].name in {*names, *first})
        work = replace(work, plan=replace(work.plan, rows=pairs))

        # a table of pictures checks that there are enough to compare, and a figure compares none
        if pairs and isinstance(work, PoseTable):
            work.check()
        for row, recipe in pairs:
            work.model(row, recipe, options.seed)

    return len(pairs)
