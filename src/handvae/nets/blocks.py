"""Bricks that every network here is laid from."""

import math
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Norm = Literal["batch", "group"]

MAX_WIDTH = 8192
"""Of any layer; a damaged model file may ask for more than there is memory."""


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Normalisation of `channels` feature maps; group: eight channels a group, the same in training and at
    rest."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(max(1, channels // 8), channels)


def conv_block(
    inputs: int, outputs: int, *, kernel: int, stride: int, norm: Norm, slope: float
) -> nn.Sequential:
    """Convolution, normalisation, leaky ReLU (plain ReLU for slope 0); even kernels are padded so that stride
    2 halves exactly."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, bias=False)
    return nn.Sequential(conv, norm_layer(norm, outputs), activation(slope))


def double_block(inputs: int, outputs: int, *, kernel: int, norm: Norm) -> nn.Sequential:
    """Transposed convolution to twice the size, normalisation, ReLU."""
    conv = nn.ConvTranspose2d(
        inputs, outputs, kernel, 2, padding=1, output_padding=1 if kernel == 3 else 0, bias=False
    )
    return nn.Sequential(conv, norm_layer(norm, outputs), nn.ReLU())


def activation(slope: float) -> nn.Module:
    """ReLU, leaky where the slope is not 0."""
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


def halved(size_px: int, halvings: int) -> int:
    """Side in pixels that is left after so many halvings.

    Raises:
        ValueError: it is not whole.
    """
    side = size_px // 2**halvings
    if side < 1 or side * 2**halvings != size_px:
        smallest = 2**halvings
        near = max(smallest, smallest * math.floor(size_px / smallest))
        raise ValueError(
            f"a crop of {size_px} px cannot be halved {halvings} times; use a multiple of {smallest}, such as {near}"
        )
    return side


def resized(
    picture: Float[Tensor, "batch 3 height width"], size_px: int
) -> Float[Tensor, "batch 3 size size"]:
    """The picture with sides of so many pixels; made smaller, it is averaged, not thinned."""
    if picture.shape[-1] == size_px:
        return picture
    return F.interpolate(picture, (size_px, size_px), mode="bilinear", antialias=picture.shape[-1] > size_px)
