"""Hands for formats that hold joints only in space, before a pinhole camera."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from handvae.data.export.labels import picture_of, valid_joints
from handvae.data.sample import Sample
from handvae.hand import LEFT, RIGHT

FAR_MM = 20_000.0
"""Where a hand without a camera is put: farther away 32-bit millimetres would lose hundredths, nearer it
would lose its shape."""


def before_far_camera(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Hands whose camera is not known, seen by a long lens from far away, so that every joint projects on its
    2D label exactly.

    Depth within the hand stays; sideways the hand follows the 2D labels at the scale at which its joints fit
    them best.
    """
    for sample in samples:
        assert sample.joints_3d is not None
        height, width = picture_of(sample).shape[:2]
        valid = valid_joints(sample)
        flat, solid = sample.joints_2d.astype(np.float64), sample.joints_3d.astype(np.float64)
        a, b = (points[valid] - points[valid].mean(0) for points in (flat, solid[:, :2]))
        focal = FAR_MM * float(np.linalg.norm(a) / max(np.linalg.norm(b), 1e-6))
        depth = FAR_MM + solid[:, 2] - solid[valid, 2].mean()
        sideways = (flat - [width / 2, height / 2]) * depth[:, None] / focal
        camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        yield replace(sample, joints_3d=np.column_stack([sideways, depth]), intrinsics=camera)


def as_right_hands(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Left hands mirrored, with their pictures and cameras, to right ones."""
    for sample in samples:
        if sample.side != LEFT:
            yield sample
            continue
        assert sample.joints_3d is not None
        assert sample.intrinsics is not None
        width = picture_of(sample).shape[1]
        flip = np.array([-1.0, 1.0])
        camera = (
            np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]]) @ sample.intrinsics @ np.diag([-1.0, 1, 1])
        )
        yield replace(
            sample,
            side=RIGHT,
            image=np.ascontiguousarray(picture_of(sample)[:, ::-1]),
            segmentation=None
            if sample.segmentation is None
            else np.ascontiguousarray(sample.segmentation[:, ::-1]),
            joints_2d=sample.joints_2d * flip + np.array([width, 0.0]),
            joints_3d=sample.joints_3d * np.array([-1.0, 1, 1]),
            intrinsics=camera,
        )
