"""Loss terms of more than one system, on top of those of random variables (`rv.losses`, `rv.RandomVariable.kl`)."""

from jaxtyping import Float
from torch import Tensor

from handvae.rv import RandomVariable
from handvae.rv.losses import ImageVariance, reconstruction_error


def image_loss(
    target: Float[Tensor, "batch 3 height width"],
    picture: Float[Tensor, "batch 3 height width"] | RandomVariable,
    variance: ImageVariance = "squared",
    weight: float = 50.0,
) -> Float[Tensor, " batch"]:
    """Squared error per value of the picture, plus what its variance adds: weight * mean(v^2), mean(v) or nothing.

    `expected` makes it the exact expectation of the squared error; `squared` is what the published RV-VAE code has.
    """
    count = target[0].numel()
    moments = picture if isinstance(picture, RandomVariable) else RandomVariable(picture)
    known = RandomVariable(moments.mean.float(), None if moments.var is None else moments.var.float())
    # the squared term is a mean already, beside a sum of errors: times the count it stays itself per value
    return reconstruction_error(target, known, variance, weight * count) / count
