"""A folder that appears under its name when it is complete, or not at all."""

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from handvae.errors import ResultWarning, UserError
from handvae.files import holds_only_ours, only_writer, set_aside, write_manifest


@contextmanager
def complete_folder(folder: Path, overwrite: bool = False, sources: Sequence[Path] = ()) -> Iterator[Path]:
    """A partial folder to fill; it gets its name when the block ends without an exception.

    Else it is removed. A folder that it replaces is deleted only if we wrote every file of it; any other gets
    the name NAME.old, which a warning says.

    Args:
        folder: the name it gets.
        overwrite: replace an existing folder.
        sources: files and folders that are read meanwhile.

    Raises:
        UserError: the folder holds something and `overwrite` is not set, it holds one of the sources, or
            another process is writing it.
    """
    check_free(folder, overwrite, sources)
    # resolved: "." has no name to derive others from
    folder = folder.resolve()
    partial = folder.with_name(f".{folder.name}.partial")
    replaced = folder.with_name(f".{folder.name}.replaced")

    with only_writer(folder):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            yield partial

            # on the disk before the name: after a crash the folder is complete or absent
            for path in partial.rglob("*"):
                if path.is_file():
                    with path.open("rb+") as handle:
                        os.fsync(handle.fileno())

            write_manifest(partial)
            _take_name(partial, folder, replaced)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _take_name(partial: Path, folder: Path, replaced: Path) -> None:
    """Give a finished folder its name."""
    # an empty folder stays itself: it may be the working directory
    if folder.exists() and not any(folder.iterdir()):
        for path in sorted(partial.iterdir()):
            path.rename(folder / path.name)
        return

    if folder.exists() and not holds_only_ours(folder):
        aside = set_aside(folder)
        line = f"{folder}: held files that this command did not write; they are in {aside.name}"
        warnings.warn(line, ResultWarning, stacklevel=4)
    elif folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        # two renames: the old data set is gone only when the new one has its name
        folder.rename(replaced)

    partial.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def check_free(folder: Path, overwrite: bool, sources: Sequence[Path] = ()) -> None:
    """Check that a folder is empty, or may be replaced.

    Raises:
        UserError: as `complete_folder`, or it holds the home folder or the one that one stands in.
    """
    place = folder.resolve()
    for source in sources:
        if source.resolve().is_relative_to(place):
            fault = f"is or holds {source}, which is read"
            raise UserError(folder, fault, "give another folder")

    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise UserError(folder, "already exists", "give another folder, or --overwrite")
    if not folder.is_dir():
        raise UserError(folder, "is a file, so it is not replaced", "give a folder")

    # `--out ~ --overwrite` is a slip
    for kept in (Path.home(), Path.cwd()):
        if kept.resolve().is_relative_to(place):
            fault = f"holds {kept}, so it is not replaced"
            raise UserError(folder, fault, "give another folder")
