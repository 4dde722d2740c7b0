"""Command lines read by tyro: options that commands share, a short and a whole help, errors in one line.

Nothing here imports torch, and neither does a command's module at its top: its options stand there, and
what is heavy is imported inside `main`. So `handvae COMMAND --help` answers at once.
"""

import contextlib
import io
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Annotated, TypeVar

import tyro

from handvae.apps.option_faults import check_values, refusal, refuse_empty
from handvae.apps.short_help import RARE, print_short_help, print_whole_help
from handvae.choices import Between
from handvae.errors import UserError

Kind = TypeVar("Kind")

GENERATOR = "photos-128"
"""The shipped model whose pictures are best: the default of commands that make pictures."""

# -------------------------------------------------------------------------------- options that commands share

DeviceOption = Annotated[
    str,
    tyro.conf.arg(
        metavar="DEVICE",
        help="Where networks run: cpu, cuda, cuda:0, mps, or auto (a CUDA device if there is one).",
    ),
]
"""`device: DeviceOption = "cpu"`; `handvae.device.find_device` reads it."""

SeedOption = Annotated[int, Between(0, 2**62), tyro.conf.arg(help="The same seed gives the same result.")]
"""`seed: SeedOption = 0`."""

QuietOption = Annotated[bool, tyro.conf.arg(help="Print no progress and no remarks; the result stays.")]
"""`quiet: QuietOption = False`; `handvae.apps.output.output` acts on it."""

JsonOption = Annotated[bool, tyro.conf.arg(help="Print the result as one JSON object instead of prose.")]
"""`json: JsonOption = False`; `handvae.apps.output.output` acts on it."""

Item = TypeVar("Item")
Rare = Annotated[Item, RARE]
"""`blur: Rare[float] = 0.5`: an option that `--help-all` lists and `--help` does not. It has a default."""

# --------------------------------------------------------------------------------------------- parse and help


def parse(kind: Callable[..., Kind] | UnionType, arguments: Sequence[str], prog: str) -> Kind:
    """The options that a command line gives.

    Args:
        kind: a dataclass, or a function, whose defaults may be computed.
        arguments: the words after the command.
        prog: the command, for its help.

    Raises:
        UserError: an option is unknown, missing or of the wrong kind.
        SystemExit: with code 0, after `--help` or `--help-all`.
    """
    print_short_help(kind, arguments, prog)
    print_whole_help(kind, arguments, prog)
    refuse_empty(arguments, prog)

    errors = io.StringIO()

    try:
        with contextlib.redirect_stderr(errors):
            options = tyro.cli(kind, args=arguments, prog=prog)  # pyright: ignore[reportCallIssue, reportArgumentType]
    except SystemExit as stop:
        if not stop.code:
            raise
        raise refusal(errors.getvalue(), prog) from None

    check_values(options)
    return options


def parse_shard(text: str) -> tuple[int, int]:
    """The number of a job and the number of jobs, from `i/n`.

    Raises:
        UserError: the text has another form.
    """
    part, slash, parts = text.partition("/")
    if not slash or not part.isdecimal() or not parts.isdecimal() or not 0 <= int(part) < int(parts):
        raise UserError(f"--shard {text}", "is no i/n", "give such as 0/4, 1/4, 2/4, 3/4")
    return int(part), int(parts)
