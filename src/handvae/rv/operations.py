"""The rules of torch functions, registered for `__torch_function__`: unmodified modules run on variables
through these."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from handvae.rv import functional
from handvae.rv.errors import UnsupportedRVOp, calling_module
from handvae.rv.functional import arithmetic
from handvae.rv.rules import Kind, register_function
from handvae.rv.variable import RandomVariable, cat

SHARED_INPUTS = "independent inputs; outputs that share inputs are treated as independent"
GAUSSIAN = "exact for a Gaussian input"
FIXED_STATISTICS = "statistics held constant although random; good for small variance"
COPIES = "copies, fully correlated for what follows"
PROBIT = "probit; error of mean and variance 0.005 and 0.006 up to v = 1, 0.010 and 0.011 up to v = 4"
TANH = "as sigmoid; error of mean and variance 0.02 and 0.04 up to v = 1, 0.03 and 0.06 up to v = 4"
QUADRATURE = "Gaussian input; 9-point quadrature, error 5e-4 up to v = 1"
CLARK = "Gaussian input, exact for two values; a tree of pairs above: of four, mean within 3 % of the std, variance within 20 %"
RESIZED = f"nearest: {COPIES}; bilinear, bicubic: {SHARED_INPUTS}"
INDEPENDENT_PARTS = "independent operands; x + x and x * x of one variable are known to be correlated"


def moments(x: RandomVariable) -> tuple[Tensor, Tensor]:
    """Returns mean and variance, zeros for a Dirac: the arguments of a pure function."""
    return x.mean, x.var_or_zeros()


# ---- linear
# -----------------------------------------------------------------------------------------------------


@register_function(F.linear, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def _linear(x: RandomVariable, weight: Tensor, bias: Tensor | None = None) -> RandomVariable:
    return RandomVariable(*functional.linear(*moments(x), weight, bias))


@register_function(torch.conv1d, torch.conv2d, torch.conv3d, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def _convolution(x: RandomVariable, *settings: Any, **named: Any) -> RandomVariable:
    return RandomVariable(*functional.convolution(*moments(x), *settings, **named))


@register_function(
    torch.conv_transpose1d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
    kind=Kind.INDEPENDENCE,
    assumption=SHARED_INPUTS,
)
def _transposed_convolution(x: RandomVariable, *settings: Any, **named: Any) -> RandomVariable:
    return RandomVariable(*functional.transposed_convolution(*moments(x), *settings, **named))


@register_function(
    torch.matmul,
    torch.mm,
    torch.bmm,
    Tensor.matmul,
    Tensor.mm,
    Tensor.bmm,
    kind=Kind.INDEPENDENCE,
    assumption=SHARED_INPUTS,
    anywhere=True,
)
def _matmul(first: Any, second: Any) -> RandomVariable:
    if isinstance(first, RandomVariable) and isinstance(second, RandomVariable):
        raise UnsupportedRVOp("matmul of two random variables", calling_module(), "one side must be known")
    if isinstance(first, RandomVariable):
        return RandomVariable(first.mean @ second, first.var_or_zeros() @ second.square())
    return RandomVariable(first @ second.mean, first.square() @ second.var_or_zeros())


# ---- arithmetic
# -------------------------------------------------------------------------------------------------


@register_function(
    torch.add,
    Tensor.add,
    Tensor.__radd__,
    kind=Kind.INDEPENDENCE,
    assumption=INDEPENDENT_PARTS,
    anywhere=True,
    takes_dirac=True,
)
def _add(first: Any, second: Any, *, alpha: float = 1.0) -> RandomVariable:
    if alpha != 1.0:
        if second is first:
            return first * (1.0 + alpha)
        second = second * alpha
    return first + second if isinstance(first, RandomVariable) else second + first


@register_function(
    torch.sub,
    torch.subtract,
    Tensor.sub,
    kind=Kind.INDEPENDENCE,
    assumption=INDEPENDENT_PARTS,
    anywhere=True,
    takes_dirac=True,
)
def _subtract(first: Any, second: Any, *, alpha: float = 1.0) -> RandomVariable:
    if alpha != 1.0:
        if second is first:
            return first * (1.0 - alpha)
        second = second * alpha
    return first - second if isinstance(first, RandomVariable) else second.__rsub__(first)


@register_function(
    torch.rsub,
    Tensor.__rsub__,
    kind=Kind.INDEPENDENCE,
    assumption=INDEPENDENT_PARTS,
    anywhere=True,
    takes_dirac=True,
)
def _reverse_subtract(first: Any, second: Any) -> RandomVariable:
    return _subtract(second, first)


@register_function(
    torch.mul,
    torch.multiply,
    Tensor.mul,
    Tensor.__rmul__,
    kind=Kind.INDEPENDENCE,
    assumption=INDEPENDENT_PARTS,
    anywhere=True,
    takes_dirac=True,
)
def _multiply(first: Any, second: Any) -> RandomVariable:
    return first * second if isinstance(first, RandomVariable) else second * first


@register_function(
    torch.div,
    torch.true_divide,
    Tensor.div,
    Tensor.__rtruediv__,
    kind=Kind.EXACT,
    assumption="division by a known number",
    takes_dirac=True,
)
def _divide(first: RandomVariable, second: Any) -> RandomVariable:
    return first / second


@register_function(torch.neg, Tensor.neg, kind=Kind.EXACT, assumption="changes the sign")
def _negate(x: RandomVariable) -> RandomVariable:
    return -x


@register_function(torch.square, Tensor.square, kind=Kind.GAUSSIAN, assumption=GAUSSIAN)
def _square(x: RandomVariable) -> RandomVariable:
    return x.square()


@register_function(torch.pow, Tensor.pow, kind=Kind.GAUSSIAN, assumption=f"square only: {GAUSSIAN}")
def _power(x: RandomVariable, exponent: Any) -> RandomVariable:
    return x**exponent


def _reduction(mean_of: Callable[..., Tensor], divides: bool) -> Callable[..., RandomVariable]:
    def reduce(x: RandomVariable, dim: Any = None, keepdim: bool = False) -> RandomVariable:
        axes = list(range(x.dim())) if dim is None else dim
        mean = mean_of(x.mean, axes, keepdim=keepdim)
        total = x.var_or_zeros().sum(axes, keepdim=keepdim)
        return RandomVariable(mean, total / (x.numel() // mean.numel()) ** 2 if divides else total)

    return reduce


for _reduce, _functions in (
    (_reduction(torch.sum, False), (torch.sum, Tensor.sum)),
    (_reduction(torch.mean, True), (torch.mean, Tensor.mean)),
):
    register_function(
        *_functions,
        kind=Kind.INDEPENDENCE,
        assumption="independent elements: the mean of n has variance mean(v)/n",
    )(_reduce)


# ---- normalisation
# ----------------------------------------------------------------------------------------------


@register_function(
    F.batch_norm, kind=Kind.APPROXIMATE, assumption=f"evaluation: exact; training: {FIXED_STATISTICS}"
)
def _batch_norm(
    x: RandomVariable,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> RandomVariable:
    return RandomVariable(
        *functional.batch_norm(*moments(x), running_mean, running_var, weight, bias, training, momentum, eps)
    )


@register_function(F.group_norm, kind=Kind.APPROXIMATE, assumption=FIXED_STATISTICS)
def _group_norm(x: RandomVariable, *settings: Any, **named: Any) -> RandomVariable:
    if "num_groups" in named:
        named["groups"] = named.pop("num_groups")
    return RandomVariable(*functional.group_norm(*moments(x), *settings, **named))


@register_function(F.layer_norm, kind=Kind.APPROXIMATE, assumption=FIXED_STATISTICS)
def _layer_norm(x: RandomVariable, *settings: Any, **named: Any) -> RandomVariable:
    return RandomVariable(*functional.layer_norm(*moments(x), *settings, **named))


@register_function(F.instance_norm, kind=Kind.APPROXIMATE, assumption=FIXED_STATISTICS)
def instance_norm(
    x: RandomVariable,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> RandomVariable:
    """Instance normalisation."""
    if running_mean is None or running_var is None:
        return RandomVariable(*functional.instance_norm(*moments(x), weight, bias, eps))
    if use_input_stats:
        raise UnsupportedRVOp(
            "instance_norm that tracks statistics, in training",
            calling_module(),
            "use evaluation mode or track_running_stats=False",
        )
    return RandomVariable(
        *functional.batch_norm(*moments(x), running_mean, running_var, weight, bias, False, momentum, eps)
    )


# ---- activations
# ------------------------------------------------------------------------------------------------


def _elementwise(
    pure: Callable[..., functional.Moments], *functions: Callable[..., Any], kind: Kind, assumption: str
) -> None:
    def apply(x: RandomVariable, *settings: Any, inplace: bool = False, **named: Any) -> RandomVariable:
        return RandomVariable(*pure(*moments(x), *settings, **named))

    register_function(*functions, kind=kind, assumption=assumption)(apply)


_elementwise(functional.relu, F.relu, torch.relu, Tensor.relu, kind=Kind.GAUSSIAN, assumption=GAUSSIAN)
_elementwise(
    functional.absolute, torch.abs, torch.absolute, Tensor.abs, kind=Kind.GAUSSIAN, assumption=GAUSSIAN
)
_elementwise(functional.prelu, torch.prelu, kind=Kind.GAUSSIAN, assumption=GAUSSIAN)
_elementwise(functional.elu, F.elu, kind=Kind.GAUSSIAN, assumption=GAUSSIAN)
_elementwise(functional.exponential, torch.exp, Tensor.exp, kind=Kind.GAUSSIAN, assumption=GAUSSIAN)
_elementwise(
    functional.sigmoid, torch.sigmoid, Tensor.sigmoid, F.sigmoid, kind=Kind.APPROXIMATE, assumption=PROBIT
)
_elementwise(functional.tanh, torch.tanh, Tensor.tanh, F.tanh, kind=Kind.APPROXIMATE, assumption=TANH)
_elementwise(functional.silu, F.silu, kind=Kind.GAUSSIAN, assumption=QUADRATURE)
_elementwise(functional.gelu, F.gelu, kind=Kind.GAUSSIAN, assumption=QUADRATURE)
_elementwise(functional.softplus, F.softplus, kind=Kind.GAUSSIAN, assumption=QUADRATURE)


@register_function(F.leaky_relu, kind=Kind.GAUSSIAN, assumption=GAUSSIAN)
def _leaky_relu(x: RandomVariable, negative_slope: float = 0.01, inplace: bool = False) -> RandomVariable:
    return RandomVariable(*functional.leaky_relu(*moments(x), negative_slope))


def dropout(
    x: RandomVariable, p: float = 0.5, training: bool = True, inplace: bool = False
) -> RandomVariable:
    """Dropout of elements or channels."""
    return RandomVariable(*arithmetic.dropout(x.mean, x.var, p)) if training and p > 0.0 else x


register_function(
    F.dropout,
    torch.dropout,
    kind=Kind.EXACT,
    assumption="training: makes known numbers random",
    takes_dirac=True,
)(dropout)
register_function(
    F.dropout1d,
    F.dropout2d,
    F.dropout3d,
    kind=Kind.EXACT,
    assumption="whole channels are dropped together: correlated",
    takes_dirac=True,
)(dropout)


# ---- pooling and resizing
# ---------------------------------------------------------------------------------------


@register_function(F.avg_pool2d, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def average_pool2d(
    x: RandomVariable,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> RandomVariable:
    """Average pooling over two axes."""
    return RandomVariable(
        *functional.average_pool(
            *moments(x), kernel_size, stride or None, padding, ceil_mode, count_include_pad, divisor_override
        )
    )


@register_function(F.avg_pool1d, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def average_pool1d(
    x: RandomVariable,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> RandomVariable:
    """Average pooling over one axis."""
    kernel, step, margin = _along(kernel_size, 1), _along(stride or kernel_size, 1), _along(padding, 0)
    flat = x.map(lambda moment: moment.unsqueeze(-2))
    pooled = functional.average_pool(*moments(flat), kernel, step, margin, ceil_mode, count_include_pad)
    return RandomVariable(*pooled).map(lambda moment: moment.squeeze(-2))


@register_function(F.adaptive_avg_pool2d, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def adaptive_average_pool2d(x: RandomVariable, output_size: Any) -> RandomVariable:
    """Adaptive average pooling over two axes."""
    return RandomVariable(*functional.adaptive_average_pool(*moments(x), output_size))


@register_function(F.adaptive_avg_pool1d, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def adaptive_average_pool1d(x: RandomVariable, output_size: Any) -> RandomVariable:
    """Adaptive average pooling over one axis."""
    flat = x.map(lambda moment: moment.unsqueeze(-2))
    return RandomVariable(*functional.adaptive_average_pool(*moments(flat), _along(output_size, 1))).map(
        lambda moment: moment.squeeze(-2)
    )


@register_function(F.max_pool2d, torch.max_pool2d, kind=Kind.APPROXIMATE, assumption=CLARK)
def max_pool2d(
    x: RandomVariable,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> RandomVariable:
    """Max pooling over two axes."""
    if return_indices:
        raise UnsupportedRVOp(
            "max_pool2d with return_indices",
            calling_module(),
            "the largest element of random numbers has no one index",
        )
    return RandomVariable(
        *functional.max_pool(*moments(x), kernel_size, stride or None, padding, dilation, ceil_mode)
    )


@register_function(F.max_pool1d, torch.max_pool1d, kind=Kind.APPROXIMATE, assumption=CLARK)
def max_pool1d(
    x: RandomVariable,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> RandomVariable:
    """Max pooling over one axis."""
    sizes = (
        _along(kernel_size, 1),
        _along(stride or kernel_size, 1),
        _along(padding, 0),
        _along(dilation, 1),
    )
    flat = x.map(lambda moment: moment.unsqueeze(-2))
    return max_pool2d(flat, *sizes, ceil_mode, return_indices).map(lambda moment: moment.squeeze(-2))


def _along(value: Any, other: int) -> tuple[int, int]:
    """Extends a size along the last axis by the one of a dummy axis before it."""
    return other, value if isinstance(value, int) else value[0]


@register_function(F.interpolate, kind=Kind.INDEPENDENCE, assumption=RESIZED)
def interpolate(
    x: RandomVariable,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> RandomVariable:
    """Nearest, bilinear and bicubic resizing."""
    if mode in ("nearest", "nearest-exact"):
        return x.map(
            lambda moment: F.interpolate(
                moment, size, scale_factor, mode, recompute_scale_factor=recompute_scale_factor
            )
        )
    if mode not in ("bilinear", "bicubic") or antialias:
        raise UnsupportedRVOp(
            f"interpolate with mode {mode}, antialias {antialias}",
            calling_module(),
            "nearest, bilinear and bicubic have rules",
        )
    return RandomVariable(
        *functional.interpolate_linear(
            *moments(x), size, scale_factor, mode, align_corners, recompute_scale_factor
        )
    )


# ---- movements
# --------------------------------------------------------------------------------------------------


def _moving(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(x: RandomVariable, *settings: Any, **named: Any) -> Any:
        means, variances = (
            function(x.mean, *settings, **named),
            function(x.var_or_zeros(), *settings, **named),
        )
        if isinstance(means, Tensor):
            return RandomVariable(means, variances)
        return tuple(RandomVariable(mean, var) for mean, var in zip(means, variances, strict=True))

    return apply


_MOVEMENTS = (
    "reshape flatten unflatten permute transpose swapaxes movedim squeeze unsqueeze chunk split unbind narrow select index_select "
    "gather flip roll t clone detach tril triu diagonal"
)
_METHODS = "view view_as reshape_as contiguous to float double half bfloat16 cpu cuda __getitem__"
_COPIES = "expand expand_as repeat repeat_interleave tile broadcast_to"
for _name in _MOVEMENTS.split():
    for _home in (torch, Tensor):
        _function = getattr(_home, _name)
        register_function(_function, kind=Kind.EXACT, assumption="moves elements")(_moving(_function))
for _name in _METHODS.split():
    register_function(getattr(Tensor, _name), kind=Kind.EXACT, assumption="moves elements")(
        _moving(getattr(Tensor, _name))
    )
for _name in _COPIES.split():
    register_function(getattr(Tensor, _name), kind=Kind.EXACT, assumption=COPIES)(
        _moving(getattr(Tensor, _name))
    )
for _function in (F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle):
    register_function(_function, kind=Kind.EXACT, assumption="moves elements")(_moving(_function))


@register_function(
    F.pad, kind=Kind.EXACT, assumption=f"constant: exact; reflect, replicate, circular: {COPIES}"
)
def pad(
    x: RandomVariable, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> RandomVariable:
    """Padding."""
    return RandomVariable(F.pad(x.mean, list(pad), mode, value), F.pad(x.var_or_zeros(), list(pad), mode))


@register_function(
    torch.cat,
    torch.concat,
    torch.concatenate,
    kind=Kind.EXACT,
    assumption="moves elements",
    anywhere=True,
    takes_dirac=True,
)
def _cat(parts: Sequence[RandomVariable | Tensor], dim: int = 0) -> Any:
    return cat(parts, dim)


@register_function(torch.stack, kind=Kind.EXACT, assumption="moves elements", anywhere=True, takes_dirac=True)
def _stack(parts: Sequence[RandomVariable | Tensor], dim: int = 0) -> Any:
    def raised(part: RandomVariable | Tensor) -> RandomVariable | Tensor:
        return (
            part.map(lambda moment: moment.unsqueeze(dim))
            if isinstance(part, RandomVariable)
            else part.unsqueeze(dim)
        )

    return cat([raised(part) for part in parts], dim)
