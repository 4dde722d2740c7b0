"""Labels that are readable and yet wrong: impossible bones, wrong sides, pictures that occur twice.

Limits were set on real data, so that sound labels pass (docs/log/data.md). A finding is worth a look, and not
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
"""Length of a bone in the picture, over the hand's extent there, as a multiple of the longest that any hand
shows from any side."""
SPACE_LIMITS = (0.3, 3.0)
"""Length of a bone over that of the mean hand, after the hand's own scale; whatever the data set."""
SET_FACTOR = 1.5
SET_DEVIATIONS = 8.0
SET_LEAST = 30
"""In a set of at least this many hands, a bone is odd if it differs from the set's median by both the factor
and the number of deviations."""
BENT = 1.0
"""Sum of the sines of eight finger joints' bends above which a hand shows its side."""
NEAR_GREY = 4.0
NEAR_JOINTS = 0.03
"""Two pictures are nearly one if thumbnails differ by less in the mean (of 255) and joints by less than this
share of the hand's size."""
_THUMB, _DIMS = 16, 16


def find_oddities(
    data: HandData, outside: bool = True, report: Callable[[int], object] = lambda pictures: None
) -> Iterator[Problem]:
    """Everything odd about a data set's labels and pictures, hand by hand.

    Reads every picture once, and keeps 100 bytes for each hand. Unreadable pictures are fatal, all else is
    odd. Bones and sides are checked where hands have 21 joints.

    Args:
        data: an opened data set.
        outside: also name joints outside their pictures (`check_coco` has named them already).
        report: called with the number of pictures that were read since the last call.
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


# ------------------------------------------------------------------------------------------------------ bones


@cache
def flat_bone_limits() -> Float[Tensor, "20"]:
    """The longest that each bone gets in a picture, over the larger side of the joints' box.

    Measured on 200 hands from 300 sides.
    """
    generator = torch.Generator().manual_seed(0)
    poses = torch.stack([named_pose(name) for name in POSE_NAMES]).repeat(20, 1, 1)
    joints = forward_kinematics(poses, sample_shape(len(poses), generator)).joints
    # orthogonal matrices out of random ones: views from all sides
    views = torch.linalg.qr(torch.randn(300, 3, 3, generator=generator))[0]
    flat = torch.einsum("vij,hkj->vhki", views[:, :2], joints).flatten(0, 1)
    extent = _extent(flat, torch.ones(flat.shape[:2], dtype=torch.bool))

    return (bone_lengths(flat) / extent[:, None]).amax(0)


def _extent(flat: Float[Tensor, "hand joint 2"], valid: Bool[Tensor, "hand joint"]) -> Float[Tensor, " hand"]:
    """Larger side of the labelled joints' box."""
    high = flat.masked_fill(~valid[..., None], -torch.inf).amax(1)
    low = flat.masked_fill(~valid[..., None], torch.inf).amin(1)
    # one labelled joint has no extent, and must not divide by zero
    return (high - low).amax(1).clamp_min(1e-6)


def _both_ends(valid: Bool[Tensor, "hand joint"]) -> Bool[Tensor, "hand bone"]:
    return valid[:, 1:] & valid[:, list(PARENTS[1:])]


def _flat_bones(data: HandData, rows: range, labels: Hands) -> Iterator[Problem]:
    flat, valid = labels.require_all("joints_2d", "joint_valid")
    # the box of fewer joints says little about the hand
    enough = valid.sum(1) >= 15
    over = bone_lengths(flat) / _extent(flat, valid)[:, None] / flat_bone_limits()
    over = torch.where(_both_ends(valid) & enough[:, None], over, 0.0)

    for place in (over.amax(1) > FLAT_LIMIT).nonzero()[:, 0].tolist():
        bone = int(over[place].argmax())
        joint = JOINT_NAMES[BONES[bone][1]]
        fault = (
            f"the bone to {joint} is {over[place, bone]:.1f} times as long in the picture "
            "as on any hand of that size"
        )
        yield _odd(data, rows[place], fault, "look at its keypoints")


def _bone_ratios(labels: Hands) -> Float[np.ndarray, "hand 20"]:
    """Each bone over that of the mean hand, after the hand's own scale; NaN where it is not labelled.

    The scale is the median over the bones.
    """
    solid, valid = labels.require_all("joints_3d", "joint_valid")
    mean = bone_lengths(forward_kinematics(named_pose("flat"), HandShape.mean()).joints)
    ratios = torch.where(_both_ends(valid), bone_lengths(solid) / mean, torch.nan)
    # the median: one wrong bone does not shift the scale of the others
    return (ratios / ratios.nanmedian(1, keepdim=True).values.clamp_min(1e-9)).numpy()


def _solid_bones(data: HandData, ratios: Float[np.ndarray, "hand 20"]) -> Iterator[Problem]:
    low, high = SPACE_LIMITS
    odd = (ratios < low) | (ratios > high)
    usual = np.ones(20)

    # in a large set, each bone is also compared with the set's own median
    if len(ratios) >= SET_LEAST:
        # in logs, half and double the length are equally odd
        logs = np.log(np.maximum(ratios, 1e-9))
        unlabelled = np.isnan(logs).all(0)
        middle = np.nanmedian(np.where(unlabelled, 0.0, logs), axis=0)
        # 1.4826 times the median absolute deviation estimates a standard deviation
        deviation = 1.4826 * np.nanmedian(np.where(unlabelled, 0.0, np.abs(logs - middle)), axis=0)
        odd |= np.abs(logs - middle) > np.maximum(np.log(SET_FACTOR), SET_DEVIATIONS * deviation)
        usual = np.exp(middle)

    for row in np.flatnonzero(odd.any(1)).tolist():
        away = np.where(odd[row], np.abs(np.log(np.maximum(ratios[row], 1e-9) / usual)), -1)
        bone = int(away.argmax())
        joint = JOINT_NAMES[BONES[bone][1]]
        fault = (
            f"the bone to {joint} has {ratios[row, bone] / usual[bone]:.2f} times its usual length in space"
        )
        yield _odd(data, row, fault, "look at its joints in space")


