"""Hands for formats that hold joints only in space, before a pinhole camera."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch

from handvae.data.export.labels import picture_of, valid_joints
from handvae.data.sample import Sample
from handvae.geometry import mirror_intrinsics
from handvae.hand import LEFT, RIGHT

FAR_MM = 20_000.0
"""Where a hand without a camera is put: farther away 32-bit millimetres would lose hundredths, nearer it
would lose its shape."""


def before_far_camera(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Hands without a camera, seen by a long lens from far away.

    Every joint projects on its 2D label exactly. Depth within the hand stays. Sideways the hand follows the
    2D labels, at the scale at which its joints fit them best.
    """
    for sample in samples:
        assert sample.joints_3d is not None
        height, width = picture_of(sample).shape[:2]
        valid = valid_joints(sample)
        flat = sample.joints_2d.astype(np.float64)
        solid = sample.joints_3d.astype(np.float64)

        # pixels for each mm at the hand's distance, by the spread of the labelled joints
        spread_px = np.linalg.norm(flat[valid] - flat[valid].mean(0))
        spread_mm = np.linalg.norm(solid[valid, :2] - solid[valid, :2].mean(0))
        focal = FAR_MM * float(spread_px / max(spread_mm, 1e-6))

        # z = FAR + (z_hand - mean); x = (u - c) z / f, so that each joint projects on its own label
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

        picture = picture_of(sample)
        width = picture.shape[1]
        segmentation = sample.segmentation
        if segmentation is not None:
            segmentation = np.ascontiguousarray(segmentation[:, ::-1])

        intrinsics = torch.from_numpy(sample.intrinsics.astype(np.float64))
        yield replace(
            sample,
            side=RIGHT,
            image=np.ascontiguousarray(picture[:, ::-1]),
            segmentation=segmentation,
            joints_2d=sample.joints_2d * np.array([-1.0, 1.0]) + np.array([width, 0.0]),
            joints_3d=sample.joints_3d * np.array([-1.0, 1, 1]),
            # c_x -> width - c_x
            intrinsics=mirror_intrinsics(intrinsics, width).numpy(),
        )
