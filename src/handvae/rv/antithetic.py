"""The sampling baseline at equal cost: two mirrored draws instead of a mean and a variance."""

from jaxtyping import Float
from torch import Tensor

from handvae.rv.variable import RandomVariable


def antithetic(
    variable: RandomVariable, noise: Float[Tensor, "..."]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Returns the draws μ + σε and μ − σε for the plain decoder; the mean of their two losses is unbiased.

    Two plain passes cost as much as one pass of moments, and no correlation is dropped.

    Args:
        variable: the distribution to draw from; a Dirac returns its value twice.
        noise: standard normal numbers ε of the variable's shape.
    """
    return variable.sample(noise=noise), variable.sample(noise=-noise)
