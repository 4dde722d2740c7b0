"""`handvae data check`: the faults of a data set."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from handvae.apps.options import parse
from handvae.apps.progress import EVERY, progress
from handvae.data.check import find_oddities
from handvae.data.open import open_data, recognise
from handvae.data.readers.coco import Problem, check_coco
from handvae.errors import UserError


@dataclass(frozen=True)
class Check:
    """Find bad labels and unreadable pictures; the exit code is 2 where there are any."""

    root: tyro.conf.Positional[Path]
    """Folder of a data set."""
    split: str | None = None
    """Only this split's labels."""
    protocol: str | None = None
    """Which hands, for data sets that have several protocols."""
    most: int = 50
    """Lines printed at most."""


def main(arguments: Sequence[str]) -> None:
    """Print every fault; fatal ones keep the set from being read."""
    options = parse(Check, arguments, "handvae data check")
    problems = find(options)
    fatal = [problem for problem in problems if problem.fatal]
    for problem in [*fatal, *(p for p in problems if not p.fatal)][: options.most]:
        kind = "fault" if problem.fatal else "odd"
        print(f"{kind}: {problem.where}: {problem.fault}; {problem.remedy}", file=sys.stderr)
    if fatal:
        raise UserError(
            options.root,
            f"{len(fatal)} faults, {len(problems) - len(fatal)} oddities",
            "mend the faults listed above",
        )
    print(f"{options.root}: no fault; {len(problems)} oddities")


def find(options: Check) -> list[Problem]:
    """Faults of the annotation and its pictures; where there are none, what is odd about the labels."""
    own = recognise(options.root) == "coco"
    problems = check_coco(options.root) if own else []
    if any(problem.fatal for problem in problems):
        return problems  # it cannot be opened
    data = open_data(options.root, options.split, options.protocol)
    with progress("pictures", len(data), EVERY) as report:
        return [*problems, *find_oddities(data, outside=not own, report=report)]
