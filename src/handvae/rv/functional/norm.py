"""Moments of normalisation layers: statistics by the law of total variance, then an affine map.

The variance of a set of random scalars is the variance of their means plus the mean of their variances,
    μ = mean(m)        τ = mean((m − μ)²) + mean(v)
Both parts of τ are sums of squares, so nothing cancels. The layer is y = γ(x − μ)/√(τ + ε) + β with moments
    E[y] = γ(m − μ)/√(τ + ε) + β        Var[y] = γ² v/(τ + ε)
The moments treat the statistics as constants, yet gradients flow through them. Computed in float32 under
autocast.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from handvae.rv.functional.moments import Moments, at_least_float32, result_dtype


def batch_norm(
    mean: Float[Tensor, "batch channel *space"],
    var: Float[Tensor, "batch channel *space"],
    running_mean: Float[Tensor, "channel"] | None,
    running_var: Float[Tensor, "channel"] | None,
    weight: Float[Tensor, "channel"] | None = None,
    bias: Float[Tensor, "channel"] | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Moments:
    """Batch normalisation: mean γ(m−μ)/√(τ+ε)+β, variance γ²v/(τ+ε), with statistics μ, τ of each channel.

    In evaluation an exact affine map (E). In training approximate (A): the batch statistics are random but
    held constant, and the running buffers are updated in place.
    """
    dtype = result_dtype(mean)
    mean = at_least_float32(mean)
    var = at_least_float32(var)

    if training or running_mean is None or running_var is None:
        axes = [axis for axis in range(mean.dim()) if axis != 1]
        centre, spread = _statistics(mean, var, axes)
        if running_mean is not None and running_var is not None:
            # torch keeps the unbiased variance, over n − 1
            count = mean.numel() // mean.shape[1]
            _update(running_mean, centre, momentum)
            _update(running_var, spread * (count / (count - 1)), momentum)
    else:
        centre = running_mean
        spread = running_var

    shape = (1, -1) + (1,) * (mean.dim() - 2)
    scale, shift = _scale_and_shift(
        centre.view(shape), spread.view(shape), _shaped(weight, shape), _shaped(bias, shape), eps
    )
    return _affine(mean, var, scale, shift, dtype)


def group_norm(
    mean: Float[Tensor, "batch channel *space"],
    var: Float[Tensor, "batch channel *space"],
    groups: int,
    weight: Float[Tensor, "channel"] | None = None,
    bias: Float[Tensor, "channel"] | None = None,
    eps: float = 1e-5,
) -> Moments:
    """Group normalisation, kind A: as `batch_norm` in training, with statistics of each sample and group.

    The normaliser is random and held constant: good while v is small against the spread of the means.
    """
    dtype = result_dtype(mean)
    mean = at_least_float32(mean)
    var = at_least_float32(var)
    batch, channels = mean.shape[:2]
    axes = list(range(2, mean.dim()))

    # Channel statistics first, then those of the groups by the same law: to reshape the picture to groups
    # would copy a channels_last tensor.
    if axes:
        centre, within = _statistics(mean, var, axes)
    else:
        centre, within = mean, var

    group_centre, group_spread = _statistics(
        centre.view(batch, groups, -1), within.view(batch, groups, -1), [2]
    )

    # each channel takes the statistics of its group
    sizes = (batch, groups, channels // groups)
    shape = (batch, channels) + (1,) * len(axes)
    centre = group_centre.view(batch, groups, 1).expand(sizes).reshape(shape)
    spread = group_spread.view(batch, groups, 1).expand(sizes).reshape(shape)

    shape = (1, -1) + (1,) * len(axes)
    scale, shift = _scale_and_shift(centre, spread, _shaped(weight, shape), _shaped(bias, shape), eps)

    return _affine(mean, var, scale, shift, dtype)


def layer_norm(
    mean: Float[Tensor, "..."],
    var: Float[Tensor, "..."],
    normalized_shape: Sequence[int],
    weight: Float[Tensor, "..."] | None = None,
    bias: Float[Tensor, "..."] | None = None,
    eps: float = 1e-5,
) -> Moments:
    """Layer normalisation, kind A: statistics over the trailing axes of each sample, held constant."""
    dtype = result_dtype(mean)
    mean = at_least_float32(mean)
    var = at_least_float32(var)

    axes = list(range(-len(normalized_shape), 0))
    centre, spread = _statistics(mean, var, axes)
    shape = (*mean.shape[: mean.dim() - len(axes)], *(1 for _ in axes))

    scale, shift = _scale_and_shift(centre.view(shape), spread.view(shape), weight, bias, eps)

    return _affine(mean, var, scale, shift, dtype)


def instance_norm(
    mean: Float[Tensor, "batch channel *space"],
    var: Float[Tensor, "batch channel *space"],
    weight: Float[Tensor, "channel"] | None = None,
    bias: Float[Tensor, "channel"] | None = None,
    eps: float = 1e-5,
) -> Moments:
    """Instance normalisation, kind A: group normalisation with one channel a group."""
    return group_norm(mean, var, mean.shape[1], weight, bias, eps)


class _Statistics(torch.autograd.Function):
    """μ and τ of sets of random scalars along `axes`: two fast passes, and one in the backward pass.

    torch.var_mean takes ten times as long on CPU. With gradients g_μ and g_τ of the results, and n scalars
    in a set,
        dL/dm = g_μ/n + 2 g_τ (m − μ)/n        dL/dv = g_τ/n
    """

    @staticmethod
    def forward(mean: Tensor, var: Tensor, axes: list[int]) -> tuple[Tensor, Tensor]:
        centre = mean.mean(axes, keepdim=True)
        between = (mean - centre).square_().mean(axes)
        return centre.view(between.shape), between + var.mean(axes)

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Tensor, list[int]], output: tuple[Tensor, Tensor]
    ) -> None:
        mean, _, axes = inputs
        ctx.save_for_backward(mean, output[0])

        # the shape in which a statistic broadcasts against the picture; axes may count from the end
        ctx.shape = list(mean.shape)
        for axis in axes:
            ctx.shape[axis] = 1

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        mean, centre = ctx.saved_tensors
        count = mean.numel() // centre.numel()
        grad_centre = grad_outputs[0].view(ctx.shape) / count
        grad_spread = grad_outputs[1].view(ctx.shape) / count

        # one multiply-add over the picture: (g_μ − 2 g_τ μ)/n + m (2 g_τ/n)
        slope = 2.0 * grad_spread
        into_mean = torch.addcmul(grad_centre - slope * centre.view(ctx.shape), mean, slope)
        return into_mean, grad_spread.expand_as(mean), None


class _Scaling(torch.autograd.Function):
    """Mean m a + b and variance v a², where a and b are constant along most axes."""

    @staticmethod
    def forward(mean: Tensor, var: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        return torch.addcmul(shift, mean, scale), var * scale.square()

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]
    ) -> None:
        mean, var, scale, shift = inputs
        ctx.save_for_backward(mean, var, scale)
        ctx.shift_shape = shift.shape

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        grad_mean, grad_var = grad_outputs
        mean, var, scale = ctx.saved_tensors

        # dL/da = Σ g_mean m + 2a Σ g_var v,  dL/db = Σ g_mean, each summed to the shape of a and b
        by_mean = (grad_mean * mean).sum_to_size(scale.shape)
        by_var = (grad_var * var).sum_to_size(scale.shape)
        into_scale = by_mean + 2.0 * scale * by_var
        into_shift = grad_mean.sum_to_size(ctx.shift_shape)
        return grad_mean * scale, grad_var * scale.square(), into_scale, into_shift


def _statistics(mean: Tensor, var: Tensor, axes: list[int]) -> tuple[Tensor, Tensor]:
    return _Statistics.apply(mean, var, axes)  # pyright: ignore[reportReturnType]


def _scale_and_shift(
    centre: Tensor, spread: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """Scale a = γ/√(τ + ε) and shift b = β − μ a, small tensors: the full-size work is y = m a + b alone."""
    scale = (spread + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -centre * scale
    if bias is not None:
        shift = shift + bias
    return scale, shift


def _affine(mean: Tensor, var: Tensor, scale: Tensor, shift: Tensor, dtype: torch.dtype) -> Moments:
    moved, spread = _Scaling.apply(mean, var, scale, shift)  # pyright: ignore[reportGeneralTypeIssues]
    return moved.to(dtype), spread.to(dtype)


def _update(buffer: Tensor, value: Tensor, momentum: float | Tensor) -> None:
    with torch.no_grad():
        buffer.copy_(torch.lerp(buffer, value.detach().to(buffer.dtype), momentum))


def _shaped(parameter: Tensor | None, shape: Sequence[int]) -> Tensor | None:
    return None if parameter is None else parameter.view(shape)
