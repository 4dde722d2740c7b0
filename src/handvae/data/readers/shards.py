"""Parquet shards, read: labels at opening, pictures on demand through a bounded store of row groups."""

import json
import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, Int, UInt8
from pydantic import TypeAdapter
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.data.files.first_edition import COLUMNS
from handvae.data.files.pictures import decode_picture, decode_plane
from handvae.data.files.shards import (
    DEPTH_UNIT_MM,
    PICTURE_NAME,
    PICTURES,
    TEXTS,
    VERSION,
    column_type,
    label_columns,
)
from handvae.data.hands import DataSpec, Hands
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, SEGMENTATION_CLASSES, UNKNOWN

KEPT_BYTES = max(2**28, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
"""Encoded pictures that a reader keeps in memory, an eighth of it; beyond, the row groups used last."""
LABEL_BYTES = 2**28
"""Labels that are kept in memory; more lie in an unnamed temporary file, mapped."""
MOST_ROWS = 2**16
MOST_BYTES = 2**28
"""A row group with more hands or more bytes is refused before it is read."""


class ShardHands(HandData):
    """Parquet shards: one file, or a folder of them in order of name.

    Args:
        root: the file or folder.
        split: keep only hands of this split; None keeps all.
        kept_bytes: encoded pictures to keep in memory.

    Raises:
        UserError: the folder holds no shard, one is damaged, of another version or of another data set than
            the first, or no hand is of the split.
    """

    def __init__(self, root: Path, split: str | None = None, kept_bytes: int = KEPT_BYTES) -> None:
        self._shards = [_Shard(path) for path in shard_paths(root)]
        first = self._shards[0]
        for shard in self._shards[1:]:
            _check_same_set(first, shard)

        self._groups = [
            (shard, group) for shard in self._shards for group in range(shard.meta.num_row_groups)
        ]

        # a place is (row group, row within it), of every hand of every shard
        # sizes come from the files' footers: no row group is read here
        sizes = [shard.meta.row_group(group).num_rows for shard, group in self._groups]
        group_of_hand = np.repeat(np.arange(len(sizes)), sizes)
        row_in_group = np.concatenate([np.arange(size) for size in sizes] or [[]])
        places = np.stack([group_of_hand, row_in_group], 1)

        splits = np.concatenate([shard.texts(group, "split") for shard, group in self._groups] or [[]])
        chosen = np.arange(len(places)) if split is None else np.flatnonzero(splits == split)
        if not len(chosen):
            raise _no_hand(root, split, splits)

        self._places = places[chosen]
        self._splits = splits[chosen]
        self._labels = self._read_labels(first, sizes, chosen)
        self.spec = replace(first.spec, count=len(chosen))

        # the last used row groups of encoded pictures, by column and group
        self._kept: OrderedDict[tuple[str, int], list[bytes]] = OrderedDict()
        self.kept_bytes = 0
        self._limit = kept_bytes
        self._lock = Lock()
        self._read_texts: dict[str, tuple[int, np.ndarray]] = {}
        """Of each text column the row group that was read last, and the texts of all its rows."""

    def __len__(self) -> int:
        return len(self._places)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels without pictures; `joints_2d` in pixels of the whole picture."""
        index = rows.numpy()
        return Hands(**{name: torch.from_numpy(values[index]) for name, values in self._labels.items()})

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return decode_picture(self._file("image", row), self._where("image", row))

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """The depth picture of one row in mm, 0 where unknown."""
        units = decode_plane(self._file("depth", row), self._where("depth", row), np.uint16)
        return units.astype(np.float32) * np.float32(DEPTH_UNIT_MM)

    def segmentation(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """The class of each pixel of one row's picture: indices into `hand.SEGMENTATION_CLASSES`."""
        where = self._where("segmentation", row)
        codes = decode_plane(self._file("segmentation", row), where, np.uint8)
        if codes.max() >= len(SEGMENTATION_CLASSES):
            fault = f"has the code {codes.max()}"
            raise UserError(where, fault, f"codes are below {len(SEGMENTATION_CLASSES)}")
        return codes

    def name(self, row: int) -> str:
        """The shard's file name and the row within it."""
        group, place = self._places[row]
        shard, number = self._groups[group]
        # numbered within the file, over its row groups
        before = sum(shard.meta.row_group(other).num_rows for other in range(number))
        return f"{shard.path.name}, hand {before + place}"

    def split_of(self, row: int) -> str:
        """The split that a row belongs to."""
        return str(self._splits[row])

    def provenance_of(self, row: int) -> str:
        """Where a row comes from: the text of a JSON object, or nothing."""
        return self._text(row, "provenance")

    def picture_name(self, row: int) -> str:
        """The picture's name in the data set that the shards were made of; else the row's own."""
        shard, _ = self._groups[self._places[row][0]]
        name = self._text(row, PICTURE_NAME) if PICTURE_NAME in shard.schema.names else ""
        return name or self.name(row)

    def _text(self, row: int, column: str) -> str:
        group, place = self._places[row]
        kept_group, texts = self._read_texts.get(column, (-1, np.array([])))

        # rows come in order: it is enough to keep one group
        if kept_group != group:
            shard, number = self._groups[group]
            texts = shard.texts(number, column)
            self._read_texts[column] = group, texts
        return str(texts[place])

    def _where(self, column: str, row: int) -> str:
        return f"{self.name(row)}, {column}"

    def _file(self, column: str, row: int) -> bytes:
        """The encoded picture of one row."""
        if column not in self.spec.modalities:
            self._lacks(column)

        group, place = (int(number) for number in self._places[row])
        key = (column, group)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][place]

        # outside of the lock: two threads may read two groups at once
        shard, number = self._groups[group]
        files = shard.pictures(number, column)

        with self._lock:
            if key not in self._kept:
                self._kept[key] = files
                self.kept_bytes += sum(map(len, files))
            # the group in use stays, even where it alone is over the limit
            while self.kept_bytes > self._limit and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self.kept_bytes -= sum(map(len, dropped))

        return files[place]

    def _read_labels(self, first: "_Shard", sizes: list[int], chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Every label of the chosen hands, read one row group at a time."""
        labels = {}
        for name, (shape, kind) in first.columns.items():
            dtype = np.int64 if name in ("side", "gesture") else kind.to_pandas_dtype()
            labels[name] = _array((len(chosen), *shape), dtype)

        ends = np.cumsum(sizes)
        for (shard, group), end, size in zip(self._groups, ends, sizes, strict=True):
            start = end - size
            # `chosen` is sorted: the rows of a group are one stretch of it
            into = slice(*np.searchsorted(chosen, [start, end]))
            if into.start < into.stop:
                rows = chosen[into] - start
                for name, values in shard.labels(group).items():
                    labels[name][into] = values[rows]

        return labels


def _check_same_set(first: "_Shard", shard: "_Shard") -> None:
    """Refuse a shard of another data set than the first shard of a folder."""
    if replace(shard.spec, count=0) != replace(first.spec, count=0) or shard.schema != first.schema:
        fault = f"is of another data set than {first.path.name}"
        raise UserError(shard.path, fault, "keep each data set in a folder of its own")


def _no_hand(root: Path, split: str | None, splits: np.ndarray) -> UserError:
    names = sorted({str(name) for name in splits if name})
    fault = f"holds no hand of split {split!r}" if split else "holds no hand"
    available = f"it has {', '.join(names)}" if names else "its hands have no split"
    return UserError(root, fault, f"{available}; `split None` reads all")


def shard_paths(root: Path) -> list[Path]:
    """The shards of a file or folder, in order of name."""
    if root.is_file():
        return [root]
    paths = sorted(path for path in root.glob("*.parquet") if path.is_file())
    if not paths:
        fault = "holds no *.parquet" if root.is_dir() else "no such file or folder"
        raise UserError(root, fault, "give a shard, or a folder of shards")
    return paths


def _array(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array in memory, or, where it is large, in a temporary file that vanishes with it."""
    if np.prod(shape) * np.dtype(dtype).itemsize <= LABEL_BYTES // 4:
        return np.empty(shape, dtype)
    # the mapping keeps the file's content after its name and handle are gone
    with tempfile.TemporaryFile(prefix="handvae-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)


class _Shard:
    """One parquet file: checked against the schema at opening, read one row group at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reading():
            self.meta = pq.read_metadata(path)
            self.schema = self.meta.schema.to_arrow_schema().remove_metadata()

        self._stored = _stored_names(self.schema)
        self.spec = self._spec()

        fixed_lists = [field for field in self.schema if pa.types.is_fixed_size_list(field.type)]
        lengths = {field.name: field.type.list_size for field in fixed_lists}
        self.columns = label_columns(self.spec, points=lengths.get("cloud", 0) // 3)
        self._check_columns()
        self._check_groups()

    def _check_columns(self) -> None:
        expected = {name: pa.binary() for name in PICTURES if name in self.spec.modalities}
        expected |= {name: column_type(shape, kind) for name, (shape, kind) in self.columns.items()}
        expected |= {name: pa.string() for name in TEXTS}
        if PICTURE_NAME in self.schema.names:
            expected[PICTURE_NAME] = pa.string()
        for name, kind in expected.items():
            stored = self._stored.get(name, name)
            actual = self.schema.field(stored).type if stored in self.schema.names else None
            if actual != kind:
                fault = f"column {name} is {actual or 'missing'}, not {kind}"
                raise UserError(self.path, fault, "write it with handvae's own writer")

    def _check_groups(self) -> None:
        """Refuse row groups that would fill the memory."""
        for group in range(self.meta.num_row_groups):
            about = self.meta.row_group(group)
            if about.num_rows > MOST_ROWS or about.total_byte_size > MOST_BYTES:
                fault = f"row group {group} has {about.num_rows:,} hands and {about.total_byte_size:,} bytes"
                remedy = f"write groups of at most {MOST_ROWS:,} hands and {MOST_BYTES:,} bytes"
                raise UserError(self.path, fault, remedy)

            # a dictionary may stand for far more than its bytes
            for number in range(about.num_columns):
                column = about.column(number)
                if column.has_dictionary_page:
                    fault = f"column {column.path_in_schema} is dictionary-encoded"
                    raise UserError(self.path, fault, "write it without")

    def labels(self, group: int) -> dict[str, np.ndarray]:
        """Label columns of a row group."""
        table = self._read(group, list(self.columns))
        labels = {}
        for name, (shape, _) in self.columns.items():
            column = table.column(name).combine_chunks()
            # nulls within a list would otherwise become NaN without a word
            flat = column.flatten() if shape else column
            if flat.null_count:
                raise self._fault(group, name, "has nulls")

            values = flat.to_numpy(zero_copy_only=False).reshape(table.num_rows, *shape)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise self._fault(group, name, "has NaN or infinite values")
            if name == "side" and not np.isin(values, (LEFT, RIGHT, UNKNOWN)).all():
                fault = f"has a value other than {LEFT} (left), {RIGHT} (right) and {UNKNOWN} (not known)"
                raise self._fault(group, name, fault)

            labels[name] = values

        return labels

    def pictures(self, group: int, column: str) -> list[bytes]:
        """A picture column of a row group, encoded."""
        values = self._read(group, [column]).column(column)
        if values.null_count:
            raise self._fault(group, column, "has nulls")
        return values.to_pylist()

    def texts(self, group: int, column: str) -> np.ndarray:
        """A text column of a row group."""
        with self._reading():
            texts = self._read(group, [column]).column(column).to_pylist()
            return np.array([text or "" for text in texts], dtype=object)

    def _read(self, group: int, columns: list[str]) -> pa.Table:
        """Columns of a row group, under their names of this edition."""
        stored = [self._stored.get(name, name) for name in columns]
        with self._reading(), pq.ParquetFile(self.path, metadata=self.meta) as file:
            table = file.read_row_group(group, columns=stored, use_threads=False)
        if table.num_rows != self.meta.row_group(group).num_rows:
            raise UserError(self.path, f"row group {group} is cut off", "fetch or write the file again")
        return table.rename_columns([COLUMNS.get(name, name) for name in table.column_names])

    def _fault(self, group: int, column: str, fault: str) -> UserError:
        return UserError(self.path, f"row group {group}, column {column} {fault}", "write the file again")

    def _spec(self) -> DataSpec:
        text = (self.meta.metadata or {}).get(b"handvae")
        if text is None:
            fault = "is no shard of handvae: its metadata lack `handvae`"
            raise UserError(self.path, fault, "give a folder that handvae wrote")

        try:
            about = json.loads(text)
            # another version may give the same columns another meaning
            if about["version"] != VERSION:
                fault = f"is of schema version {about['version']!r}, this program reads {VERSION}"
                raise UserError(self.path, fault, "use the program's version that wrote it")
            spec = TypeAdapter(DataSpec).validate_python(about["spec"])
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise UserError(self.path, "its metadata are damaged", "fetch or write the file again") from error

        modalities = tuple(COLUMNS.get(name, name) for name in spec.modalities)
        return replace(spec, modalities=modalities)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what pyarrow raises on a damaged file into a `UserError`."""
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            fault = f"cannot be read as parquet ({reason})"
            raise UserError(self.path, fault, "fetch or write the file again") from error


def _stored_names(schema: pa.Schema) -> dict[str, str]:
    """From this edition's name of a column to the first edition's, where a file has that."""
    return {new: old for old, new in COLUMNS.items() if old in schema.names}
