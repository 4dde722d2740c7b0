"""`handvae data info|check|...`: finds the subcommand; each is a module `data_NAME` with
`main(arguments)`."""

from collections.abc import Sequence

from handvae.errors import UserError
from handvae.words import nearest_or_all

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
        raise UserError(
            "SUBCOMMAND", "is missing", f"give one of {', '.join(SUBCOMMANDS)}; see handvae data --help"
        )

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
            raise UserError(name, "is no subcommand", nearest_or_all(name, SUBCOMMANDS, "handvae data "))

    command.main(rest)
