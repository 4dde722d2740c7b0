"""JSON files larger than memory: items are spooled to the disk and joined at the end."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


class Spool:
    """Items of one JSON array or object, in a temporary file until `write_json` takes them."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile("w+", encoding="utf-8", prefix="handvae-")  # noqa: SIM115 (closed by __exit__)
        self.count = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def item(self, value: Any) -> None:
        """Add an item of an array."""
        self._write(json.dumps(value, allow_nan=False))

    def member(self, key: str, value: Any) -> None:
        """Add a member of an object."""
        self._write(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}")

    def _write(self, text: str) -> None:
        # a comma before every item but the first: the number of items is not known yet
        self.file.write((",\n" if self.count else "") + text)
        self.count += 1


def write_json(path: Path, *pieces: str | Spool) -> None:
    """Write pieces of text and spools one after another as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for piece in pieces:
            if isinstance(piece, str):
                file.write(piece)
            else:
                piece.file.seek(0)
                shutil.copyfileobj(piece.file, file)


def rounded(values: np.ndarray, digits: int) -> list[Any]:
    """An array as nested lists of numbers with `digits` decimals; a number that is not finite is 0."""
    decimals = np.round(np.asarray(values, np.float64), digits)
    return np.nan_to_num(decimals, posinf=0, neginf=0).tolist()
