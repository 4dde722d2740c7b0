"""Parquet shards, read: labels once at opening, pictures on demand through a bounded store of row groups."""

import json
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
from handvae.data.files.pictures import decode_picture, decode_plane
from handvae.data.files.shards import DEPTH_UNIT_MM, PICTURES, TEXTS, VERSION, column_type, label_columns
from handvae.data.hands import DataSpec, Hands
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, SEGMENTATION_CLASSES

KEPT_BYTES = 2**28
"""Encoded pictures that a reader keeps in memory; beyond, the row groups used last."""
LABEL_BYTES = 2**28
"""Labels that are kept in memory; more lie in an unnamed temporary file, mapped."""
MOST_ROWS, MOST_BYTES = 2**16, 2**28
"""A row group with more hands or more bytes is refused before it is read."""


class ShardHands(HandData):
    """Parquet shards: one file, or a folder of them in order of name.

    Args:
        root: the file or folder.
        split: keep only hands of this split; None keeps all.
        kept_bytes: encoded pictures to keep in memory.

    Raises:
        UserError: no shard is there, one is damaged, of another version or of another data set than the
            first, or no hand is of the split.
    """

    def __init__(self, root: Path, split: str | None = None, kept_bytes: int = KEPT_BYTES) -> None:
        self._shards = [_Shard(path) for path in shard_paths(root)]
        first = self._shards[0]
        for shard in self._shards[1:]:
            if replace(shard.spec, count=0) != replace(first.spec, count=0) or shard.schema != first.schema:
                raise UserError(
                    shard.path,
                    f"is of another data set than {first.path.name}",
                    "keep each data set in a folder of its own",
                )
        groups = [(shard, group) for shard in self._shards for group in range(shard.meta.num_row_groups)]
        self._groups = groups
        sizes = [shard.meta.row_group(group).num_rows for shard, group in groups]
        places = np.stack(
            [
                np.repeat(np.arange(len(groups)), sizes),
                np.concatenate([np.arange(size) for size in sizes] or [[]]),
            ],
            1,
        )
        splits = np.concatenate([shard.texts(group, "split") for shard, group in groups] or [[]])
        chosen = np.arange(len(places)) if split is None else np.flatnonzero(splits == split)
        if not len(chosen):
            known = sorted({str(name) for name in splits if name})
            there = f"it has {', '.join(known)}" if known else "its hands have no split"
            raise UserError(
                root,
                f"holds no hand of split {split!r}" if split else "holds no hand",
                f"{there}; `split None` reads all",
            )
        self._places, self._splits = places[chosen], splits[chosen]
        self._labels = self._read_labels(first, sizes, chosen)
        self._kept: OrderedDict[tuple[str, int], list[bytes]] = OrderedDict()
        self._told: tuple[int, np.ndarray] = (-1, np.array([]))
        self.kept_bytes, self._limit, self._lock = 0, kept_bytes, Lock()
        self.spec = replace(first.spec, count=len(chosen))

    def __len__(self) -> int:
        return len(self._places)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels without pictures; `joints_2d` in pixels of the whole picture."""
        return Hands(
            **{name: torch.from_numpy(values[rows.numpy()]) for name, values in self._labels.items()}
        )

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return decode_picture(self._file("image", row), self._where("image", row))

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """The depth picture of one row in mm, 0 where unknown."""
        units = decode_plane(self._file("depth", row), self._where("depth", row), np.uint16)
        return units.astype(np.float32) * np.float32(DEPTH_UNIT_MM)

    def segmentation(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """What is seen where in one row's picture: indices into `hand.SEGMENTATION_CLASSES`."""
        codes = decode_plane(self._file("segmentation", row), self._where("segmentation", row), np.uint8)
        if codes.max() >= len(SEGMENTATION_CLASSES):
            raise UserError(
                self._where("segmentation", row),
                f"has the code {codes.max()}",
                f"codes are below {len(SEGMENTATION_CLASSES)}",
            )
        return codes

    def name(self, row: int) -> str:
        """The shard's file name and the row within it."""
        group, place = self._places[row]
        shard, number = self._groups[group]
        before = sum(shard.meta.row_group(other).num_rows for other in range(number))
        return f"{shard.path.name}, hand {before + place}"

    def split_of(self, row: int) -> str:
        """The split that a row belongs to."""
        return str(self._splits[row])

    def provenance_of(self, row: int) -> str:
        """Where a row comes from: the text of a JSON object, or nothing."""
        group, place = self._places[row]
        known, texts = self._told
        if known != group:
            shard, number = self._groups[group]
            texts = shard.texts(number, "provenance")
            self._told = group, texts  # rows come in order: one group is enough
        return str(texts[place])

    def _where(self, column: str, row: int) -> str:
        return f"{self.name(row)}, {column}"

    def _file(self, column: str, row: int) -> bytes:
        """The encoded picture of one row."""
        if column not in self.spec.modalities:
            self._lacks(column)
        group, place = (int(part) for part in self._places[row])
        key = (column, group)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][place]
        shard, number = self._groups[group]
        files = shard.pictures(number, column)  # outside of the lock: two threads may read two groups at once
        with self._lock:
            if key not in self._kept:
                self._kept[key] = files
                self.kept_bytes += sum(map(len, files))
            while self.kept_bytes > self._limit and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self.kept_bytes -= sum(map(len, dropped))
        return files[place]

    def _read_labels(self, first: "_Shard", sizes: list[int], chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Every label of the chosen hands, a row group at a time."""
        labels = {}
        ends = np.cumsum(sizes)
        for name, (shape, kind) in first.columns.items():
            dtype = {"side": np.int64, "gesture": np.int64}.get(name, kind.to_pandas_dtype())
            labels[name] = _array((len(chosen), *shape), dtype)
        for (shard, group), end, size in zip(self._groups, ends, sizes, strict=True):
            into = slice(*np.searchsorted(chosen, [end - size, end]))
            if into.start < into.stop:
                local = chosen[into] - (end - size)
                for name, values in shard.labels(group).items():
                    labels[name][into] = values[local]
        return labels


def shard_paths(root: Path) -> list[Path]:
    """The shards that a user names, in order."""
    paths = [root] if root.is_file() else sorted(path for path in root.glob("*.parquet") if path.is_file())
    if not paths:
        raise UserError(
            root,
            "holds no *.parquet" if root.is_dir() else "no such file or folder",
            "give a shard, or a folder of shards",
        )
    return paths


def _array(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array in memory, or, where it is large, in a temporary file that vanishes with it."""
    if np.prod(shape) * np.dtype(dtype).itemsize <= LABEL_BYTES // 4:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="handvae-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)


class _Shard:
    """One parquet file: checked against the schema at opening, read a row group at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reading():
            self.meta = pq.read_metadata(path)
            self.schema = self.meta.schema.to_arrow_schema().remove_metadata()
        self.spec = self._spec()
        lists = {
            field.name: field.type.list_size
            for field in self.schema
            if pa.types.is_fixed_size_list(field.type)
        }
        self.columns = label_columns(self.spec, points=lists.get("cloud", 0) // 3)
        wanted = {name: pa.binary() for name in PICTURES if name in self.spec.modalities}
        wanted |= {name: column_type(shape, kind) for name, (shape, kind) in self.columns.items()}
        wanted |= {name: pa.string() for name in TEXTS}
        for name, kind in wanted.items():
            if name not in self.schema.names or self.schema.field(name).type != kind:
                there = self.schema.field(name).type if name in self.schema.names else "missing"
                raise UserError(
                    path, f"column {name} is {there}, not {kind}", "write it with handvae's own writer"
                )
        for group in range(self.meta.num_row_groups):
            about = self.meta.row_group(group)
            if about.num_rows > MOST_ROWS or about.total_byte_size > MOST_BYTES:
                fault = f"row group {group} has {about.num_rows:,} hands and {about.total_byte_size:,} bytes"
                raise UserError(
                    path, fault, f"write groups of at most {MOST_ROWS:,} hands and {MOST_BYTES:,} bytes"
                )
            for number in range(about.num_columns):  # a dictionary may stand for far more than its bytes
                if about.column(number).has_dictionary_page:
                    raise UserError(
                        path,
                        f"column {about.column(number).path_in_schema} is dictionary-encoded",
                        "write it without",
                    )

    def labels(self, group: int) -> dict[str, np.ndarray]:
        """Label columns of a row group."""
        table = self._read(group, list(self.columns))
        labels = {}
        for name, (shape, _) in self.columns.items():
            flat = table.column(name).combine_chunks()
            flat = flat.flatten() if shape else flat
            if flat.null_count:
                raise self._fault(group, name, "has nulls")
            values = flat.to_numpy(zero_copy_only=False).reshape(table.num_rows, *shape)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise self._fault(group, name, "has NaN or infinite values")
            if name == "side" and not np.isin(values, (LEFT, RIGHT)).all():
                raise self._fault(
                    group, name, f"has a value that is neither {LEFT} (left) nor {RIGHT} (right)"
                )
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
            return np.array(
                [text or "" for text in self._read(group, [column]).column(column).to_pylist()], dtype=object
            )

    def _read(self, group: int, columns: list[str]) -> pa.Table:
        with self._reading(), pq.ParquetFile(self.path, metadata=self.meta) as file:
            table = file.read_row_group(group, columns=columns, use_threads=False)
        if table.num_rows != self.meta.row_group(group).num_rows:
            raise UserError(self.path, f"row group {group} is cut off", "fetch or write the file again")
        return table

    def _fault(self, group: int, column: str, fault: str) -> UserError:
        return UserError(self.path, f"row group {group}, column {column} {fault}", "write the file again")

    def _spec(self) -> DataSpec:
        text = (self.meta.metadata or {}).get(b"handvae")
        if text is None:
            raise UserError(
                self.path,
                "is no shard of handvae: its metadata lack `handvae`",
                "give a folder that handvae wrote",
            )
        try:
            about = json.loads(text)
            if about["version"] != VERSION:
                fault = f"is of schema version {about['version']!r}, this program reads {VERSION}"
                raise UserError(self.path, fault, "use the program's version that wrote it")
            return TypeAdapter(DataSpec).validate_python(about["spec"])
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise UserError(self.path, "its metadata are damaged", "fetch or write the file again") from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                self.path, f"cannot be read as parquet ({first})", "fetch or write the file again"
            ) from error
