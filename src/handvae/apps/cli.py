"""The command line: finds the command, and turns a `UserError` into one line and exit code 2.

Nothing heavy is imported here, so `handvae --help` answers at once; each command lives in a module of its
own.
"""

import difflib
import importlib
import os
import re
import sys
from collections.abc import Sequence

from handvae import __version__
from handvae.errors import UserError

COMMANDS = {
    "demo": "shipped model, no arguments: poses, appearance transfer, a walk and an estimate into out/demo",
    "synthesize": "labelled pictures of hands in the poses you ask for",
    "transfer": "the appearance of one photo on the pose of another",
    "walk": "an animation from one pose, or one appearance, to another",
    "estimate": "read poses from photos, depth pictures or 2D joints",
    "render": "procedural hands with every label, or a sheet of one pose",
    "data": "look at a data set (info), find its faults (check), change its format (convert), label pictures (label)",
    "upsample": "more labelled pictures of a set, each checked by a detector, with a report",
    "train": "train a preset on your pictures",
    "evaluate": "measure models on a data set, or other people's predictions",
    "export": "a model as ONNX or PyTorch files, for programs that run without this package",
    "reproduce": "a paper's table, trained and measured again, beside what was published",
}

GOES_ON = {
    "train": "; the same command with --resume goes on from the last save",
    "render": "; the same command goes on",
    "upsample": "; the same command goes on",
}
"""What becomes of commands that are stopped; the others leave nothing and begin anew."""


def usage() -> str:
    """The text of `handvae --help`."""
    lines = [
        f"handvae {__version__}: labelled pictures of hands, and hands read from pictures.",
        "",
        "usage: handvae COMMAND [options]",
        "",
    ]
    lines += [f"  {name:<12}{about}" for name, about in COMMANDS.items()]
    return "\n".join([*lines, "", "handvae COMMAND --help lists a command's options."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    name, *rest = words
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean `handvae {near[0]}`?" if near else "see handvae --help"
        print(f"handvae: no command {name!r}; {hint}", file=sys.stderr)
        return 2
    try:
        importlib.import_module(f"handvae.apps.{name}").main(rest)
    except UserError as error:
        print(f"handvae {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"handvae {name}: stopped{GOES_ON.get(name, '')}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `handvae data check ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a folder that may not be written, a full disk
        where = re.sub(
            r"(^|/)\.([^/]+)\.partial(?=/|$)", r"\1\2", str(error.filename or name)
        )  # what it would have become
        print(
            f"handvae {name}: {where}: {error.strerror or error}; check the path and the disk",
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
