"""`handvae data info|check|...`: finds the subcommand; each is a module `data_NAME` with
`main(arguments)`."""

import difflib
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
        UserError: there is no such subcommand, or it fails because of what the user gave.
    """
    if not arguments:
        raise UserError("command line", f"give one of {', '.join(SUBCOMMANDS)}", "see handvae data --help")

    name, *rest = arguments
    match name:
        case "-h" | "--help" | "--help-all":
            print(usage())
            return
        case "info":
            from handvae.apps import data_info as command
        case "convert":
            from handvae.apps import data_convert as command
        case "label":
            from handvae.apps import data_label as command
        case "check":
            from handvae.apps import data_check as command
        case _:
            near = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
            hint = f"did you mean handvae data {near[0]}? " if near else ""
            raise UserError("command line", f"no subcommand {name!r}", f"{hint}see handvae data --help")

    command.main(rest)
