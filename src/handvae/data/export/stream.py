"""From a reader to a stream of samples."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from handvae.data.dataset import HandData
from handvae.data.files.shards import PICTURES
from handvae.data.hands import Hands
from handvae.data.prefetch import prefetch
from handvae.data.sample import Sample
from handvae.errors import UserError

BLOCK = 256
"""Rows whose labels are in memory at a time."""


def samples_of(
    data: HandData, rows: Sequence[int] | range, side: int | None = None, split: str = ""
) -> Iterator[Sample]:
    """Hands of a data set one by one, with their pictures; the next ones are read ahead.

    Args:
        data: the opened data set.
        rows: which hands.
        side: of the hands, for a data set that has no sides.
        split: of the hands, for a data set that has no splits.

    Raises:
        UserError: the data set has no sides, and `side` is not given.
    """
    yield from prefetch(partial(_with_pictures, data), _labelled(data, rows, side, split))


def _labelled(
    data: HandData, rows: Sequence[int] | range, side: int | None, split: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows and all their labels but pictures."""
    for start in range(0, len(rows), BLOCK):
        block = list(rows[start : start + BLOCK])
        labels = data.labels(torch.tensor(block))
        if labels.side is None and side is None:
            raise UserError(
                data.spec.name,
                "does not tell left hands from right ones",
                "say which they are: --side left or --side right",
            )

        for place, row in enumerate(block):
            # a hand keeps the source it has; else this data set is its source
            origin = data.provenance_of(row) or json.dumps({"set": data.spec.name, "hand": data.name(row)})
            values = {"side": side, "split": data.split_of(row) or split, "provenance": origin}
            yield row, values | _values(labels, place)


def _with_pictures(data: HandData, labelled: tuple[int, dict[str, Any]]) -> Sample:
    row, values = labelled
    readers = {"image": data.picture, "depth": data.depth, "segmentation": data.segmentation}
    pictures: dict[str, Any] = {name: readers[name](row) for name in PICTURES if name in data.spec.modalities}
    return Sample(**values, **pictures)


def _values(labels: Hands, place: int) -> dict[str, Any]:
    """One hand's labels: arrays, and plain numbers where a label is one."""
    row = {name: value[place] for name, value in labels.items() if name not in {*PICTURES, "mask"}}
    return {name: value.numpy() if value.ndim else value.item() for name, value in row.items()}
