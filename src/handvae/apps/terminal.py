"""The streams of a command: letters that a terminal lacks, outputs that are full or gone, warnings."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from handvae.errors import HandvaeWarning


def escape_unknown_letters() -> None:
    """Show letters that the terminal's encoding lacks as escapes, in place of ending with an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def report_full_output(error: OSError) -> int:
    """Say that nothing can be printed; gives the exit code."""
    drop_output()
    print(f"handvae: standard output: {error.strerror}; check where it goes", file=sys.stderr)
    return 2


def drop_output() -> None:
    """Send what is still to be printed nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def one_line_warnings(name: str) -> Iterator[None]:
    """Print what a user should know as one line of standard error, once."""
    printed: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, HandvaeWarning):
            otherwise(message, category, *rest, **more)
        elif str(message) not in printed:
            printed.add(str(message))
            print(f"handvae {name}: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", HandvaeWarning)
        otherwise = warnings.showwarning
        warnings.showwarning = show
        yield
