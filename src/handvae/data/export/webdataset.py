"""Tar files as the webdataset library streams them; equal hands give equal bytes.

Each sample of the library is a picture with all its hands:

    png                           the picture
    depth.png                     of data with depth, 16 bits of 0.1 mm
    segmentation.png              of data with segmentation, of the first hand; segmentation-1.png and so on
                                  of further hands
    json                          `split`, `picture` (its name in the source) and `hands`, a list: of each
                                  hand the labels of `Hands`, and its provenance. A hand without `side` is one
                                  of unknown side

`data/readers/webdataset.py` reads them.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np

from handvae.data.export.pictures import Picture
from handvae.data.files.shards import PICTURES, SHARD_ROWS, encode_picture
from handvae.data.hands import DataSpec
from handvae.data.sample import Sample
from handvae.hand import UNKNOWN

OF_PICTURES = ("split", "picture")
"""Texts that a picture has, rather than each of its hands."""


def write(
    folder: Path, spec: DataSpec, pictures: Iterable[Picture], description: str, rows: int = SHARD_ROWS
) -> int:
    """Write `data-000000.tar` and so on, `rows` pictures each, and `spec.json`; returns the hands' number."""
    stream = iter(pictures)
    number = hands = 0
    while first := list(islice(stream, 1)):
        path = folder / f"data-{number // rows:06d}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for picture in chain(first, islice(stream, rows - 1)):
                for suffix, content in _members(picture, spec):
                    # its time is 0 and its owner nobody
                    about = tarfile.TarInfo(f"{number:08d}.{suffix}")
                    about.size = len(content)
                    tar.addfile(about, io.BytesIO(content))
                number += 1
                hands += len(picture)

    about_set = asdict(replace(spec, count=hands)) | {"description": description}
    (folder / "spec.json").write_text(json.dumps(about_set, indent=1) + "\n")
    return hands


def _members(picture: Picture, spec: DataSpec) -> Iterable[tuple[str, bytes]]:
    first, *others = picture
    for name in PICTURES:
        if name in spec.modalities:
            yield ("png" if name == "image" else f"{name}.png"), encode_picture(name, first)

    # a segmentation is of one hand, while all hands of a picture share the others
    if "segmentation" in spec.modalities:
        for number, sample in enumerate(others, 1):
            yield f"segmentation-{number}.png", encode_picture("segmentation", sample)

    labels = {"split": first.split, "picture": first.picture, "hands": [_labels(hand) for hand in picture]}
    yield "json", json.dumps(labels).encode()


def _labels(sample: Sample) -> dict[str, object]:
    labels: dict[str, object] = {}
    for field in fields(Sample):
        value = getattr(sample, field.name)
        if field.name in (*PICTURES, *OF_PICTURES) or value is None:
            continue
        if field.name == "side" and value == UNKNOWN:
            continue
        labels[field.name] = value.tolist() if isinstance(value, np.ndarray) else value

    return labels
