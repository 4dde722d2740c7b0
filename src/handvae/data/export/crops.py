"""Hands cut out of their pictures, for data sets of crops: one square picture for each hand."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from handvae.data.crop import Crop, crop_affines, move_labels, warp, warp_nearest
from handvae.data.export.labels import picture_of, valid_joints
from handvae.data.files.shards import PICTURES
from handvae.data.hands import Hands
from handvae.data.sample import Sample
from handvae.noise import Noise

_MOVED = ("joints_2d", "joints_3d", "joint_valid", "joint_visible", "joint_spread", "cloud", "intrinsics")
"""Labels that move with the picture, or say where it is cut."""


def cut_out(samples: Iterable[Sample], crop: Crop) -> Iterator[Sample]:
    """Each hand in a picture of its own, cut round its labelled joints; labels and camera move along.

    A hand without a labelled joint is left as it is: there is nothing to cut round.

    Args:
        samples: hands with whole pictures.
        crop: how they are cut; one that keeps the sides.
    """
    for sample in samples:
        if not valid_joints(sample).any():
            yield sample
            continue

        labels = _batch(sample)
        affine = crop_affines(labels, crop, None, Noise(0))
        moved = dict(move_labels(labels, affine, crop.size_px).items())
        matrix = affine[0].numpy()

        # the picture is this hand's alone now; where it was cut from is part of where it comes from
        origin = json.loads(sample.provenance) if sample.provenance else {}
        box = np.linalg.inv(np.vstack([matrix.astype(np.float64), [0, 0, 1]]))
        origin["crop_px"] = [round(float(value), 2) for value in (*box[:2, 2], box[0, 0] * crop.size_px)]
        changes: dict[str, Any] = {name: moved[name][0].numpy() for name in _MOVED if name in moved}
        pictures = {name: _cut(name, sample, matrix, crop.size_px) for name in PICTURES}
        yield replace(sample, **changes, **pictures, picture="", provenance=json.dumps(origin))


def _batch(sample: Sample) -> Hands:
    """The labels that move, as a batch of one hand."""
    values = {field.name: getattr(sample, field.name) for field in fields(Sample) if field.name in _MOVED}
    values["joint_valid"] = valid_joints(sample)
    given = {name: np.asarray(value) for name, value in values.items() if value is not None}
    return Hands(
        **{
            name: torch.from_numpy(value if value.dtype == bool else value.astype(np.float32))[None]
            for name, value in given.items()
        }
    )


def _cut(name: str, sample: Sample, matrix: np.ndarray, size_px: int) -> np.ndarray | None:
    """One of a sample's pictures, cut; None where it has none."""
    pixels = getattr(sample, name)
    if pixels is None:
        return None
    if name == "image":
        return warp(picture_of(sample), matrix, size_px)
    return warp_nearest(pixels, matrix, size_px)
