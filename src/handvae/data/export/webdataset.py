"""Tar files as the webdataset library streams them; equal hands give equal bytes.

Each hand is a picture, `depth.png` and `segmentation.png` where it has them, and a JSON file of all labels.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np

from handvae.data.files.shards import PICTURES, SHARD_ROWS, encode_picture
from handvae.data.hands import DataSpec
from handvae.data.sample import Sample


def write(
    folder: Path, spec: DataSpec, samples: Iterable[Sample], description: str, rows: int = SHARD_ROWS
) -> int:
    """Write `data-000000.tar` and so on, `rows` hands each, and `spec.json`; returns the number of hands."""
    stream = iter(samples)
    total = 0
    while first := list(islice(stream, 1)):
        with tarfile.open(folder / f"data-{total // rows:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in chain(first, islice(stream, rows - 1)):
                for suffix, content in _members(sample, spec):
                    # its time is 0 and its owner nobody
                    about = tarfile.TarInfo(f"{total:08d}.{suffix}")
                    about.size = len(content)
                    tar.addfile(about, io.BytesIO(content))
                total += 1

    about_set = asdict(replace(spec, count=total)) | {"description": description}
    (folder / "spec.json").write_text(json.dumps(about_set, indent=1) + "\n")
    return total


def _members(sample: Sample, spec: DataSpec) -> Iterable[tuple[str, bytes]]:
    for name in PICTURES:
        if name in spec.modalities:
            yield ("png" if name == "image" else f"{name}.png"), encode_picture(name, sample)
    labels = {}
    for field in fields(Sample):
        value = getattr(sample, field.name)
        if field.name not in PICTURES and value is not None:
            labels[field.name] = value.tolist() if isinstance(value, np.ndarray) else value
    yield "json", json.dumps(labels).encode()
