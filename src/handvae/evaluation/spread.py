"""Whether the spread that a model predicts for its joints is right, and the fit of a scale that makes it so.

A spread is read as the standard deviation of a Gaussian for each coordinate. It is calibrated where a share
q of the truths lies in the central interval of probability q, for every q; of two calibrated spreads the
smaller (sharper) one is better. CRPS and the negative log-likelihood are proper scores: they fall with both.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize
from scipy.special import erf
from torch import Tensor

from handvae.evaluation.measure import Measure, Stated
from handvae.noise import Noise, Stream
from handvae.systems.spread import SpreadScale

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Probabilities of central intervals whose coverage is compared."""
ONE_SIGMA = math.erf(math.sqrt(0.5))
SMALLEST = 1e-3
"""Smallest spread that scores use, in the joints' unit: a coordinate that is certain and wrong would have an
infinite score."""


def fit_spread_scale(
    errors: Float[Tensor, "batch joint axis"],
    spread: Float[Tensor, "batch joint axis"],
    valid: Bool[Tensor, "batch joint"],
    fitted_on: str = "",
) -> SpreadScale:
    """The factor and floor of each axis with the lowest CRPS.

    The likelihood would follow the few errors that are far too large: errors have heavier tails than a
    Gaussian, and under the likeliest scale three quarters of them, not 68.3 %, lie within one deviation
    (docs/log/detectors.md).

    Args:
        errors: predicted minus true, of hands that the model was not trained on.
        spread: claimed standard deviation, same unit.
        valid: joints that have a label.
        fitted_on: see `SpreadScale`.
    """
    sizes = np.abs(errors[valid].double().numpy())
    claimed = spread[valid].double().numpy()

    factors = []
    floors = []

    for axis in range(sizes.shape[1]):
        factor, floor = _fit_axis(sizes[:, axis], claimed[:, axis])
        factors.append(factor)
        floors.append(floor)

    return SpreadScale(tuple(factors), tuple(floors), fitted_on)


def _fit_axis(error: np.ndarray, spread: np.ndarray) -> tuple[float, float]:
    """Factor and floor of one axis, by the CRPS and its gradient.

    With v = factor^2 * spread^2 + floor^2, sigma = sqrt(v), p = exp(-(e / sigma)^2 / 2) / sqrt(2 pi):
        CRPS = e erf(e / (sigma sqrt 2)) + sigma (2 p - 1 / sqrt pi)
        dCRPS / dv = (2 p - 1 / sqrt pi) / (2 sigma)
    """
    # in these units both numbers are about 1, and no factor is beyond the bounds
    error_unit = max(math.sqrt(np.square(error).mean()), 1e-12)
    spread_unit = max(math.sqrt(np.square(spread).mean()), 1e-3 * error_unit)
    error = error / error_unit
    squared_spread = np.square(spread / spread_unit)

    def cost(logs: np.ndarray) -> tuple[float, np.ndarray]:
        squared_factor, squared_floor = np.exp(logs)
        sigma = np.sqrt(squared_factor * squared_spread + squared_floor)
        density = np.exp(-np.square(error / sigma) / 2) / math.sqrt(2 * math.pi)
        tail = 2 * density - 1 / math.sqrt(math.pi)
        score = error * erf(error / sigma / math.sqrt(2)) + sigma * tail
        slope = tail / (2 * sigma)
        by_factor = (slope * squared_spread).mean() * squared_factor
        by_floor = slope.mean() * squared_floor
        return score.mean(), np.array([by_factor, by_floor])

    # the cost may have a local minimum at either end: nearly all factor, or nearly all floor
    starts = ([0.5, 0.5], [1.0, 1e-4], [1e-4, 1.0])
    fits = [
        minimize(cost, np.log(start), jac=True, method="L-BFGS-B", bounds=[(-25, 25)] * 2) for start in starts
    ]
    best = min(fits, key=lambda fit: fit.fun)
    factor, floor = np.exp(best.x / 2)
    return float(factor * error_unit / spread_unit), float(floor * error_unit)


