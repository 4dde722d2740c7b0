"""Sheets that show what the shipped models do, and the poses that have a name."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handvae.data.crop import in_own_crop, to_crop_px
from handvae.data.hands import Hands
from handvae.hand import LEFT, POSE_NAMES, RIGHT
from handvae.inference.drawing import draw_skeleton, grid, picture_cell
from handvae.inference.poses import read_poses
from handvae.noise import Noise
from handvae.systems.hand_finder import HandFinder
from handvae.systems.system import Generator, PoseEstimator, System
from handvae.training.checkpoint import Model

CELL = 160
"""Side of a picture on a sheet, px."""
SHOWN = ("open", "victory", "point", "fist", "ok", "claw")
"""Poses on the sheet of the models."""

Cell = UInt8[np.ndarray, "side side 3"]


@torch.no_grad()
def poses_sheet(model: Model, seed: int) -> UInt8[np.ndarray, "height width 3"]:
    """Every named pose as a skeleton, and under it as the model's picture of it, in one random appearance."""
    system = model.generator
    skeletons, joints = [], []
    for name in POSE_NAMES:
        poses = read_poses(name, None, "palm", system)
        skeletons.append(caption(_skeleton(poses.joints_2d[0]), name))
        joints.append(poses.joints)

    pictures = _pictures(system, torch.cat(joints), seed)

    half = len(POSE_NAMES) // 2
    return grid([skeletons[:half], pictures[:half], skeletons[half:], pictures[half:]])


@torch.no_grad()
def models_sheet(
    models: Sequence[Model], pictures_by: Model, seed: int
) -> UInt8[np.ndarray, "height width 3"]:
    """A row a model: the pictures that it makes, or the joints that it reads.

    Args:
        models: the rows.
        pictures_by: makes the pictures that the models read.
        seed: of the appearances.
    """
    rows = []
    for model in models:
        cells = _row(model.system, pictures_by.generator, seed)
        cells[0] = caption(cells[0], model.name)
        rows.append(cells)

    return grid(rows)


def caption(cell: Cell, text: str) -> Cell:
    """The cell with a line of text at its top."""
    for colour, thickness in (((255, 255, 255), 3), ((0, 0, 0), 1)):
        cv2.putText(cell, text, (5, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness, cv2.LINE_AA)
    return cell


def _row(system: System, pictures_by: Generator, seed: int) -> list[Cell]:
    """What a system does with the poses of the sheet."""
    if isinstance(system, Generator):
        joints = torch.cat([read_poses(name, None, "palm", system).joints for name in SHOWN])
        return _pictures(system, joints, seed)

    poses = [read_poses(name, None, "palm", pictures_by) for name in SHOWN]
    flat = torch.cat([pose.joints_2d for pose in poses])
    side = torch.full((len(SHOWN),), LEFT if pictures_by.spec.sides == "left" else RIGHT)
    if isinstance(system, PoseEstimator) and "image" not in system.inputs:
        return _lifted(system, flat, side)

    # Pictures are made at the generator's size, and read at the reader's
    made = pictures_by.synthesize(torch.cat([pose.joints for pose in poses]), _appearances(pictures_by, seed))
    if isinstance(system, HandFinder):
        return [_found(system, picture) for picture in made]

    assert isinstance(system, PoseEstimator)
    size = (system.crop.size_px,) * 2
    image = torch.nn.functional.interpolate(made, size, mode="bilinear", antialias=True)
    joints = system.predict(Hands(image=image, side=side), ("image",)).joints
    if system.pose == "3d":
        joints = in_own_crop(joints[..., :2], system.crop.margin)

    drawn = to_crop_px(joints, CELL).numpy() - 0.5
    return [
        draw_skeleton(picture_cell(picture, CELL), points)
        for picture, points in zip(made, drawn, strict=True)
    ]


def _found(system: HandFinder, picture: Float[Tensor, "3 height width"]) -> Cell:
    """A picture in the middle of a grey one, with the box of the likeliest hand."""
    middle = torch.nn.functional.interpolate(picture[None], (CELL // 2,) * 2, mode="bilinear", antialias=True)
    whole = torch.nn.functional.pad(middle, (CELL // 4,) * 4, value=0.5)
    image = torch.nn.functional.interpolate(whole, (system.crop.size_px,) * 2, mode="bilinear")
    (found,) = system.find(image, 0.0, 1)

    cell = picture_cell(whole[0], CELL)
    corners = [found.middle[0] + sign * found.size[0] / 2 for sign in (-1, 1)]
    (left, top), (right, bottom) = ((corner * CELL / system.crop.size_px).tolist() for corner in corners)
    low, high = (round(left), round(top)), (round(right), round(bottom))
    return np.asarray(cv2.rectangle(cell, low, high, (230, 60, 60), 2), np.uint8)


def _lifted(system: PoseEstimator, flat: Float[Tensor, "pose joint 2"], side: Tensor) -> list[Cell]:
    """3D joints read from 2D ones, seen from the side."""
    valid = torch.ones(flat.shape[:2], dtype=torch.bool)
    hands = Hands(joints_2d=to_crop_px(flat, system.crop.size_px), joint_valid=valid, side=side)
    solid = system.predict(hands, ("joints_2d",)).joints
    return [_skeleton(joints) for joints in in_own_crop(solid[..., [2, 1]], system.crop.margin)]


def _skeleton(joints: Float[Tensor, "joint 2"]) -> Cell:
    """Joints in crop units on white."""
    return draw_skeleton(np.full((CELL, CELL, 3), 255, np.uint8), to_crop_px(joints, CELL).numpy() - 0.5)


def _appearances(system: Generator, seed: int) -> Tensor:
    return system.random_appearance(len(SHOWN), Noise(seed), "aggregate")


def _pictures(system: Generator, joints: Float[Tensor, "pose joint axis"], seed: int) -> list[Cell]:
    """Pictures of the poses, all in one random appearance."""
    appearance = system.random_appearance(1, Noise(seed), "aggregate").expand(len(joints), -1)
    return [picture_cell(picture.cpu(), CELL) for picture in system.synthesize(joints, appearance)]
