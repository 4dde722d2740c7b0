"""How a predicted 3D pose is brought beside its truth before a distance is taken: root, scale, alignment."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.errors import UserError
from handvae.evaluation.measure import Alignment, PoseProtocol
from handvae.geometry import procrustes_align
from handvae.hand import Root, root, scale_bone

Scale = Literal["as given", "bone units", "true bone"]
_ROOT_JOINTS: dict[Root, tuple[int, ...]] = {"palm": (0, 9), "wrist": (0,), "middle_mcp": (9,)}
_SCALE_TEXT: dict[Scale, str] = {
    "as given": "as given",
    "bone units": "given: prediction in bone units times the true bone 9-10",
    "true bone": "given: predicted bone 9-10 made as long as the true one",
}
FEWEST_TO_ALIGN = 3
"""Joints that a hand must have labelled to be aligned; a similarity fits two points exactly."""


@dataclass(frozen=True)
class Comparison:
    """What is done to prediction and truth before their distance is taken; all of it is part of a number's
    protocol."""

    root: Root | Literal["as given"] = "as given"
    """Point subtracted from every joint."""
    reroot: Literal["both", "truth"] = "both"
    """`truth` leaves a prediction that is root-relative already as it is, as hand3d's script does, so that
    its root joint can be wrong."""
    scale: Scale = "as given"
    """`bone units` and `true bone` give the prediction the true hand's size, as the papers' tables have
    it."""
    given_root: str = "as given"
    """What poses are relative to already, in words, where nothing is subtracted."""

    def protocol(self, joints: str, alignment: Alignment = "none") -> PoseProtocol:
        """The protocol of errors after this comparison."""
        said = (
            self.given_root
            if self.root == "as given"
            else f"{self.root} of the truth"
            if self.reroot == "truth"
            else self.root
        )
        return PoseProtocol("3D", said, _SCALE_TEXT[self.scale], alignment, joints)

    def check(self, joints: int) -> None:
        """Refuse roots and bones of joint sets that are not the 21 of this package.

        Raises:
            UserError: they are asked for.
        """
        if joints != 21 and (self.root, self.scale) != ("as given", "as given"):
            fault = f"root {self.root} and scale {self.scale} need the 21 joints of one hand, and there are {joints}"
            raise UserError("comparison of poses", fault, "leave root and scale as given")

    def __call__(
        self,
        prediction: Float[Tensor, "batch joint 3"],
        truth: Float[Tensor, "batch joint 3"],
        valid: Bool[Tensor, "batch joint"],
    ) -> tuple[Float[Tensor, "batch joint 3"], Float[Tensor, "batch joint 3"], Bool[Tensor, "batch joint"]]:
        """Prediction and truth as they are compared, and the joints that count: none of a hand whose root or
        scale bone has no label."""
        needed: set[int] = set()
        length = scale_bone(truth) if self.scale != "as given" else None
        if self.root != "as given":
            needed.update(_ROOT_JOINTS[self.root])
            truth = truth - root(truth, self.root)[:, None]
            if self.reroot == "both":
                prediction = prediction - root(prediction, self.root)[:, None]
        if length is not None:
            needed |= {9, 10}
            factor = length if self.scale == "bone units" else length / scale_bone(prediction)
            prediction = prediction * factor[:, None, None]
        if needed:
            valid = valid & valid[:, sorted(needed)].all(1, keepdim=True)
        return prediction, truth, valid


AS_GIVEN = Comparison()


@dataclass(frozen=True)
class Aligned:
    """Predictions moved onto their truths; a joint without label comes back at the mean."""

    similar: Float[Tensor, "batch joint 3"]
    """By rotation, shift and scale, as PA-MPJPE does."""
    rigid: Float[Tensor, "batch joint 3"]
    """By rotation and shift."""
    usable: Bool[Tensor, "batch joint"]
    """Joints that count: none of a hand with fewer than `FEWEST_TO_ALIGN` labels."""


def aligned(
    prediction: Float[Tensor, "batch joint 3"],
    truth: Float[Tensor, "batch joint 3"],
    valid: Bool[Tensor, "batch joint"],
) -> Aligned:
    """Fit every prediction to its truth by least squares over labelled joints, with and without scale; any
    unit.

    The best rotation does not depend on the scale, so it is found once.
    """
    usable = valid & (valid.sum(1, keepdim=True) >= FEWEST_TO_ALIGN)
    prediction, truth = _at_mean(prediction, usable), _at_mean(truth, usable)
    rigid = procrustes_align(prediction, truth, scale=False)
    centre = truth.mean(1, keepdim=True)
    turned, goal = rigid - centre, truth - centre
    spread = turned.square().sum((1, 2), keepdim=True)
    ratio = (turned * goal).sum((1, 2), keepdim=True) / torch.where(
        spread > 0, spread, 1.0
    )  # Umeyama (1991), eq. (42)
    return Aligned(centre + turned * ratio, rigid, usable)


def _at_mean(joints: Tensor, valid: Tensor) -> Tensor:
    """Joints that do not count put at the mean of those that do, where they have no say in a least-squares
    fit of centred points."""
    if bool(valid.all()):
        return joints
    weight = valid[..., None].to(joints.dtype)
    mean = torch.where(valid[..., None], joints, 0).sum(1, keepdim=True) / weight.sum(
        1, keepdim=True
    ).clamp_min(1)
    return torch.where(valid[..., None], joints, mean)
