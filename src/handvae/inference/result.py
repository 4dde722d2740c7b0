"""What the Python API returns: hands that were read, and pictures that were made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from handvae.choices import Side
from handvae.hand import LEFT, RIGHT, HandShape
from handvae.inference.crops import HandCrop
from handvae.inference.drawing import draw_skeleton, enlarge
from handvae.inference.square import Box
from handvae.render.hand.fitting import FittedHands, fit_hands
from handvae.render.picture import draw

DRAWING_PX = 512
"""Longer side of what `draw` returns."""
FITTED_PX = 384


@dataclass(frozen=True, eq=False)
class FittedHand:
    """Our hand model, fitted to 3D joints within the limits of its angles."""

    angles_deg: Float[np.ndarray, "5 4"] = field(repr=False)
    """Joint angles of thumb to little finger, degrees, as `handvae.hand.forward_kinematics` takes them."""
    bone_lengths_mm: Float[np.ndarray, "5 3"] = field(repr=False)
    """Bones of thumb to little finger, base to tip, mm."""
    joints_3d: Float[np.ndarray, "21 3"] = field(repr=False)
    """Where its joints lie, mm, in the frame of the joints that were read."""
    error_mm: float
    """Mean distance to the joints that were read, mm."""
    hands: FittedHands = field(repr=False)
    """The same as a batch of one, with everything that the renderer needs."""

    def draw(self, side_px: int = FITTED_PX) -> UInt8[np.ndarray, "side side 3"]:
        """Render it in even light before a plain background, RGB."""
        return draw(self.hands.scene(0), side_px).image

    def to_dict(self) -> dict[str, Any]:
        """What estimate.json has of it."""
        return {
            "fitted_angles_deg": np.round(self.angles_deg, 2).tolist(),
            "fitted_error_mm": round(self.error_mm, 2),
        }


@dataclass(frozen=True, eq=False)
class Hand:
    """A hand that was read.

    2D coordinates are pixels of the whole picture (x right, y down, the first pixel covers [0, 1)), or the
    unit of the 2D joints that were given. Joints are in the order of `handvae.hand.JOINT_NAMES`.
    """

    side: Side
    """`left` or `right`: as given, as the labels next to the photo tell, or as it is recognised."""
    joints_2d: Float[np.ndarray, "21 2"] = field(repr=False)
    """px."""
    spread_2d: Float[np.ndarray, " 21"] = field(repr=False)
    """Standard deviation of a coordinate, px."""
    crop: HandCrop = field(repr=False)
    """What the network read, and where it lies in the picture."""
    model: str = ""
    """What read it."""
    joints_3d: Float[np.ndarray, "21 3"] | None = field(default=None, repr=False)
    """Relative to `root`, in lengths of the bone from joint 9 to joint 10; x right, y down, z away from the
    camera. None where only 2D was asked for."""
    spread_3d: Float[np.ndarray, "21 3"] | None = field(default=None, repr=False)
    """Standard deviations, likewise."""
    root: str | None = None
    """What 3D joints are relative to: `wrist`, `palm`, `middle_mcp` or `centre`."""
    unit_mm: float | None = None
    """Length of that bone, mm, where the caller or the model knows it."""
    cloud: Float[np.ndarray, "point 3"] | None = field(default=None, repr=False)
    """The visible surface, bone units relative to `root`; of models that read surfaces (davae-64)."""
    calibrated_on: str = ""
    """Hands on which `spread_2d` (of 3D models, both spreads) was made as large as the errors; empty where
    the spread is as the network claims it."""
    lifted_on: str | None = None
    """The same of `spread_3d`, where another model read the 3D joints from the 2D ones."""

    @property
    def score(self) -> float | None:
        """Probability that it is a hand at all; None of models that do not tell, and where none was asked."""
        return self.crop.score

    @property
    def side_score(self) -> float | None:
        """Probability of `side`, where it is recognised; None where it was given."""
        return self.crop.side_score

    @property
    def box(self) -> Box:
        """x, y, width, height of the 2D joints, px; `handvae.estimate(..., box=hand.box)` takes it back."""
        left, top = self.joints_2d.min(0).tolist()
        right, bottom = self.joints_2d.max(0).tolist()
        return left, top, right - left, bottom - top

    @cached_property
    def fitted(self) -> FittedHand | None:
        """Our hand model fitted to the 3D joints (takes 0.1 s, once); None where there are none.

        Without `unit_mm` it has the size of the mean hand.
        """
        if self.joints_3d is None:
            return None

        # bone units have no size of their own: the fit needs mm
        mm = self.unit_mm or float(HandShape.mean().lengths_mm[2, 0])
        side = torch.tensor([LEFT if self.side == "left" else RIGHT])
        hands = fit_hands(torch.from_numpy(self.joints_3d)[None] * mm, side)
        return FittedHand(
            angles_deg=np.rad2deg(hands.angles[0].double().numpy()),
            bone_lengths_mm=hands.shape.lengths_mm[0].numpy(),
            joints_3d=hands.joints[0].numpy(),
            error_mm=float(hands.error_mm[0]),
            hands=hands,
        )

    def draw(self, side_px: int = DRAWING_PX) -> UInt8[np.ndarray, "height width 3"]:
        """Draw the skeleton, with the spread as circles, on the picture; RGB, its longer side `side_px`."""
        return draw_hands([self], side_px)

    def to_dict(self, fit: bool = True) -> dict[str, Any]:
        """What estimate.json has of the hand: lists and numbers that JSON takes.

        Args:
            fit: with the angles of the hand model that is fitted to the 3D joints.
        """
        entry: dict[str, Any] = {
            "photo": None if self.crop.source is None else str(self.crop.source),
            "crop_from": self.crop.located_by,
            "hand_side": self.side,
            "side_score": _rounded_score(self.side_score),
            "score": _rounded_score(self.score),
            "keypoints": _rounded(self.joints_2d, 3),
            "spread_px": _rounded(self.spread_2d, 3),
            "spread_is": _describe_spread(self.calibrated_on),
        }

        # 3D joints may be of another model, so that their spread has a description of its own
        if self.joints_3d is not None and self.spread_3d is not None:
            entry |= self._to_dict_3d(self.joints_3d, self.spread_3d)
            if fit and self.fitted is not None:
                entry |= self.fitted.to_dict()
        if self.lifted_on is not None:
            described = _describe_spread(self.lifted_on)
            entry["spread_3d_is"] = f"{described}; what the 2D joints are unsure of is added"

        return entry

    def _to_dict_3d(self, joints: np.ndarray, spread: np.ndarray) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "keypoints_3d_bone_units": _rounded(joints, 4),
            "spread_3d_bone_units": _rounded(spread, 4),
            "root": self.root,
        }
        if self.unit_mm:
            entry["keypoints_3d_mm"] = _rounded(joints * self.unit_mm, 3)
            entry["spread_3d_mm"] = _rounded(spread * self.unit_mm, 3)
        return entry


def draw_hands(hands: Sequence[Hand], side_px: int = DRAWING_PX) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the skeletons of hands of one picture, with their spread as circles, on it.

    Args:
        hands: one or more, read in the same picture.
        side_px: longer side of what is returned, RGB.
    """
    crop = hands[0].crop

    # from the caller's coordinates to the drawing's: of 2D joints, the drawing has its own scale
    drawn = enlarge(crop.pixels, side_px)
    zoom = crop.zoom * max(drawn.shape[:2]) / max(crop.pixels.shape[:2])
    for hand in hands:
        drawn = draw_skeleton(drawn, (hand.joints_2d - np.array(crop.corner)) * zoom, hand.spread_2d * zoom)
    return drawn


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A picture of a hand that a model made, with the labels of the pose that it was asked for."""

    image: UInt8[np.ndarray, "side side 3"] = field(repr=False)
    """RGB."""
    joints_2d: Float[np.ndarray, "21 2"] = field(repr=False)
    """px of the picture (x right, y down, the first pixel covers [0, 1)), in the order of
    `handvae.hand.JOINT_NAMES`."""
    side: Side
    """`left` or `right`."""
    pose: str
    """The pose's name, or where it comes from."""
    appearance: str
    """Where the appearance comes from."""
    joints_3d: Float[np.ndarray, "21 3"] | None = field(default=None, repr=False)
    """mm, x right, y down, z away from the camera, where the pose gives them; None of 2D poses."""
    model: str = ""
    """What made it."""

    def draw(self, side_px: int = DRAWING_PX) -> UInt8[np.ndarray, "side side 3"]:
        """Draw the skeleton of the asked-for pose on the picture, enlarged; RGB."""
        large = enlarge(self.image, side_px)
        return draw_skeleton(large, self.joints_2d * (side_px / len(self.image)))

    def to_dict(self) -> dict[str, Any]:
        """The labels, without the pixels: lists and numbers that JSON takes."""
        height, width = self.image.shape[:2]
        return {
            "model": self.model,
            "pose": self.pose,
            "appearance": self.appearance,
            "hand_side": self.side,
            "width": width,
            "height": height,
            "keypoints": _rounded(self.joints_2d, 3),
            "keypoints_3d_mm": None if self.joints_3d is None else _rounded(self.joints_3d, 3),
        }


def _rounded(values: np.ndarray, digits: int) -> list[Any]:
    """An array for JSON, in float64: 45.608, not 45.608001708984375."""
    return np.round(values.astype(np.float64), digits).tolist()


def _rounded_score(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def _describe_spread(calibrated_on: str) -> str:
    if calibrated_on:
        return f"standard deviation, calibrated on {calibrated_on}"
    return "standard deviation claimed by the model, not calibrated"
