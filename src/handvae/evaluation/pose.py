"""Errors of joints and sizes of hands, which every metric of poses starts from."""

from jaxtyping import Bool, Float
from torch import Tensor

from handvae.errors import UserError
from handvae.evaluation.tally import MEDIAN_ERROR, Tally

CHUNK = 1 << 14
"""Hands compared at a time, so that memory stays constant."""


def joint_errors(
    prediction: Float[Tensor, "batch joint axis"],
    truth: Float[Tensor, "batch joint axis"],
    valid: Bool[Tensor, "batch joint"],
) -> Float[Tensor, "batch joint"]:
    """Euclidean error of each joint, NaN where it has no label.

    Raises:
        UserError: the error of a labelled joint is not finite.
    """
    errors = (prediction - truth).norm(dim=-1)

    spoilt = ~errors.isfinite() & valid
    if bool(spoilt.any()):
        hand, joint = spoilt.nonzero()[0].tolist()
        fault = f"joint {joint} of hand {hand} is labelled and its error is not a finite number"
        raise UserError("pose metrics", fault, "look at both files")

    return errors.masked_fill(~valid, float("nan"))


def hand_size(
    joints: Float[Tensor, "batch joint 2"], valid: Bool[Tensor, "batch joint"]
) -> Float[Tensor, " batch"]:
    """Square root of the area of the labelled joints' bounding box, in the joints' unit."""
    low = joints.masked_fill(~valid[..., None], float("inf")).amin(1)
    high = joints.masked_fill(~valid[..., None], -float("inf")).amax(1)
    return (high - low).prod(-1).sqrt()


def median_precision(tally: Tally) -> str:
    """How exact a tally's median is, as the end of a definition; empty where it is exact."""
    return "" if tally.medians_exact else f", from a histogram, within {100 * MEDIAN_ERROR:.3f} %"
