"""`handvae data check`: the faults of a data set."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from handvae.apps.options import JsonOption, QuietOption, parse
from handvae.apps.output import output
from handvae.apps.progress import EVERY, progress
from handvae.choices import Between
from handvae.errors import UserError
from handvae.words import plural

if TYPE_CHECKING:
    from handvae.data.readers.coco import Problem


@dataclass(frozen=True)
class Check:
    """Find bad labels and unreadable pictures; the exit code is 2 where there are any."""

    root: tyro.conf.Positional[Path]
    """Folder of a data set."""
    split: str | None = None
    """Only this split's labels."""
    protocol: str | None = None
    """Which hands, for data sets that have several protocols."""
    most: Annotated[int, Between(0, 10**6)] = 50
    """Print at most this many lines."""
    json: JsonOption = False
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Print every fault; a fatal one keeps the set from being read."""
    options = parse(Check, arguments, "handvae data check")

    from handvae.data.readers.coco import Problem

    with output(options.quiet, options.json) as result:
        try:
            problems = find_problems(options)
        except UserError as error:
            if not options.json:
                raise
            problems = [Problem(error.where, error.fault, error.remedy)]
        fatal = [problem for problem in problems if problem.fatal]
        odd = [problem for problem in problems if not problem.fatal]

        for problem in [] if options.json else [*fatal, *odd][: options.most]:
            kind = "fault" if problem.fatal else "odd"
            print(f"{kind}: {problem.where}: {problem.fault}; {problem.remedy}", file=sys.stderr)

        oddities = plural(len(odd), "oddity", "oddities")
        if not fatal:
            print(f"{options.root}: no fault; {oddities}")

        result({"root": options.root, "faults": len(fatal)})
        result({"problems": [asdict(problem) for problem in fatal]})
        result({"oddities": [asdict(problem) for problem in odd]})

    # after the block: the JSON object is printed whether the data are sound or not
    if fatal:
        fault = f"{plural(len(fatal), 'fault')}, {oddities}"
        raise UserError(options.root, fault, "mend the faults that are listed")


def find_problems(options: Check) -> list["Problem"]:
    """Faults of the annotation and its pictures; where there are none, what is odd about the labels."""
    from handvae.data.check import find_oddities
    from handvae.data.open import reader_of, recognise
    from handvae.data.readers.coco import Problem, check_coco

    our_layout = recognise(options.root) == "coco"
    problems = check_coco(options.root) if our_layout else []
    if any(problem.fatal for problem in problems):
        return problems  # it cannot be opened

    # the reader itself: a missing picture is named as each other fault
    data = reader_of(options.root, options.split, options.protocol)
    if not our_layout:
        remedy = "mend them, or use the rest"
        problems = [Problem(str(options.root), line, remedy, fatal=False) for line in data.left_out]
    with progress("pictures", len(data), EVERY) as report:
        return [*problems, *find_oddities(data, outside=not our_layout, report=report)]
