"""What readers leave out of a data set, and say so: unusable labels, and pictures that are missing.

One rule for all of them. What cannot be used is left out, counted and explained in a warning; a data set of
which nothing is left is refused. Missing pictures are left out up to a tenth: beyond, a download was cut off.
In strict mode (`strict`, `--strict`) anything that would be left out is refused.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from handvae.errors import DataWarning, UserError

MOST_MISSING = 0.1
"""Share of the pictures that may be missing."""
NAMED = 3
"""How many of those that are left out are named."""
_STRICT: ContextVar[bool] = ContextVar("strict", default=False)
_PARTIAL: ContextVar[bool] = ContextVar("partial", default=False)


@contextmanager
def strict(on: bool = True) -> Iterator[None]:
    """Refuse data sets of which anything would be left out, as long as this is entered."""
    token = _STRICT.set(on)
    try:
        yield
    finally:
        _STRICT.reset(token)


def is_strict() -> bool:
    """Whether anything that would be left out is refused."""
    return _STRICT.get()


@contextmanager
def partial(on: bool = True) -> Iterator[None]:
    """Open data sets of which more than `MOST_MISSING` is missing, with what is there (`--partial`)."""
    token = _PARTIAL.set(on)
    try:
        yield
    finally:
        _PARTIAL.reset(token)


def too_many(missing: int, total: int) -> bool:
    """Whether a copy that lacks so many files of so many is refused."""
    return missing == total or (missing > MOST_MISSING * total and not _PARTIAL.get())


class LeftOut:
    """What a reader leaves out of one data set, by reason."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._named: dict[str, list[str]] = {}

    def add(self, reason: str, name: str, count: int = 1) -> None:
        """Count what is left out for a reason, and keep the first names.

        Args:
            reason: in a few words, such as `no keypoints`; the same words for all of a kind.
            name: of what is left out, such as `annotation 7`.
            count: how many.
        """
        self.counts[reason] += count
        names = self._named.setdefault(reason, [])
        if len(names) < NAMED:
            names.append(name)

    def __len__(self) -> int:
        return self.counts.total()

    def line(self, what: str, of: int) -> str:
        """One line for all of it: how many of how many are left out, why, and the first of each kind.

        Args:
            what: what is counted, such as `hands`.
            of: how many there were.
        """
        reasons = []
        for reason, count in self.counts.most_common():
            names = ", ".join(self._named[reason])
            more = ", ..." if count > len(self._named[reason]) else ""
            reasons.append(f"{count:,} {reason} ({names}{more})")
        verb = "is" if len(self) == 1 else "are"
        return f"{len(self):,} of {of:,} {what} {verb} left out: {'; '.join(reasons)}"


def warn_of(root: str | Path, lines: Sequence[str]) -> None:
    """Say what is left out of a data set.

    Raises:
        UserError: in strict mode, if there is anything to say.
    """
    if lines and _STRICT.get():
        raise UserError(root, lines[0], "mend it, or read the rest without --strict")
    for line in lines:
        warnings.warn(f"{root}: {line}", DataWarning, stacklevel=3)
