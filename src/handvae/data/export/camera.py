"""Hands for formats that hold joints only in space, before a pinhole camera."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from handvae.data.export.labels import picture_of, valid_joints
from handvae.data.export.pictures import Picture
from handvae.data.sample import Sample
from handvae.geometry import mirror_intrinsics
from handvae.hand import LEFT, RIGHT

FAR_MM = 20_000.0
"""Where a hand without a camera is put: farther away 32-bit millimetres would lose hundredths, nearer it
would lose its shape."""


def before_far_camera(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Hands without a camera, seen by a long lens from far away, all hands of a picture by the same.

    Every joint projects on its 2D label exactly. Depth within the hand stays. Sideways the hand follows the
    2D labels, at the scale at which its joints fit them best. The largest hand is the nearest.
    """
    for hands in pictures:
        height, width = picture_of(hands[0]).shape[:2]
        scales = [_pixels_for_mm(sample) for sample in hands]
        focal = FAR_MM * max(scales)
        camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        yield tuple(
            replace(sample, joints_3d=_placed(sample, camera, focal / scale), intrinsics=camera)
            for sample, scale in zip(hands, scales, strict=True)
        )


def _pixels_for_mm(sample: Sample) -> float:
    """Pixels for each mm at the hand's distance, by the spread of the labelled joints."""
    assert sample.joints_3d is not None
    valid = valid_joints(sample)
    flat = sample.joints_2d[valid].astype(np.float64)
    solid = sample.joints_3d[valid, :2].astype(np.float64)
    spread_mm = np.linalg.norm(solid - solid.mean(0))
    return float(np.linalg.norm(flat - flat.mean(0)) / max(spread_mm, 1e-6))


def _placed(
    sample: Sample, camera: Float[np.ndarray, "3 3"], distance_mm: float
) -> Float[np.ndarray, "joint 3"]:
    """The joints, mm, at a distance from a camera, so that each projects on its own 2D label."""
    assert sample.joints_3d is not None
    solid = sample.joints_3d.astype(np.float64)
    # z = distance + (z_hand - mean); x = (u - c) z / f
    depth = distance_mm + solid[:, 2] - solid[valid_joints(sample), 2].mean()
    sideways = (sample.joints_2d.astype(np.float64) - camera[:2, 2]) * depth[:, None] / camera[0, 0]
    return np.column_stack([sideways, depth])


def as_right_hands(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Left hands mirrored, with their pictures and cameras, to right ones; of each picture its one hand."""
    for (sample,) in pictures:
        if sample.side != LEFT:
            yield (sample,)
            continue

        assert sample.joints_3d is not None
        assert sample.intrinsics is not None

        picture = picture_of(sample)
        width = picture.shape[1]
        segmentation = sample.segmentation
        if segmentation is not None:
            segmentation = np.ascontiguousarray(segmentation[:, ::-1])

        intrinsics = torch.from_numpy(sample.intrinsics.astype(np.float64))
        mirrored = replace(
            sample,
            side=RIGHT,
            image=np.ascontiguousarray(picture[:, ::-1]),
            segmentation=segmentation,
            joints_2d=sample.joints_2d * np.array([-1.0, 1.0]) + np.array([width, 0.0]),
            joints_3d=sample.joints_3d * np.array([-1.0, 1, 1]),
            # c_x -> width - c_x
            intrinsics=mirror_intrinsics(intrinsics, width).numpy(),
        )
        yield (mirrored,)
