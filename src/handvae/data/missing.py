"""Files that a data set names and that are not there: one policy for all readers.

They are counted at opening, not met after an hour of training. Up to a tenth of the hands are left out, with
a warning; beyond that the copy is refused.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from handvae.data.dataset import HandData
from handvae.data.left_out import NAMED, too_many
from handvae.data.subset import Subset
from handvae.errors import UserError


def without_missing(data: HandData, root: Path) -> HandData:
    """The data set without the rows that lack a file; `left_out` says how many.

    Raises:
        UserError: more than `MOST_MISSING` of the rows lack one.
    """
    missing = dict(missing_files(data))
    if not missing:
        return data

    files = list(dict.fromkeys(missing.values()))
    names = ", ".join(_below(root, path) for path in files[:NAMED])
    more = f" and {len(files) - NAMED:,} more" if len(files) > NAMED else ""
    count = "1 file is" if len(files) == 1 else f"{len(files):,} files are"
    fault = f"{count} missing or empty ({names}{more}), and with them {len(missing):,} of {len(data):,} hands"

    if too_many(len(missing), len(data)):
        page = f" (its authors publish it at {data.authors})" if data.authors else ""
        remedy = f"copy the data set again, whole{page}, or give --partial to use what is there"
        raise UserError(root, fault, remedy)

    rest = Subset(data, [row for row in range(len(data)) if row not in missing])
    line = f"{fault}, which are left out"
    rest.left_out = (*data.left_out, line)
    rest.remarks = (*data.remarks, line)
    return rest


def missing_parts(
    root: Path, what: str, absent: Sequence[str], considered: int, authors: str = ""
) -> tuple[str, ...]:
    """What to say of files without which a reader knows no hands, such as labels: nothing, or one line.

    Args:
        root: the data set.
        what: the files are, such as `files of labels`.
        absent: names of those that are missing, below the root.
        considered: how many there should be.
        authors: where they publish it.

    Raises:
        UserError: more than `MOST_MISSING` of those considered are missing.
    """
    if not absent:
        return ()

    names = ", ".join(absent[:NAMED])
    more = f" and {len(absent) - NAMED:,} more" if len(absent) > NAMED else ""
    verb = "is" if len(absent) == 1 else "are"
    fault = f"{len(absent):,} of {considered:,} {what} {verb} missing or empty ({names}{more})"
    if too_many(len(absent), considered):
        page = f"its authors publish it at {authors}" if authors else "copy the data set again, whole"
        raise UserError(root / absent[0] if len(absent) == 1 else root, fault, page)

    return (f"{fault}, and left out with their hands",)


def missing_files(data: HandData) -> Iterator[tuple[int, str]]:
    """Rows that lack a file, and the first that each lacks: it is absent, empty, or no regular file."""
    # one listing of a folder: a question for each of a million files would be slow
    listings: dict[str, frozenset[str]] = {}
    for row, paths in enumerate(data.files()):
        for path in paths:
            folder, name = os.path.split(path)
            if folder not in listings:
                listings[folder] = _filled_files(folder)
            # a file system that ignores case or the form of accents knows more names than it lists
            if name not in listings[folder] and not is_filled(path):
                yield row, path
                break


def _filled_files(folder: str) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file() and entry.stat().st_size > 0)
    except (OSError, ValueError):
        return frozenset()


def is_filled(path: str | Path) -> bool:
    """Whether a path is a regular file that holds something."""
    try:
        return os.path.isfile(path) and os.path.getsize(path) > 0
    except (OSError, ValueError):
        return False


def _below(root: Path, path: str) -> str:
    """A path as the data set names it."""
    base = root if root.is_dir() else root.parent
    return Path(path).relative_to(base).as_posix() if Path(path).is_relative_to(base) else path
