"""Tar files of the webdataset library, as `data/export/webdataset.py` writes them.

Labels are read at opening, pictures on demand by their place in the file.
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from pydantic import TypeAdapter
from torch import Tensor

from handvae.data.dataset import HandData, require_few, require_numbers, require_size
from handvae.data.files.pictures import decode_picture, decode_plane
from handvae.data.files.shards import DEPTH_UNIT_MM, PICTURES, label_columns
from handvae.data.hands import DataSpec, Hands
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, SEGMENTATION_CLASSES, UNKNOWN

SPEC_FILE = "spec.json"
MOST_BYTES = 2**28
"""Of one file within a tar file; a larger one is refused before it is read."""
MOST_TAR_BYTES = 2**40
"""Of a tar file, which is never read whole."""
_WRITE_AGAIN = "write it with `handvae data convert --format webdataset`"


@dataclass(frozen=True)
class _Member:
    """Where a file lies within a tar file."""

    tar: Path
    start: int
    size: int

    def read(self) -> bytes:
        """Its content."""
        try:
            with self.tar.open("rb") as file:
                file.seek(self.start)
                return file.read(self.size)
        except OSError as error:
            raise UserError(self.tar, f"cannot be read ({error.strerror})", "check the file") from error


@dataclass(frozen=True)
class _Row:
    """One hand: the files of its picture by their suffixes, and the place of the hand there."""

    key: str
    files: dict[str, _Member]
    place: int
    split: str
    picture: str
    provenance: str


def is_webdataset(root: Path) -> bool:
    """Whether a folder holds tar files of ours."""
    return (root / SPEC_FILE).is_file() and next(root.glob("data-*.tar"), None) is not None


class WebdatasetHands(HandData):
    """Tar files of pictures with their hands, in order of name.

    Args:
        root: the folder of `data-*.tar` and `spec.json`.
        split: keep only pictures of this split; None keeps all.

    Raises:
        UserError: a file is missing or damaged, or no hand is of the split.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        spec = _read_spec(root / SPEC_FILE)
        self._rows: list[_Row] = []
        columns: dict[str, list[np.ndarray]] = {}
        splits: set[str] = set()
        shapes: dict[str, tuple[int | None, ...]] = {
            name: shape for name, (shape, _) in label_columns(spec).items()
        }
        # the number of a cloud's points is nowhere said
        if "cloud" in shapes:
            shapes["cloud"] = (None, 3)

        for path in sorted(root.glob("data-*.tar")):
            for key, files in _pictures(path):
                about, hands = _read_labels(path, key, files)
                splits.add(about["split"])
                if split is not None and about["split"] != split:
                    continue
                for place, hand in enumerate(hands):
                    where = f"{path}, {key}, hand {place}"
                    for name, shape in shapes.items():
                        columns.setdefault(name, []).append(_value(where, name, hand, spec, shape))
                    origin = str(hand.get("provenance", ""))
                    self._rows.append(_Row(key, files, place, about["split"], about["picture"], origin))
                require_few(path, "hands", len(self._rows))

        if not self._rows:
            names = ", ".join(sorted(splits - {""}))
            fault = f"holds no hand of split {split!r}" if split else "holds no hand"
            raise UserError(root, fault, f"it has {names}" if names else "its hands have no split")

        self._labels = _stacked(root, columns)
        modalities = tuple(name for name in spec.modalities if name in (*PICTURES, "mask"))
        labels = tuple(name for name, _ in self._labels.items())
        self.spec = replace(spec, count=len(self._rows), modalities=(*modalities, *labels))

    def __len__(self) -> int:
        return len(self._rows)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows, in pixels of the whole pictures."""
        return self._labels[rows]

    def name(self, row: int) -> str:
        """The key of the picture within the tar files, and the hand's place there."""
        return f"{self._rows[row].key}, hand {self._rows[row].place}"

    def picture_name(self, row: int) -> str:
        """The picture's name in the data set that the files were made of; else its key."""
        return self._rows[row].picture or self._rows[row].key

    def split_of(self, row: int) -> str:
        """The split that a row belongs to."""
        return self._rows[row].split

    def provenance_of(self, row: int) -> str:
        """Where a row comes from: the text of a JSON object, or nothing."""
        return self._rows[row].provenance

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        content, where = self._file(row, "image", "png")
        return decode_picture(content, where)

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """The depth picture of one row in mm, 0 where unknown."""
        content, where = self._file(row, "depth", "depth.png")
        return decode_plane(content, where, np.uint16).astype(np.float32) * np.float32(DEPTH_UNIT_MM)

    def segmentation(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """The class of each pixel, for this row's hand: indices into `hand.SEGMENTATION_CLASSES`."""
        place = self._rows[row].place
        suffix = f"segmentation-{place}.png" if place else "segmentation.png"
        content, where = self._file(row, "segmentation", suffix)
        codes = decode_plane(content, where, np.uint8)
        if codes.max() >= len(SEGMENTATION_CLASSES):
            fault = f"has the code {codes.max()}"
            raise UserError(where, fault, f"codes are below {len(SEGMENTATION_CLASSES)}")
        return codes

    def _file(self, row: int, modality: str, suffix: str) -> tuple[bytes, str]:
        """The content of a picture's file, and its name for messages."""
        if modality not in self.spec.modalities:
            self._lacks(modality)
        entry = self._rows[row]
        where = f"{entry.key}.{suffix}"
        if suffix not in entry.files:
            raise UserError(where, "is missing", _WRITE_AGAIN)
        return entry.files[suffix].read(), where


# ------------------------------------------------------------------------------------------- reading


def _read_spec(path: Path) -> DataSpec:
    require_size(path, 2**20)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        content.pop("description", None)
        return TypeAdapter(DataSpec).validate_python(content)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(path, "is damaged", _WRITE_AGAIN) from error


def _pictures(path: Path) -> Iterator[tuple[str, dict[str, _Member]]]:
    """Keys of the pictures of a tar file, and the files of each by what follows the key's dot."""
    require_size(path, MOST_TAR_BYTES)
    try:
        with tarfile.open(path, "r:") as tar:
            key, files = "", {}
            for member in tar:
                if not member.isreg() or member.issparse() or member.size > MOST_BYTES:
                    fault = f"{member.name[:80]!r} is no file, or too large a one"
                    raise UserError(path, fault, _WRITE_AGAIN)
                name, _, suffix = member.name.partition(".")
                # files of one key follow one another
                if name != key and files:
                    yield key, files
                    files = {}
                key = name
                files[suffix] = _Member(path, member.offset_data, member.size)
                # tarfile would keep every header
                tar.members = []  # pyright: ignore[reportAttributeAccessIssue]
            if files:
                yield key, files
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise UserError(path, f"cannot be read as tar ({error})", "fetch or write it again") from error


def _read_labels(
    path: Path, key: str, files: dict[str, _Member]
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """What the JSON file of a picture says of it, and of each of its hands."""
    where = f"{path}, {key}.json"
    if "json" not in files:
        raise UserError(where, "is missing", _WRITE_AGAIN)
    try:
        content = json.loads(files["json"].read())
        about = {name: str(content.get(name, "")) for name in ("split", "picture")}
        hands = content["hands"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(where, "does not hold split, picture and hands", _WRITE_AGAIN) from error
    if not isinstance(hands, list) or not all(isinstance(hand, dict) for hand in hands):
        raise UserError(where, "hands is no list of objects", _WRITE_AGAIN)
    return about, hands


def _value(
    where: str, name: str, hand: dict[str, Any], spec: DataSpec, shape: tuple[int | None, ...]
) -> np.ndarray:
    """One label of a hand."""
    value = hand.get(name)
    if value is None and name == "joint_valid":
        return np.ones(spec.joints, bool)
    if value is None and name == "side":
        return np.array(UNKNOWN)
    if value is None:
        raise UserError(where, f"{name} is missing", _WRITE_AGAIN)

    numbers = require_numbers(Path(where), name, value, shape)
    if name == "side" and numbers not in (LEFT, RIGHT, UNKNOWN):
        raise UserError(where, f"side is {numbers:g}", f"give {LEFT} (left), {RIGHT} (right) or nothing")
    # numbers of people and contents may need more digits than a float32 has
    return np.asarray(value) if name in ("subject", "content", "gesture") else numbers


def _stacked(root: Path, columns: dict[str, list[np.ndarray]]) -> Hands:
    kinds = {"joint_valid": np.bool_, "joint_visible": np.bool_}
    kinds |= dict.fromkeys(("side", "subject", "content", "gesture"), np.int64)
    try:
        stacked = {name: np.stack(values) for name, values in columns.items()}
        arrays = {name: values.astype(kinds.get(name, np.float32)) for name, values in stacked.items()}
    except (ValueError, OverflowError) as error:
        raise UserError(root, f"hands differ in the shape of a label ({error})", _WRITE_AGAIN) from error
    return Hands(**{name: torch.from_numpy(values) for name, values in arrays.items()})
