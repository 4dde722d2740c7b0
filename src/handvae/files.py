"""Files that are there whole or not at all, their digests, and locks between processes."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all.

    `write` makes a partial file in the same folder; it is flushed to the disk and then renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # the same folder: a rename is atomic only within one file system
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        with partial.open("rb+") as handle:
            # without it a crash after the rename could leave an empty file
            os.fsync(handle.fileno())

        # safetensors writes files that only their owner can read
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_atomically(path, lambda partial: partial.write_text(text))


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process of this machine is inside for the same folder.

    The system releases the lock when a process dies.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    # next to the folder, which may not exist yet
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        yield
