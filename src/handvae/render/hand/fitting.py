"""Inverse kinematics: our hand put where 21 joints are, within its limits, so that a pose that was read can
be drawn as a hand.

Levenberg-Marquardt on angles, place, size and width of many hands at once. An angle is its limits' middle
plus half their width times a
sine, so every step stays within them. Bones take the lengths that the joints have.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from handvae.geometry import mirror_3d, nearest_rotation
from handvae.hand import (
    ANGLE_LIMITS,
    LEFT,
    POSE_NAMES,
    HandShape,
    bone_lengths,
    forward_kinematics,
    named_pose,
)
from handvae.render.hand.body import pose_body
from handvae.render.hand.pose import Pose
from handvae.render.hand.shade import studio_light
from handvae.render.hand.skin import SkinRanges, sample_skin
from handvae.render.scene import Placed, Scene, SceneRanges

_PALM = [0, 1, 5, 9, 13, 17]
"""Joints that hardly move within the hand: where a fit begins."""
_FIRST_MM = 0.3
"""What a radian away from the resting pose costs, as an error in mm: decides where the joints say nothing."""
_STEP = 1e-6
"""Of the differences that derivatives are taken from, in float64."""
_ANGLES, _TURN, _SHIFT = slice(0, 20), slice(20, 23), slice(23, 26)
"""Columns of the parameters: squashed angles, rotation vector, shift in units of 100 mm; then the logarithms
of size and width."""
_DISTANCE_MM, _FOCAL = 560.0, 2.2


@dataclass(frozen=True)
class FittedHands:
    """Our hand, fitted to joints; of left hands, the right hand in the mirror."""

    angles: Float[Tensor, "batch 5 4"]
    """Radians, within `handvae.hand.ANGLE_LIMITS`."""
    shape: HandShape
    rotation: Float[Tensor, "batch 3 3"]
    """Hand frame to the frame of the joints."""
    translation: Float[Tensor, "batch 3"]
    """The wrist, mm."""
    side: Integer[Tensor, " batch"]
    joints: Float[Tensor, "batch 21 3"]
    """Where its joints lie, mm, in the frame of the joints given."""
    error_mm: Float[Tensor, " batch"]
    """Mean distance to the joints given."""

    def scene(self, row: int) -> Scene:
        """One hand in light skin and even light before a plain background, seen as the joints were, its box
        in the middle."""
        shape = HandShape(*(getattr(self.shape, name)[row] for name in HandShape.__dataclass_fields__))
        pose = Pose(self.angles[row].numpy(), np.zeros(2))
        body, rotation = pose_body(pose, shape), self.rotation[row].numpy()
        turned = body.joints @ rotation.T
        translation = np.array([0.0, 0.0, _DISTANCE_MM]) - (turned.min(0) + turned.max(0)) / 2
        plain = SkinRanges(ring=0, glove=0, polish=0, freckles=0, sleeve=0)
        skin = sample_skin(np.random.default_rng(0), plain)._replace(
            melanin=0.28, blood=0.25, palm_light=0.25
        )
        hand = Placed(body, skin, rotation, translation)
        return Scene(
            hand,
            pose,
            shape,
            studio_light(),
            _FOCAL,
            int(self.side[row]),
            0,
            SceneRanges(),
            0,
            0,
            studio=True,
        )


@torch.no_grad()
def fit_hands(
    joints: Float[Tensor, "batch 21 3"], side: Integer[Tensor, " batch"], steps: int = 40
) -> FittedHands:
    """Fit our hand to joints.

    Args:
        joints: mm, of any frame in which a right hand is no left hand; for the mean hand's size, bone
            units times 47 mm.
        side: `LEFT` or `RIGHT`.
        steps: of the optimiser, at most.

    Raises:
        ValueError: a joint is not finite, or a bone has no length.
    """
    given = joints.double()
    lengths = bone_lengths(given)
    if not given.isfinite().all() or not (lengths > 0).all():
        raise ValueError("joints must be finite, and bones have a length")
    left = (side == LEFT)[:, None, None]
    target = torch.where(left, mirror_3d(given), given)
    problem = _Problem(target, lengths.unflatten(1, (5, 4))[..., 1:])
    parameters, turn = problem.start()
    damping = torch.full((len(target), 1), 1e-2, dtype=torch.float64)
    residual = problem.residual(parameters, turn)
    cost = residual.square().sum(1, keepdim=True)
    for _ in range(steps):
        slope = problem.slope(parameters, turn, residual)
        square = slope.mT @ slope
        square = square + torch.diag_embed(damping * (square.diagonal(dim1=1, dim2=2) + 1e-6))
        move = -torch.linalg.solve(square, (slope.mT @ residual[..., None]))[..., 0]
        tried = problem.residual(parameters + move, turn)
        tried_cost = tried.square().sum(1, keepdim=True)
        better = tried_cost < cost
        parameters = torch.where(better, parameters + move, parameters)
        residual, gain = torch.where(better, tried, residual), (cost - tried_cost).clamp_min(0)
        cost = torch.where(better, tried_cost, cost)
        damping = torch.where(better, damping / 4, damping * 4).clamp(1e-9, 1e9)
        turn = _turned(
            parameters[:, _TURN], turn
        )  # what was found becomes the new zero of the rotation vector
        parameters[:, _TURN] = 0
        if (gain < 1e-7 * cost).all() and better.any():
            break
    found, rotation, translation, shape, angles = problem.pose(parameters, turn)
    placed = torch.where(left, mirror_3d(found), found)
    return FittedHands(
        angles, shape, rotation, translation, side, placed, (placed - given).norm(dim=2).mean(1)
    )


@dataclass(frozen=True)
class _Problem:
    """Joints of right hands, and the lengths of their fingers' bones, in float64."""

    target: Float[Tensor, "batch 21 3"]
    lengths: Float[Tensor, "batch 5 3"]

    def pose(self, parameters: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor, HandShape, Tensor]:
        """Joints (..., 21, 3), rotation, translation, shape and angles of parameters (..., 28)."""
        lower, upper = ANGLE_LIMITS
        angles = (lower + upper) / 2 + (upper - lower) / 2 * parameters[..., _ANGLES].unflatten(
            -1, (5, 4)
        ).sin()
        rotation, translation = _turned(parameters[..., _TURN], turn), 100 * parameters[..., _SHIFT]
        size, width = parameters[..., 26].exp(), parameters[..., 27].exp()
        mean = HandShape.mean(torch.float64)
        stretch = torch.stack([size, size * width, size], -1)
        shape = HandShape(
            mean.base_mm * stretch[..., None, :], self._like(self.lengths, size), mean.radii_mm * size[..., None, None], size, width,
            torch.ones_like(size),
        )  # fmt: skip
        joints = forward_kinematics(angles, shape).joints @ rotation.mT + translation[..., None, :]
        return joints, rotation, translation, shape, angles

    def residual(self, parameters: Tensor, turn: Tensor) -> Tensor:
        """What is to be small (..., 83): errors of joints, mm, and how far the angles are from rest."""
        joints, _, _, _, angles = self.pose(parameters, turn)
        away = _FIRST_MM * (angles - named_pose("relaxed", torch.float64))
        return torch.cat(
            [(joints - self._like(self.target, parameters[..., 0])).flatten(-2), away.flatten(-2)], -1
        )

    def slope(self, parameters: Tensor, turn: Tensor, residual: Tensor) -> Tensor:
        """Derivatives (batch, 83, 28) of the residual."""
        moved = parameters[:, None] + _STEP * torch.eye(parameters.shape[1], dtype=torch.float64)
        return ((self.residual(moved, turn[:, None]) - residual[:, None]) / _STEP).mT

    def start(self) -> tuple[Tensor, Tensor]:
        """Parameters and rotations: the mean palm on the palm, and for each finger the named pose that is
        nearest."""
        count, mean = len(self.target), HandShape.mean(torch.float64)
        size = (self.target[:, 9] - self.target[:, 0]).norm(dim=1) / mean.base_mm[2].norm()
        one, wide = torch.ones_like(size), size[:, None, None]
        shape = HandShape(mean.base_mm * wide, self.lengths, mean.radii_mm * wide, size, one, one)
        known = torch.stack([named_pose(name, torch.float64) for name in POSE_NAMES])
        models = torch.stack(
            [forward_kinematics(angles.expand(count, 5, 4), shape).joints for angles in known], 1
        )
        palm, goal = models[:, 0, _PALM], self.target[:, _PALM]
        turn = nearest_rotation((goal - goal.mean(1, keepdim=True)).mT @ (palm - palm.mean(1, keepdim=True)))
        shift = (goal - palm @ turn.mT).mean(1)
        seen = models @ turn[:, None].mT + shift[:, None, None]
        errors = (seen - self.target[:, None])[:, :, 1:].norm(dim=3).unflatten(2, (5, 4)).sum(3)
        angles = known[errors.argmin(1), torch.arange(5)]
        lower, upper = ANGLE_LIMITS
        squashed = torch.asin(((angles - (lower + upper) / 2) / ((upper - lower) / 2)).clamp(-0.95, 0.95))
        rest = torch.stack([size.log(), torch.zeros_like(size)], 1)
        return torch.cat(
            [squashed.flatten(1), torch.zeros(count, 3, dtype=torch.float64), shift / 100, rest], 1
        ), turn

    @staticmethod
    def _like(values: Tensor, batch: Tensor) -> Tensor:
        """Values of each hand beside parameters that may have an axis more."""
        return values if batch.ndim == 1 else values[:, None].expand(*batch.shape, *values.shape[1:])


def _turned(
    vector: Float[Tensor, "*batch 3"], turn: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """A rotation, and after it the one about the vector by its length."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.linalg.matrix_exp(skew) @ turn
