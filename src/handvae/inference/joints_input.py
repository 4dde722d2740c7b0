"""2D joints from JSON files, placed in a crop as the joints of pictures are.

Understood are
- a pose of 21 pairs [x, y] in pixels, null for a joint that is not known, or a list of such poses;
- the same under `keypoints`, or under `hands` as `handvae estimate` writes it;
- COCO annotations or results, whose `keypoints` are 63 numbers x, y, visibility, with `hand_side`.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from handvae.data.crop import Crop
from handvae.data.files.json import read_json
from handvae.data.hands import Hands
from handvae.data.left_out import warn_of
from handvae.errors import UserError
from handvae.geometry import apply_affine
from handvae.hand import BONES, JOINT_NAMES
from handvae.inference.crops import HandCrop
from handvae.inference.square import Box, Square

FEWEST = 4
"""Known joints without which nothing is read of a hand."""
LARGEST = 1e6
"""A larger coordinate, px, is not believed."""
CANVAS_PX = 512
GREY = (190, 190, 190)
GIVE = "give 21 pairs [x, y] a hand (null for a joint that is not known), or COCO keypoints"
NORMALISED = (
    "all joints lie in 0 to 1, as fractions of a picture: they are read as if it were square; "
    "multiply x by its width and y by its height"
)


@dataclass(frozen=True, eq=False)
class FlatHand:
    """2D joints of one hand, px."""

    joints: Float[Tensor, "joint 2"]
    """0 where a joint is not known."""
    valid: Bool[Tensor, " joint"]
    side: Literal["", "left", "right"]
    """Empty where the file does not tell."""


def read_flat_hands(path: Path) -> list[FlatHand]:
    """The hands of a JSON file.

    A warning says of which hands the joints look like fractions of a picture: they are read as they stand.

    Raises:
        UserError: it has none of the forms above; names the hand, the joint and the fault.
    """
    entries = _entries(read_json(path))
    if not entries:
        raise UserError(path, "holds no hand's joints", GIVE)

    hands, remarks = [], []
    for number, (keypoints, side) in enumerate(entries):
        which = f"hand {number}: " if len(entries) > 1 else ""
        hand = _hand(path, which, keypoints, side)
        hands.append(hand)
        if _is_normalised(hand):
            remarks.append(f"{which}{NORMALISED}")

    warn_of(path, remarks)
    return hands


def crop_joints(source: Path | None, hand: FlatHand, box: Box | None, crop: Crop, mirror: bool) -> HandCrop:
    """Place joints in the crop that is cut round them, or round `box`; a drawing of them is the picture.

    Args:
        source: the file, for messages.
        hand: the joints.
        box: x, y, width, height in the joints' unit.
        crop: how the model's crops are cut.
        mirror: whether the model knows the other hand only.

    Raises:
        UserError: the box is none.
    """
    # the square to cut: round the box, and the larger by the model's margin
    joints, valid = hand.joints, hand.valid
    low, high = joints[valid].amin(0), joints[valid].amax(0)
    if box is not None:
        if not all(math.isfinite(part) for part in box) or min(box[2:]) <= 0:
            raise UserError("--box", f"{box} is no box", "give x,y,width,height in the joints' unit")
        x, y, across, down = box
        low = torch.tensor([x, y])
        high = torch.tensor([x + across, y + down])

    centre = (low + high) / 2
    side = float((high - low).max()) * crop.margin
    if crop.box == "hand3d" and valid[9]:  # the rule of Zimmermann & Brox, of joints in any unit
        centre = joints[9]
        side = 2 * float(torch.maximum(high - joints[9], joints[9] - low).max())

    affine = Square((float(centre[0]), float(centre[1])), side).affine(crop, mirror)
    placed = apply_affine(joints[None], affine[None]).masked_fill(~valid[None, :, None], 0.0)

    # the drawing shows the same square, so that results can be drawn on it
    left, top = (centre - side / 2).tolist()
    zoom = CANVAS_PX / side
    drawn = _draw(((joints - centre + side / 2) * zoom).numpy(), valid.numpy())
    return HandCrop(
        source=source,
        pixels=drawn,
        affine=affine,
        hands=Hands(joints_2d=placed, joint_valid=valid[None]),
        located_by="the box of the joints" if box is None else "the given box",
        mirrored=mirror,
        corner=(left, top),
        zoom=zoom,
    )


def _entries(content: Any) -> list[tuple[Any, Any]]:
    """(keypoints, side) of each hand, as the file has them."""
    if isinstance(content, dict):
        for name in ("hands", "annotations"):
            if isinstance(content.get(name), list):
                return _entries_of_each(content[name])
        return [(content["keypoints"], content.get("hand_side", ""))] if "keypoints" in content else []

    if not isinstance(content, list) or not content:
        return []
    if isinstance(content[0], dict):  # COCO results
        return _entries_of_each(content)

    # a list of poses, or one pose
    hands = content if _is_pose(content[0]) else [content]
    return [(hand, "") for hand in hands]


def _entries_of_each(objects: list[Any]) -> list[tuple[Any, Any]]:
    return [entry for one in objects if isinstance(one, dict) for entry in _entries(one)]


def _is_pose(value: Any) -> bool:
    """Whether a list's first member is a pose, not a joint."""
    return isinstance(value, list) and any(isinstance(one, list) for one in value)


