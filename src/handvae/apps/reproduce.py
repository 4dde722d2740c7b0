"""`handvae reproduce TABLE`: a paper's table, trained and measured again, beside what was published; or one
of its figures."""

import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

import torch

from handvae.apps.reproduce_figures import FIGURES, draw
from handvae.apps.reproduce_kinds import Options, options_of, reproduction
from handvae.apps.reproduce_latent import LATENT_FIGURES, draw_latent
from handvae.apps.reproduce_walks import WALKS, draw_walk
from handvae.errors import UserError
from handvae.evaluation.page import Section, page, plot
from handvae.files import write_text_atomically
from handvae.reproduction.experiment import Cell, Reproduction
from handvae.reproduction.papers import TABLES, find_table
from handvae.reproduction.report import as_json, markdown
from handvae.reproduction.table import Table
from handvae.training.distributed import ranks


def main(arguments: Sequence[str]) -> None:
    """Find the table or figure, parse what its kind asks for, train and measure what is missing, print,
    write."""
    if not arguments or arguments[0].startswith("-"):
        listing = "\n".join(
            f"  {name:<17}{known.about}"
            for name, known in (TABLES | FIGURES | WALKS | LATENT_FIGURES).items()
        )
        print(f"usage: handvae reproduce TABLE --data DIR [options]\n\ntables and figures:\n{listing}")
        if not set(arguments) & {"-h", "--help"}:
            raise UserError("reproduce", "no table given", "name one of the above first")
        return
    name, *words = arguments
    for known, make_sheet in ((FIGURES, draw), (WALKS, draw_walk), (LATENT_FIGURES, draw_latent)):
        if name in known:
            make_sheet(name, words)
            return
    table = find_table(name)
    with ranks() as here:
        if here.ranks > 1:
            raise UserError(
                "torchrun", f"started {here.ranks} processes, and a reproduction is one", "start it without"
            )
        options = options_of(table, words)
        work = reproduction(table, options, here)
        jobs = min(options.jobs, len(work.job.cells))
        make(work, beside(work, options, jobs) if jobs > 1 else work.cells())


def beside(work: Reproduction, options: Options, jobs: int) -> Iterator[Cell]:
    """Fill the cells in so many processes; yields each when it is done.

    Raises:
        UserError: as `Reproduction.cells`; trainings that have begun are ended first.
    """
    work.check()
    spawn = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, spawn, _begin, (threads, work.job.table, options)) as pool:
        try:
            for done in as_completed([pool.submit(_cell, number) for number in range(len(work.job.cells))]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


_work: Reproduction
"""Of a process that fills cells."""


def _begin(threads: int, table: Table, options: Options) -> None:
    global _work
    torch.set_num_threads(threads)
    with ranks() as here:
        _work = reproduction(table, options, here)


def _cell(number: int) -> Cell:
    return _work.cell(*_work.job.cells[number])


def make(work: Reproduction, done: Iterable[Cell]) -> None:
    """Say which cells are done; print the table and write it."""
    job, cells = work.job, []
    for cell in done:
        cells.append(cell)
        print(f"{cell.row.name}, seed {cell.seed}: {len(cells)} of {len(job.cells)} done", flush=True)
    order = [(row.name, seed) for row, _, seed in job.cells]
    cells.sort(key=lambda cell: order.index((cell.row.name, cell.seed)))
    text = markdown(work, cells)
    folder = job.out / job.table.name
    write_text_atomically(folder / "report.json", json.dumps(as_json(work, cells), indent=1) + "\n")
    write_text_atomically(folder / "table.md", text)
    if figures := work.figures(cells):
        shown = [Section("", "".join(plot(figure) for figure in figures))]
        write_text_atomically(folder / "figure.html", page(job.table.name, shown))
        print(f"figure: {folder / 'figure.html'}")
    print(f"\n{text}\ntable: {folder / 'table.md'}")
