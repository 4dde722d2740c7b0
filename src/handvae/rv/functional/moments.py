"""What the pure functions take and return: a mean and a variance of one shape."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Moments = tuple[Float[Tensor, "..."], Float[Tensor, "..."]]

_HALF = (torch.bfloat16, torch.float16)
_rounded = False


def at_least_float32(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Raises half-precision numbers to float32; float32 and float64 pass unchanged."""
    return tensor.float() if tensor.dtype in _HALF else tensor


def result_dtype(tensor: Float[Tensor, "..."]) -> torch.dtype:
    """Returns the number format of moments computed from `tensor`: float32 under autocast, else its own."""
    if tensor.dtype in _HALF and torch.is_autocast_enabled(tensor.device.type):
        return torch.float32
    return tensor.dtype


def squared_weight(weight: Float[Tensor, "*shape"], var: Float[Tensor, "..."]) -> Float[Tensor, "*shape"]:
    """Squares a weight in float32 at least, then casts it to the variance's format."""
    return at_least_float32(weight).square().to(var.dtype)


def round_variances(on: bool = True) -> None:
    """Sends float32 variances through products and convolutions in bfloat16, for the rest of this process.

    Twice as fast on CPUs with bfloat16 arithmetic. Sums of non-negative numbers do not cancel: a variance is
    off by half a percent. Means stay in float32.
    """
    global _rounded
    _rounded = on


def variance_product(
    product: Callable[[Tensor, Tensor], Tensor], var: Float[Tensor, "..."], weight: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Returns `product(v, W²)` in a number format that holds W².

    Never in float16, where a weight below 2e-4 squares to zero. bfloat16 is good enough: sums of non-negative
    numbers do not cancel.
    """
    device = var.device.type
    autocast = torch.is_autocast_enabled(device)

    if autocast and torch.get_autocast_dtype(device) == torch.float16:
        with torch.autocast(device, enabled=False):
            var = at_least_float32(var)
            return product(var, squared_weight(weight, var))

    if _rounded and not autocast and var.dtype == torch.float32:
        var = var.bfloat16()
        return product(var, squared_weight(weight, var)).float()

    return product(var, squared_weight(weight, var))


def gentle_sqrt(var: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Square root whose gradient at zero is 1e4 instead of infinite: v/√(v + 1e-8), within 1 % above 1e-6."""
    return var * (var + 1e-8).rsqrt()