# ------------------------------------------------------------------------------------------------------ sides


def bend(solid: Float[Tensor, "hand 21 3"]) -> Float[Tensor, " hand"]:
    """How far the fingers bend as a right hand's do.

    The sum of sin(bend) over the middle and end joints of four fingers. A right hand's fingers bend about the
    axis from the little finger's MCP to the index finger's, a left hand's about its opposite.
    """
    # from the little finger's MCP to the index finger's
    axis = torch.nn.functional.normalize(solid[:, 5] - solid[:, 17], dim=-1)
    total = torch.zeros(len(solid))
    for base in (5, 9, 13, 17):
        bones = torch.nn.functional.normalize(
            solid[:, base + 1 : base + 4] - solid[:, base : base + 3], dim=-1
        )
        # of unit vectors: |a x b| is the sine of the angle between them
        turns = torch.linalg.cross(bones[:, :-1], bones[:, 1:])
        total = total + (turns * axis[:, None]).sum((1, 2))

    return total


def _sides(data: HandData, rows: range, labels: Hands) -> Iterator[Problem]:
    solid, valid = labels.require_all("joints_3d", "joint_valid")
    if labels.side is None:
        return

    # positive where the fingers bend as the labelled side's do
    agreement = bend(solid) * torch.where(labels.side == RIGHT, 1.0, -1.0)
    for place in ((agreement < -BENT) & valid[:, 5:].all(1)).nonzero()[:, 0].tolist():
        called, other = ("left", "right") if int(labels.side[place]) == LEFT else ("right", "left")
        fault = f"is called a {called} hand, and its fingers bend as a {other} hand's do"
        yield _odd(data, rows[place], fault, "look at its side")


# --------------------------------------------------------------------------------------------------- pictures


def _pictures(data: HandData, outside: bool, report: Callable[[int], object]) -> Iterator[Problem]:
    """Unreadable pictures, joints outside, and pictures that come twice."""
    points = np.zeros((len(data), _DIMS), np.float32)
    readable = np.zeros(len(data), bool)
    # from 256 numbers to 16: a k-d tree is fast in few dimensions only
    projection = np.linalg.qr(np.random.default_rng(0).normal(size=(_THUMB * _THUMB, _DIMS)))[0]

    for row in range(len(data)):
        report(1)
        try:
            pixels = data.picture(row)
        except UserError as error:
            # the check goes through all pictures: one damaged file is reported, not raised
            yield Problem(error.where, error.fault, error.remedy)
            continue

        readable[row] = True
        points[row] = _thumbnail(pixels).reshape(-1) @ projection
        if outside:
            yield from _outside(data, row, pixels.shape[1], pixels.shape[0])

    # thumbnails that lie near each other after a random projection may be twins
    rows = np.flatnonzero(readable)
    if len(rows) > 1:
        reach = 1.5 * NEAR_GREY * _THUMB * np.sqrt(_DIMS / _THUMB**2)
        for one, other in sorted(KDTree(points[rows]).query_pairs(reach)):
            yield from _twins(data, int(rows[one]), int(rows[other]))


def _outside(data: HandData, row: int, width: int, height: int) -> Iterator[Problem]:
    flat, valid = data.labels(torch.tensor([row])).require_all("joints_2d", "joint_valid")
    # px outside, over the four edges; negative inside
    beyond = torch.maximum(-flat[0], flat[0] - torch.tensor([width, height])).amax(1)
    beyond = beyond.masked_fill(~valid[0], 0.0)
    count = int((beyond > 0).sum())
    if count:
        worst = data.spec.joint_names[int(beyond.argmax())]
        place = f"outside the {width} x {height} px picture, {worst} by {beyond.max():.0f} px"
        yield _odd(data, row, f"{count} joints lie {place}", "look at them")


def _thumbnail(pixels: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "16 16"]:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).astype(np.float32)


def _twins(data: HandData, one: int, other: int) -> Iterator[Problem]:
    """Two hands whose thumbnails are close: the same hand, the same picture, or nearly the same."""
    labels = data.labels(torch.tensor([one, other]))
    flat, valid = labels.require_all("joints_2d", "joint_valid")
    both = valid.all(0)
    apart = torch.inf
    if both.any():
        apart = float((flat[0, both] - flat[1, both]).norm(dim=1).mean() / _extent(flat[:1], valid[:1])[0])

    # two hands of one picture are no twins, unless their joints agree
    first = data.name(one)
    if data.name(other) == first:
        if apart < NEAR_JOINTS:
            fault = "the same hand of the same picture is labelled twice"
            yield _odd(data, other, fault, "remove one annotation")
        return

    # decoded once more: to keep all pictures would fill the memory
    pictures = (data.picture(one), data.picture(other))
    if np.array_equal(pictures[0], pictures[1]):
        remedy = "remove one, and keep both out of different splits"
        yield _odd(data, other, f"is the same picture as {first}", remedy)
    elif apart < NEAR_JOINTS and pictures[0].shape == pictures[1].shape:
        different = float(np.abs(_thumbnail(pictures[0]) - _thumbnail(pictures[1])).mean())
        if different < NEAR_GREY:
            yield _odd(data, other, f"is nearly the same picture as {first}", "keep both in one split")


def _odd(data: HandData, row: int, fault: str, remedy: str) -> Problem:
    return Problem(data.name(row), fault, remedy, fatal=False)
