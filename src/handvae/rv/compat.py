"""How the published random-variable auto-encoders run their layers, to compare with them.

Not reproduced are two bugs: a tanh applied to variances, and a standard deviation passed as a variance. Their
image loss, 50 times the mean squared variance, is the default of `handvae.rv.losses.reconstruction_error`.
"""

from dataclasses import dataclass
from typing import Literal

Activation = Literal["match", "relu"]
Upsampling = Literal["fused", "plain"]


@dataclass(frozen=True)
class Compatibility:
    """Choices of one published implementation that `to_rv` can follow."""

    activation: Activation
    """"relu": ReLU stands where the plain decoder has LeakyReLU."""
    upsample: Upsampling
    """"plain": upsampled copies enter the convolution as if independent."""


OFFICIAL = Compatibility(activation="relu", upsample="plain")
