"""The rules of torch's layers: each reads its module's settings and calls a pure function."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from handvae.rv import functional
from handvae.rv.registry import Kind, register_rv
from handvae.rv.variable import RandomVariable

_SHARED_INPUTS = "independent inputs; outputs that share inputs are treated as independent"
_GAUSSIAN = "exact for a Gaussian input"
_FIXED_STATISTICS = "statistics held constant although random; good for small variance"


def _moments(x: RandomVariable) -> tuple[Tensor, Tensor]:
    return x.mean, x.var_or_zeros()


@register_rv(nn.Linear, kind=Kind.INDEPENDENCE, assumption=_SHARED_INPUTS)
def _linear(module: nn.Linear, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.linear(*_moments(x), module.weight, module.bias))


@register_rv(nn.Conv1d, nn.Conv2d, nn.Conv3d, kind=Kind.INDEPENDENCE, assumption=_SHARED_INPUTS)
def _convolution(module: Any, x: RandomVariable) -> RandomVariable:
    padding = module.padding
    if module.padding_mode != "zeros":
        # Reflected and repeated pixels are copies: kind A.
        x = x.map(lambda moment: F.pad(moment, module._reversed_padding_repeated_twice, mode=module.padding_mode))
        padding = 0
    moments = functional.convolution(*_moments(x), module.weight, module.bias, module.stride, padding, module.dilation, module.groups)
    return RandomVariable(*moments)


@register_rv(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, kind=Kind.INDEPENDENCE, assumption=_SHARED_INPUTS)
def _transposed_convolution(module: Any, x: RandomVariable, output_size: list[int] | None = None) -> RandomVariable:
    extra = module.output_padding
    if output_size is not None:
        axes = module.weight.dim() - 2
        extra = module._output_padding(x.mean, output_size, module.stride, module.padding, module.kernel_size, axes, module.dilation)
    moments = functional.transposed_convolution(
        *_moments(x), module.weight, module.bias, module.stride, module.padding, extra, module.groups, module.dilation
    )
    return RandomVariable(*moments)


@register_rv(
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, kind=Kind.APPROXIMATE, assumption=f"evaluation: exact; training: {_FIXED_STATISTICS}"
)
def _batch_norm(module: Any, x: RandomVariable) -> RandomVariable:
    tracks = module.training and module.track_running_stats
    momentum = module.momentum
    if tracks and module.num_batches_tracked is not None:
        module.num_batches_tracked.add_(1)
        if momentum is None:  # cumulative average, kept on the device
            momentum = 1.0 / module.num_batches_tracked.to(module.running_mean.dtype)
    use_running = tracks or not module.training
    running = (module.running_mean, module.running_var) if use_running else (None, None)
    momentum = 0.0 if momentum is None else momentum
    moments = functional.batch_norm(*_moments(x), *running, module.weight, module.bias, module.training, momentum, module.eps)
    return RandomVariable(*moments)


@register_rv(nn.GroupNorm, kind=Kind.APPROXIMATE, assumption=_FIXED_STATISTICS)
def _group_norm(module: nn.GroupNorm, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.group_norm(*_moments(x), module.num_groups, module.weight, module.bias, module.eps))


@register_rv(nn.LayerNorm, kind=Kind.APPROXIMATE, assumption=_FIXED_STATISTICS)
def _layer_norm(module: nn.LayerNorm, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.layer_norm(*_moments(x), module.normalized_shape, module.weight, module.bias, module.eps))


@register_rv(nn.ReLU, kind=Kind.GAUSSIAN, assumption=_GAUSSIAN)
def _relu(module: nn.ReLU, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.relu(*_moments(x)))


@register_rv(nn.LeakyReLU, kind=Kind.GAUSSIAN, assumption=_GAUSSIAN)
def _leaky_relu(module: nn.LeakyReLU, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.leaky_relu(*_moments(x), module.negative_slope))


@register_rv(nn.Upsample, nn.UpsamplingNearest2d, kind=Kind.EXACT, assumption="nearest: copies, fully correlated for the next layer")
def _upsample(module: nn.Upsample, x: RandomVariable) -> RandomVariable:
    moments = functional.upsample_nearest(*_moments(x), module.size, module.scale_factor)
    return RandomVariable(*moments)


@register_rv(nn.Flatten, nn.Unflatten, kind=Kind.EXACT, assumption="moves elements")
def _move(module: Any, x: RandomVariable) -> RandomVariable:
    return x.map(lambda moment: type(module).plain_type.forward(module, moment))


@register_rv(nn.Identity, kind=Kind.EXACT, assumption="nothing happens")
def _identity(module: nn.Identity, x: RandomVariable) -> RandomVariable:
    return x
