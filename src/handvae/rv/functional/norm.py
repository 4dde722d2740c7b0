"""Moments of normalisation layers: statistics by the law of total variance, then an affine map.

The variance of a set of random scalars is the variance of their means plus the mean of their variances;
both parts are sums of squares, so nothing cancels. Statistics are constants to the moments, yet gradients
flow through them. Computed in float32 under autocast.
"""

from collections.abc import Sequence

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
        between, centre = torch.var_mean(mean, axes, correction=0)
        spread = between + var.mean(axes)
        if running_mean is not None and running_var is not None:
            count = mean.numel() // mean.shape[1]
            _update(running_mean, centre, momentum)
            _update(running_var, spread * (count / (count - 1)), momentum)
    else:
        centre, spread = running_mean, running_var
    shape = (1, -1) + (1,) * (mean.dim() - 2)
    return _affine(mean, var, centre.view(shape), spread.view(shape), _shaped(weight, shape), _shaped(bias, shape), eps, dtype)


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
    if axes:
        within, centre = torch.var_mean(mean, axes, correction=0)
        within = within + var.mean(axes)
    else:
        within, centre = var, mean
    between, group_centre = torch.var_mean(centre.view(batch, groups, -1), 2, correction=0, keepdim=True)
    group_spread = between + within.view(batch, groups, -1).mean(2, keepdim=True)
    shape = (batch, channels) + (1,) * len(axes)
    size = (batch, groups, channels // groups)
    centre, spread = group_centre.expand(size).reshape(shape), group_spread.expand(size).reshape(shape)
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
    between, centre = torch.var_mean(mean, axes, correction=0, keepdim=True)
    spread = between + var.mean(axes, keepdim=True)
    return _affine(mean, var, centre, spread, weight, bias, eps, dtype)


def instance_norm(
    mean: Float[Tensor, "batch channel *space"],
    var: Float[Tensor, "batch channel *space"],
    weight: Float[Tensor, "channel"] | None = None,
    bias: Float[Tensor, "channel"] | None = None,
    eps: float = 1e-5,
) -> Moments:
    """Instance normalisation, kind A: group normalisation with one channel a group."""
    return group_norm(mean, var, mean.shape[1], weight, bias, eps)


def _affine(
    mean: Tensor, var: Tensor, centre: Tensor, spread: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    # One scale and one shift a channel first: the full-size work is then one fused multiply-add and one product.
    scale = (spread + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -centre * scale
    if bias is not None:
        shift = shift + bias
    return torch.addcmul(shift, mean, scale).to(dtype), (var * scale.square()).to(dtype)


def _update(buffer: Tensor, value: Tensor, momentum: float | Tensor) -> None:
    with torch.no_grad():
        buffer.copy_(torch.lerp(buffer, value.detach().to(buffer.dtype), momentum))


def _shaped(parameter: Tensor | None, shape: Sequence[int]) -> Tensor | None:
    return None if parameter is None else parameter.view(shape)
