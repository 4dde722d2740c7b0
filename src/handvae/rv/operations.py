"""The rules of torch functions, registered for `__torch_function__`: unmodified modules run on these.

Each rule takes the arguments of its torch function and calls a pure function of `handvae.rv.functional`,
which holds the formula.
"""

from collections.abc import Callable, Sequence
from functools import partial
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
CLARK = (
    "Gaussian input, exact for two values; a tree of pairs above: "
    "of four, mean within 3 % of the std, variance within 20 %"
)
RESIZED = f"nearest: {COPIES}; bilinear, bicubic: {SHARED_INPUTS}"
INDEPENDENT_OPERANDS = "independent operands; x + x and x * x of one variable are known to be correlated"
MOVES = "moves elements"


def moments(x: RandomVariable) -> tuple[Tensor, Tensor]:
    """Returns mean and variance, zeros for a Dirac: the arguments of a pure function."""
    return x.mean, x.var_or_zeros()


# ----------------------------------------------------------------------------------------------------- linear

_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
_TRANSPOSED = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)
_MATRIX_PRODUCTS = (torch.matmul, torch.mm, torch.bmm, Tensor.matmul, Tensor.mm, Tensor.bmm)


@register_function(F.linear, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def _linear(x: RandomVariable, weight: Tensor, bias: Tensor | None = None) -> RandomVariable:
    return RandomVariable(*functional.linear(*moments(x), weight, bias))


@register_function(*_CONVOLUTIONS, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def _convolution(x: RandomVariable, *settings: Any, **named: Any) -> RandomVariable:
    return RandomVariable(*functional.convolution(*moments(x), *settings, **named))


@register_function(*_TRANSPOSED, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def _transposed_convolution(x: RandomVariable, *settings: Any, **named: Any) -> RandomVariable:
    return RandomVariable(*functional.transposed_convolution(*moments(x), *settings, **named))


@register_function(*_MATRIX_PRODUCTS, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS, anywhere=True)
def _matmul(first: Any, second: Any) -> RandomVariable:
    # Var[Σ_k x_k a_k] = Σ_k v_k a_k², and the same with the known matrix on the left
    if isinstance(first, RandomVariable) and isinstance(second, RandomVariable):
        raise UnsupportedRVOp("matmul of two random variables", calling_module(), "one side must be known")
    if isinstance(first, RandomVariable):
        return RandomVariable(first.mean @ second, first.var_or_zeros() @ second.square())
    return RandomVariable(first @ second.mean, first.square() @ second.var_or_zeros())


# ------------------------------------------------------------------------------------------------- arithmetic

# The operators of RandomVariable do the arithmetic; they notice where both operands are one variable.
_register_two_operands = partial(
    register_function,
    kind=Kind.INDEPENDENCE,
    assumption=INDEPENDENT_OPERANDS,
    anywhere=True,
    takes_dirac=True,
)
_DIVISIONS = (torch.div, torch.true_divide, Tensor.div, Tensor.__rtruediv__)


@_register_two_operands(torch.add, Tensor.add, Tensor.__radd__)
def _add(first: Any, second: Any, *, alpha: float = 1.0) -> RandomVariable:
    if alpha != 1.0:
        if second is first:
            return first * (1.0 + alpha)  # x + αx is one variable, fully correlated
        second = second * alpha
    return first + second if isinstance(first, RandomVariable) else second + first


@_register_two_operands(torch.sub, torch.subtract, Tensor.sub)
def _subtract(first: Any, second: Any, *, alpha: float = 1.0) -> RandomVariable:
    if alpha != 1.0:
        if second is first:
            return first * (1.0 - alpha)
        second = second * alpha
    return first - second if isinstance(first, RandomVariable) else second.__rsub__(first)


@_register_two_operands(torch.rsub, Tensor.__rsub__)
def _reverse_subtract(first: Any, second: Any) -> RandomVariable:
    return _subtract(second, first)


@_register_two_operands(torch.mul, torch.multiply, Tensor.mul, Tensor.__rmul__)
def _multiply(first: Any, second: Any) -> RandomVariable:
    return first * second if isinstance(first, RandomVariable) else second * first


@register_function(*_DIVISIONS, kind=Kind.EXACT, assumption="division by a known number", takes_dirac=True)
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


_register_reduction = partial(
    register_function,
    kind=Kind.INDEPENDENCE,
    assumption="independent elements: the mean of n has variance mean(v)/n",
)


@_register_reduction(torch.sum, Tensor.sum)
def _sum(x: RandomVariable, dim: Any = None, keepdim: bool = False) -> RandomVariable:
    axes = list(range(x.dim())) if dim is None else dim
    return RandomVariable(
        torch.sum(x.mean, axes, keepdim=keepdim), x.var_or_zeros().sum(axes, keepdim=keepdim)
    )


@_register_reduction(torch.mean, Tensor.mean)
def _mean(x: RandomVariable, dim: Any = None, keepdim: bool = False) -> RandomVariable:
    # Var[Σx/n] = Σv/n²
    axes = list(range(x.dim())) if dim is None else dim
    mean = torch.mean(x.mean, axes, keepdim=keepdim)
    count = x.numel() // mean.numel()
    return RandomVariable(mean, x.var_or_zeros().sum(axes, keepdim=keepdim) / count**2)


# ---------------------------------------------------------------------------------------------- normalisation


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
    normalised = functional.batch_norm(
        *moments(x), running_mean, running_var, weight, bias, training, momentum, eps
    )
    return RandomVariable(*normalised)


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

    # with fixed statistics it is batch normalisation in evaluation mode
    normalised = functional.batch_norm(
        *moments(x), running_mean, running_var, weight, bias, False, momentum, eps
    )
    return RandomVariable(*normalised)


# ------------------------------------------------------------------------------------------------ activations


def _register_elementwise(
    pure: Callable[..., functional.Moments], *functions: Callable[..., Any], kind: Kind, assumption: str
) -> None:
    def apply(x: RandomVariable, *settings: Any, inplace: bool = False, **named: Any) -> RandomVariable:
        return RandomVariable(*pure(*moments(x), *settings, **named))

    register_function(*functions, kind=kind, assumption=assumption)(apply)


_register_gaussian = partial(_register_elementwise, kind=Kind.GAUSSIAN, assumption=GAUSSIAN)
_register_gaussian(functional.relu, F.relu, torch.relu, Tensor.relu)
_register_gaussian(functional.absolute, torch.abs, torch.absolute, Tensor.abs)
_register_gaussian(functional.prelu, torch.prelu)
_register_gaussian(functional.elu, F.elu)
_register_gaussian(functional.exponential, torch.exp, Tensor.exp)

_register_quadrature = partial(_register_elementwise, kind=Kind.GAUSSIAN, assumption=QUADRATURE)
_register_quadrature(functional.silu, F.silu)
_register_quadrature(functional.gelu, F.gelu)
_register_quadrature(functional.softplus, F.softplus)

_register_approximate = partial(_register_elementwise, kind=Kind.APPROXIMATE)
_register_approximate(functional.sigmoid, torch.sigmoid, Tensor.sigmoid, F.sigmoid, assumption=PROBIT)
_register_approximate(functional.tanh, torch.tanh, Tensor.tanh, F.tanh, assumption=TANH)


@register_function(F.leaky_relu, kind=Kind.GAUSSIAN, assumption=GAUSSIAN)
def _leaky_relu(x: RandomVariable, negative_slope: float = 0.01, inplace: bool = False) -> RandomVariable:
    return RandomVariable(*functional.leaky_relu(*moments(x), negative_slope))


def dropout(
    x: RandomVariable, p: float = 0.5, training: bool = True, inplace: bool = False
) -> RandomVariable:
    """Dropout of elements or channels."""
    if not training or p <= 0.0:
        return x
    return RandomVariable(*arithmetic.dropout(x.mean, x.var, p))


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


# --------------------------------------------------------------------------------------- pooling and resizing


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
    pooled = functional.average_pool(
        *moments(x), kernel_size, stride or None, padding, ceil_mode, count_include_pad, divisor_override
    )
    return RandomVariable(*pooled)


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
    pooled = functional.average_pool(
        *moments(_with_row_axis(x)),
        _with_row_size(kernel_size, 1),
        _with_row_size(stride or kernel_size, 1),
        _with_row_size(padding, 0),
        ceil_mode,
        count_include_pad,
    )
    return _without_row_axis(RandomVariable(*pooled))


@register_function(F.adaptive_avg_pool2d, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def adaptive_average_pool2d(x: RandomVariable, output_size: Any) -> RandomVariable:
    """Adaptive average pooling over two axes."""
    return RandomVariable(*functional.adaptive_average_pool(*moments(x), output_size))


@register_function(F.adaptive_avg_pool1d, kind=Kind.INDEPENDENCE, assumption=SHARED_INPUTS)
def adaptive_average_pool1d(x: RandomVariable, output_size: Any) -> RandomVariable:
    """Adaptive average pooling over one axis."""
    size = _with_row_size(output_size, 1)
    pooled = functional.adaptive_average_pool(*moments(_with_row_axis(x)), size)
    return _without_row_axis(RandomVariable(*pooled))


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
    pooled = functional.max_pool(*moments(x), kernel_size, stride or None, padding, dilation, ceil_mode)
    return RandomVariable(*pooled)


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
    pooled = max_pool2d(
        _with_row_axis(x),
        _with_row_size(kernel_size, 1),
        _with_row_size(stride or kernel_size, 1),
        _with_row_size(padding, 0),
        _with_row_size(dilation, 1),
        ceil_mode,
        return_indices,
    )

    return _without_row_axis(pooled)


# One axis is pooled as a picture of one row.


def _with_row_axis(x: RandomVariable) -> RandomVariable:
    return x.map(lambda moment: moment.unsqueeze(-2))


def _without_row_axis(x: RandomVariable) -> RandomVariable:
    return x.map(lambda moment: moment.squeeze(-2))


def _with_row_size(size: Any, rows: int) -> tuple[int, int]:
    """Puts the size along the row axis before the one along the last axis."""
    return rows, size if isinstance(size, int) else size[0]


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

    resized = functional.interpolate_linear(
        *moments(x), size, scale_factor, mode, align_corners, recompute_scale_factor
    )
    return RandomVariable(*resized)


# -------------------------------------------------------------------------------------------------- movements


def _moving(function: Callable[..., Any]) -> Callable[..., Any]:
    """The rule of a function that only moves or copies elements: mean and variance move alike."""

    def apply(x: RandomVariable, *settings: Any, **named: Any) -> Any:
        means = function(x.mean, *settings, **named)
        variances = function(x.var_or_zeros(), *settings, **named)
        if isinstance(means, Tensor):
            return RandomVariable(means, variances)
        return tuple(RandomVariable(mean, var) for mean, var in zip(means, variances, strict=True))

    return apply


_FUNCTIONS_AND_METHODS = (
    "reshape flatten unflatten permute transpose swapaxes movedim squeeze unsqueeze chunk split unbind "
    "narrow select index_select gather flip roll t clone detach tril triu diagonal"
)
_METHODS = "view view_as reshape_as contiguous to float double half bfloat16 cpu cuda __getitem__"
_COPYING_METHODS = "expand expand_as repeat repeat_interleave tile broadcast_to"

for _name in _FUNCTIONS_AND_METHODS.split():
    for _home in (torch, Tensor):
        _function = getattr(_home, _name)
        register_function(_function, kind=Kind.EXACT, assumption=MOVES)(_moving(_function))
for _name in _METHODS.split():
    _function = getattr(Tensor, _name)
    register_function(_function, kind=Kind.EXACT, assumption=MOVES)(_moving(_function))
for _name in _COPYING_METHODS.split():
    _function = getattr(Tensor, _name)
    register_function(_function, kind=Kind.EXACT, assumption=COPIES)(_moving(_function))
for _function in (F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle):
    register_function(_function, kind=Kind.EXACT, assumption=MOVES)(_moving(_function))


@register_function(
    F.pad, kind=Kind.EXACT, assumption=f"constant: exact; reflect, replicate, circular: {COPIES}"
)
def pad(
    x: RandomVariable, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> RandomVariable:
    """Padding; a constant border is known, so its variance is zero."""
    return RandomVariable(F.pad(x.mean, list(pad), mode, value), F.pad(x.var_or_zeros(), list(pad), mode))


_register_join = partial(
    register_function, kind=Kind.EXACT, assumption=MOVES, anywhere=True, takes_dirac=True
)


@_register_join(torch.cat, torch.concat, torch.concatenate)
def _cat(parts: Sequence[RandomVariable | Tensor], dim: int = 0) -> Any:
    return cat(parts, dim)


@_register_join(torch.stack)
def _stack(parts: Sequence[RandomVariable | Tensor], dim: int = 0) -> Any:
    def with_new_axis(part: RandomVariable | Tensor) -> RandomVariable | Tensor:
        if isinstance(part, RandomVariable):
            return part.map(lambda moment: moment.unsqueeze(dim))
        return part.unsqueeze(dim)

    return cat([with_new_axis(part) for part in parts], dim)
