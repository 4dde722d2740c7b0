"""The command line: finds the command, and turns a `UserError` into one line and exit code 2.

Nothing heavy is imported here, so `handvae --help` answers at once; each command is a module of its own.
"""

import contextlib
import re
import sys
from collections.abc import Sequence

from handvae import __version__
from handvae.apps.commands import COMMANDS, run
from handvae.apps.terminal import (
    drop_output,
    escape_unknown_letters,
    one_line_warnings,
    report_full_output,
)
from handvae.errors import UserError

AFTER_A_STOP = {
    "train": "; the same command with --resume continues from the last save",
    "estimate": "; the hands that were read are in estimate.jsonl, in the output folder",
    "render": "; the same command continues",
    "upsample": "; the same command continues",
}
"""How to continue a command that was stopped; the others start over."""


def usage() -> str:
    """The text of `handvae --help`."""
    lines = [f"  {name:<12}{about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            f"handvae {__version__}: labelled pictures of hands, and hands read from pictures.",
            "",
            "usage: handvae COMMAND [options]",
            "",
            *lines,
            "",
            "handvae COMMAND --help lists a command's everyday options, --help-all lists all of them.",
            "--strict, with any command, refuses data of which anything would be left out; --partial takes",
            "data of which more than a tenth of the pictures is missing.",
            "handvae --version prints the version, handvae --print-completion bash|zsh a completion script.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    escape_unknown_letters()
    try:
        code = _guarded(words)
    except SystemExit as stop:
        # after a help text
        code = int(stop.code or 0)
    except BrokenPipeError:
        code = 0
    except OSError as error:
        code = report_full_output(error)

    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
    except OSError as error:
        code = report_full_output(error)
    return code


def _guarded(words: Sequence[str]) -> int:
    """Run one command; whatever the user or the machine can do about a fault is one line."""
    if len(words) > 1 and words[0] == "help":
        # `handvae help estimate`
        return _guarded([*words[1:], "--help"])
    if not words or words[0] in {"-h", "--help", "--help-all", "help"}:
        print(usage())
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0

    name, *rest = words
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(one_line_warnings(name))
            if {"--strict", "--partial"} & set(rest):
                from handvae.data.left_out import partial, strict

                stack.enter_context(strict("--strict" in rest))
                stack.enter_context(partial("--partial" in rest))
                rest = [word for word in rest if word not in ("--strict", "--partial")]
            return _run(name, rest)
    except UserError as error:
        where = f"handvae {name}" if name in COMMANDS else "handvae"
        print(f"{where}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"handvae {name}: stopped{AFTER_A_STOP.get(name, '')}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as in `handvae data check ... | head`
        drop_output()
        return 0
    except MemoryError:
        print(f"handvae {name}: there is not enough memory; give less at a time", file=sys.stderr)
        return 2
    except OSError as error:
        # A folder that may not be written, a full disk; unfinished files are named as they would be at last
        path = re.sub(r"(^|/)\.([^/]+)\.partial(?=/|$)", r"\1\2", str(error.filename or name))
        fault = error.strerror or error
        print(f"handvae {name}: {path}: {fault}; check the path and the disk", file=sys.stderr)
        return 2


def _run(name: str, words: Sequence[str]) -> int:
    """Run a command, or print a completion script."""
    if name == "--print-completion":
        from handvae.apps import completion

        completion.main(words)
    else:
        run(name, words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
