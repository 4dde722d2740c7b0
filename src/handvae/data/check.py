"""Labels that read well and are yet wrong: impossible bones, hands called by the wrong side, pictures that
come twice.

Limits were set on real data, so that sound labels pass (docs/log.md); what is found is worth a look, not
always a fault.
"""

from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import KDTree
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.data.readers.coco import Problem
from handvae.errors import UserError
from handvae.hand import (
    BONES,
    JOINT_NAMES,
    LEFT,
    PARENTS,
    POSE_NAMES,
    RIGHT,
    HandShape,
    bone_lengths,
    forward_kinematics,
    named_pose,
    sample_shape,
)

BLOCK = 256
FLAT_LIMIT = 1.25
"""A bone may be this many times as long in the picture, for the hand's extent there, as on any hand seen from
anywhere."""
SPACE_LIMITS = (0.3, 3.0)
"""Length of a bone over that of the mean hand, after the hand's own scale; whatever the data set."""
SET_FACTOR, SET_DEVIATIONS, SET_LEAST = 1.5, 8.0, 30
"""Where a set has so many hands, a bone is odd that differs from the set's median by this factor and by so
many deviations."""
BENT = 1.0
"""Sum of the sines of eight finger joints' bends above which a hand tells its side."""
NEAR_GREY, NEAR_JOINTS = 4.0, 0.03
"""Two pictures are nearly one if thumbnails differ by less in the mean (of 255) and joints by less than this
share of the hand's size."""
_THUMB, _DIMS = 16, 16


def find_oddities(
    data: HandData, outside: bool = True, report: Callable[[int], object] = lambda pictures: None
) -> Iterator[Problem]:
    """Everything odd about a data set's labels and pictures, hand by hand; reads every picture once, and
    keeps 100 bytes a hand.

    Unreadable pictures are fatal, all else is odd. Bones and sides are looked at where hands have 21 joints.

    Args:
        data: an opened data set.
        outside: also name joints outside their pictures (`check_coco` has named them already).
        report: is told how many more pictures are read.
    """
    whole = data.spec.joints == len(JOINT_NAMES)
    ratios: list[Float[np.ndarray, "hand 20"]] = []
    for start in range(0, len(data), BLOCK):
        rows = range(start, min(start + BLOCK, len(data)))
        labels = data.labels(torch.tensor(list(rows)))
        if whole:
            yield from _flat_bones(data, rows, labels)
            if labels.joints_3d is not None:
                ratios.append(_bone_ratios(labels))
                yield from _sides(data, rows, labels)
    if ratios:
        yield from _solid_bones(data, np.concatenate(ratios))
    if "image" in data.spec.modalities:
        yield from _pictures(data, outside, report)


# ------------------------------------------------------------------------------------------------ ----- bones


@cache
def flat_bone_limits() -> Float[Tensor, "20"]:
    """Longest that each bone gets in a picture, over the larger side of the joints' box, on 200 hands seen
    from 300 sides."""
    generator = torch.Generator().manual_seed(0)
    poses = torch.stack([named_pose(name) for name in POSE_NAMES]).repeat(20, 1, 1)
    joints = forward_kinematics(poses, sample_shape(len(poses), generator)).joints
    views = torch.linalg.qr(torch.randn(300, 3, 3, generator=generator))[0]
    flat = torch.einsum("vij,hkj->vhki", views[:, :2], joints).flatten(0, 1)
    return (bone_lengths(flat) / _extent(flat, torch.ones(flat.shape[:2], dtype=torch.bool))[:, None]).amax(0)


def _extent(flat: Float[Tensor, "hand joint 2"], valid: Bool[Tensor, "hand joint"]) -> Float[Tensor, " hand"]:
    """Larger side of the labelled joints' box."""
    high = flat.masked_fill(~valid[..., None], -torch.inf).amax(1)
    low = flat.masked_fill(~valid[..., None], torch.inf).amin(1)
    return (high - low).amax(1).clamp_min(1e-6)


