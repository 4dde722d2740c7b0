"""`handvae reproduce NAME`: a paper's table, trained and measured again, or one of its figures."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from handvae.apps.options import parse
from handvae.apps.output import output, result_text
from handvae.errors import UserError
from handvae.reproduction.figure import PaperFigure
from handvae.reproduction.index import as_json, listing
from handvae.reproduction.options import FIGURE_OPTIONS, TABLE_OPTIONS, PoseOptions
from handvae.reproduction.papers import FIGURES, find_table
from handvae.reproduction.table import Table

if TYPE_CHECKING:
    from handvae.reproduction.experiment import Reproduction, RowResult


def main(arguments: Sequence[str]) -> None:
    """List the names, or make the table or figure of that name."""
    if not arguments or arguments[0].startswith("-"):
        _list(arguments)
        return

    name, *words = arguments
    if name in FIGURES:
        make_figure(FIGURES[name], words)
    else:
        make_table(find_table(name), words)


def _list(arguments: Sequence[str]) -> None:
    """Every table and figure of the papers, with its command.

    Raises:
        UserError: neither help nor a list is asked for, and no table is named.
    """
    if "--json" in arguments:
        print(json.dumps({"papers": as_json()}))
    else:
        print("usage: handvae reproduce NAME --data DIR [options]")
        print("       handvae reproduce --list [--json]")
        print("\n".join(listing()))

    if not set(arguments) & {"-h", "--help", "--help-all", "--list"}:
        raise UserError("reproduce", "no table given", "name one of the above first")


# ----------------------------------------------------------------------------------------------------- tables


def make_table(table: Table, words: Sequence[str]) -> None:
    """Parse what the table's kind asks for; train and measure what is missing; print and write the table."""
    options = parse(TABLE_OPTIONS[table.kind], words, f"handvae reproduce {table.name}")

    from handvae.reproduction.build import build_reproduction, check_options, draw_hands
    from handvae.reproduction.processes import results_of_processes
    from handvae.reproduction.report import as_json as table_as_json
    from handvae.reproduction.report import write_table
    from handvae.training.distributed import ranks

    check_options(options)

    with output(options.quiet, options.json, options.out / table.name) as give, ranks() as processes:
        if processes.ranks > 1:
            fault = f"started {processes.ranks} processes, and a reproduction is one"
            raise UserError("torchrun", fault, "start it without")
        if isinstance(options, PoseOptions) and options.render:
            draw_hands(options)

        work = build_reproduction(table, options, processes)
        jobs = min(options.jobs, len(work.plan.trainings))
        if jobs > 1:
            results = _counted(work, results_of_processes(work, options, jobs))
        else:
            results = _counted(work, work.results())

        written = write_table(work, results)
        if written.figure is not None:
            print(f"figure: {written.figure}")

        with result_text():
            print(f"\n{written.text}")
        print(f"table: {written.path}")
        give({**table_as_json(work, results), "path": written.path})


def _counted(work: "Reproduction", results: Iterable["RowResult"]) -> list["RowResult"]:
    """All results; prints a line when one arrives."""
    finished = []
    for result in results:
        finished.append(result)
        count = f"{len(finished)} of {len(work.plan.trainings)} done"
        print(f"{result.row.name}, seed {result.seed}: {count}", flush=True)
    return finished


# ---------------------------------------------------------------------------------------------------- figures


def make_figure(figure: PaperFigure, words: Sequence[str]) -> None:
    """Parse what the kind of figure asks for; draw its sheet, write it, and describe it."""
    prog = f"handvae reproduce {figure.name}"
    options = parse(FIGURE_OPTIONS[type(figure)], words, prog)

    from handvae.data.files.pictures import write_picture
    from handvae.reproduction.draw import draw_figure

    with output(options.quiet, options.json, options.out / figure.name) as give:
        drawn = draw_figure(figure, options)
        path = options.out / f"{figure.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, drawn.pixels)

        for note in drawn.notes:
            print(note)

        print(f"sheet: {path}")
        give({"figure": figure.name, "notes": drawn.notes, "sheet": path, **drawn.numbers})
