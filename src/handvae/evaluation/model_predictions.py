"""A model's predictions on every hand of a data set: what most metrics start from."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from handvae.data.crop import Crop, cut, to_crop_px
from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.evaluation.pose import hand_size, joint_errors
from handvae.hand import scale_bone
from handvae.systems.system import Generator, PoseEstimator

BATCH = 64


@dataclass(frozen=True)
class ModelPredictions:
    """Labels and predictions, hand by hand.

    Poses are in pixels of the crop (2D models) or in root-relative bone units (3D models).
    """

    crop: Crop
    target: Float[Tensor, "batch joint axis"]
    prediction: Float[Tensor, "batch joint axis"]
    spread: Float[Tensor, "batch joint axis"]
    """Standard deviation that the model predicts."""
    calibrated_on: str
    """See `Prediction`."""
    valid: Bool[Tensor, "batch joint"]
    squared_error: Float[Tensor, " batch"]
    """Mean squared error of the picture reconstructed from the true pose and the hand's own appearance.

    NaN for a hand with unlabelled joints, and for systems that make no pictures.
    """
    appearance: Float[Tensor, "batch appearance"] | None
    """Appearance code of each hand; None for systems that make no pictures."""
    subject: Int[Tensor, " batch"] | None
    scale_mm: Float[Tensor, " batch"] | None
    """Length of a bone unit: the hand's true scale bone, or the model's constant; None for 2D models."""
    joints_px: Float[Tensor, "batch joint 2"] | None
    """2D labels in pixels of the crop, for 3D models too; None where the data have none."""

    @property
    def is_2d(self) -> bool:
        """Whether poses are 2D."""
        return self.target.shape[-1] == 2

    @property
    def unit(self) -> str:
        """Unit of `target`, `prediction` and `spread`."""
        return "px" if self.is_2d else "bone"

    @property
    def errors(self) -> Float[Tensor, "batch joint"]:
        """Error of each joint, NaN where it has no label: in % of hand size (2D) or mm (3D)."""
        errors = joint_errors(self.prediction, self.target, self.valid)
        if self.scale_mm is not None:
            return errors * self.scale_mm[:, None]

        # labelled joints on one line give a hand no size
        size = hand_size(self.target, self.valid)[:, None]
        return 100 * errors / size.masked_fill(size <= 0, float("nan"))

    @property
    def error_unit(self) -> str:
        """Unit of `errors`."""
        return "% of hand size" if self.is_2d else "mm"

    @property
    def fully_labelled(self) -> Int[Tensor, " rows"]:
        """Rows whose joints are all labelled: a generator can be given their poses."""
        return self.valid.all(1).nonzero()[:, 0]


@torch.no_grad()
def predict_hands(
    system: PoseEstimator, data: HandData, report_progress: Callable[[int], object] = lambda hands: None
) -> ModelPredictions:
    """Predict every hand of a data set; a generator also reconstructs its picture.

    Args:
        system: the model.
        data: the hands.
        report_progress: called after each batch with its number of hands.
    """
    batches = []
    for rows in torch.arange(len(data)).split(BATCH):
        batches.append(_predict_batch(system, data, rows))
        report_progress(len(rows))

    # a field is a tensor in every batch or None in every batch; crop and words are the same in all
    joined: dict[str, Any] = {}
    for field in fields(ModelPredictions):
        parts = [getattr(batch, field.name) for batch in batches]
        joined[field.name] = torch.cat(parts) if isinstance(parts[0], Tensor) else parts[0]

    joined["subject"] = data.labels(torch.arange(len(data))).subject
    return ModelPredictions(**joined)


def _predict_batch(system: PoseEstimator, data: HandData, rows: Tensor) -> ModelPredictions:
    hands = cut(data, rows, system.crop, fields=system.reads)
    valid = system.labelled(hands)
    target = system.joints_of(hands)
    estimate = system.predict(hands)

    appearance = None
    squared_error = torch.full((len(rows),), float("nan"))

    if isinstance(system, Generator):
        image = hands.require("image")
        appearance = system.appearance_of(image)
        reconstruction = system.synthesize(target, appearance)
        per_hand = (reconstruction - image).square().flatten(1).mean(1)
        squared_error = per_hand.masked_fill(~valid.all(1), float("nan"))

    prediction = estimate.joints
    spread = estimate.spread
    joints_px = hands.joints_2d
    scale_mm = None

    if system.pose == "2d":
        size = system.crop.size_px
        target = to_crop_px(target, size)
        prediction = to_crop_px(prediction, size)
        spread = spread * size / 2
    else:
        scale_mm = _unit_mm(system, hands)

    # some data sets evaluate fewer joints than they label
    if data.evaluated_joints:
        kept = list(data.evaluated_joints)
        target = target[:, kept]
        prediction = prediction[:, kept]
        spread = spread[:, kept]
        valid = valid[:, kept]
        joints_px = None if joints_px is None else joints_px[:, kept]

    return ModelPredictions(
        crop=system.crop,
        target=target,
        prediction=prediction,
        spread=spread,
        calibrated_on=estimate.calibrated_on,
        valid=valid,
        squared_error=squared_error,
        appearance=appearance,
        subject=None,
        scale_mm=scale_mm,
        joints_px=joints_px,
    )


def _unit_mm(system: PoseEstimator, hands: Hands) -> Float[Tensor, " batch"]:
    """Length of a 3D model's unit for each hand."""
    joints = hands.require("joints_3d")
    if system.unit_mm is None:
        return scale_bone(joints)
    return torch.full_like(joints[:, 0, 0], system.unit_mm)
