"""Moments of pooling: averages are linear, maxima follow Clark's two-variable formula in a tree."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handvae.rv.functional.moments import Moments, at_least_float32, gentle_sqrt, result_dtype

Pair = int | Sequence[int]
MaxRule = Literal["clark", "argmax"]


def average_pool(
    mean: Float[Tensor, "*batch height width"],
    var: Float[Tensor, "*batch height width"],
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Moments:
    """Average pooling, kind I: mean pool(m), variance pool(v)/n, n the divisor that each cell really uses."""
    kernel = _pair(kernel)
    padding = _pair(padding)
    stride = kernel if stride is None else _pair(stride)
    settings = (kernel, stride, padding, ceil_mode)

    # Var[Σx/n] = Σv/n² = pool(v)/n
    count: float | Tensor = float(divisor or kernel[0] * kernel[1])

    if divisor is None and (ceil_mode or any(padding)):
        # At borders n varies. Of ones, the average is (pixels inside)/n and the sum is (pixels inside).
        ones = torch.ones_like(var[..., :1, :, :]) if var.dim() == 3 else torch.ones_like(var[:1, :1])
        average = F.avg_pool2d(ones, *settings, count_include_pad)
        count = F.avg_pool2d(ones, *settings, count_include_pad, divisor_override=1) / average

    pooled = F.avg_pool2d(var, *settings, count_include_pad, divisor)
    return F.avg_pool2d(mean, *settings, count_include_pad, divisor), pooled / count


def adaptive_average_pool(
    mean: Float[Tensor, "*batch height width"],
    var: Float[Tensor, "*batch height width"],
    size: Sequence[int | None] | int,
) -> Moments:
    """Adaptive average pooling, kind I: mean pool(m), variance pool(v)/n, n the size of each cell."""
    rows, columns = (size, size) if isinstance(size, int) else size
    rows = rows or mean.shape[-2]
    columns = columns or mean.shape[-1]

    heights = _cell_lengths(mean.shape[-2], rows, var)
    widths = _cell_lengths(mean.shape[-1], columns, var)
    pooled = F.adaptive_avg_pool2d(var, (rows, columns))
    return F.adaptive_avg_pool2d(mean, (rows, columns)), pooled / (heights[:, None] * widths)


def max_pool(
    mean: Float[Tensor, "*batch height width"],
    var: Float[Tensor, "*batch height width"],
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    rule: MaxRule = "clark",
) -> Moments:
    """Max pooling by Clark's formula in a tree of pairs: exact for two Gaussians (G), else A.

    The kernel is separable: first along rows, then along columns. With rule "argmax" the variance is that of
    the element whose mean is largest.
    """
    dtype = result_dtype(mean)
    mean = at_least_float32(mean)
    var = at_least_float32(var)
    kernel = _pair(kernel)
    padding = _pair(padding)
    dilation = _pair(dilation)
    stride = kernel if stride is None else _pair(stride)

    plain, index = F.max_pool2d(mean, kernel, stride, padding, dilation, ceil_mode, return_indices=True)

    if rule == "argmax":
        spread = var.flatten(-2).gather(-1, index.flatten(-2)).view_as(plain)
        return plain.to(dtype), spread.to(dtype)

    # Cells outside the picture lie so low that Φ is exactly zero there.
    low = (mean.amin() - 40.0 * var.amax().sqrt() - 1.0).detach()
    for axis in (-1, -2):
        out = plain.shape[axis]
        mean, var = _max_along(
            mean, var, axis, out, kernel[axis], stride[axis], padding[axis], dilation[axis], low
        )

    return mean.to(dtype), var.to(dtype)


def maximum(
    first: Float[Tensor, "*shape"],
    first_var: Float[Tensor, "*shape"],
    second: Float[Tensor, "*shape"],
    second_var: Float[Tensor, "*shape"],
) -> Moments:
    """Larger of two independent Gaussians (Clark 1961).

    With θ² = v_a + v_b and α = (m_a − m_b)/θ, the mean is
        M = m_a Φ(α) + m_b Φ(−α) + θ φ(α)
    and the variance, taken about M so that large means do not cancel,
        ((m_a − M)² + v_a) Φ(α) + ((m_b − M)² + v_b) Φ(−α) + (m_a + m_b − 2M) θ φ(α)
    """
    theta = gentle_sqrt(first_var + second_var)
    alpha = ((first - second) / (theta + 1e-10)).clamp(-30.0, 30.0)
    above = 0.5 * torch.erfc(-alpha * math.sqrt(0.5))  # Φ(α)
    below = 0.5 * torch.erfc(alpha * math.sqrt(0.5))  # Φ(−α)
    ridge = theta * (-0.5 * alpha.square()).exp() / math.sqrt(2.0 * math.pi)  # θ φ(α)
    mean = first * above + second * below + ridge

    first_part = ((first - mean).square() + first_var) * above
    second_part = ((second - mean).square() + second_var) * below

    return mean, (first_part + second_part + (first + second - 2.0 * mean) * ridge).clamp_min(0.0)


def _max_along(
    mean: Tensor,
    var: Tensor,
    axis: int,
    out: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    low: Tensor,
) -> tuple[Tensor, Tensor]:
    """Moments of the maximum over a window of `kernel` cells along one axis, `out` windows."""
    # pad the means with `low` and the variances with zero; F.pad takes no tensor as value
    reach = (out - 1) * stride + (kernel - 1) * dilation + 1
    missing = max(0, reach - padding - mean.shape[axis])
    if padding or missing:
        sides = (padding, missing) if axis == -1 else (0, 0, padding, missing)
        mean = F.pad(mean - low, sides) + low
        var = F.pad(var, sides)

    # tap j holds the j-th cell of every window
    last = (out - 1) * stride + 1
    taps = []
    for tap in range(kernel):
        cells = slice(tap * dilation, tap * dilation + last, stride)
        part = (..., cells) if axis == -1 else (..., cells, slice(None))
        taps.append((mean[part], var[part]))

    # a tree of pairs: fewer roundings of the shape to a Gaussian than a chain
    while len(taps) > 1:
        pairs = [maximum(*left, *right) for left, right in zip(taps[::2], taps[1::2], strict=False)]
        taps = pairs + taps[len(pairs) * 2 :]

    return taps[0]


def _pair(value: Pair) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    if len(value) == 1:
        return value[0], value[0]
    return value[0], value[1]


def _cell_lengths(length: int, target: int, like: Tensor) -> Tensor:
    """Number of pixels in each of `target` cells of an axis, as torch divides it; neighbours may overlap."""
    sizes = []
    for cell in range(target):
        start = cell * length // target
        end = math.ceil((cell + 1) * length / target)
        sizes.append(end - start)
    return torch.tensor(sizes, dtype=like.dtype, device=like.device)
