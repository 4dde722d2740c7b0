"""Inverse kinematics: fits our hand to 21 joints, within its limits, so that an estimated pose can be drawn.

Levenberg-Marquardt on angles, place, size and width of many hands at once. An angle is
    a = (lower + upper) / 2 + (upper - lower) / 2 * sin(p)
so every step of p stays within the limits. Bones take the lengths of the target's.
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
"""Joints that hardly move within the hand; a fit starts from them."""
_PRIOR_MM = 0.3
"""Cost of a radian away from the resting pose, as an error in mm: it decides angles that no joint shows."""
_STEP = 1e-6
"""Step of the differences that approximate derivatives, in float64."""

# Columns of the parameters.
_ANGLES = slice(0, 20)
"""p of the header."""
_TURN = slice(20, 23)
"""Rotation vector, relative to the current rotation."""
_SHIFT = slice(23, 26)
"""Translation in units of 100 mm."""
_LOG_SIZE, _LOG_WIDTH = 26, 27

_LOWER, _UPPER = ANGLE_LIMITS
_MIDDLE = (_LOWER + _UPPER) / 2
_HALF_RANGE = (_UPPER - _LOWER) / 2

# the camera of `FittedHands.scene`
_DISTANCE_MM, _FOCAL = 560.0, 2.2


@dataclass(frozen=True)
class FittedHands:
    """Our hand, fitted to joints. A left hand is described as the right hand in the mirror."""

    angles: Float[Tensor, "batch 5 4"]
    """Radians, within `handvae.hand.ANGLE_LIMITS`."""
    shape: HandShape
    rotation: Float[Tensor, "batch 3 3"]
    """Hand frame to the frame of the joints."""
    translation: Float[Tensor, "batch 3"]
    """The wrist, mm."""
    side: Integer[Tensor, " batch"]
    joints: Float[Tensor, "batch 21 3"]
    """The fitted joints, mm, in the frame of the target."""
    error_mm: Float[Tensor, " batch"]
    """Mean distance to the target's joints."""

    def scene(self, row: int) -> Scene:
        """One hand before a plain background, in the orientation of the target, its box in the middle.

        Light skin, even light.
        """
        shape = self._shape(row)
        pose = Pose(self.angles[row].numpy(), np.zeros(2))
        body = pose_body(pose, shape)
        rotation = self.rotation[row].numpy()
        turned = body.joints @ rotation.T
        translation = np.array([0.0, 0.0, _DISTANCE_MM]) - (turned.min(0) + turned.max(0)) / 2

        plain = SkinRanges(ring=0, glove=0, polish=0, freckles=0, sleeve=0)
        skin = sample_skin(np.random.default_rng(0), plain)
        skin = skin._replace(melanin=0.28, blood=0.25, palm_light=0.25)

        return Scene(
            hand=Placed(body, skin, rotation, translation),
            pose=pose,
            shape=shape,
            light=studio_light(),
            focal=_FOCAL,
            side=int(self.side[row]),
            content=0,
            ranges=SceneRanges(),
            seed=0,
            index=0,
            studio=True,
        )

    def _shape(self, row: int) -> HandShape:
        return HandShape(
            base_mm=self.shape.base_mm[row],
            lengths_mm=self.shape.lengths_mm[row],
            radii_mm=self.shape.radii_mm[row],
            size=self.shape.size[row],
            width=self.shape.width[row],
            thickness=self.shape.thickness[row],
        )


@torch.no_grad()
def fit_hands(
    joints: Float[Tensor, "batch 21 3"], side: Integer[Tensor, " batch"], steps: int = 40
) -> FittedHands:
    """Fit our hand to joints.

    Args:
        joints: mm, in any frame that is not mirrored; joints in bone units times 47 mm give the mean hand's
            size.
        side: `LEFT` or `RIGHT`.
        steps: most steps of the optimiser.

    Raises:
        ValueError: a joint is not finite, or a bone has no length.
    """
    target = joints.double()
    lengths = bone_lengths(target)
    if not target.isfinite().all() or not (lengths > 0).all():
        raise ValueError("joints must be finite, and bones have a length")

    # left hands are fitted in the mirror
    left = (side == LEFT)[:, None, None]
    mirrored = torch.where(left, mirror_3d(target), target)
    problem = _Problem(mirrored, lengths.unflatten(1, (5, 4))[..., 1:])
    parameters, turn = problem.start()

    damping = torch.full((len(target), 1), 1e-2, dtype=torch.float64)
    residual = problem.residual(parameters, turn)
    cost = residual.square().sum(1, keepdim=True)

    for _ in range(steps):
        # (J^T J + damping diag(J^T J)) move = -J^T r
        slope = problem.slope(parameters, turn, residual)
        square = slope.mT @ slope
        square = square + torch.diag_embed(damping * (square.diagonal(dim1=1, dim2=2) + 1e-6))
        move = -torch.linalg.solve(square, (slope.mT @ residual[..., None]))[..., 0]

        # each hand takes its step only if its cost falls
        tried = problem.residual(parameters + move, turn)
        tried_cost = tried.square().sum(1, keepdim=True)
        better = tried_cost < cost
        parameters = torch.where(better, parameters + move, parameters)
        residual = torch.where(better, tried, residual)
        gain = (cost - tried_cost).clamp_min(0)
        cost = torch.where(better, tried_cost, cost)
        damping = torch.where(better, damping / 4, damping * 4).clamp(1e-9, 1e9)

        # the rotation so far becomes the zero of the rotation vector, far from its singularity at a half turn
        turn = _turned(parameters[:, _TURN], turn)
        parameters[:, _TURN] = 0
        if (gain < 1e-7 * cost).all() and better.any():
            break

    prediction, rotation, translation, shape, angles = problem.pose(parameters, turn)
    prediction = torch.where(left, mirror_3d(prediction), prediction)
    return FittedHands(
        angles=angles,
        shape=shape,
        rotation=rotation,
        translation=translation,
        side=side,
        joints=prediction,
        error_mm=(prediction - target).norm(dim=2).mean(1),
    )


