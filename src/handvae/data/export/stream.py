"""From a reader to a stream of samples."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from handvae.data.dataset import HandData
from handvae.data.files.shards import PICTURES
from handvae.data.hands import Hands
from handvae.data.prefetch import prefetch
from handvae.data.sample import Sample
from handvae.hand import UNKNOWN

BLOCK = 256
"""Rows whose labels are in memory at a time."""


def samples_of(
    data: HandData, rows: Sequence[int] | range, side: int | None = None, split: str = ""
) -> Iterator[Sample]:
    """Hands of a data set one by one, with their pictures; the next ones are read ahead.

    Hands of one picture follow one another.

    Args:
        data: the opened data set.
        rows: which hands.
        side: of the hands whose side the data set does not tell; None leaves it unknown.
        split: of the hands, for a data set that has no splits.
    """
    ordered = _by_picture(data, rows)
    yield from prefetch(partial(_with_pictures, data), _labelled(data, ordered, side, split))


def _by_picture(data: HandData, rows: Sequence[int] | range) -> Int[np.ndarray, " row"]:
    """The rows, those of one picture together, pictures in the order in which they come first."""
    # 8 bytes of each name: the names of a million pictures would fill the memory
    keys = np.fromiter((hash((data.split_of(row), data.picture_name(row))) for row in rows), np.int64)
    _, first, picture = np.unique(keys, return_index=True, return_inverse=True)
    return np.asarray(rows, np.int64)[np.argsort(first[picture], kind="stable")]


def _labelled(
    data: HandData, rows: Int[np.ndarray, " row"], side: int | None, split: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows and all their labels but pictures."""
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK].tolist()
        labels = data.labels(torch.tensor(block))
        for place, row in enumerate(block):
            # a hand keeps the source it has; else this data set is its source
            origin = data.provenance_of(row) or json.dumps({"set": data.spec.name, "hand": data.name(row)})
            values = {
                "side": UNKNOWN,
                "split": data.split_of(row) or split,
                "picture": data.picture_name(row),
                "provenance": origin,
            } | _values(labels, place)

            if side is not None and values["side"] == UNKNOWN:
                values["side"] = side
            yield row, values


def _with_pictures(data: HandData, labelled: tuple[int, dict[str, Any]]) -> Sample:
    row, values = labelled
    readers = {"image": data.picture, "depth": data.depth, "segmentation": data.segmentation}
    pictures: dict[str, Any] = {name: readers[name](row) for name in PICTURES if name in data.spec.modalities}
    return Sample(**values, **pictures)


def _values(labels: Hands, place: int) -> dict[str, Any]:
    """One hand's labels: arrays, and plain numbers where a label is one."""
    row = {name: value[place] for name, value in labels.items() if name not in {*PICTURES, "mask"}}
    return {name: value.numpy() if value.ndim else value.item() for name, value in row.items()}
