"""How far long work has come, on standard error: a bar in a terminal, elsewhere a line now and then."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

EVERY = 500
"""Items between two lines, where work goes item by item."""

_hidden: ContextVar[bool] = ContextVar("_hidden", default=False)
"""Whether no progress is shown."""


@contextmanager
def without_progress() -> Iterator[None]:
    """Show no progress inside."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


@contextmanager
def progress(name: str, total: int | None, every: int = 1) -> Iterator[Callable[[int], None]]:
    """Show how many items are done.

    Args:
        name: the items, in the plural.
        total: how many there are; None where nobody knows.
        every: items between two lines where there is no terminal.

    Yields:
        A function that takes the number of items that have been done since its last call.
    """
    hidden, terminal = _hidden.get(), sys.stderr.isatty()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    total_text = "" if total is None else f" of {total}"
    done = 0

    with Progress(*columns, console=Console(stderr=True), disable=hidden or not terminal) as bar:
        task = bar.add_task(name, total=total)

        def advance(items: int) -> None:
            nonlocal done
            lines_before = done // every
            done += items
            bar.update(task, advance=items)

            if not hidden and not terminal and done // every != lines_before:
                print(f"{done}{total_text} {name}", file=sys.stderr, flush=True)

        yield advance


def counted(items: Iterable[Item], name: str, total: int | None) -> Iterator[Item]:
    """The items, each counted when the next one is asked for."""
    with progress(name, total, EVERY) as advance:
        for item in items:
            yield item
            advance(1)
