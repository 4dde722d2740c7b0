"""3D joints of a hand whose 2D joints were read."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from handvae.inference.joints_input import FlatHand, crop_joints
from handvae.inference.reading import read_hand
from handvae.inference.result import Hand
from handvae.inference.sides import shown_side
from handvae.noise import Noise
from handvae.systems.system import PoseEstimator

LIKELY = 16
"""Draws from the 2D spread whose lifted joints tell how unsure it leaves the 3D joints."""


def lift_hand(hand: Hand, lifter: PoseEstimator) -> Hand:
    """The same hand with 3D joints, read from its 2D joints.

    Their variance is the lifter's, given 2D joints, plus that of the 3D joints lifted from other 2D joints
    that the first reading holds as likely. The draws are the same for every hand.
    """
    joints, spread, calibrated_on = _lift(hand, hand.joints_2d, lifter)

    # Var[joints] = E[Var[joints | 2D]] + Var[E[joints | 2D]], the second term from draws of the 2D joints
    draws = Noise(0).normal(LIKELY, *hand.joints_2d.shape).numpy() * hand.spread_2d[:, None]
    if hand.side != shown_side(lifter):
        draws = draws * np.array([-1.0, 1.0], np.float32)
    likely = np.stack([_lift(hand, hand.joints_2d + draw, lifter)[0] for draw in draws])

    return replace(
        hand,
        joints_3d=joints,
        spread_3d=np.sqrt(np.square(spread) + likely.var(0, ddof=1)),
        root=lifter.root,
        unit_mm=hand.unit_mm or lifter.unit_mm,
        lifted_on=calibrated_on,
    )


def _lift(
    hand: Hand, joints_px: Float[np.ndarray, "21 2"], lifter: PoseEstimator
) -> tuple[Float[np.ndarray, "21 3"], Float[np.ndarray, "21 3"], str]:
    """3D joints, their spread, and what that was calibrated on."""
    flat = FlatHand(torch.from_numpy(joints_px), torch.ones(len(joints_px), dtype=torch.bool), hand.side)

    crop = crop_joints(hand.crop.source, flat, None, lifter.crop, hand.side != shown_side(lifter))
    lifted = read_hand(lifter, replace(crop, side=hand.side))
    assert lifted.joints_3d is not None and lifted.spread_3d is not None  # noqa: PT018 (a lifter is a 3D model)
    return lifted.joints_3d, lifted.spread_3d, lifted.calibrated_on
