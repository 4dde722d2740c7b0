"""Pure functions from (mean, var) to (mean, var): the tested core."""

from handvae.rv.functional.linear import convolution, linear, transposed_convolution
from handvae.rv.functional.moments import Moments
from handvae.rv.functional.norm import batch_norm, group_norm, instance_norm, layer_norm
from handvae.rv.functional.rectifier import absolute, leaky_relu, prelu, relu
from handvae.rv.functional.resize import upsample_convolution, upsample_convolution_mean, upsample_nearest, upsampling_kernel

__all__ = [
    "Moments",
    "absolute",
    "batch_norm",
    "convolution",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "linear",
    "prelu",
    "relu",
    "transposed_convolution",
    "upsample_convolution",
    "upsample_convolution_mean",
    "upsample_nearest",
    "upsampling_kernel",
]