def cross_fitted(
    errors: Float[Tensor, "batch joint axis"],
    spread: Float[Tensor, "batch joint axis"],
    valid: Bool[Tensor, "batch joint"],
    group: Int[Tensor, " batch"],
    seed: int = 0,
) -> Float[Tensor, "batch joint axis"]:
    """The spread of each half of the groups (people) scaled as fits the other half."""
    names, number = group.unique(return_inverse=True)
    order = Noise(seed, stream=Stream.SPREAD_HALVES).permutation(len(names))
    first = (order < len(names) // 2)[number]

    scaled = spread.clone()

    for half in (first, ~first):
        if half.any() and valid[~half].any():
            scale = fit_spread_scale(errors[~half], spread[~half], valid[~half])
            scaled[half] = scale(spread[half])

    return scaled


def coverage(
    errors: Float[Tensor, "batch joint axis"],
    spread: Float[Tensor, "batch joint axis"],
    valid: Bool[Tensor, "batch joint"],
    levels: tuple[float, ...] = LEVELS,
) -> Float[Tensor, " level"]:
    """Share of labelled coordinates that lie in the central interval of each probability."""
    reach = math.sqrt(2) * torch.erfinv(torch.tensor(levels, dtype=torch.float64))
    standard = (errors.abs() / spread.clamp_min(1e-30))[valid].double().flatten().sort().values
    return torch.searchsorted(standard, reach, right=True) / max(len(standard), 1)


def crps(errors: Float[Tensor, "*shape"], spread: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Continuous ranked probability score of N(0, spread^2) at each error, in the error's unit.

    Gneiting & Raftery (2007), eq. (21).
    """
    z = errors / spread
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return spread * (z * torch.erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))


def spread_measures(
    errors: Float[Tensor, "batch joint axis"],
    spread: Float[Tensor, "batch joint axis"],
    valid: Bool[Tensor, "batch joint"],
    *,
    unit: str,
    name: str = "spread",
    protocol: Stated,
) -> tuple[Measure, ...]:
    """Coverage, calibration error, sharpness, proper scores and rank correlation of a spread.

    Args:
        errors: predicted minus true.
        spread: claimed standard deviation, same unit.
        valid: joints that have a label.
        unit: of both.
        name: what the measures' names begin with.
        protocol: where the spread is from.
    """
    n = len(errors)
    covered = coverage(errors, spread, valid, (*LEVELS, ONE_SIGMA))
    gap = (covered[:-1] - torch.tensor(LEVELS, dtype=covered.dtype)).abs().mean()

    error = errors[valid].double()
    sigma = spread[valid].double().clamp_min(SMALLEST)
    nll = 0.5 * (error / sigma).square() + sigma.log() + 0.5 * math.log(2 * math.pi)
    rank_correlation = _spearman(error.norm(dim=-1), sigma.square().mean(-1).sqrt())

    def measure(suffix: str, value: float, measure_unit: str, definition: str) -> Measure:
        return Measure(f"{name}_{suffix}", value, measure_unit, n, protocol, definition)

    return (
        measure(
            "coverage",
            100 * float(covered[-1]),
            "%",
            "share of labelled coordinates with |error| <= claimed standard deviation; "
            "a calibrated Gaussian has 68.3 %",
        ),
        measure(
            "calibration_error",
            100 * float(gap),
            "%",
            f"mean |coverage - claimed|, {len(LEVELS)} central intervals "
            f"from {LEVELS[0]:.0%} to {LEVELS[-1]:.0%}",
        ),
        measure("sharpness", float(sigma.mean()), unit, "mean claimed standard deviation of a coordinate"),
        measure(
            "crps",
            float(crps(error, sigma).mean()),
            unit,
            "continuous ranked probability score of a coordinate",
        ),
        measure("nll", float(nll.mean()), "nats", f"Gaussian, of a coordinate in {unit}"),
        measure(
            "rank_correlation",
            rank_correlation,
            "",
            "Spearman, of a joint's error and its claimed spread (root mean square over axes), "
            "all joints of all hands",
        ),
    )


def _spearman(a: Float[Tensor, " value"], b: Float[Tensor, " value"]) -> float:
    """Correlation of ranks; ties keep their order."""
    if len(a) < 2:
        return float("nan")
    rank_a = a.argsort(stable=True).argsort().double()
    rank_b = b.argsort(stable=True).argsort().double()
    return float(torch.corrcoef(torch.stack([rank_a, rank_b]))[0, 1])
