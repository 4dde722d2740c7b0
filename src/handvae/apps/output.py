"""What a command prints: prose, one JSON object, or nothing."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from handvae.apps.progress import without_progress


@contextlib.contextmanager
def output(quiet: bool, as_json: bool = False) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Print as the options `--quiet` and `--json` ask for.

    Inside, a command prints prose with `print` and hands its result to the function that this gives. Errors
    and warnings go to standard error and are not touched.

    Args:
        quiet: drop the prose and the progress.
        as_json: drop the prose, and print the result as one JSON object when the command has succeeded.

    Yields:
        A function that takes entries of the result; called again, it adds to them.
    """
    result: dict[str, Any] = {}

    with contextlib.ExitStack() as stack:
        if quiet or as_json:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        if quiet:
            stack.enter_context(without_progress())
        yield result.update

    if as_json:
        print(json.dumps(result, indent=1, default=str))
