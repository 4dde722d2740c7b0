"""The rows of a table, trained in several processes at once."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from handvae.reproduction.build import build_reproduction
from handvae.reproduction.experiment import Reproduction, RowResult
from handvae.reproduction.options import TableOptions
from handvae.reproduction.table import Table
from handvae.training.distributed import ranks


def results_of_processes(work: Reproduction, options: TableOptions, jobs: int) -> Iterator[RowResult]:
    """Train and measure in `jobs` processes; yields each row with each seed when it is done.

    Raises:
        UserError: as `Reproduction.results`; trainings that have begun finish first.
    """
    work.check()

    # spawned, not forked: torch's threads do not survive a fork
    spawn = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    start = (threads, work.plan.table, options)

    with ProcessPoolExecutor(jobs, spawn, _start_process, start) as pool:
        numbers = range(len(work.plan.trainings))
        try:
            for done in as_completed([pool.submit(_result, number) for number in numbers]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


_work: Reproduction
"""Of this process; built once, as it opens the data and loads a detector."""


def _start_process(threads: int, table: Table, options: TableOptions) -> None:
    global _work
    torch.set_num_threads(threads)

    # the parent cannot redirect our standard output; it stays open until the process ends
    if options.quiet or options.json:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115

    with ranks() as alone:
        _work = build_reproduction(table, options, alone)


def _result(number: int) -> RowResult:
    return _work.result(*_work.plan.trainings[number])
