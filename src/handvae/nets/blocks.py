"""Building blocks of all networks."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Norm = Literal["batch", "group"]

MAX_WIDTH = 8192
"""Of any layer; a damaged model file may ask for more than there is memory."""


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Normalisation of `channels` feature maps.

    Groups hold eight channels; group normalisation is the same in training and in evaluation.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(max(1, channels // 8), channels)


def conv_block(
    inputs: int, outputs: int, *, kernel: int, stride: int, norm: Norm, slope: float
) -> nn.Sequential:
    """Convolution, normalisation, leaky ReLU (plain ReLU for slope 0)."""
    # With this padding stride 2 halves exactly, for even kernels too.
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, bias=False)
    return nn.Sequential(conv, norm_layer(norm, outputs), activation(slope))


def double_block(inputs: int, outputs: int, *, kernel: int, norm: Norm) -> nn.Sequential:
    """Transposed convolution to twice the size, normalisation, ReLU."""
    extra = 1 if kernel == 3 else 0
    conv = nn.ConvTranspose2d(inputs, outputs, kernel, 2, padding=1, output_padding=extra, bias=False)
    return nn.Sequential(conv, norm_layer(norm, outputs), nn.ReLU())


def activation(slope: float) -> nn.Module:
    """ReLU, leaky where the slope is not 0."""
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


def halved(size_px: int, halvings: int) -> int:
    """Side in pixels after `halvings` halvings.

    Raises:
        ValueError: it is no whole number.
    """
    smallest = 2**halvings
    side, rest = divmod(size_px, smallest)
    if side < 1 or rest:
        near = max(smallest, smallest * side)
        fault = f"a crop of {size_px} px cannot be halved {halvings} times"
        raise ValueError(f"{fault}; use a multiple of {smallest}, such as {near}")

    return side


def resized(image: Float[Tensor, "batch 3 height width"], size_px: int) -> Float[Tensor, "batch 3 size size"]:
    """The image with sides of `size_px`; pixels are averaged where it becomes smaller."""
    if image.shape[-1] == size_px:
        return image
    smaller = size_px < image.shape[-1]
    return F.interpolate(image, (size_px, size_px), mode="bilinear", antialias=smaller)
