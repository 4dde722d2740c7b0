"""Variance that keeps correlations: how the output moves along random directions of the input's uncertainty.

Moment propagation drops the correlations between a layer's outputs, and a trained decoder relies on them.
To first order the output of a plain network moves by J(σ∘e) when its input moves by σ∘e, J its Jacobian.
For independent random signs e
    Var[output] = Σ_i (J_i σ_i)² = E_e[(J(σ∘e))²]
so one product with the Jacobian estimates it, without bias and without any assumption on the layers between.
Training cannot game this variance: the average of n equal copies has the variance of one.
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
    """First-order moments of a plain network's output: its value at the mean, variance along random signs.

    One tangent costs about three plain passes (`benchmarks/rv.py` measures it), a mirrored pair two. One is
    enough for the total over many outputs; a map per pixel has the noise of a chi-square with `tangents`
    degrees of freedom.

    Args:
        network: takes a tensor of the variable's shape, and `extra`; in evaluation mode, since batch
            statistics would mix samples.
        variable: mean and variance of the input; a Dirac costs one plain run.
        tangents: number of sign vectors.
        extra: further arguments of the network, held fixed.
        generator: source of the signs.

    Raises:
        ValueError: `tangents` is below 1.
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
    """Moments from mirrored draws: mean of f(m + d) and f(m − d), and the square of half their difference.

    Two plain passes a pair. With M = (f₊ + f₋)/2 and D = (f₊ − f₋)/2
        (|x − f₊|² + |x − f₋|²)/2 = |x − M|² + D²
    so the expected loss of these moments is exactly the mean loss of the two draws: training on `antithetic`
    draws is training on this variance. It covers odd terms beyond the first order, and misses even ones.

    Args:
        network: takes a tensor of the variable's shape, and `extra`.
        variable: mean and variance of the input, taken as Gaussian.
        pairs: number of mirrored draws.
        extra: further arguments of the network, held fixed.
        generator: source of the draws.
    """
    if variable.var is None:
        return RandomVariable(network(variable.mean, *extra))

    std = variable.var.sqrt()

    means, squares = [], []
    for _ in range(pairs):
        step = std * torch.randn(std.shape, generator=generator, device=std.device, dtype=std.dtype)
        above = network(variable.mean + step, *extra)
        below = network(variable.mean - step, *extra)
        means.append((above + below) / 2)
        squares.append(((above - below) / 2).square())

    return RandomVariable(torch.stack(means).mean(0), torch.stack(squares).mean(0))


def _signs(like: Float[Tensor, "..."], generator: torch.Generator | None) -> Float[Tensor, "..."]:
    """Independent +1 and −1: of all directions with unit variance, their squares vary least."""
    return torch.randint(0, 2, like.shape, generator=generator, device=like.device).to(like.dtype) * 2 - 1
