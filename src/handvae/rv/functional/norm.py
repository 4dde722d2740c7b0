"""Moments of normalisation layers: statistics by the law of total variance, then an affine map.

The variance of a set of random scalars is the variance of their means plus the mean of their variances;
both parts are sums of squares, so nothing cancels. Statistics are constants to the moments, yet gradients
flow through them. Computed in float32 under autocast.
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
    """Batch normalisation: mean γ(m−μ_B)/√(v_B+ε)+β, variance γ²v/(v_B+ε).

    In evaluation an exact affine map (E). In training approximate (A): the batch statistics are random but
    held constant; μ_B = mean(m), v_B = var(m) + mean(v), and the running buffers are updated in place.
    """
    dtype, mean, var = result_dtype(mean), at_least_float32(mean), at_least_float32(var)
    if training or running_mean is None or running_var is None:
        axes = [axis for axis in range(mean.dim()) if axis != 1]
        centre, spread = _statistics(mean, var, axes)
        if running_mean is not None and running_var is not None:
            count = mean.numel() // mean.shape[1]
            _update(running_mean, centre, momentum)
            _update(running_var, spread * (count / (count - 1)), momentum)
    else:
        centre, spread = running_mean, running_var
    shape = (1, -1) + (1,) * (mean.dim() - 2)
    return _affine(
        mean,
        var,
        centre.view(shape),
        spread.view(shape),
        _shaped(weight, shape),
        _shaped(bias, shape),
        eps,
        dtype,
    )


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
    dtype, mean, var = result_dtype(mean), at_least_float32(mean), at_least_float32(var)
    batch, channels = mean.shape[:2]
    axes = list(range(2, mean.dim()))
    # Channel statistics first, then their groups: reshaping to groups would copy a channels_last tensor.
    centre, within = _statistics(mean, var, axes) if axes else (mean, var)
    group_centre, group_spread = _statistics(
        centre.view(batch, groups, -1), within.view(batch, groups, -1), [2]
    )
    shape = (batch, channels) + (1,) * len(axes)
    size = (batch, groups, channels // groups)
    centre, spread = (
        part.view(batch, groups, 1).expand(size).reshape(shape) for part in (group_centre, group_spread)
    )
    shape = (1, -1) + (1,) * len(axes)
    return _affine(mean, var, centre, spread, _shaped(weight, shape), _shaped(bias, shape), eps, dtype)


def layer_norm(
    mean: Float[Tensor, "..."],
    var: Float[Tensor, "..."],
    normalized_shape: Sequence[int],
    weight: Float[Tensor, "..."] | None = None,
    bias: Float[Tensor, "..."] | None = None,
    eps: float = 1e-5,
) -> Moments:
    """Layer normalisation, kind A: statistics over the trailing axes of each sample, held constant."""
    dtype, mean, var = result_dtype(mean), at_least_float32(mean), at_least_float32(var)
    axes = list(range(-len(normalized_shape), 0))
    centre, spread = _statistics(mean, var, axes)
    shape = (*mean.shape[: mean.dim() - len(axes)], *(1 for _ in axes))
    return _affine(mean, var, centre.view(shape), spread.view(shape), weight, bias, eps, dtype)


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
    """Mean and variance of sets of random scalars along `axes`, by two fast passes and one in the backward
    pass.

    torch.var_mean takes ten times as long on CPU. Given g_c, g_s: into m flows g_c/n + 2 g_s (m−c)/n, into v
    g_s/n.
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
        ctx.shape = [
            1 if axis in axes or axis - mean.dim() in axes else length
            for axis, length in enumerate(mean.shape)
        ]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        mean, centre = ctx.saved_tensors
        count = mean.numel() // centre.numel()
        grad_centre, grad_spread = (grad.view(ctx.shape) / count for grad in grad_outputs)
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
        ctx.save_for_backward(*inputs[:3])
        ctx.shift_shape = inputs[3].shape

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        grad_mean, grad_var = grad_outputs
        mean, var, scale = ctx.saved_tensors
        into_scale = (grad_mean * mean).sum_to_size(scale.shape) + 2.0 * scale * (grad_var * var).sum_to_size(
            scale.shape
        )
        into_shift = grad_mean.sum_to_size(ctx.shift_shape)
        return grad_mean * scale, grad_var * scale.square(), into_scale, into_shift


def _statistics(mean: Tensor, var: Tensor, axes: list[int]) -> tuple[Tensor, Tensor]:
    return _Statistics.apply(mean, var, axes)  # pyright: ignore[reportReturnType]


def _affine(
    mean: Tensor,
    var: Tensor,
    centre: Tensor,
    spread: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    # One scale and one shift a channel first: the full-size work is then one fused multiply-add and one
    # product.
    scale = (spread + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -centre * scale
    if bias is not None:
        shift = shift + bias
    scaled, spread = _Scaling.apply(mean, var, scale, shift)  # pyright: ignore[reportGeneralTypeIssues]
    return scaled.to(dtype), spread.to(dtype)


def _update(buffer: Tensor, value: Tensor, momentum: float | Tensor) -> None:
    with torch.no_grad():
        buffer.copy_(torch.lerp(buffer, value.detach().to(buffer.dtype), momentum))


def _shaped(parameter: Tensor | None, shape: Sequence[int]) -> Tensor | None:
    return None if parameter is None else parameter.view(shape)
