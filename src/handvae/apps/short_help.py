"""The help of a command: its everyday options, or all of them, in words without Python."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

RARE = object()
"""Marks an option that only `--help-all` lists; `handvae.apps.options.Rare` sets it."""

KINDS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}
"""What stands behind an option in the help, by the type of its value."""


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

    everyday = _in_words(kind, hide_rare=True)
    try:
        tyro.cli(everyday, args=["--help"], prog=prog, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit:
        if more or _has_rare(kind):
            print(f"{prog} --help-all lists every option.")
        raise


def print_whole_help(kind: Any, arguments: Sequence[str], prog: str) -> None:
    """Where the words ask for `--help-all`, print every option of a kind, and stop.

    Raises:
        SystemExit: with code 0, after the help.
    """
    if "--help-all" in arguments:
        tyro.cli(_in_words(kind, hide_rare=False), args=["--help"], prog=prog)


def _has_rare(kind: Any) -> bool:
    return _is_dataclass(kind) and any(map(_is_rare, get_type_hints(kind, include_extras=True).values()))


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _is_rare(hint: Any) -> bool:
    return RARE in getattr(hint, "__metadata__", ())


def _in_words(kind: Any, hide_rare: bool) -> Any:
    """A kind of options whose help speaks of values and not of Python: no None, no True behind `--no-...`."""
    if not _is_dataclass(kind):
        return kind

    hints = get_type_hints(kind, include_extras=True)
    # tyro reads annotations by name along the bases, and a field's help from the class that declares it
    changed = {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        words = _words_of(hint, field.default)
        if hide_rare and _is_rare(hint):
            changed[field.name] = tyro.conf.Suppress[hint]
        elif words:
            changed[field.name] = Annotated[(hint, tyro.conf.arg(**words))]

    if not changed:
        return kind
    return type(kind.__name__, (kind,), {"__annotations__": changed, "__doc__": kind.__doc__})


def _words_of(hint: Any, default: Any) -> dict[str, Any]:
    """What tyro is to print in place of its own words about an option's value and default."""
    words: dict[str, Any] = {}
    # `None` is how Python says that nothing is given; a flag's default is that it is not given
    no_list = default is dataclasses.MISSING and "tuple[" in str(hint)
    if default is None or isinstance(default, bool) or default in ((), "") or no_list:
        words["help_behavior_hint"] = ""

    value = _value_of(hint)
    if value and not any(getattr(part, "metavar", None) for part in getattr(hint, "__metadata__", ())):
        words["metavar"] = value
    return words


def _value_of(hint: Any) -> str:
    """The value of an option that may be left out, in a word; empty for other options."""
    if get_origin(hint) is Annotated:
        return _value_of(get_args(hint)[0])

    kinds = [part for part in get_args(hint) if part is not NoneType]
    if get_origin(hint) is Literal or len(kinds) != 1 or NoneType not in get_args(hint):
        return ""

    inner = kinds[0]
    if get_origin(inner) is Annotated:
        inner = get_args(inner)[0]
    if get_origin(inner) is Literal:
        return "|".join(map(str, get_args(inner)))
    return KINDS.get(inner, "")
