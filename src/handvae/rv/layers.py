"""The rules of torch's layers: each reads its module's settings and calls a pure function."""

from typing import Any

import torch.nn.functional as F
from torch import nn

from handvae.rv import functional, operations
from handvae.rv.operations import moments
from handvae.rv.registry import register_rv
from handvae.rv.rules import Kind
from handvae.rv.variable import RandomVariable

# ----------------------------------------------------------------------------------------------------- linear

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@register_rv(nn.Linear, kind=Kind.INDEPENDENCE, assumption=operations.SHARED_INPUTS)
def _linear(module: nn.Linear, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.linear(*moments(x), module.weight, module.bias))


@register_rv(*_CONVOLUTIONS, kind=Kind.INDEPENDENCE, assumption=operations.SHARED_INPUTS)
def _convolution(module: Any, x: RandomVariable) -> RandomVariable:
    padding = module.padding
    if module.padding_mode != "zeros":
        # reflected and repeated pixels are copies: the result is of kind A
        margins = module._reversed_padding_repeated_twice
        x = x.map(lambda moment: F.pad(moment, margins, mode=module.padding_mode))
        padding = 0

    propagated = functional.convolution(
        *moments(x), module.weight, module.bias, module.stride, padding, module.dilation, module.groups
    )
    return RandomVariable(*propagated)


@register_rv(*_TRANSPOSED, kind=Kind.INDEPENDENCE, assumption=operations.SHARED_INPUTS)
def _transposed_convolution(
    module: Any, x: RandomVariable, output_size: list[int] | None = None
) -> RandomVariable:
    output_padding = module.output_padding
    if output_size is not None:
        axes = module.weight.dim() - 2
        output_padding = module._output_padding(
            x.mean, output_size, module.stride, module.padding, module.kernel_size, axes, module.dilation
        )

    propagated = functional.transposed_convolution(
        *moments(x),
        module.weight,
        module.bias,
        module.stride,
        module.padding,
        output_padding,
        module.groups,
        module.dilation,
    )
    return RandomVariable(*propagated)


# ---------------------------------------------------------------------------------------------- normalisation

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_BATCH_NORM_ASSUMPTION = f"evaluation: exact; training: {operations.FIXED_STATISTICS}"
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


@register_rv(*_BATCH_NORMS, kind=Kind.APPROXIMATE, assumption=_BATCH_NORM_ASSUMPTION)
def _batch_norm(module: Any, x: RandomVariable) -> RandomVariable:
    tracks = module.training and module.track_running_stats

    # without a momentum torch keeps the cumulative average; its weight stays on the device
    momentum = module.momentum
    if tracks and module.num_batches_tracked is not None:
        module.num_batches_tracked.add_(1)
        if momentum is None:
            momentum = 1.0 / module.num_batches_tracked.to(module.running_mean.dtype)

    momentum = 0.0 if momentum is None else momentum

    uses_running = tracks or not module.training
    running_mean = module.running_mean if uses_running else None
    running_var = module.running_var if uses_running else None
    propagated = functional.batch_norm(
        *moments(x),
        running_mean,
        running_var,
        module.weight,
        module.bias,
        module.training,
        momentum,
        module.eps,
    )

    return RandomVariable(*propagated)


@register_rv(nn.GroupNorm, kind=Kind.APPROXIMATE, assumption=operations.FIXED_STATISTICS)
def _group_norm(module: nn.GroupNorm, x: RandomVariable) -> RandomVariable:
    propagated = functional.group_norm(*moments(x), module.num_groups, module.weight, module.bias, module.eps)
    return RandomVariable(*propagated)


@register_rv(nn.LayerNorm, kind=Kind.APPROXIMATE, assumption=operations.FIXED_STATISTICS)
def _layer_norm(module: nn.LayerNorm, x: RandomVariable) -> RandomVariable:
    propagated = functional.layer_norm(
        *moments(x), module.normalized_shape, module.weight, module.bias, module.eps
    )
    return RandomVariable(*propagated)


@register_rv(*_INSTANCE_NORMS, kind=Kind.APPROXIMATE, assumption=operations.FIXED_STATISTICS)
def _instance_norm(module: Any, x: RandomVariable) -> RandomVariable:
    by_input = module.training or not module.track_running_stats
    return operations.instance_norm(
        x, module.running_mean, module.running_var, module.weight, module.bias, by_input, eps=module.eps
    )


# ------------------------------------------------------------------------------------------------ activations


@register_rv(nn.ReLU, kind=Kind.GAUSSIAN, assumption=operations.GAUSSIAN)
def _relu(module: nn.ReLU, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.relu(*moments(x)))


@register_rv(nn.LeakyReLU, kind=Kind.GAUSSIAN, assumption=operations.GAUSSIAN)
def _leaky_relu(module: nn.LeakyReLU, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.leaky_relu(*moments(x), module.negative_slope))


@register_rv(nn.PReLU, kind=Kind.GAUSSIAN, assumption=operations.GAUSSIAN)
def _prelu(module: nn.PReLU, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.prelu(*moments(x), module.weight))


