"""A folder that appears under its name when it is complete, or not at all."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from handvae.errors import UserError


@contextmanager
def complete_folder(folder: Path, markers: Sequence[str], overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill, beside `folder`; it takes that name when the block ends without an exception, and
    else is removed.

    Args:
        folder: the name it gets.
        markers: glob patterns; only a folder that has a file of one of them is ever replaced.
        overwrite: replace the folder if it is there.

    Raises:
        UserError: the folder exists and holds something, and `overwrite` is not set, or what it holds is
            of another kind.
    """
    check_free(folder, markers, overwrite)
    folder = folder.resolve()  # "." has no name to write beside
    partial, replaced = (folder.with_name(f".{folder.name}.{word}") for word in ("partial", "replaced"))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        for path in partial.rglob("*"):
            if path.is_file():
                with path.open("rb+") as handle:
                    os.fsync(handle.fileno())
        if folder.exists() and not any(folder.iterdir()):
            for path in sorted(
                partial.iterdir()
            ):  # an empty folder stays itself: it may be the one we stand in
                path.rename(folder / path.name)
        else:
            if folder.exists():
                shutil.rmtree(replaced, ignore_errors=True)
                folder.rename(replaced)
            partial.rename(folder)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_free(folder: Path, markers: Sequence[str], overwrite: bool) -> None:
    """Only an empty folder is written into, and only one of the same kind is ever replaced: `--out ~
    --overwrite` must not cost a home.

    Raises:
        UserError: as `complete_folder`.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise UserError(folder, "already exists", "give another folder, or --overwrite")
    if not folder.is_dir() or not any(path.is_file() for marker in markers for path in folder.glob(marker)):
        raise UserError(
            folder, "is nothing that this command writes, so it is not replaced", "give another folder"
        )
