"""Numbers drawn from ranges."""

import math

import numpy as np


def between(generator: np.random.Generator, low: int | float, high: int | float) -> float:
    """A number drawn evenly from [low, high)."""
    return low + (high - low) * float(generator.random())


def spread(generator: np.random.Generator, low: int | float, high: int | float) -> float:
    """A number drawn from [low, high) evenly in the logarithm; both are above 0."""
    return low * (high / low) ** float(generator.random())


def check_range(name: str, limits: tuple[float, float], least: float, most: float) -> None:
    """Refuse limits that are not least <= low <= high <= most."""
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high) and least <= low <= high <= most):
        raise ValueError(f"{name} is {(low, high)}; give {least:g} <= low <= high <= {most:g}")


def check_share(name: str, share: float) -> None:
    """Refuse a share that is not in [0, 1]."""
    if not 0 <= share <= 1:
        raise ValueError(f"{name} is {share}; it is a share between 0 and 1")