@register_rv(nn.ELU, kind=Kind.GAUSSIAN, assumption=operations.GAUSSIAN)
def _elu(module: nn.ELU, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.elu(*moments(x), module.alpha))


@register_rv(nn.SiLU, kind=Kind.GAUSSIAN, assumption=operations.QUADRATURE)
def _silu(module: nn.SiLU, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.silu(*moments(x)))


@register_rv(nn.GELU, kind=Kind.GAUSSIAN, assumption=operations.QUADRATURE)
def _gelu(module: nn.GELU, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.gelu(*moments(x), module.approximate))


@register_rv(nn.Softplus, kind=Kind.GAUSSIAN, assumption=operations.QUADRATURE)
def _softplus(module: nn.Softplus, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.softplus(*moments(x), module.beta, module.threshold))


@register_rv(nn.Sigmoid, kind=Kind.APPROXIMATE, assumption=operations.PROBIT)
def _sigmoid(module: nn.Sigmoid, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.sigmoid(*moments(x)))


@register_rv(nn.Tanh, kind=Kind.APPROXIMATE, assumption=operations.TANH)
def _tanh(module: nn.Tanh, x: RandomVariable) -> RandomVariable:
    return RandomVariable(*functional.tanh(*moments(x)))


_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@register_rv(*_DROPOUTS, kind=Kind.EXACT, assumption="training: makes known numbers random", takes_dirac=True)
def _dropout(module: Any, x: RandomVariable) -> RandomVariable:
    return operations.dropout(x, module.p, module.training)


# --------------------------------------------------------------------------------------- pooling and resizing

_UPSAMPLINGS = (nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)


@register_rv(nn.AvgPool1d, kind=Kind.INDEPENDENCE, assumption=operations.SHARED_INPUTS)
def _average_pool1d(module: nn.AvgPool1d, x: RandomVariable) -> RandomVariable:
    return operations.average_pool1d(
        x, module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad
    )


@register_rv(nn.AvgPool2d, kind=Kind.INDEPENDENCE, assumption=operations.SHARED_INPUTS)
def _average_pool2d(module: nn.AvgPool2d, x: RandomVariable) -> RandomVariable:
    counting = (module.ceil_mode, module.count_include_pad, module.divisor_override)
    return operations.average_pool2d(x, module.kernel_size, module.stride, module.padding, *counting)


@register_rv(nn.AdaptiveAvgPool1d, kind=Kind.INDEPENDENCE, assumption=operations.SHARED_INPUTS)
def _adaptive_average_pool1d(module: nn.AdaptiveAvgPool1d, x: RandomVariable) -> RandomVariable:
    return operations.adaptive_average_pool1d(x, module.output_size)


@register_rv(nn.AdaptiveAvgPool2d, kind=Kind.INDEPENDENCE, assumption=operations.SHARED_INPUTS)
def _adaptive_average_pool2d(module: nn.AdaptiveAvgPool2d, x: RandomVariable) -> RandomVariable:
    return operations.adaptive_average_pool2d(x, module.output_size)


@register_rv(nn.MaxPool1d, kind=Kind.APPROXIMATE, assumption=operations.CLARK)
def _max_pool1d(module: nn.MaxPool1d, x: RandomVariable) -> RandomVariable:
    sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
    return operations.max_pool1d(x, *sizes, module.ceil_mode, module.return_indices)


@register_rv(nn.MaxPool2d, kind=Kind.APPROXIMATE, assumption=operations.CLARK)
def _max_pool2d(module: nn.MaxPool2d, x: RandomVariable) -> RandomVariable:
    sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
    return operations.max_pool2d(x, *sizes, module.ceil_mode, module.return_indices)


@register_rv(*_UPSAMPLINGS, kind=Kind.INDEPENDENCE, assumption=operations.RESIZED)
def _upsample(module: nn.Upsample, x: RandomVariable) -> RandomVariable:
    return operations.interpolate(
        x, module.size, module.scale_factor, module.mode, module.align_corners, module.recompute_scale_factor
    )


# -------------------------------------------------------------------------------------------------- movements

_CONSTANT_PADS = (nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d)
_COPYING_PADS = (nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d)
_MOVEMENTS = (nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle)


@register_rv(*_CONSTANT_PADS, kind=Kind.EXACT, assumption="pads with known numbers")
def _constant_pad(module: Any, x: RandomVariable) -> RandomVariable:
    return operations.pad(x, module.padding, "constant", module.value)


@register_rv(*_COPYING_PADS, kind=Kind.APPROXIMATE, assumption=operations.COPIES)
@register_rv(*_MOVEMENTS, kind=Kind.EXACT, assumption=operations.MOVES)
def _move(module: Any, x: RandomVariable) -> RandomVariable:
    # the plain layer itself moves mean and variance, one after the other
    return x.map(lambda moment: type(module).plain_type.forward(module, moment))


@register_rv(nn.Identity, kind=Kind.EXACT, assumption="changes nothing")
def _identity(module: nn.Identity, x: RandomVariable) -> RandomVariable:
    return x
