"""Long chains of elementwise operations in pieces that stay in the processor's cache, or compiled into one
loop.

Eager kernels on CPU write every temporary to memory, and fresh memory costs a page fault every four
kilobytes: two to
three times the arithmetic. GPUs, and networks that are compiled as a whole, need no help.
"""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from handvae.rv.functional.moments import at_least_float32

Chain = partial[tuple[Tensor, Tensor]]
"""Elementwise: tensors of one shape to two of that shape; its settings are bound."""

_TILE = (
    1 << 16
)  # elements; a quarter of a megabyte a temporary: smaller pieces pay more for calls, larger ones for memory
_fused = False


def fuse_chains(on: bool = True) -> None:
    """From now on in this process, chains run as compiled loops, two to three times as fast as in pieces.

    The first use of each takes some ten seconds; without a C++ compiler they go on in pieces, and say so
    once.
    """
    global _fused
    _fused = on


def in_tiles(chain: Chain, inputs: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Applies a chain to tensors of one shape, in float32 at least, and casts to `dtype`."""
    first = inputs[0]
    if (
        first.device.type != "cpu"
        or first.numel() <= 2 * _TILE
        or torch.compiler.is_compiling()
        or torch.is_grad_enabled()
    ):
        return _cast(chain, dtype, *inputs)
    flat = [_flat(tensor, first) for tensor in inputs]
    results = _in_one_loop(chain, flat, dtype) if _fused else None
    if results is None:
        results = torch.empty_like(flat[0], dtype=dtype), torch.empty_like(flat[0], dtype=dtype)
        pieces = zip(*(tensor.split(_TILE) for tensor in (*results, *flat)), strict=True)
        for one, two, *tile in pieces:
            first_part, second_part = chain(*(at_least_float32(tensor) for tensor in tile))
            one.copy_(first_part)
            two.copy_(second_part)
    return _unflat(results[0], first), _unflat(results[1], first)


def _cast(chain: Chain, dtype: torch.dtype, *inputs: Tensor) -> tuple[Tensor, Tensor]:
    one, two = chain(*(at_least_float32(tensor) for tensor in inputs))
    return one.to(dtype), two.to(dtype)


def _in_one_loop(chain: Chain, flat: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
    from torch._dynamo.exc import (
        TorchDynamoException,
    )  # a second to import, of no use to those who do not compile

    try:
        return _loop(chain.func, tuple(chain.keywords.items()), dtype)(*flat)
    except TorchDynamoException as error:
        print(
            f"moments cannot be compiled here ({str(error).strip().splitlines()[0]}); going on without",
            flush=True,
        )
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
    return sorted(range(like.dim()), key=like.stride, reverse=True)


def _flat(tensor: Tensor, like: Tensor) -> Tensor:
    """Reads the elements in the memory order of `like`: a view if the layouts agree, else a copy."""
    return tensor.permute(_order(like)).reshape(-1)


def _unflat(flat: Tensor, like: Tensor) -> Tensor:
    order = _order(like)
    inverse = sorted(range(like.dim()), key=order.__getitem__)
    return flat.view([like.shape[axis] for axis in order]).permute(inverse)
