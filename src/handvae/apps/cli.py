"""The command line: finds the command, and turns a `UserError` into one line and exit code 2.

Nothing heavy is imported here, so `handvae --help` answers at once; each command is a module of its own.
"""

import os
import re
import sys
from collections.abc import Sequence

from handvae import __version__
from handvae.apps.commands import COMMANDS, run
from handvae.errors import UserError

AFTER_A_STOP = {
    "train": "; the same command with --resume continues from the last save",
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
            "handvae --version prints the version, handvae --print-completion bash|zsh a completion script.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help", "--help-all", "help"}:
        print(usage())
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0

    name, *rest = words
    try:
        if name == "--print-completion":
            from handvae.apps import completion

            completion.main(rest)
        else:
            run(name, rest)
    except UserError as error:
        where = f"handvae {name}" if name in COMMANDS else "handvae"
        print(f"{where}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"handvae {name}: stopped{AFTER_A_STOP.get(name, '')}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as in `handvae data check ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # A folder that may not be written, a full disk; unfinished files are named as they would be at last
        path = re.sub(r"(^|/)\.([^/]+)\.partial(?=/|$)", r"\1\2", str(error.filename or name))
        fault = error.strerror or error
        print(f"handvae {name}: {path}: {fault}; check the path and the disk", file=sys.stderr)
        return 2

    return 0


if __name__ == "__main__":
    sys.exit(main())
