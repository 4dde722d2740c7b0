"""Files that are there whole or not at all: written beside their final name, flushed, renamed; and locks
between processes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, flush it to the disk, then give it its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    try:
        write(beside)
        with beside.open("rb+") as handle:
            os.fsync(handle.fileno())
        beside.chmod(0o644)  # safetensors writes for the owner alone
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_atomically(path, lambda beside: beside.write_text(text))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process of this machine is inside for the same folder; the system lets go when a
    process dies."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        yield
