"""`python -m handvae.rv.explain`: prints the table of a network.

python -m handvae.rv.explain package.module:make_decoder
python -m handvae.rv.explain run/last.safetensors --loader package.module:load
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from handvae.rv.explain.table import explain

Loader = Callable[[Path], nn.Module]


def main(arguments: Sequence[str] | None = None, load_checkpoint: Loader | None = None) -> int:
    """Prints the table and returns the exit code.

    Args:
        arguments: command line, without the program's name.
        load_checkpoint: makes a network from a file, for callers that know the format; `--loader` overrides
            it.
    """
    parser = argparse.ArgumentParser(
        prog="python -m handvae.rv.explain", description="Lists the operations of a network."
    )
    parser.add_argument(
        "network", help="package.module:callable that returns a torch module, or a checkpoint file"
    )
    parser.add_argument(
        "--loader", help="package.module:callable that makes a torch module from the checkpoint's path"
    )
    options = parser.parse_args(arguments)

    if options.loader:
        load_checkpoint = _attribute(options.loader, parser)

    if not Path(options.network).exists() and ":" in options.network:
        network = _attribute(options.network, parser)
        if not isinstance(network, nn.Module):
            network = network()
    elif load_checkpoint is not None:
        network = load_checkpoint(Path(options.network))
    else:
        parser.error(
            f"{options.network} is not package.module:callable; "
            "for a checkpoint give --loader package.module:callable as well"
        )

    print(explain(network))
    return 0


def _attribute(reference: str, parser: argparse.ArgumentParser) -> Any:
    """The object that package.module:name refers to."""
    home, _, name = reference.partition(":")
    try:
        return getattr(import_module(home), name)
    except (ImportError, AttributeError) as fault:
        parser.error(f"cannot find {reference}: {fault}")


if __name__ == "__main__":
    sys.exit(main())
