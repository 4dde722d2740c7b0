"""What the pure functions take and return: a mean and a variance of one shape."""

import torch
from jaxtyping import Float
from torch import Tensor

Moments = tuple[Float[Tensor, "..."], Float[Tensor, "..."]]

_HALF = (torch.bfloat16, torch.float16)


def at_least_float32(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Raises half-precision numbers to float32; float32 and float64 pass unchanged."""
    return tensor.float() if tensor.dtype in _HALF else tensor


def result_dtype(tensor: Float[Tensor, "..."]) -> torch.dtype:
    """Returns the number format of moments computed from `tensor`: float32 under autocast, else its own."""
    if tensor.dtype in _HALF and torch.is_autocast_enabled(tensor.device.type):
        return torch.float32
    return tensor.dtype


def squared_weight(weight: Float[Tensor, "*shape"], var: Float[Tensor, "..."]) -> Float[Tensor, "*shape"]:
    """Squares a weight in float32 at least, then casts it to the variance's format: half precision would underflow."""
    return at_least_float32(weight).square().to(var.dtype)


def gentle_sqrt(var: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Square root whose gradient at zero is 1e4 instead of infinite; zero stays zero, above 1e-6 it is the root."""
    return var * (var + 1e-8).rsqrt()
