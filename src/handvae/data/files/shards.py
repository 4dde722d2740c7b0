"""Parquet shards, written: one row a hand, made to be written as a stream and read at random.

Columns:
    image, depth, segmentation    PNG files; depth has 16 bits of 0.1 mm, 0 where unknown; segmentation has
                                  8 bits, indices into `hand.SEGMENTATION_CLASSES`
    labels of `Hands`             numbers, and lists of fixed length
    split, provenance, picture    text; hands of one `picture` and split are hands of one picture, and each
                                  row holds its pixels: a row is read alone

A column that the data set lacks is absent, and no value is null; `side` is -1 where it is not known. The
file's metadata hold the schema's version, the `DataSpec` as JSON and what made the file. Equal hands give
equal bytes. `readers/shards.py` reads them.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handvae.data.hands import DataSpec
from handvae.data.prefetch import prefetch
from handvae.data.sample import Sample
from handvae.files import write_atomically

VERSION = 1
"""Of the schema; a reader refuses others."""
DEPTH_UNIT_MM = 0.1
GROUP_ROWS = 256
GROUP_BYTES = 2**21
"""A row group ends at either of the two: reading one hand at random reads all pictures of its group."""
SHARD_ROWS = 8192
"""Rows a file, where a folder is written."""
PICTURES = ("image", "depth", "segmentation")
ALWAYS = ("joints_2d", "joint_valid")
TEXTS = ("split", "provenance")
PICTURE_NAME = "picture"
"""A text that shards of before version 0.2 lack."""
PNG_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 4)


def label_columns(spec: DataSpec, points: int = 0) -> dict[str, tuple[tuple[int, ...], pa.DataType]]:
    """Shape of one hand's value and type of its numbers, for each label that the data set offers."""
    joints = spec.joints
    number = pa.float32()
    columns: dict[str, tuple[tuple[int, ...], pa.DataType]] = {
        "joints_2d": ((joints, 2), number),
        "joints_3d": ((joints, 3), number),
        "joint_valid": ((joints,), pa.bool_()),
        "joint_visible": ((joints,), pa.bool_()),
        "joint_spread": ((joints,), number),
        "intrinsics": ((3, 3), number),
        "side": ((), pa.int8()),
        "viewpoint": ((3, 3), number),
        "canonical": ((joints, 3), number),
        "cloud": ((points, 3), number),
        "content": ((), pa.int64()),
        "subject": ((), pa.int64()),
        "gesture": ((), pa.int16()),
        "scale_mm": ((), number),
        "factors": ((len(spec.factors),), number),
    }

    offered = {*spec.modalities, *ALWAYS}

    return {name: column for name, column in columns.items() if name in offered}


def column_type(shape: tuple[int, ...], kind: pa.DataType) -> pa.DataType:
    """The column's type for values of a shape."""
    return pa.list_(kind, int(np.prod(shape))) if shape else kind


def write_shard(path: Path, spec: DataSpec, samples: Iterable[Sample], source: str = "") -> int:
    """Write one file, whole or not at all; returns the number of hands.

    One row group is in memory at a time.

    Args:
        path: `.parquet` file.
        spec: its modalities decide the columns; its count is replaced by the number of hands written.
        samples: hands that have every modality of the spec.
        source: what made them, for the file's metadata.

    Raises:
        ValueError: a hand lacks a modality of the spec, or its shape differs from the first hand's; there
            is no hand.
    """
    count = 0

    def write(partial_path: Path) -> None:
        nonlocal count
        count = _write(partial_path, spec, iter(samples), source)

    write_atomically(path, write)
    return count


def write_shards(
    folder: Path, spec: DataSpec, samples: Iterable[Sample], source: str = "", rows: int = SHARD_ROWS
) -> int:
    """Write `shard-00000.parquet` and so on, `rows` hands each; returns the number of hands."""
    stream = iter(samples)
    total = 0
    for number in range(10**5):
        first = next(stream, None)
        if first is None:
            break

        path = folder / f"shard-{number:05d}.parquet"
        # the first hand was taken to see whether another file is needed
        total += write_shard(path, spec, chain([first], islice(stream, rows - 1)), source)

    return total


