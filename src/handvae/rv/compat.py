"""What the published random-variable auto-encoders do, to compare with them."""

from dataclasses import dataclass
from typing import Literal

Activation = Literal["match", "relu"]
Upsampling = Literal["fused", "plain"]


@dataclass(frozen=True)
class Compatibility:
    """Choices of one published implementation; its bugs are not among them."""

    activation: Activation
    """"relu": ReLU stands where the plain decoder has LeakyReLU."""
    upsample: Upsampling
    """"plain": upsampled copies enter the convolution as if independent."""
    image_variance: Literal["squared", "expected", "none"]
    """Variance term of the image loss."""
    image_weight: float
    """Its weight."""
    generation_variance: Literal["dirac", "unit", "posterior"]
    """Variance of the prior's draws."""
    evaluation_statistics: Literal["batch", "running"]
    """Which batch-normalisation statistics pictures are scored with."""


# Not reproduced: a tanh applied to variances, a standard deviation passed as a variance.
OFFICIAL = Compatibility("relu", "plain", "squared", 50.0, "unit", "batch")
