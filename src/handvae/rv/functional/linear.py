"""Moments of linear layers: the mean goes through W, the variance through W squared elementwise.

    y = Σ_k W_k x_k + b        E[y] = Σ_k W_k m_k + b        Var[y] = Σ_k W_k² v_k
Exact for independent inputs (kind I); the outputs share inputs, and their correlation is dropped.
Each layer runs two products or convolutions: one grouped convolution over both was slower on CPU.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handvae.rv.functional.moments import Moments, variance_product

Sizes = int | Sequence[int]

_CONVOLUTIONS = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
_TRANSPOSED = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}
"""By the number of axes of the weight."""


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

    def of_variance(v: Tensor, squared: Tensor) -> Tensor:
        return convolve(v, squared, None, stride, padding, dilation, groups)

    spread = non_negative(variance_product(of_variance, var, weight))
    return convolve(mean, weight, bias, stride, padding, dilation, groups), spread


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
    """Transposed convolution over 1 to 3 axes, kind I: mean convT(m, W) + b, variance convT(v, W²)."""
    convolve = _TRANSPOSED[weight.dim()]

    def of_variance(v: Tensor, squared: Tensor) -> Tensor:
        return convolve(v, squared, None, stride, padding, output_padding, groups, dilation)

    spread = non_negative(variance_product(of_variance, var, weight))
    return convolve(mean, weight, bias, stride, padding, output_padding, groups, dilation), spread


def non_negative(var: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Clamps at zero the slightly negative sums of fast convolutions; they are rounding: the gradient passes.

    In place, without a graph: nothing is saved, and the backward pass runs no kernel for it.
    """
    with torch.no_grad():
        var.clamp_min_(0.0)
    return var