def _write(path: Path, spec: DataSpec, samples: Iterator[Sample], source: str) -> int:
    # the first hand fixes the number of cloud points for the whole file
    first = next(samples, None)
    if first is None:
        raise ValueError("no hand to write")

    columns = label_columns(spec, points=0 if first.cloud is None else len(first.cloud))
    pictures = tuple(name for name in PICTURES if name in spec.modalities)
    picture_fields = [(name, pa.binary()) for name in pictures]
    label_fields = [(name, column_type(shape, kind)) for name, (shape, kind) in columns.items()]
    text_fields = [(name, pa.string()) for name in (*TEXTS, PICTURE_NAME)]
    schema = pa.schema(picture_fields + label_fields + text_fields)

    count = 0

    with pq.ParquetWriter(
        # no dictionaries, which a reader refuses, and no statistics, which it does not use
        path,
        schema,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
    ) as writer:
        # rows wait as PNG files: decoded pictures are many times larger
        rows: list[Sample] = []
        encoded: list[dict[str, bytes]] = []
        size = 0

        for sample, files in prefetch(partial(_encoded, pictures), chain([first], samples)):
            rows.append(sample)
            encoded.append(files)
            size += sum(map(len, files.values()))

            if len(rows) == GROUP_ROWS or size >= GROUP_BYTES:
                writer.write_table(_table(schema, columns, rows, encoded))
                count += len(rows)
                size = 0
                rows, encoded = [], []

        if rows:
            writer.write_table(_table(schema, columns, rows, encoded))

        count += len(rows)

        # the number of hands is known only now
        written_spec = replace(spec, count=count, modalities=_modalities(spec, schema))
        metadata = {
            "version": VERSION,
            "spec": asdict(written_spec),
            "depth_unit_mm": DEPTH_UNIT_MM,
            "source": source,
        }
        # sorted keys: equal hands give equal bytes
        writer.add_key_value_metadata({"handvae": json.dumps(metadata, sort_keys=True)})

    return count


def _encoded(pictures: tuple[str, ...], sample: Sample) -> tuple[Sample, dict[str, bytes]]:
    """A hand without its pictures, and these as PNG files."""
    files = {name: encode_picture(name, sample) for name in pictures}
    return replace(sample, image=None, depth=None, segmentation=None), files


def _modalities(spec: DataSpec, schema: pa.Schema) -> tuple[str, ...]:
    """What readers of the file will find."""
    # a mask is computed from the segmentation
    offered = {*schema.names, "mask"} if "segmentation" in spec.modalities else {*schema.names}
    written = [name for name in spec.modalities if name in offered]
    return (*written, *(name for name in ALWAYS if name not in written))


def _table(
    schema: pa.Schema, columns: dict[str, Any], rows: list[Sample], encoded: list[dict[str, bytes]]
) -> pa.Table:
    arrays = []
    for field in schema:
        if field.name in PICTURES:
            arrays.append(pa.array([files[field.name] for files in encoded], pa.binary()))
        elif field.name in (*TEXTS, PICTURE_NAME):
            arrays.append(pa.array([getattr(row, field.name) for row in rows], pa.string()))
        else:
            shape, kind = columns[field.name]
            values = [_value(row, field.name, shape) for row in rows]
            arrays.append(_numbers(field, shape, kind, values))

    return pa.Table.from_arrays(arrays, schema=schema)


def _value(row: Sample, name: str, shape: tuple[int, ...]) -> Any:
    value = getattr(row, name)
    if value is None and name == "joint_valid":
        return np.ones(shape, bool)
    return value


def _numbers(field: pa.Field, shape: tuple[int, ...], kind: pa.DataType, values: list[Any]) -> pa.Array:
    """A label column of one row group."""
    for value in values:
        if value is None or np.shape(value) != shape:
            fault = "missing" if value is None else np.shape(value)
            raise ValueError(f"{field.name} is {fault}, not {shape} as in the data set's other hands")

    flat = pa.array(np.asarray(values).reshape(-1).astype(kind.to_pandas_dtype()), kind)
    return pa.FixedSizeListArray.from_arrays(flat, field.type.list_size) if shape else flat


def encode_picture(name: str, sample: Sample) -> bytes:
    """A sample's `image`, `depth` or `segmentation` as a PNG file; depth in tenths of a mm.

    Raises:
        ValueError: it has none, or one of a shape that is no picture's.
    """
    pixels = getattr(sample, name)
    if pixels is None:
        raise ValueError(f"{name} is missing in a hand of a data set that has it")

    if name == "image":
        # OpenCV writes BGR
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    elif name == "depth":
        # what 16 bits cannot hold is unknown
        units = np.round(np.asarray(pixels, np.float64) / DEPTH_UNIT_MM)
        pixels = np.where((units > 0) & (units < 2**16), units, 0).astype(np.uint16)

    done, content = cv2.imencode(".png", pixels, PNG_FAST)
    if not done:
        raise ValueError(f"{name} of shape {pixels.shape} cannot be written as PNG")

    return content.tobytes()
