"""Loss terms that more than one system uses; each exists once. The KL term is `rv.RandomVariable.kl`."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from handvae.rv import RandomVariable

ImageVariance = Literal["squared", "expected", "none"]
PoseVariance = Literal["squared", "linear", "nll"]

NLL_FLOOR = 1e-4


def image_loss(
    target: Float[Tensor, "batch 3 height width"],
    picture: Float[Tensor, "batch 3 height width"] | RandomVariable,
    variance: ImageVariance = "squared",
    weight: float = 50.0,
) -> Float[Tensor, " batch"]:
    """Squared error per value of the picture, plus what its variance adds.

    Args:
        target: the real picture.
        picture: the decoded one; plain or exactly known, its variance adds nothing.
        variance: `squared` adds weight * mean(v^2) as the published RV-VAE code does; `expected` adds mean(v), which makes it the
            exact expectation of the squared error; `none` adds nothing.
        weight: factor of the `squared` term.
    """
    mean, spread = (picture.mean, picture.var) if isinstance(picture, RandomVariable) else (picture, None)
    error = (target - mean).float().square().flatten(1).mean(1)
    if spread is None or variance == "none":
        return error
    values = spread.float().flatten(1)
    return error + (weight * values.square().mean(1) if variance == "squared" else values.mean(1))


def pose_loss(
    target: Float[Tensor, "batch joint axis"],
    prediction: RandomVariable,
    valid: Bool[Tensor, "batch joint"],
    variance: PoseVariance = "squared",
    weight: float = 1.0,
) -> Float[Tensor, " batch"]:
    """Distance of a predicted pose distribution to a known pose, per labelled joint, summed over its axes.

    Args:
        target: the known pose; its distribution is a Dirac.
        prediction: (batch, joint * axis).
        valid: joints that count.
        variance: `squared` adds v^2 (SRV-VAE, after eq. 3; its gradient dies near 0), `linear` adds v (then it is the squared Wasserstein-2
            distance to the Dirac), `nll` is the Gaussian negative log-likelihood with a floor of 1e-4 on the variance.
        weight: factor of the variance term.
    """
    mean, spread = prediction.mean.view_as(target), prediction.var
    term = (target - mean).float().square()
    if spread is not None:
        values = spread.float().view_as(target)
        match variance:
            case "squared":
                term = term + weight * values.square()
            case "linear":
                term = term + weight * values
            case "nll":
                floored = values + NLL_FLOOR
                term = 0.5 * (term / floored + floored.log())
    counts = valid.sum(1).clamp_min(1)
    return (term.sum(2) * valid).sum(1) / counts
