"""Losses between a random variable and a known target.

E‖x − X‖² = ‖x − μ‖² + Σv      holds for any distribution with these moments.
"""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from handvae.rv.variable import RandomVariable

ImageVariance = Literal["squared", "expected", "none"]
PointVariance = Literal["squared", "linear", "nll", "none"]


def reconstruction_error(
    target: Float[Tensor, "batch *shape"],
    output: RandomVariable,
    variance: ImageVariance = "squared",
    weight: float = 50.0,
) -> Float[Tensor, "batch"]:
    """Returns R = Σ(x − μ)² of each sample plus a variance term.

    Args:
        target: known values.
        output: moments of the same shape.
        variance: "squared": `weight` · mean(v²), the published choice; its gradient vanishes at v = 0.
            "expected": Σv,
            which makes the sum the exact expectation and is the strongest incentive to game the variance.
            "none": R.
        weight: factor of the squared term.
    """
    error = (target - output.mean).square().flatten(1).sum(1)
    if variance == "none" or output.var is None:
        return error
    spread = output.var.flatten(1)
    return error + (spread.sum(1) if variance == "expected" else weight * spread.square().mean(1))


def point_error(
    target: Float[Tensor, "batch point axis"],
    prediction: RandomVariable,
    variance: PointVariance = "squared",
    weight: float = 1.0,
    valid: Bool[Tensor, "batch point"] | None = None,
) -> Float[Tensor, "batch"]:
    """Returns the squared distance of each sample's points, mean over valid points and summed over axes, plus
    a variance term.

    Args:
        target: known points.
        prediction: moments of the points, same shape.
        variance: "squared": v², so that v never reaches zero. "linear": v, the expected squared error.
            "nll": instead of
            both parts ½[(p−p̂)²/ṽ + log ṽ] with ṽ = v + 1e-4, whose gradient would explode without the floor.
            "none".
        weight: factor of the variance term.
        valid: points that count; all, if left out.
    """
    error = (target - prediction.mean).square()
    spread = prediction.var_or_zeros()
    match variance:
        case "squared":
            terms = error + weight * spread.square()
        case "linear":
            terms = error + weight * spread
        case "nll":
            floored = spread + 1e-4
            terms = 0.5 * (error / floored + floored.log())
        case "none":
            terms = error
    points = terms.sum(2)
    if valid is None:
        return points.mean(1)
    return (points * valid).sum(1) / valid.sum(1).clamp_min(1)
