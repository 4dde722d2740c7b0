"""The short help of a command: its everyday options, without those marked as rare."""

import dataclasses
from collections.abc import Sequence
from typing import Any, get_type_hints

import tyro

RARE = object()
"""Marks an option that only `--help-all` lists; `handvae.apps.options.Rare` sets it."""


def print_short_help(kind: Any, arguments: Sequence[str], prog: str, more: bool = False) -> None:
    """Where the words ask for `--help`, print the options of a kind that are not rare, and stop.

    A command whose whole options cannot be built without torch calls this before it imports that, with a
    dataclass of its everyday options.

    Args:
        kind: as for `handvae.apps.options.parse`.
        arguments: the words after the command.
        prog: the command, for its help.
        more: whether the command has options that `kind` lacks.

    Raises:
        SystemExit: with code 0, after the help.
    """
    if not {"-h", "--help"} & set(arguments) or "--help-all" in arguments:
        return

    everyday, hidden = _everyday(kind)
    try:
        tyro.cli(everyday, args=["--help"], prog=prog, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit:
        if hidden or more:
            print(f"{prog} --help-all lists every option.")
        raise


def _everyday(kind: Any) -> tuple[Any, bool]:
    """A kind of options whose rare ones are hidden, and whether there are any."""
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return kind, False

    hints = get_type_hints(kind, include_extras=True)
    rare = {name: hint for name, hint in hints.items() if RARE in getattr(hint, "__metadata__", ())}
    if not rare:
        return kind, False

    # tyro reads annotations by name along the bases, and a field's help from the class that declares it
    hidden = {name: tyro.conf.Suppress[hint] for name, hint in rare.items()}
    return type(kind.__name__, (kind,), {"__annotations__": hidden, "__doc__": kind.__doc__}), True