@dataclass(frozen=True)
class _Problem:
    """The target: joints of right hands, and the lengths of their fingers' bones, in float64."""

    target: Float[Tensor, "batch 21 3"]
    lengths: Float[Tensor, "batch 5 3"]

    def pose(self, parameters: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor, HandShape, Tensor]:
        """Joints (..., 21, 3), rotation, translation, shape and angles of parameters (..., 28)."""
        angles = _MIDDLE + _HALF_RANGE * parameters[..., _ANGLES].unflatten(-1, (5, 4)).sin()
        rotation = _turned(parameters[..., _TURN], turn)
        translation = 100 * parameters[..., _SHIFT]
        size = parameters[..., _LOG_SIZE].exp()
        width = parameters[..., _LOG_WIDTH].exp()

        # the mean palm, scaled and widened, with the target's fingers
        mean = HandShape.mean(torch.float64)
        stretch = torch.stack([size, size * width, size], -1)
        shape = HandShape(
            base_mm=mean.base_mm * stretch[..., None, :],
            lengths_mm=self._like(self.lengths, size),
            radii_mm=mean.radii_mm * size[..., None, None],
            size=size,
            width=width,
            thickness=torch.ones_like(size),
        )
        joints = forward_kinematics(angles, shape).joints @ rotation.mT + translation[..., None, :]

        return joints, rotation, translation, shape, angles

    def residual(self, parameters: Tensor, turn: Tensor) -> Tensor:
        """Residuals (..., 83), mm: errors of the joints, and the prior on the angles."""
        joints, _, _, _, angles = self.pose(parameters, turn)
        error = joints - self._like(self.target, parameters[..., 0])
        prior = _PRIOR_MM * (angles - named_pose("relaxed", torch.float64))
        return torch.cat([error.flatten(-2), prior.flatten(-2)], -1)

    def slope(self, parameters: Tensor, turn: Tensor, residual: Tensor) -> Tensor:
        """Derivatives (batch, 83, 28) of the residuals, by forward differences."""
        moved = parameters[:, None] + _STEP * torch.eye(parameters.shape[1], dtype=torch.float64)
        return ((self.residual(moved, turn[:, None]) - residual[:, None]) / _STEP).mT

    def start(self) -> tuple[Tensor, Tensor]:
        """First parameters and rotations.

        The mean palm on the target's palm, and for each finger the nearest of the named poses.
        """
        count = len(self.target)
        mean = HandShape.mean(torch.float64)
        size = (self.target[:, 9] - self.target[:, 0]).norm(dim=1) / mean.base_mm[2].norm()
        scale = size[:, None, None]
        shape = HandShape(
            base_mm=mean.base_mm * scale,
            lengths_mm=self.lengths,
            radii_mm=mean.radii_mm * scale,
            size=size,
            width=torch.ones_like(size),
            thickness=torch.ones_like(size),
        )
        named = torch.stack([named_pose(name, torch.float64) for name in POSE_NAMES])
        models = [forward_kinematics(angles.expand(count, 5, 4), shape).joints for angles in named]
        models = torch.stack(models, 1)

        # rigid alignment of the palms (Kabsch)
        palm, goal = models[:, 0, _PALM], self.target[:, _PALM]
        turn = nearest_rotation((goal - goal.mean(1, keepdim=True)).mT @ (palm - palm.mean(1, keepdim=True)))
        shift = (goal - palm @ turn.mT).mean(1)

        # each finger by itself takes the pose whose joints are nearest
        aligned = models @ turn[:, None].mT + shift[:, None, None]
        errors = (aligned - self.target[:, None])[:, :, 1:].norm(dim=3).unflatten(2, (5, 4)).sum(3)
        angles = named[errors.argmin(1), torch.arange(5)]

        # away from the limits, where the sine has no slope
        squashed = torch.asin(((angles - _MIDDLE) / _HALF_RANGE).clamp(-0.95, 0.95))
        no_turn = torch.zeros(count, 3, dtype=torch.float64)
        scales = torch.stack([size.log(), torch.zeros_like(size)], 1)

        return torch.cat([squashed.flatten(1), no_turn, shift / 100, scales], 1), turn

    @staticmethod
    def _like(values: Tensor, batch: Tensor) -> Tensor:
        """Each hand's values, repeated along the axis that the parameters may have more."""
        return values if batch.ndim == 1 else values[:, None].expand(*batch.shape, *values.shape[1:])


def _turned(
    vector: Float[Tensor, "*batch 3"], turn: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """A rotation followed by the one about `vector` by its length, exp([vector]x) turn."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.linalg.matrix_exp(skew) @ turn
