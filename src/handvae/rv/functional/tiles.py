"""Long chains of elementwise operations, run in pieces that stay in the cache or compiled into one loop.

Eager kernels on CPU write every temporary to memory, and fresh memory costs a page fault every four
kilobytes: two to three times the arithmetic. GPUs, and networks that are compiled as a whole, need no help.
"""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from handvae.rv.functional.moments import at_least_float32

Chain = partial[tuple[Tensor, Tensor]]
"""Elementwise: tensors of one shape to two of that shape; its settings are bound."""

# Elements of a piece: a quarter of a megabyte a temporary. Smaller pieces pay more for calls, larger ones for
# memory.
_TILE = 1 << 16
_fused = False


def fuse_chains(on: bool = True) -> None:
    """Runs chains as compiled loops for the rest of this process: two to three times as fast as in pieces.

    The first use of each takes some ten seconds. Without a C++ compiler chains stay in pieces, after one
    printed line.
    """
    global _fused
    _fused = on


def in_tiles(chain: Chain, inputs: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Applies a chain to tensors of one shape, in float32 at least, and casts to `dtype`."""
    first = inputs[0]
    is_small = first.numel() <= 2 * _TILE
    if first.device.type != "cpu" or is_small or torch.compiler.is_compiling() or torch.is_grad_enabled():
        return _cast(chain, dtype, *inputs)

    flat = [_flat(tensor, first) for tensor in inputs]
    results = _in_one_loop(chain, flat, dtype) if _fused else None
    if results is None:
        results = _in_pieces(chain, flat, dtype)

    return _unflat(results[0], first), _unflat(results[1], first)


def _cast(chain: Chain, dtype: torch.dtype, *inputs: Tensor) -> tuple[Tensor, Tensor]:
    one, two = chain(*(at_least_float32(tensor) for tensor in inputs))
    return one.to(dtype), two.to(dtype)


def _in_pieces(chain: Chain, flat: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    first = torch.empty_like(flat[0], dtype=dtype)
    second = torch.empty_like(flat[0], dtype=dtype)
    pieces = zip(*(tensor.split(_TILE) for tensor in (first, second, *flat)), strict=True)
    for first_piece, second_piece, *inputs in pieces:
        first_result, second_result = chain(*(at_least_float32(tensor) for tensor in inputs))
        first_piece.copy_(first_result)
        second_piece.copy_(second_result)
    return first, second


def _in_one_loop(chain: Chain, flat: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
    # a second to import, of no use without compilation
    from torch._dynamo.exc import TorchDynamoException

    try:
        return _loop(chain.func, tuple(chain.keywords.items()), dtype)(*flat)
    except TorchDynamoException as error:
        reason = str(error).strip().splitlines()[0]
        print(f"moments cannot be compiled here ({reason}); they run uncompiled", flush=True)
        fuse_chains(False)
        return None


@cache
def _loop(
    function: Callable[..., tuple[Tensor, Tensor]],
    settings: tuple[tuple[str, object], ...],
    dtype: torch.dtype,
) -> Callable[..., tuple[Tensor, Tensor]]:
    return torch.compile(partial(_cast, partial(function, **dict(settings)), dtype), dynamic=True)


def _order(like: Tensor) -> list[int]:
    """Axes in the order of memory, the slowest first."""
    return sorted(range(like.dim()), key=like.stride, reverse=True)


def _flat(tensor: Tensor, like: Tensor) -> Tensor:
    """Reads the elements in the memory order of `like`: a view if the layouts agree, else a copy."""
    return tensor.permute(_order(like)).reshape(-1)


def _unflat(flat: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_flat`."""
    order = _order(like)
    inverse = sorted(range(like.dim()), key=order.__getitem__)
    return flat.view([like.shape[axis] for axis in order]).permute(inverse)
