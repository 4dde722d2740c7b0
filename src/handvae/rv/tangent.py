"""Variance that keeps correlations: what the output does along random directions of the input's uncertainty.

Moment propagation drops the correlations between the outputs of a layer, and a trained decoder lives on them.
To first order the output of
a plain network moves by J(sigma * e) when its input moves by sigma * e, so for independent signs e
    Var[output] = sum_i (J_i sigma_i)^2 = E_e[(J (sigma * e))^2]
and one product with the Jacobian estimates it, without bias and without any assumption on the layers between.
Nothing can be gamed: the
average of n equal copies has the variance of one.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from handvae.rv.variable import RandomVariable


def tangent_moments(
    network: Callable[..., Any],
    variable: RandomVariable,
    tangents: int = 1,
    *,
    extra: tuple[Any, ...] = (),
    generator: torch.Generator | None = None,
) -> RandomVariable:
    """First-order moments of a plain network's output: its value at the mean, and the variance along random
    sign vectors.

    One tangent costs about three plain passes (`benchmarks/rv.py` measures it), a mirrored pair two. The
    total over many outputs
    is good with one; a map per pixel has the noise of a chi-square with `tangents` degrees of freedom.

    Args:
        network: takes a tensor of the variable's shape, and `extra`; evaluation mode, since batch
            statistics would mix samples.
        variable: mean and variance of the input; known exactly, the network runs once, plainly.
        tangents: number of sign vectors.
        extra: further arguments of the network, held fixed.
        generator: source of the signs.
    """
    if variable.var is None:
        return RandomVariable(network(variable.mean, *extra))
    std = variable.var.sqrt()

    def at(value: Tensor) -> Tensor:
        return network(value, *extra)

    mean, total = None, None
    for _ in range(tangents):
        pair = torch.func.jvp(at, (variable.mean,), (std * _signs(std, generator),))
        mean, moved = pair[0], pair[1]
        total = moved.square() if total is None else total + moved.square()
    if mean is None or total is None:
        raise ValueError("give at least one tangent")
    return RandomVariable(mean, total / tangents)


def mirrored_moments(
    network: Callable[..., Any],
    variable: RandomVariable,
    pairs: int = 1,
    *,
    extra: tuple[Any, ...] = (),
    generator: torch.Generator | None = None,
) -> RandomVariable:
    """Moments from mirrored draws: the mean of f(mean + d) and f(mean - d), and the square of half their
    difference.

    Two plain passes a pair. The expected loss of these moments, |x - m|^2 + v, is exactly the mean of the two
    draws' losses: training on
    `antithetic` draws is training on this variance. It reaches beyond first order (odd terms), and misses
    even ones.

    Args:
        network: takes a tensor of the variable's shape, and `extra`.
        variable: mean and variance of the input, taken as Gaussian.
        pairs: number of mirrored draws.
        extra: further arguments of the network, held fixed.
        generator: source of the draws.
    """
    if variable.var is None:
        return RandomVariable(network(variable.mean, *extra))
    std, means, squares = variable.var.sqrt(), [], []
    for _ in range(pairs):
        step = std * torch.randn(std.shape, generator=generator, device=std.device, dtype=std.dtype)
        above, below = network(variable.mean + step, *extra), network(variable.mean - step, *extra)
        means.append((above + below) / 2)
        squares.append(((above - below) / 2).square())
    return RandomVariable(torch.stack(means).mean(0), torch.stack(squares).mean(0))


def _signs(like: Float[Tensor, "..."], generator: torch.Generator | None) -> Float[Tensor, "..."]:
    """Independent +1 and -1: of all directions with unit variance those whose squares vary least."""
    return torch.randint(0, 2, like.shape, generator=generator, device=like.device).to(like.dtype) * 2 - 1
