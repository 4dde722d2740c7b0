"""Moments of linear layers: the mean goes through W, the variance through W squared elementwise.

Exact for independent inputs (kind I); the outputs share inputs, and their correlation is dropped.
Two products, two convolutions: one grouped convolution over both was slower on CPU.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handvae.rv.functional.moments import Moments, variance_product

Sizes = int | Sequence[int]


def linear(
    mean: Float[Tensor, "*batch in"],
    var: Float[Tensor, "*batch in"],
    weight: Float[Tensor, "out in"],
    bias: Float[Tensor, "out"] | None = None,
) -> Moments:
    """Affine map, kind I: mean W m + b, variance W² v."""
    return F.linear(mean, weight, bias), variance_product(F.linear, var, weight)


def convolution(
    mean: Float[Tensor, "..."],
    var: Float[Tensor, "..."],
    weight: Float[Tensor, "..."],
    bias: Float[Tensor, "out"] | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Moments:
    """Convolution over one, two or three axes, kind I: mean conv(m, W) + b, variance conv(v, W²)."""
    convolve = _CONVOLUTIONS[weight.dim()]
    spread = variance_product(
        lambda v, w: convolve(v, w, None, stride, padding, dilation, groups), var, weight
    )
    return convolve(mean, weight, bias, stride, padding, dilation, groups), non_negative(spread)


def transposed_convolution(
    mean: Float[Tensor, "..."],
    var: Float[Tensor, "..."],
    weight: Float[Tensor, "..."],
    bias: Float[Tensor, "out"] | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Moments:
    """Transposed convolution over one, two or three axes, kind I: mean convT(m, W) + b, variance convT(v,
    W²)."""
    convolve = _TRANSPOSED[weight.dim()]
    spread = variance_product(
        lambda v, w: convolve(v, w, None, stride, padding, output_padding, groups, dilation), var, weight
    )
    return convolve(mean, weight, bias, stride, padding, output_padding, groups, dilation), non_negative(
        spread
    )


def non_negative(var: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Cuts off the slightly negative sums that fast convolutions return; they are rounding, so the gradient
    passes."""
    with torch.no_grad():  # nothing is saved, and the backward pass has no kernel for it
        var.clamp_min_(0.0)
    return var


_CONVOLUTIONS = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
_TRANSPOSED = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}
