"""2D joints that users give in JSON files, placed in a crop as the joints of pictures are.

Understood: a pose of 21 pairs [x, y] in pixels, null for a joint that is not known, or a list of such; the
same under `keypoints`, or under
`hands` as `handvae estimate` writes it; COCO annotations or results, whose `keypoints` are 63 numbers x, y,
visibility, with `hand_side`.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.data.crop import Crop
from handvae.data.files.json import read_json
from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.geometry import apply_affine
from handvae.hand import BONES, JOINT_NAMES
from handvae.inference.inputs import Box, Seen, square_affine

FEWEST = 4
"""Joints without which nothing is read of a hand."""
LARGEST = 1e6
"""Coordinate in px that is not believed."""
CANVAS_PX = 512
GREY = (190, 190, 190)
GIVE = "give 21 pairs [x, y] a hand (null for a joint that is not known), or COCO keypoints"


@dataclass(frozen=True)
class FlatHand:
    """2D joints of one hand, px."""

    joints: Float[Tensor, "joint 2"]
    """0 where it is not known."""
    valid: Bool[Tensor, " joint"]
    side: str
    """`left`, `right`, or empty where the file does not say."""


def read_flat_hands(path: Path) -> list[FlatHand]:
    """The hands of a JSON file.

    Raises:
        UserError: it is none of the forms above; names the hand, the joint and the fault.
    """
    entries = _entries(read_json(path))
    if not entries:
        raise UserError(path, "holds no hand's joints", GIVE)
    return [
        _hand(path, f"hand {number}: " if len(entries) > 1 else "", entry)
        for number, entry in enumerate(entries)
    ]


def _entries(content: Any) -> list[tuple[Any, Any]]:
    """(keypoints, side) of each hand, as they stand there."""
    if isinstance(content, dict):
        for name in ("hands", "annotations"):
            if isinstance(content.get(name), list):
                return [pair for one in content[name] if isinstance(one, dict) for pair in _entries(one)]
        return [(content["keypoints"], content.get("hand_side", ""))] if "keypoints" in content else []
    if not isinstance(content, list) or not content:
        return []
    if isinstance(content[0], dict):  # COCO results
        return [pair for one in content if isinstance(one, dict) for pair in _entries(one)]
    hands = content if _is_pose(content[0]) else [content]
    return [(hand, "") for hand in hands]


def _is_pose(value: Any) -> bool:
    """Whether a list's first member is a pose, rather than a joint."""
    return isinstance(value, list) and any(isinstance(one, list) for one in value)


def _hand(path: Path, which: str, entry: tuple[Any, Any]) -> FlatHand:
    keypoints, side = entry
    if side not in ("", "left", "right"):
        raise UserError(path, f"{which}hand_side is {side!r}", "give left or right, or leave it out")
    if not isinstance(keypoints, list):
        raise UserError(path, f"{which}keypoints is no list", GIVE)
    count = len(JOINT_NAMES)
    if (
        keypoints
        and not any(isinstance(one, list) for one in keypoints)
        and any(one is not None for one in keypoints)
    ):
        if len(keypoints) != 3 * count:
            raise UserError(
                path,
                f"{which}keypoints has {len(keypoints)} numbers, not {3 * count}",
                "give 21 triples x, y, visibility",
            )
        triples = [keypoints[3 * joint : 3 * joint + 3] for joint in range(count)]
        known = [_number(path, which, joint, triple[2]) > 0 for joint, triple in enumerate(triples)]
        pairs: list[Any] = [
            triple[:2] if there else None for triple, there in zip(triples, known, strict=True)
        ]
    else:
        if len(keypoints) != count:
            raise UserError(path, f"{which}has {len(keypoints)} joints, not {count}", GIVE)
        pairs = keypoints
    valid = torch.tensor([pair is not None for pair in pairs])
    if int(valid.sum()) < FEWEST:
        raise UserError(
            path, f"{which}{int(valid.sum())} joints are known", f"give at least {FEWEST} of the 21"
        )
    joints = torch.tensor([_pair(path, which, joint, pair) for joint, pair in enumerate(pairs)])
    if (joints[valid].amax(0) - joints[valid].amin(0)).amax() <= 0:
        raise UserError(path, f"{which}all joints lie on one point", "give distinct joints")
    return FlatHand(joints, valid, side)


def _pair(path: Path, which: str, joint: int, pair: Any) -> tuple[float, float]:
    if pair is None:
        return 0.0, 0.0
    if not isinstance(pair, list) or len(pair) != 2:
        held = f"{len(pair)} numbers" if isinstance(pair, list) else "no list"
        raise UserError(path, f"{which}joint {joint} ({JOINT_NAMES[joint]}) is {held}, not a pair", GIVE)
    return _number(path, which, joint, pair[0]), _number(path, which, joint, pair[1])


def _number(path: Path, which: str, joint: int, value: Any) -> float:
    sound = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) <= LARGEST
    )
    if not sound:
        fault = f"{which}joint {joint} ({JOINT_NAMES[joint]}) holds {value!r}, no finite number of pixels"
        raise UserError(path, fault, "give finite numbers, or null for a joint that is not known")
    return float(value)


def see_joints(path: Path, hand: FlatHand, box: Box | None, crop: Crop, mirror: bool) -> Seen:
    """Joints in the crop that is cut round them, or round `box`; the picture for people is drawn of them."""
    joints, valid = hand.joints, hand.valid
    low, high = joints[valid].amin(0), joints[valid].amax(0)
    if box is not None:
        if not all(math.isfinite(part) for part in box) or min(box[2:]) <= 0:
            raise UserError("--box", f"{box} is no box", "give x,y,width,height in the joints' unit")
        low, high = torch.tensor(box[:2]), torch.tensor([box[0] + box[2], box[1] + box[3]])
    centre, side = (low + high) / 2, float((high - low).max()) * crop.margin
    if crop.box == "hand3d" and valid[9]:  # the rule of Zimmermann & Brox, of joints in any unit
        centre, side = joints[9], 2 * float(torch.maximum(high - joints[9], joints[9] - low).max())
    affine = square_affine((float(centre[0]), float(centre[1])), side, crop, mirror)
    placed = apply_affine(joints[None], affine[None]).masked_fill(~valid[None, :, None], 0.0)
    found_by = "--box" if box is not None else "the box of the joints"
    corner, zoom = (centre - side / 2).tolist(), CANVAS_PX / side
    pixels = _drawn(((joints - centre + side / 2) * zoom).numpy(), valid.numpy())
    hands = Hands(joints_2d=placed, joint_valid=valid[None])
    return Seen(path, pixels, affine, hands, found_by, mirror, (corner[0], corner[1]), zoom)


def _drawn(joints_px: Float[np.ndarray, "joint 2"], valid: Bool[np.ndarray, " joint"]) -> np.ndarray:
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
