"""A folder that appears under its name when it is complete, or not at all."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from handvae.errors import UserError


@contextmanager
def complete_folder(folder: Path, markers: Sequence[str], overwrite: bool = False) -> Iterator[Path]:
    """A partial folder to fill; it gets its name when the block ends without an exception.

    Else it is removed.

    Args:
        folder: the name it gets.
        markers: glob patterns; only a folder with a file of one of them is ever replaced.
        overwrite: replace an existing folder.

    Raises:
        UserError: the folder holds something and `overwrite` is not set, or what it holds is of another
            kind.
    """
    check_free(folder, markers, overwrite)
    # resolved: "." has no name to derive others from
    folder = folder.resolve()
    partial = folder.with_name(f".{folder.name}.partial")
    replaced = folder.with_name(f".{folder.name}.replaced")
    shutil.rmtree(partial, ignore_errors=True)

    try:
        partial.mkdir(parents=True)
        yield partial

        # on the disk before the name: after a crash the folder is complete or absent
        for path in partial.rglob("*"):
            if path.is_file():
                with path.open("rb+") as handle:
                    os.fsync(handle.fileno())

        # an empty folder stays itself: it may be the working directory
        if folder.exists() and not any(folder.iterdir()):
            for path in sorted(partial.iterdir()):
                path.rename(folder / path.name)
        else:
            if folder.exists():
                shutil.rmtree(replaced, ignore_errors=True)
                # two renames: the old data set is gone only when the new one has its name
                folder.rename(replaced)
            partial.rename(folder)

        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_free(folder: Path, markers: Sequence[str], overwrite: bool) -> None:
    """Check that a folder is empty, or may be replaced because it is of the same kind.

    `--out ~ --overwrite` must not cost a home directory.

    Raises:
        UserError: as `complete_folder`.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise UserError(folder, "already exists", "give another folder, or --overwrite")

    files = [path for marker in markers for path in folder.glob(marker)] if folder.is_dir() else []
    if not any(path.is_file() for path in files):
        fault = "is nothing that this command writes, so it is not replaced"
        raise UserError(folder, fault, "give another folder")
