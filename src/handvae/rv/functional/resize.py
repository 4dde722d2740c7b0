"""Moments of upsampling, alone and fused with the convolution that follows."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handvae.rv.functional.linear import non_negative
from handvae.rv.functional.moments import Moments, at_least_float32, variance_product

Setting = int | float | Sequence[int | float] | None


def upsample_nearest(
    mean: Float[Tensor, "..."], var: Float[Tensor, "..."], size: Setting = None, scale_factor: Setting = None
) -> Moments:
    """Nearest upsampling, kind E alone: copies both moments.

    Copies are fully correlated: a convolution that follows under-states the variance (2.3 to 2.8 x for
    an all-positive 3x3 kernel). `upsample_convolution` is exact there.
    """

    def copy(moment: Tensor) -> Tensor:
        return F.interpolate(moment, size, scale_factor)  # pyright: ignore[reportArgumentType, reportCallIssue]

    return copy(mean), copy(var)


def interpolate_linear(
    mean: Float[Tensor, "batch channel height width"],
    var: Float[Tensor, "batch channel height width"],
    size: Setting = None,
    scale_factor: Setting = None,
    mode: str = "bilinear",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Moments:
    """Bilinear and bicubic resizing, kind I: the variance with the squared interpolation weights.

    y = A x B^T with weights A, B of the two axes, so Var[y] = A² v (B²)^T. The weights are found by
    interpolating unit vectors, so that every convention of torch holds. The weights themselves in place of
    their squares would make the variance 1.6 x too large an axis (scale 2, interior).
    """

    def resize(moment: Tensor, axis: int | None = None) -> Tensor:
        sizes = _of_axis(size, axis)
        scales = _of_axis(scale_factor, axis)
        return F.interpolate(moment, sizes, scales, mode, align_corners, recompute_scale_factor)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def weights(axis: int) -> Tensor:
        length = mean.shape[2 + axis]
        units = torch.eye(length, device=var.device, dtype=at_least_float32(var).dtype)
        columns = units.view(1, length, length, 1)
        return resize(columns, axis).flatten(2).squeeze(0).square().to(var.dtype)

    return resize(mean), weights(0).T @ var @ weights(1)


def upsample_convolution(
    mean: Float[Tensor, "batch in height width"],
    var: Float[Tensor, "batch in height width"],
    weight: Float[Tensor, "out in_group kernel_height kernel_width"],
    bias: Float[Tensor, "out"] | None = None,
    scale: int = 2,
    padding: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Moments:
    """Nearest upsampling and a convolution of stride 1 in one, kind I.

    The copies of one pixel are one random number: the weights that read it are summed, then squared. The
    unfused pair adds their squares. For a 3x3 kernel and scale 2 this takes 4/9 of its multiplications.
    """
    kernel = upsampling_kernel(weight, scale, groups)
    inverse = (weight.shape[2] - 1 - padding[0], weight.shape[3] - 1 - padding[1])

    def of_variance(v: Tensor, squared: Tensor) -> Tensor:
        return F.conv_transpose2d(v, squared, None, scale, inverse, 0, groups)

    spread = non_negative(variance_product(of_variance, var, kernel))
    return F.conv_transpose2d(mean, kernel, bias, scale, inverse, 0, groups), spread


def upsample_convolution_mean(
    tensor: Float[Tensor, "batch in height width"],
    weight: Float[Tensor, "out in_group kernel_height kernel_width"],
    bias: Float[Tensor, "out"] | None = None,
    scale: int = 2,
    padding: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Float[Tensor, "batch out wide_height wide_width"]:
    """The fused pair on a plain tensor."""
    inverse = (weight.shape[2] - 1 - padding[0], weight.shape[3] - 1 - padding[1])
    kernel = upsampling_kernel(weight, scale, groups)
    return F.conv_transpose2d(tensor, kernel, bias, scale, inverse, 0, groups)


def _of_axis(setting: Setting, axis: int | None) -> Setting:
    """Returns the setting of one axis for a picture of width one, all of it without an axis."""
    if setting is None or axis is None:
        return setting
    along = setting if isinstance(setting, int | float) else setting[axis]
    return (along, type(along)(1))


def upsampling_kernel(
    weight: Float[Tensor, "out in_group kernel_height kernel_width"], scale: int, groups: int = 1
) -> Float[Tensor, "in out_group wide_height wide_width"]:
    """Returns the transposed convolution of stride `scale` that equals upsampling followed by `weight`.

    Output o reads the source i = ⌊(o + j − p)/r⌋ through tap j. Solved for t = o − r i + (k − 1 − p), tap t
    of the wide kernel is the sum of the flipped taps t−r+1 .. t: a convolution of the flipped kernel with
    r ones an axis.
    """
    out, in_group, height, width = weight.shape

    # flip the taps and swap the channels, which a transposed convolution takes in the order in, out
    flipped = weight.view(groups, out // groups, in_group, height, width).flip(3, 4).transpose(1, 2)
    flipped = flipped.reshape(groups * in_group, out // groups, height, width)

    # r shifted copies, added along each axis
    rows = sum(F.pad(flipped, (0, 0, shift, scale - 1 - shift)) for shift in range(scale))
    assert isinstance(rows, Tensor)
    wide = sum(F.pad(rows, (shift, scale - 1 - shift)) for shift in range(scale))
    assert isinstance(wide, Tensor)

    # The output takes its layout from the kernel: a channels_last layer must stay one, or every later layer
    # copies.
    is_channels_last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()

    return wide.contiguous(memory_format=torch.channels_last) if is_channels_last else wide
