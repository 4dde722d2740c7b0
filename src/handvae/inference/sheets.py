"""Sheets of generated pictures: appearances in rows, poses in columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handvae.data.crop import to_crop_px
from handvae.inference.crops import HandCrop
from handvae.inference.drawing import draw_skeleton, grid, picture_cell, square_cell
from handvae.inference.networks import appearance_of, generate, joints_in_crop
from handvae.inference.result import Hand
from handvae.systems.dvae_generator import DvaeGenerator
from handvae.systems.system import Generator

SIDE = 192
"""Side of a cell, px."""
LONGEST_NAME = 24

Cell = UInt8[np.ndarray, "side side 3"]


@dataclass(frozen=True, eq=False)
class Ground:
    """A photo whose ground replaces that of others, and the model that keeps it apart from the hand."""

    photo: HandCrop
    system: DvaeGenerator

    def behind(self, appearance: Float[Tensor, "batch appearance"]) -> Float[Tensor, "batch appearance"]:
        """Appearances with this ground."""
        return self.system.exchanged(appearance, "ground", appearance_of(self.system, self.photo.image))


def pose_header(joints: Float[Tensor, "joint 2"], size_px: int) -> Cell:
    """A skeleton on white, from crop units."""
    return draw_skeleton(white_cell(), to_crop_px(joints, size_px).numpy() * (SIDE / size_px))


def white_cell() -> Cell:
    """An empty cell."""
    return np.full((SIDE, SIDE, 3), 255, np.uint8)


def transfer_sheet(
    system: Generator,
    photos: Sequence[HandCrop],
    joints: Float[Tensor, "pose joint axis"],
    headers: Sequence[Cell],
    ground: Ground | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Put the appearances of photos on poses.

    First row: the ground's photo, if any, and the poses. Then a row for each photo: the photo, its plain
    reconstruction, the poses with its appearance.
    """
    corner = white_cell() if ground is None else picture_cell(ground.photo.image[0], SIDE)
    rows = [[corner, white_cell(), *headers]]
    for photo in photos:
        appearance = appearance_of(system, photo.image)

        # own pose, as the model reads it, and own appearance: what is lost here is the model's fault
        reconstruction = generate(system, joints_in_crop(system, photo.image), appearance)[0]

        shown = appearance if ground is None else ground.behind(appearance)
        pictures = generate(system, joints, shown.expand(len(joints), -1))
        cells = [picture_cell(picture, SIDE) for picture in (photo.image[0], reconstruction, *pictures)]
        rows.append(cells)

    return grid(rows)


def appearance_sheet(
    system: Generator,
    appearances: Mapping[str, Float[Tensor, " appearance"]],
    joints: Float[Tensor, "pose joint axis"],
    headers: Sequence[Cell],
) -> UInt8[np.ndarray, "height width 3"]:
    """First row: the poses. Then a row for each appearance: its name, the poses with it."""
    rows = [[white_cell(), *headers]]
    for name, appearance in appearances.items():
        pictures = generate(system, joints, appearance.expand(len(joints), -1))
        rows.append([_name_cell(name), *[picture_cell(picture, SIDE) for picture in pictures]])
    return grid(rows)


def poses_sheet(
    system: Generator,
    appearances: Float[Tensor, "row appearance"],
    joints: Float[Tensor, "pose joint axis"],
    headers: Sequence[Cell],
) -> UInt8[np.ndarray, "height width 3"]:
    """First row: the poses. Then a row for each appearance."""
    rows = [list(headers)]
    for appearance in appearances:
        pictures = generate(system, joints, appearance.expand(len(joints), -1))
        rows.append([picture_cell(picture, SIDE) for picture in pictures])
    return grid(rows)


def hands_sheet(hands: Sequence[Hand]) -> UInt8[np.ndarray, "height width 3"]:
    """First row: the joints that were read, in their pictures. Second row: our hand fitted to them."""
    overlays = [square_cell(hand.draw(2 * SIDE)) for hand in hands]
    fitted = [hand.fitted.draw(2 * SIDE) for hand in hands if hand.fitted is not None]
    return grid([overlays, fitted])


def animation_frames(
    system: Generator,
    joints: Float[Tensor, "frame joint axis"],
    appearances: Float[Tensor, "frame appearance"],
    side: int = 256,
) -> list[UInt8[np.ndarray, "side side 3"]]:
    """A picture for each pose and appearance."""
    return [picture_cell(picture, side) for picture in torch.unbind(generate(system, joints, appearances))]


def _name_cell(text: str) -> Cell:
    """A name on white: `SKIN-on-GROUND` on two lines."""
    cell = white_cell()
    first, *rest = text.replace("-on-", " on ").split(" on ")
    lines = [first, *[f"on {part}" for part in rest]]
    for number, line in enumerate(lines):
        place = (6, SIDE // 2 + 24 * number)
        cv2.putText(
            cell, line[:LONGEST_NAME], place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 60, 60), 1, cv2.LINE_AA
        )
    return cell
