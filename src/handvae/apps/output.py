"""What a command prints: prose, one JSON object, or nothing."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from handvae.apps.progress import without_progress
from handvae.files import only_writer

_result_stream: ContextVar[TextIO | None] = ContextVar("_result_stream", default=None)
"""Where results go that `--quiet` keeps; None: where all else goes."""


@contextlib.contextmanager
def result_text() -> Iterator[None]:
    """Print what a command is called for inside: a list, a table. `--quiet` keeps it, `--json` does not."""
    stream = _result_stream.get()
    with contextlib.nullcontext() if stream is None else contextlib.redirect_stdout(stream):
        yield


@contextlib.contextmanager
def _results_to(stream: TextIO | None) -> Iterator[None]:
    token = _result_stream.set(stream)
    try:
        yield
    finally:
        _result_stream.reset(token)


@contextlib.contextmanager
def output(
    quiet: bool, as_json: bool = False, out: Path | None = None
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Print as the options `--quiet` and `--json` ask for, and keep the output to this process.

    Inside, a command prints prose with `print` and hands its result to the function that this gives. Errors
    and warnings go to standard error and are not touched.

    Args:
        quiet: drop the prose and the progress; what is printed in `result_text` stays.
        as_json: drop the prose, and print the result as one JSON object when the command has succeeded.
        out: what the command writes; None where it writes nothing.

    Yields:
        A function that takes entries of the result; called again, it adds to them.

    Raises:
        UserError: another process is writing to `out`.
    """
    result: dict[str, Any] = {}
    stream = sys.stdout

    with contextlib.ExitStack() as stack:
        # the processes of one training share their output, and the first of them writes it
        if out is not None and os.environ.get("RANK", "0") == "0":
            stack.enter_context(only_writer(out))
        if quiet or as_json:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        if quiet:
            stack.enter_context(without_progress())
            stack.enter_context(_results_to(None if as_json else stream))
        yield result.update

    if as_json:
        print(json.dumps(result, indent=1, default=str))