def _hand(path: Path, which: str, keypoints: Any, side: Any) -> FlatHand:
    if side not in ("", "left", "right"):
        fault = f"{which}hand_side is {side!r}"
        raise UserError(path, fault, "give left or right, or leave it out")
    if not isinstance(keypoints, list):
        raise UserError(path, f"{which}keypoints is no list", GIVE)

    pairs = _pairs(path, which, keypoints)

    valid = torch.tensor([pair is not None for pair in pairs])
    count = int(valid.sum())
    if count < FEWEST:
        raise UserError(path, f"{which}{count} joints are known", f"give at least {FEWEST} of the 21")

    joints = torch.tensor([_pair(path, which, joint, pair) for joint, pair in enumerate(pairs)])
    if (joints[valid].amax(0) - joints[valid].amin(0)).amax() <= 0:
        raise UserError(path, f"{which}all joints lie on one point", "give distinct joints")

    return FlatHand(joints, valid, side)


def _is_normalised(hand: FlatHand) -> bool:
    """Whether the joints are fractions of a picture: no hand of real pixels is smaller than one."""
    known = hand.joints[hand.valid]
    return bool((known >= 0).all() and (known <= 1).all())


def _pairs(path: Path, which: str, keypoints: list[Any]) -> list[Any]:
    """21 entries, pairs if all is well; None for a joint that is not known."""
    count = len(JOINT_NAMES)

    # a list without lists inside is COCO's, unless it is all null
    is_flat = not any(isinstance(one, list) for one in keypoints)
    if not (is_flat and any(one is not None for one in keypoints)):
        if len(keypoints) != count:
            raise UserError(path, f"{which}has {len(keypoints)} joints, not {count}", GIVE)
        return keypoints

    # COCO: x, y, visibility of joint after joint
    if len(keypoints) != 3 * count:
        fault = f"{which}keypoints has {len(keypoints)} numbers, not {3 * count}"
        raise UserError(path, fault, "give 21 triples x, y, visibility")

    pairs: list[Any] = []
    for joint in range(count):
        x, y, visibility = keypoints[3 * joint : 3 * joint + 3]
        known = _number(path, which, joint, visibility) > 0
        pairs.append([x, y] if known else None)

    return pairs


def _pair(path: Path, which: str, joint: int, pair: Any) -> tuple[float, float]:
    if pair is None:
        return 0.0, 0.0
    if not isinstance(pair, list) or len(pair) != 2:
        content = f"{len(pair)} numbers" if isinstance(pair, list) else "no list"
        fault = f"{which}joint {joint} ({JOINT_NAMES[joint]}) is {content}, not a pair"
        raise UserError(path, fault, GIVE)
    return _number(path, which, joint, pair[0]), _number(path, which, joint, pair[1])


def _number(path: Path, which: str, joint: int, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and abs(value) <= LARGEST):
        fault = f"{which}joint {joint} ({JOINT_NAMES[joint]}) holds {value!r}, no finite number of pixels"
        raise UserError(path, fault, "give finite numbers, or null for a joint that is not known")
    return float(value)


def _draw(
    joints_px: Float[np.ndarray, "joint 2"], valid: Bool[np.ndarray, " joint"]
) -> UInt8[np.ndarray, "height width 3"]:
    """The known joints and bones in grey on white."""
    canvas = np.full((CANVAS_PX, CANVAS_PX, 3), 255, np.uint8)
    points = [(round(float(x)), round(float(y))) for x, y in joints_px]
    for parent, child in BONES:
        if valid[parent] and valid[child]:
            cv2.line(canvas, points[parent], points[child], GREY, 6, cv2.LINE_AA)
    for point, known in zip(points, valid, strict=True):
        if known:
            cv2.circle(canvas, point, 8, GREY, -1, cv2.LINE_AA)
    return canvas
