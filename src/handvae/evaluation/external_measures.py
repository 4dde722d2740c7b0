"""Metrics of joints that stand in files, by a named protocol."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from handvae.choices import CameraName, RootOption, ScaleOption
from handvae.errors import UserError
from handvae.evaluation.comparison import Comparison, Scale
from handvae.evaluation.external_predictions import (
    INTRINSICS,
    JOINT_COUNTS,
    JointFile,
    back_projected,
)
from handvae.evaluation.measure import Measure
from handvae.evaluation.pose_2d import pose_measures_2d
from handvae.evaluation.pose_3d import pose_measures_3d
from handvae.hand import ORDERS, to_internal

UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
SCALES: dict[ScaleOption, Scale] = {
    "given": "as given",
    "bone-units": "bone units",
    "true-bone": "true bone",
    "true-size": "true size",
}


@dataclass(frozen=True)
class FileProtocol:
    """How the joints of two files are understood and compared."""

    dataset: CameraName | None = None
    """Files hold u, v (px) and depth (mm) of this data set's camera."""
    camera: tuple[float, float, float, float] | None = None
    """The same for another camera: fx, fy, cx, cy in px."""
    unit: Literal["mm", "cm", "m"] = "mm"
    """Unit of 3D joints."""
    order: str = "openpose"
    """Joint order, where there are 21 joints."""
    root: RootOption = "given"
    """Point that is subtracted from every joint."""
    reroot: Literal["both", "truth"] = "both"
    """See `Comparison`."""
    scale: ScaleOption = "given"
    within: tuple[int, ...] = (10, 20, 30, 40)
    """Thresholds of PCK and success rates, mm."""
    picture: str = "picture as given"
    """The picture whose pixels 2D joints are in."""

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            fault = f"there is no joint order {self.order!r}"
            raise UserError("--order", fault, f"use one of {', '.join(ORDERS)}")

    @property
    def intrinsics(self) -> tuple[float, float, float, float] | None:
        """The camera, where files hold u, v and depth."""
        return INTRINSICS[self.dataset] if self.dataset else self.camera


def measure_files(
    prediction_path: Path, prediction: JointFile, truth_path: Path, truth: JointFile, protocol: FileProtocol
) -> tuple[Measure, ...]:
    """Metrics of two files of the same frames and joints, over the joints that the truth labels.

    Args:
        prediction_path: file of the prediction, for messages.
        prediction: predicted joints.
        truth_path: file of the truth, for messages.
        truth: true joints.
        protocol: how they are compared.

    Raises:
        UserError: a labelled joint has no prediction, or the joints do not fit the data set, the camera, the
            root or the scale.
    """
    joints, axes = truth.joints.shape[1:]
    dataset = protocol.dataset
    if dataset and joints != JOINT_COUNTS[dataset]:
        fault = f"{joints} joints a frame, and {dataset} has {JOINT_COUNTS[dataset]}"
        raise UserError(truth_path, fault, "give another --dataset, or --camera")

    missing = int((truth.valid & ~prediction.valid).sum())
    if missing:
        fault = f"leaves out {missing} joints that are labelled"
        raise UserError(prediction_path, fault, "predict all, or mark them in the truth's `valid`")

    if axes == 3:
        return _measure_3d(prediction, truth, protocol)
    if protocol.intrinsics:
        fault = "its joints have two axes and no depth"
        raise UserError(truth_path, fault, "leave out --camera and --dataset")

    return pose_measures_2d(prediction.joints, truth.joints, truth.valid, protocol.picture)


def _measure_3d(prediction: JointFile, truth: JointFile, protocol: FileProtocol) -> tuple[Measure, ...]:
    joint_count = truth.joints.shape[1]
    root = "as given" if protocol.root == "given" else protocol.root
    comparison = Comparison(root, protocol.reroot, SCALES[protocol.scale])
    comparison.check(joint_count)

    predicted_mm, true_mm = _in_mm(prediction, truth, protocol)
    valid = truth.valid
    visible = truth.visible

    if joint_count == 21 and protocol.order != "openpose":
        predicted_mm = to_internal(predicted_mm, protocol.order)
        true_mm = to_internal(true_mm, protocol.order)
        valid = _flags_to_internal(valid, protocol.order)
        visible = None if visible is None else _flags_to_internal(visible, protocol.order)

    return pose_measures_3d(predicted_mm, true_mm, valid, visible, comparison, protocol.within)


def _in_mm(
    prediction: JointFile, truth: JointFile, protocol: FileProtocol
) -> tuple[Float[Tensor, "frame joint 3"], Float[Tensor, "frame joint 3"]]:
    """Joints of both files in mm; a prediction in bone units stays in these."""
    intrinsics = protocol.intrinsics
    if intrinsics is not None:
        return back_projected(prediction.joints, intrinsics), back_projected(truth.joints, intrinsics)

    to_mm = UNITS_MM[protocol.unit]
    prediction_to_mm = 1.0 if protocol.scale == "bone-units" else to_mm
    return prediction.joints * prediction_to_mm, truth.joints * to_mm


def _flags_to_internal(flags: Bool[Tensor, "frame joint"], order: str) -> Bool[Tensor, "frame joint"]:
    return to_internal(flags[..., None], order)[..., 0]
