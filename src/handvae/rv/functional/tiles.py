"""Long chains of elementwise operations in pieces that stay in the processor's cache.

Eager kernels on CPU write every temporary to memory, and fresh memory costs a page fault every four kilobytes: two to
three times the arithmetic. Compilers and GPUs need no help.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from handvae.rv.functional.moments import at_least_float32

_TILE = 1 << 16  # elements; a quarter of a megabyte a temporary: smaller pieces pay more for calls, larger ones for memory


def in_tiles(chain: Callable[..., tuple[Tensor, Tensor]], inputs: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Applies an elementwise chain with two results to tensors of one shape, in float32 at least, and casts to `dtype`."""
    first = inputs[0]
    if first.device.type != "cpu" or first.numel() <= 2 * _TILE or torch.compiler.is_compiling() or torch.is_grad_enabled():
        one, two = chain(*(at_least_float32(tensor) for tensor in inputs))
        return one.to(dtype), two.to(dtype)
    flat = [_flat(tensor, first) for tensor in inputs]
    results = torch.empty_like(flat[0], dtype=dtype), torch.empty_like(flat[0], dtype=dtype)
    pieces = zip(*(tensor.split(_TILE) for tensor in (*results, *flat)), strict=True)
    for one, two, *tile in pieces:
        first_part, second_part = chain(*(at_least_float32(tensor) for tensor in tile))
        one.copy_(first_part)
        two.copy_(second_part)
    return _unflat(results[0], first), _unflat(results[1], first)


def _order(like: Tensor) -> list[int]:
    return sorted(range(like.dim()), key=like.stride, reverse=True)


def _flat(tensor: Tensor, like: Tensor) -> Tensor:
    """Reads the elements in the memory order of `like`: a view if the layouts agree, else a copy."""
    return tensor.permute(_order(like)).reshape(-1)


def _unflat(flat: Tensor, like: Tensor) -> Tensor:
    order = _order(like)
    inverse = sorted(range(like.dim()), key=order.__getitem__)
    return flat.view([like.shape[axis] for axis in order]).permute(inverse)
