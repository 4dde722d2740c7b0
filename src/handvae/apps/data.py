"""`handvae data info|check|...`: finds the subcommand; each lives in a module `data_NAME` with
`main(arguments)`."""

import difflib
import importlib
from collections.abc import Sequence

from handvae.errors import UserError

SUBCOMMANDS = {
    "info": "what a data set holds, and a sheet of its hands",
    "convert": "write a data set in another format",
    "label": "label your own photos or a video",
    "check": "find bad labels and unreadable pictures",
}


def usage() -> str:
    """The text of `handvae data --help`."""
    lines = [f"  {name:<12}{about}" for name, about in SUBCOMMANDS.items()]
    return "\n".join(
        [
            "usage: handvae data SUBCOMMAND [options]",
            "",
            *lines,
            "",
            "handvae data SUBCOMMAND --help lists its options.",
        ]
    )


def main(arguments: Sequence[str]) -> None:
    """Run one subcommand.

    Raises:
        UserError: there is no such subcommand.
    """
    if not arguments:
        raise UserError("command line", f"give one of {', '.join(SUBCOMMANDS)}", "see handvae data --help")
    name, *rest = arguments
    if name in {"-h", "--help"}:
        print(usage())
        return
    if name not in SUBCOMMANDS:
        near = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
        hint = f"did you mean handvae data {near[0]}? " if near else ""
        raise UserError("command line", f"no subcommand {name!r}", f"{hint}see handvae data --help")
    importlib.import_module(f"handvae.apps.data_{name}").main(rest)
