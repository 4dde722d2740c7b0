"""Losses between a random variable x̂ with moments (m, v) and a known target x.

E‖x − x̂‖² = ‖x − m‖² + Σv        for any distribution with these moments
"""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from handvae.rv.variable import RandomVariable

ImageVariance = Literal["squared", "expected", "none"]
PointVariance = Literal["squared", "linear", "nll", "none"]

_NLL_FLOOR = 1e-4


def reconstruction_error(
    target: Float[Tensor, "batch *shape"],
    output: RandomVariable,
    variance: ImageVariance = "squared",
    weight: float = 50.0,
) -> Float[Tensor, "batch"]:
    """Returns R = Σ(x − m)² of each sample plus a variance term.

    Args:
        target: known values.
        output: moments of the same shape.
        variance: "squared": `weight` · mean(v²), the published choice; its gradient vanishes at v = 0.
            "expected": Σv, which makes the sum the exact expectation and is the strongest incentive to game
            the variance. "none": R alone.
        weight: factor of the squared term.
    """
    error = (target - output.mean).square().flatten(1).sum(1)
    if variance == "none" or output.var is None:
        return error

    spread = output.var.flatten(1)
    if variance == "expected":
        return error + spread.sum(1)

    return error + weight * spread.square().mean(1)


def point_error(
    target: Float[Tensor, "batch point axis"],
    prediction: RandomVariable,
    variance: PointVariance = "squared",
    weight: float = 1.0,
    valid: Bool[Tensor, "batch point"] | Float[Tensor, "batch point"] | None = None,
) -> Float[Tensor, "batch"]:
    """Returns each sample's squared distance of points plus a variance term: sum over axes, mean over points.

    Args:
        target: known points.
        prediction: moments of the points, same shape.
        variance: "squared": v², so that v never reaches zero. "linear": v, the expected squared error.
            "nll": ½[(p−p̂)²/ṽ + log ṽ] with ṽ = v + 1e-4 in place of both terms; without the floor its
            gradient explodes. "none": the distance alone.
        weight: factor of the variance term.
        valid: points that count; None for all. A weight below 1 lowers a point's share; the mean remains one
            over all points of a weight above 0.
    """
    error = (target - prediction.mean).square()
    spread = prediction.var_or_zeros()
    match variance:
        case "squared":
            terms = error + weight * spread.square()
        case "linear":
            terms = error + weight * spread
        case "nll":
            floored = spread + _NLL_FLOOR
            terms = 0.5 * (error / floored + floored.log())
        case "none":
            terms = error

    points = terms.sum(2)
    if valid is None:
        return points.mean(1)

    return (points * valid).sum(1) / (valid > 0).sum(1).clamp_min(1)
