"""From a reader to a stream of samples."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from handvae.data.hands import Hands
from handvae.data.reader import HandData
from handvae.data.sample import Sample
from handvae.data.shards import PICTURES
from handvae.errors import UserError

BLOCK = 256
"""Rows whose labels are in memory at a time."""


def samples_of(data: HandData, rows: Sequence[int] | range, side: int | None = None, split: str = "") -> Iterator[Sample]:
    """Hands of a data set one by one, pictures included.

    Args:
        data: the opened data set.
        rows: which hands.
        side: of the hands, for a data set that does not tell.
        split: of the hands, for a data set that does not tell.

    Raises:
        UserError: the data set does not tell which hand it shows, and `side` is not given.
    """
    pictures = [name for name in PICTURES if name in data.spec.modalities]
    for start in range(0, len(rows), BLOCK):
        block = list(rows[start : start + BLOCK])
        labels = data.labels(torch.tensor(block))
        if labels.side is None and side is None:
            raise UserError(data.spec.name, "does not tell left hands from right ones", "say which they are: --side left or --side right")
        for place, row in enumerate(block):
            values = _values(labels, place)
            values.setdefault("side", side)
            for name in pictures:
                values[name] = {"image": data.picture, "depth": data.depth, "parts": data.parts}[name](row)
            origin = data.provenance_of(row) or json.dumps({"set": data.spec.name, "hand": data.name(row)})
            yield Sample(**values, split=data.split_of(row) or split, provenance=origin)


def _values(labels: Hands, place: int) -> dict[str, Any]:
    """One hand's labels: arrays, and plain numbers where a label is one."""
    row = {name: value[place] for name, value in labels.items() if name not in {*PICTURES, "mask"}}
    return {name: value.numpy() if value.ndim else value.item() for name, value in row.items()}
