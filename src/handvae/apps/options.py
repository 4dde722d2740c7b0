"""Command lines read by tyro, its boxes of errors brought into the one line of a `UserError`."""

import contextlib
import io
import re
from collections.abc import Callable, Sequence
from types import UnionType
from typing import TypeVar

import tyro

from handvae.errors import UserError

Kind = TypeVar("Kind")

GENERATOR = "photos-128"
"""The shipped model whose pictures are best: what commands that make pictures use unless told otherwise."""


def parse(kind: Callable[..., Kind] | UnionType, arguments: Sequence[str], prog: str) -> Kind:
    """The options that a command line gives.

    Args:
        kind: a dataclass, a union of them (a subcommand each), or a function, whose defaults may be computed.
        arguments: the words after the command.
        prog: the command, for its help.

    Raises:
        UserError: an option is unknown, missing or of the wrong kind.
        SystemExit: with code 0, after `--help`.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=arguments, prog=prog)  # pyright: ignore[reportCallIssue, reportArgumentType] (unions too)
    except SystemExit as stop:
        if not stop.code:
            raise
        fault, hint = _read_box(said.getvalue())
        raise UserError("command line", fault, f"{hint}see {prog} --help") from None


def _read_box(text: str) -> tuple[str, str]:
    """What the first part of tyro's box says, and what its later parts suggest."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = plain.splitlines()
    # where the terminal has no such letters there is no frame: a title, a rule and the rows
    rows = [line.strip("│ ") for line in lines if line.startswith("│")] or [
        line.strip() for line in lines[2:]
    ]
    parts: list[list[str]] = [[]]
    for row in rows:
        if set(row) in ({"─"}, {"-"}):
            parts.append([])
        else:
            parts[-1].append(row)
    fault = (" ".join(filter(None, parts[0])) or plain).strip(" .\n")
    near = [
        match[0] for part in parts[1:-1] for row in part if (match := re.match(r"--?[A-Za-z][\w.-]*", row))
    ]
    if near and fault.startswith("Unrecognized"):
        hint = f"did you mean {' or '.join(near)}? "
    else:
        hint = "".join(
            f"{row}; "
            for part in parts[1:-1]
            for row in part
            if row.startswith(("Available", "Unrecognized"))
        )
    return fault[:1].lower() + fault[1:], hint


def parse_shard(text: str) -> tuple[int, int]:
    """The number of a job and the number of jobs, from `i/n`.

    Raises:
        UserError: it is no such thing.
    """
    part, slash, parts = text.partition("/")
    if not slash or not part.isdecimal() or not parts.isdecimal() or not 0 <= int(part) < int(parts):
        raise UserError(f"--shard {text}", "is no i/n", "give such as 0/4, 1/4, 2/4, 3/4")
    return int(part), int(parts)