def _both_ends(valid: Bool[Tensor, "hand joint"]) -> Bool[Tensor, "hand bone"]:
    return valid[:, 1:] & valid[:, list(PARENTS[1:])]


def _flat_bones(data: HandData, rows: range, labels: Hands) -> Iterator[Problem]:
    flat, valid = labels.require_all("joints_2d", "joint_valid")
    enough = valid.sum(1) >= 15  # of fewer joints, the box says little about the hand
    over = bone_lengths(flat) / _extent(flat, valid)[:, None] / flat_bone_limits()
    over = torch.where(_both_ends(valid) & enough[:, None], over, 0.0)
    for place in (over.amax(1) > FLAT_LIMIT).nonzero()[:, 0].tolist():
        bone = int(over[place].argmax())
        fault = f"the bone to {JOINT_NAMES[BONES[bone][1]]} is {over[place, bone]:.1f} times as long in the picture as on any hand of that size"
        yield _odd(data, rows[place], fault, "look at its keypoints")


def _bone_ratios(labels: Hands) -> Float[np.ndarray, "hand 20"]:
    """Each bone over that of the mean hand, after the hand's own scale (the median over its bones); NaN where
    it is not labelled."""
    solid, valid = labels.require_all("joints_3d", "joint_valid")
    mean = bone_lengths(forward_kinematics(named_pose("flat"), HandShape.mean()).joints)
    ratios = torch.where(_both_ends(valid), bone_lengths(solid) / mean, torch.nan)
    return (ratios / ratios.nanmedian(1, keepdim=True).values.clamp_min(1e-9)).numpy()


def _solid_bones(data: HandData, ratios: Float[np.ndarray, "hand 20"]) -> Iterator[Problem]:
    low, high = SPACE_LIMITS
    odd = (ratios < low) | (ratios > high)
    usual = np.ones(20)
    if len(ratios) >= SET_LEAST:
        logs = np.log(np.maximum(ratios, 1e-9))
        middle = np.nanmedian(np.where(np.isnan(logs).all(0), 0.0, logs), axis=0)
        deviation = 1.4826 * np.nanmedian(np.where(np.isnan(logs).all(0), 0.0, np.abs(logs - middle)), axis=0)
        odd |= np.abs(logs - middle) > np.maximum(np.log(SET_FACTOR), SET_DEVIATIONS * deviation)
        usual = np.exp(middle)
    for row in np.flatnonzero(odd.any(1)).tolist():
        away = np.where(odd[row], np.abs(np.log(np.maximum(ratios[row], 1e-9) / usual)), -1)
        bone = int(away.argmax())
        fault = f"the bone to {JOINT_NAMES[BONES[bone][1]]} has {ratios[row, bone] / usual[bone]:.2f} times its usual length in space"
        yield _odd(data, row, fault, "look at its joints in space")


# ------------------------------------------------------------------------------------------------ ----- sides


def bend(solid: Float[Tensor, "hand 21 3"]) -> Float[Tensor, " hand"]:
    """How far the fingers bend as a right hand's do: the sum of sin(bend) over the middle and end joints of
    four fingers.

    A right hand's fingers bend about the axis from the little finger's MCP to the index finger's, a left
    hand's about its opposite.
    """
    axis = torch.nn.functional.normalize(solid[:, 5] - solid[:, 17], dim=-1)
    total = torch.zeros(len(solid))
    for base in (5, 9, 13, 17):
        bones = torch.nn.functional.normalize(
            solid[:, base + 1 : base + 4] - solid[:, base : base + 3], dim=-1
        )
        turns = torch.linalg.cross(bones[:, :-1], bones[:, 1:])
        total = total + (turns * axis[:, None]).sum((1, 2))
    return total


