"""Seconds until each command has shown its help, and whether that imported torch: `python
benchmarks/start.py`.

`handvae --help` should take under 0.3 s, `handvae COMMAND --help` under 1 s.
"""

import subprocess
import sys
import time

from handvae.apps.commands import COMMANDS
from handvae.apps.data import SUBCOMMANDS

RUNS = 3
SCRIPT = """\
import sys
from handvae.apps.cli import main
try:
    main(sys.argv[1:])
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


def start(words: list[str]) -> tuple[float, bool]:
    """The best time of a few runs, and whether torch was imported."""
    best, torch = float("inf"), False
    for _ in range(RUNS):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=True
        )
        best = min(best, time.perf_counter() - began)
        torch = done.stderr.split()[-1] == "True"
    return best, torch


def main() -> None:
    """Print a line a command."""
    commands = [[], *([name] for name in COMMANDS), *(["data", name] for name in SUBCOMMANDS)]
    commands += [["train", "photos-64"]]
    for words in commands:
        seconds, torch = start([*words, "--help"])
        name = " ".join(["handvae", *words, "--help"])
        print(f"{name:<36}{seconds:6.2f} s{'  imports torch' if torch else ''}")


if __name__ == "__main__":
    main()
