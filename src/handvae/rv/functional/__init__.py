"""Pure functions from (mean, var) to (mean, var): the tested core."""

from handvae.rv.functional.arithmetic import dropout, exponential, product_variance, square, sum_variance
from handvae.rv.functional.linear import convolution, linear, transposed_convolution
from handvae.rv.functional.moments import Moments
from handvae.rv.functional.norm import batch_norm, group_norm, instance_norm, layer_norm
from handvae.rv.functional.pool import adaptive_average_pool, average_pool, max_pool, maximum
from handvae.rv.functional.rectifier import absolute, leaky_relu, prelu, relu
from handvae.rv.functional.resize import (
    interpolate_linear,
    upsample_convolution,
    upsample_convolution_mean,
    upsample_nearest,
    upsampling_kernel,
)
from handvae.rv.functional.smooth import elu, gauss_hermite, gelu, sigmoid, silu, softplus, tanh

__all__ = [
    "Moments",
    "absolute",
    "adaptive_average_pool",
    "average_pool",
    "batch_norm",
    "convolution",
    "dropout",
    "elu",
    "exponential",
    "gauss_hermite",
    "gelu",
    "group_norm",
    "instance_norm",
    "interpolate_linear",
    "layer_norm",
    "leaky_relu",
    "linear",
    "max_pool",
    "maximum",
    "prelu",
    "product_variance",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
    "square",
    "sum_variance",
    "tanh",
    "transposed_convolution",
    "upsample_convolution",
    "upsample_convolution_mean",
    "upsample_nearest",
    "upsampling_kernel",
]