def _sides(data: HandData, rows: range, labels: Hands) -> Iterator[Problem]:
    solid, valid = labels.require_all("joints_3d", "joint_valid")
    if labels.side is None:
        return
    told = bend(solid) * torch.where(labels.side == RIGHT, 1.0, -1.0)
    for place in ((told < -BENT) & valid[:, 5:].all(1)).nonzero()[:, 0].tolist():
        called, other = ("left", "right") if int(labels.side[place]) == LEFT else ("right", "left")
        yield _odd(
            data,
            rows[place],
            f"is called a {called} hand, and its fingers bend as a {other} hand's do",
            "look at its side",
        )


# ------------------------------------------------------------------------------------------------ -- pictures


def _pictures(data: HandData, outside: bool, report: Callable[[int], object]) -> Iterator[Problem]:
    """Unreadable pictures, joints outside, and pictures that come twice."""
    points = np.zeros((len(data), _DIMS), np.float32)
    readable = np.zeros(len(data), bool)
    projection = np.linalg.qr(np.random.default_rng(0).normal(size=(_THUMB * _THUMB, _DIMS)))[0]
    for row in range(len(data)):
        report(1)
        try:
            pixels = data.picture(row)
        except UserError as error:
            yield Problem(error.where, error.fault, error.remedy)
            continue
        readable[row] = True
        points[row] = _thumbnail(pixels).reshape(-1) @ projection
        if outside:
            yield from _outside(data, row, pixels.shape[1], pixels.shape[0])
    rows = np.flatnonzero(readable)
    if len(rows) > 1:
        reach = 1.5 * NEAR_GREY * _THUMB * np.sqrt(_DIMS / _THUMB**2)
        for one, other in sorted(KDTree(points[rows]).query_pairs(reach)):
            yield from _twins(data, int(rows[one]), int(rows[other]))


def _outside(data: HandData, row: int, width: int, height: int) -> Iterator[Problem]:
    flat, valid = data.labels(torch.tensor([row])).require_all("joints_2d", "joint_valid")
    beyond = (
        torch.maximum(-flat[0], flat[0] - torch.tensor([width, height])).amax(1).masked_fill(~valid[0], 0.0)
    )
    count = int((beyond > 0).sum())
    if count:
        worst = data.spec.joint_names[int(beyond.argmax())]
        yield _odd(
            data,
            row,
            f"{count} joints lie outside the {width} x {height} px picture, {worst} by {beyond.max():.0f} px",
            "look at them",
        )


def _thumbnail(pixels: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "16 16"]:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).astype(np.float32)


def _twins(data: HandData, one: int, other: int) -> Iterator[Problem]:
    """What two hands have in common whose pictures look alike; two hands of one picture are no twins."""
    labels = data.labels(torch.tensor([one, other]))
    flat, valid = labels.require_all("joints_2d", "joint_valid")
    both = valid.all(0)
    apart = torch.inf
    if both.any():
        apart = float((flat[0, both] - flat[1, both]).norm(dim=1).mean() / _extent(flat[:1], valid[:1])[0])
    first = data.name(one)
    if data.name(other) == first:
        if apart < NEAR_JOINTS:
            yield _odd(
                data, other, "the same hand of the same picture is labelled twice", "remove one annotation"
            )
        return
    pictures = (data.picture(one), data.picture(other))
    if np.array_equal(pictures[0], pictures[1]):
        yield _odd(
            data,
            other,
            f"is the same picture as {first}",
            "remove one, and keep both out of different splits",
        )
    elif apart < NEAR_JOINTS and pictures[0].shape == pictures[1].shape:
        different = float(np.abs(_thumbnail(pictures[0]) - _thumbnail(pictures[1])).mean())
        if different < NEAR_GREY:
            yield _odd(data, other, f"is nearly the same picture as {first}", "keep both in one split")


def _odd(data: HandData, row: int, fault: str, remedy: str) -> Problem:
    return Problem(data.name(row), fault, remedy, fatal=False)
