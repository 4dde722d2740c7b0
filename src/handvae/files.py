"""Files that are there whole or not at all, their digests, locks between processes, and what is ours."""

import getpass
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from handvae.errors import UserError

LEAST_BYTES_A_PIXEL = 0.1
"""Of a picture with its labels: none of ours is smaller."""
MANIFEST = ".handvae-files.json"
"""In folders that we write: their files. Only a folder of which it names every file is ever replaced."""


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


def check_space(folder: Path, pictures: int, size_px: int) -> None:
    """Refuse pictures that the disk cannot hold, however well they are compressed.

    Args:
        folder: where they are to be written; it need not be there.
        pictures: how many.
        size_px: side of each.

    Raises:
        UserError: less is free.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free, needed = shutil.disk_usage(there).free, pictures * size_px**2 * LEAST_BYTES_A_PIXEL
    if needed > free:
        fault = f"{pictures:,} pictures of {size_px} px need {_gigabytes(needed)} at least"
        raise UserError(
            folder, f"{fault}, and {_gigabytes(free)} are free there", "ask for fewer, or name another disk"
        )


def _gigabytes(count: int | float) -> str:
    return f"{count / 1e9:,.1f} GB"


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


# --------------------------------------------------------------------------------------- one writer at a time


@contextmanager
def only_writer(target: Path) -> Iterator[None]:
    """Refuse to write where another process of this machine is writing.

    The system releases the lock when a process dies, so a killed command never blocks the next one.

    Args:
        target: the file or folder that is going to be written.

    Raises:
        UserError: another process is writing there.
    """
    place = target.resolve()
    # a command that holds its whole output may call a function that takes a part of it
    if place in _HELD:
        yield
        return

    lock = FileLock(_lock_file(place))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        fault = "another handvae process is writing there"
        raise UserError(target, fault, "wait until it has ended, or give another --out") from None

    _HELD.add(place)
    try:
        yield
    finally:
        _HELD.discard(place)
        lock.release()


_HELD: set[Path] = set()
"""Outputs that this process is writing."""


def _lock_file(place: Path) -> Path:
    """Where the lock of an output lies: not beside it, so that nothing stays there."""
    folder = Path(tempfile.gettempdir()) / f"handvae-locks-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(str(place).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return folder / f"{name}.lock"


# ------------------------------------------------------------------------------------------- what is ours


def write_manifest(folder: Path) -> None:
    """Note every file of a folder as one that we wrote."""
    entries = {str(path.relative_to(folder)): _state(path) for path in folder.rglob("*") if path.is_file()}
    (folder / MANIFEST).write_text(json.dumps({"files": entries}))


def add_to_manifest(folder: Path, *names: str) -> None:
    """Note files that are going to be written into a folder of ours; whatever they hold is ours."""
    entries = _manifest(folder) or {}
    entries |= dict.fromkeys(names)
    write_text_atomically(folder / MANIFEST, json.dumps({"files": entries}))


def holds_only_ours(folder: Path) -> bool:
    """Whether we wrote every file of a folder, and nobody has changed one since."""
    entries = _manifest(folder)
    if entries is None:
        return False

    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink() or (not path.is_dir() and not path.is_file()):
            return False
        if path.is_file() and name != MANIFEST:
            if name not in entries:
                return False
            if entries[name] is not None and entries[name] != _state(path):
                return False
    return True


def set_aside(folder: Path) -> Path:
    """Rename a folder to NAME.old, or NAME.old.1 and so on; gives its new path."""
    number, aside = 0, folder.with_name(f"{folder.name}.old")
    while aside.exists() or aside.is_symlink():
        number += 1
        aside = folder.with_name(f"{folder.name}.old.{number}")
    folder.rename(aside)
    return aside


def _manifest(folder: Path) -> dict[str, str | None] | None:
    """The files that we noted; None where there is no sound manifest."""
    try:
        entries = json.loads((folder / MANIFEST).read_text())["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return entries if isinstance(entries, dict) else None


def _state(path: Path) -> str:
    """What a file holds: a file that somebody has changed since has another state."""
    return file_digest(path)[:32]
