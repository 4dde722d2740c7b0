"""How a predicted 3D pose is compared with its truth: root, scale, alignment."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.errors import UserError
from handvae.evaluation.measure import Alignment, PoseProtocol
from handvae.geometry import procrustes_align
from handvae.hand import Root, root, scale_bone

Scale = Literal["as given", "bone units", "true bone", "true size"]
_ROOT_JOINTS: dict[Root, tuple[int, ...]] = {"palm": (0, 9), "wrist": (0,), "middle_mcp": (9,)}
_SCALE_TEXT: dict[Scale, str] = {
    "as given": "as given",
    "bone units": "given: prediction in bone units times the true bone 9-10",
    "true bone": "given: predicted bone 9-10 made as long as the true one",
    "true size": "given: mean square distance of the predicted joints from the root made the true one",
}
FEWEST_TO_ALIGN = 3
"""Joints that a hand must have labelled to be aligned; a similarity fits two points exactly."""


@dataclass(frozen=True)
class Comparison:
    """What is done to prediction and truth before their distance is taken; part of a number's protocol."""

    root: Root | Literal["as given"] = "as given"
    """Point subtracted from every joint."""
    reroot: Literal["both", "truth"] = "both"
    """`truth` leaves a prediction that is root-relative already, whose root joint can then be wrong.

    hand3d's script does so.
    """
    scale: Scale = "as given"
    """All but `as given` give the prediction the true hand's size: by one bone, as in the papers' tables, or
    by all joints, which one badly read bone does not spoil."""
    given_root: str = "as given"
    """What poses are relative to already, in words, where nothing is subtracted."""

    def protocol(self, joints: str, alignment: Alignment = "none") -> PoseProtocol:
        """The protocol of errors after this comparison."""
        if self.root == "as given":
            root_text = self.given_root
        elif self.reroot == "truth":
            root_text = f"{self.root} of the truth"
        else:
            root_text = self.root
        return PoseProtocol("3D", root_text, _SCALE_TEXT[self.scale], alignment, joints)

    def check(self, joints: int) -> None:
        """Refuse roots and bones of joint sets that are not the 21 of this package.

        Raises:
            UserError: they are asked for.
        """
        if joints != 21 and (self.root, self.scale) != ("as given", "as given"):
            fault = (
                f"root {self.root} and scale {self.scale} need the 21 joints of one hand, "
                f"and there are {joints}"
            )
            raise UserError("comparison of poses", fault, "leave root and scale as given")

    def __call__(
        self,
        prediction: Float[Tensor, "batch joint 3"],
        truth: Float[Tensor, "batch joint 3"],
        valid: Bool[Tensor, "batch joint"],
    ) -> tuple[Float[Tensor, "batch joint 3"], Float[Tensor, "batch joint 3"], Bool[Tensor, "batch joint"]]:
        """Prediction and truth as they are compared, and the joints that count.

        No joint counts of a hand whose root or scale bone has no label.
        """
        needed: set[int] = set()
        by_bone = self.scale in ("bone units", "true bone")
        true_length = scale_bone(truth) if by_bone else None

        if self.root != "as given":
            needed.update(_ROOT_JOINTS[self.root])
            truth = truth - root(truth, self.root)[:, None]
            if self.reroot == "both":
                prediction = prediction - root(prediction, self.root)[:, None]

        if true_length is not None:
            needed |= {9, 10}
            factor = true_length
            if self.scale == "true bone":
                factor = true_length / scale_bone(prediction)
            prediction = prediction * factor[:, None, None]

        if self.scale == "true size":
            prediction = prediction * (_size(truth, valid) / _size(prediction, valid))[:, None, None]

        if needed:
            valid = valid & valid[:, sorted(needed)].all(1, keepdim=True)

        return prediction, truth, valid


AS_GIVEN = Comparison()


def _size(
    joints: Float[Tensor, "batch joint 3"], valid: Bool[Tensor, "batch joint"]
) -> Float[Tensor, " batch"]:
    """Root mean square distance of the labelled joints from the root."""
    square = joints.square().sum(-1).masked_fill(~valid, 0.0).sum(1)
    return (square / valid.sum(1).clamp_min(1)).sqrt().clamp_min(1e-9)


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
    """Fit each prediction to its truth by least squares over labelled joints, with and without scale."""
    usable = valid & (valid.sum(1, keepdim=True) >= FEWEST_TO_ALIGN)
    prediction = _with_unused_at_mean(prediction, usable)
    truth = _with_unused_at_mean(truth, usable)

    # the best rotation does not depend on the scale, so it is computed once
    rigid = procrustes_align(prediction, truth, scale=False)
    centre = truth.mean(1, keepdim=True)
    rotated = rigid - centre
    target = truth - centre

    # Umeyama (1991), eq. (42): the scale of a rotated point set
    variance = rotated.square().sum((1, 2), keepdim=True)
    covariance = (rotated * target).sum((1, 2), keepdim=True)
    ratio = covariance / torch.where(variance > 0, variance, 1.0)

    return Aligned(centre + rotated * ratio, rigid, usable)


def _with_unused_at_mean(joints: Tensor, valid: Tensor) -> Tensor:
    """Joints that do not count at the mean of those that do, where a fit of centred points ignores them."""
    if bool(valid.all()):
        return joints
    counted = valid[..., None]
    total = torch.where(counted, joints, 0).sum(1, keepdim=True)
    mean = total / counted.to(joints.dtype).sum(1, keepdim=True).clamp_min(1)
    return torch.where(counted, joints, mean)
