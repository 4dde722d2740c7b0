"""A sheet of a data set's hands with their joints drawn."""

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from handvae.data.crop import Crop, PixelField, cut
from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.data.summary import PICTURES
from handvae.errors import UserError
from handvae.hand import FINGERS, LEFT
from handvae.inference.drawing import FINGER_COLOURS, grid

TILE, MARGIN = 192, 2.0
"""Side of a hand's tile, px, and of its crop over the joints' box."""

COLUMNS = 8

CLASS_COLOURS = np.array([(0, 0, 0), (110, 110, 110), (240, 240, 240), *FINGER_COLOURS], np.uint8)
"""RGB of the classes of a segmentation, `hand.SEGMENTATION_CLASSES`."""

Tile = UInt8[np.ndarray, "side side 3"]


def data_sheet(data: HandData, count: int) -> UInt8[np.ndarray, "height width 3"]:
    """Hands spread over the set, each in every kind of picture that the set has, with its joints and its
    side.

    Raises:
        UserError: none of the hands has two labelled joints.
    """
    rows = torch.linspace(0, len(data) - 1, min(count, len(data))).long()
    fields: list[PixelField] = []
    for field in PICTURES:
        if field != "mask" and field in data.spec.modalities:
            fields.append(field)

    # A crop needs the box of two joints
    drawable = data.labels(rows).require("joint_valid").sum(1) >= 2
    hands = cut(data, rows[drawable], Crop(TILE, margin=MARGIN), fields=tuple(fields))
    names = data.spec.joint_names
    tiles = [_tile(hands, number, field, names) for number in range(len(hands)) for field in fields]

    if not tiles:
        fault = "none of the chosen hands has two labelled joints"
        raise UserError(data.spec.name, fault, "look at its labels")

    # A hand's pictures stay in one row
    columns = len(fields) * max(1, COLUMNS // len(fields))
    return grid([tiles[start : start + columns] for start in range(0, len(tiles), columns)])


def _tile(hands: Hands, number: int, field: PixelField, names: tuple[str, ...]) -> Tile:
    """One picture of one hand."""
    match field:
        case "image":
            image = hands.require("image")[number]
            pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        case "depth":
            pixels = _grey_depth(hands.require("depth")[number, 0].numpy(), hands, number)
        case _:
            pixels = CLASS_COLOURS[hands.require("segmentation")[number, 0].numpy()]

    canvas = np.ascontiguousarray(pixels)
    if field != "segmentation":
        _draw_joints(canvas, hands, number, names)

    if hands.side is not None:
        letter = "L" if hands.side[number] == LEFT else "R"
        for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            cv2.putText(
                canvas, letter, (5, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, thickness, cv2.LINE_AA
            )

    return canvas


def _grey_depth(depth: Float[np.ndarray, "side side"], hands: Hands, number: int) -> Tile:
    """Near is bright, from 200 mm before the hand's middle to 200 mm behind it; unknown is black."""
    joints, label_mask = hands.require_all("joints_3d", "joint_valid")
    middle = float(joints[number, label_mask[number], 2].median())
    nearness = np.clip((middle + 200 - depth) / 400, 0, 1)
    grey = np.where(depth > 0, nearness * 200 + 30, 0)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)


def _draw_joints(canvas: Tile, hands: Hands, number: int, names: tuple[str, ...]) -> None:
    """Dots, and lines from each joint of a finger to the next.

    Joints without a label are left out, hidden ones are hollow.
    """
    joints, label_mask = hands.require_all("joints_2d", "joint_valid")
    labelled = label_mask[number].tolist()
    visible = [True] * len(names) if hands.joint_visible is None else hands.joint_visible[number].tolist()
    fingers = [_finger(name) for name in names]

    # OpenCV counts from the first pixel's centre, and draws at sixteenths of a pixel
    points = [(round(x * 16), round(y * 16)) for x, y in (joints[number] - 0.5).tolist()]

    for joint in range(1, len(names)):
        finger = fingers[joint]
        if fingers[joint - 1] == finger:
            previous = joint - 1
        else:
            previous = 0 if names[0] in ("wrist", "palm") else joint
        if finger is not None and labelled[joint] and labelled[previous]:
            cv2.line(canvas, points[previous], points[joint], FINGER_COLOURS[finger], 2, cv2.LINE_AA, 4)

    for joint, finger in enumerate(fingers):
        if labelled[joint]:
            colour = (250, 250, 250) if finger is None else FINGER_COLOURS[finger]
            cv2.circle(canvas, points[joint], 48, colour, -1 if visible[joint] else 1, cv2.LINE_AA, 4)


def _finger(joint: str) -> int | None:
    """Number of the finger that a joint's name belongs to; None for wrist and palm."""
    name = joint.split("_")[0]
    return FINGERS.index(name) if name in FINGERS else None
