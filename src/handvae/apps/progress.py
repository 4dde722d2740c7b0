"""How far long work is, on standard error: a bar in a terminal, elsewhere a line now and then."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

EVERY = 500
"""Things between two lines, of work that goes thing by thing."""


@contextmanager
def progress(what: str, total: int | None, every: int = 1) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many more things are done.

    Args:
        what: the things, in the plural.
        total: how many there are; None where nobody knows.
        every: things between two lines where there is no terminal.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    terminal, done = sys.stderr.isatty(), 0
    with Progress(*columns, console=Console(stderr=True), disable=not terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance(things: int) -> None:
            nonlocal done
            before, done = done, done + things
            bar.update(task, advance=things)
            if not terminal and before // every != done // every:
                of = "" if total is None else f" of {total}"
                print(f"{done}{of} {what}", file=sys.stderr, flush=True)

        yield advance


def counted(items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    """The items, each counted when the next one is asked for."""
    with progress(what, total, EVERY) as advance:
        for item in items:
            yield item
            advance(1)
