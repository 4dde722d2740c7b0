"""Hands of films: what is written of each frame, and what is drawn on it."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from handvae.inference.drawing import draw_skeleton
from handvae.inference.finding import Picture
from handvae.inference.tracking import TrackedHand

_TEXT = (255, 255, 255)
_RIM = (30, 30, 30)


def frame_entry(number: int, seconds: float, hands: Sequence[TrackedHand]) -> dict[str, Any]:
    """A frame and its hands as lists and numbers that JSON takes.

    Args:
        number: of the frame, from 0.
        seconds: its time.
        hands: in it.
    """
    return {"frame": number, "seconds": round(seconds, 4), "hands": [_hand_entry(hand) for hand in hands]}


def draw_frame(picture: Picture, hands: Sequence[TrackedHand]) -> Picture:
    """The frame with its hands' skeletons, each with its number and side."""
    drawn = picture
    for one in hands:
        hand = one.hand
        drawn = draw_skeleton(drawn, hand.joints_2d, np.sqrt(np.square(hand.spread_2d).mean(1)))
        x, y = hand.joints_2d.min(0)
        text = f"{one.track} {hand.side}"
        size = max(drawn.shape[:2]) / 1000
        for colour, thickness in ((_RIM, 4), (_TEXT, 1)):
            width = max(1, round(thickness * size))
            cv2.putText(
                drawn,
                text,
                (round(float(x)), round(float(y)) - 4),
                cv2.FONT_HERSHEY_SIMPLEX,
                size,
                colour,
                width,
                cv2.LINE_AA,
            )
    return drawn


def _hand_entry(one: TrackedHand) -> dict[str, Any]:
    hand = one.hand
    return {
        "track": one.track,
        "hand_side": hand.side,
        "side_score": round(hand.side_score, 4),
        "score": round(hand.score, 4),
        "keypoints": _rounded(hand.joints_2d, 3),
        "spread_px": _rounded(np.sqrt(np.square(hand.spread_2d).mean(1)), 3),
        "keypoints_3d_bone_units": _rounded(hand.joints_3d, 4),
        "spread_3d_bone_units": _rounded(hand.spread_3d, 4),
        "root": "wrist",
    }


def _rounded(values: np.ndarray, digits: int) -> list[Any]:
    return np.round(values.astype(np.float64), digits).tolist()
