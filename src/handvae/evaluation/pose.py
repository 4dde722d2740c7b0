"""Errors of poses, each with everything its number depends on."""

from jaxtyping import Bool, Float
from torch import Tensor

from handvae.evaluation.measure import Measure, PoseProtocol, Stated


def joint_errors(
    prediction: Float[Tensor, "batch joint axis"], truth: Float[Tensor, "batch joint axis"], valid: Bool[Tensor, "batch joint"]
) -> Float[Tensor, "batch joint"]:
    """Euclidean error of each joint, NaN where it has no label."""
    return (prediction - truth).norm(dim=-1).masked_fill(~valid, float("nan"))


def hand_size(joints: Float[Tensor, "batch joint 2"], valid: Bool[Tensor, "batch joint"]) -> Float[Tensor, " batch"]:
    """Square root of the area of the labelled joints' bounding box, in the joints' unit."""
    low = joints.masked_fill(~valid[..., None], float("inf")).amin(1)
    high = joints.masked_fill(~valid[..., None], -float("inf")).amax(1)
    return (high - low).prod(-1).sqrt()


def pose_measures_2d(
    prediction: Float[Tensor, "batch joint 2"], truth: Float[Tensor, "batch joint 2"], valid: Bool[Tensor, "batch joint"], picture: str
) -> tuple[Measure, ...]:
    """The 2D metrics of a set of hands.

    Args:
        prediction: px.
        truth: px.
        valid: joints that count.
        picture: what the pixels belong to, such as `64 px crop`; part of the protocol's name.
    """
    errors, n = joint_errors(prediction, truth, valid), len(truth)
    size = hand_size(truth, valid)[:, None]
    relative = errors / size.masked_fill(size <= 0, float("nan"))  # labelled joints on one line give a hand no size
    per_hand = relative.nanmean(1)
    counted = relative[valid & relative.isfinite()]
    protocol = PoseProtocol("2D", picture=picture)
    sized = "hand size = sqrt of the area of the joints' bounding box"

    def measure(name: str, value: Tensor, definition: str) -> Measure:
        return Measure(name, 100 * float(value), "%", n, protocol, f"{definition}; {sized}")

    return (
        Measure("mpjpe_px", float(errors.nanmean()), "px", n, protocol, "mean over joints and frames"),
        measure("error_over_hand_size_median", per_hand.nanmedian(), "median over hands of the mean error"),
        measure("error_over_hand_size_mean", per_hand.nanmean(), "mean over hands of the mean error"),
        measure("pckb@0.05", (counted <= 0.05).float().mean(), "share of joints within 5 % of hand size"),
        measure("pckb@0.10", (counted <= 0.10).float().mean(), "share of joints within 10 % of hand size"),
    )


def bone_measures_3d(
    prediction: Float[Tensor, "batch joint 3"], truth: Float[Tensor, "batch joint 3"], valid: Bool[Tensor, "batch joint"]
) -> tuple[Measure, ...]:
    """The 3D metric of root-relative poses in bone units (scale given by the truth's own bone)."""
    errors = joint_errors(prediction, truth, valid)
    protocol = PoseProtocol("3D", root="wrist", scale="true bone 9-10")
    return (Measure("mpjpe_bone_units", float(errors.nanmean()), "bone", len(truth), protocol, "mean over joints and frames"),)


def spread_coverage(
    errors: Float[Tensor, "batch joint axis"], spread: Float[Tensor, "batch joint axis"], valid: Bool[Tensor, "batch joint"]
) -> Measure:
    """Share of coordinates whose error is within one claimed standard deviation; 68.3 % where the spread is a calibrated Gaussian's."""
    inside = (errors.abs() <= spread)[valid]
    protocol = Stated("share of labelled coordinates with |error| <= claimed standard deviation; a calibrated Gaussian has 68.3 %")
    return Measure("spread_coverage", 100 * float(inside.float().mean()), "%", len(errors), protocol)
