"""Whether the spread that a model gives for its joints is right, and the fit of a scale that makes it so.

A spread is read as the standard deviation of a Gaussian for each coordinate. It is calibrated where a share q
of the truths lies in the
central interval of probability q, for every q; of two calibrated spreads the smaller (sharper) one says more.
CRPS and the negative
log-likelihood are proper scores: they fall with both.
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
"""Spread that scores count for a smaller one, in the joints' unit: a coordinate that is certain and wrong
would have an infinite score."""


def fit_spread_scale(
    errors: Float[Tensor, "batch joint axis"],
    spread: Float[Tensor, "batch joint axis"],
    valid: Bool[Tensor, "batch joint"],
    fitted_on: str = "",
) -> SpreadScale:
    """The factor and floor of each axis with the lowest CRPS.

    The likelihood would be bought by the few errors that are far too large: errors have heavier tails than a
    Gaussian, and under the
    likeliest scale three quarters of them, not 68.3 %, lie within one deviation (docs/log.md).

    Args:
        errors: predicted minus true, of hands that the model was not trained on.
        spread: claimed standard deviation, same unit.
        valid: joints that have a label.
        fitted_on: see `SpreadScale`.
    """
    apart, claimed = (part[valid].double().numpy() for part in (errors, spread))
    fitted = [_closest(np.abs(e), s) for e, s in zip(apart.T, claimed.T, strict=True)]
    factor, floor = zip(*fitted, strict=True)
    return SpreadScale(factor, floor, fitted_on)


def _closest(error: np.ndarray, spread: np.ndarray) -> tuple[float, float]:
    """Factor and floor of one axis, by the CRPS and its gradient."""
    size = max(math.sqrt(np.square(error).mean()), 1e-12)
    reach = max(
        math.sqrt(np.square(spread).mean()), 1e-3 * size
    )  # so that both numbers are about 1, and no factor is beyond bounds
    error, squared_spread = error / size, np.square(spread / reach)

    def cost(logs: np.ndarray) -> tuple[float, np.ndarray]:
        factor, floor = np.exp(logs)  # both squared
        sigma = np.sqrt(factor * squared_spread + floor)
        density = np.exp(-np.square(error / sigma) / 2) / math.sqrt(2 * math.pi)
        score = error * erf(error / sigma / math.sqrt(2)) + sigma * (2 * density - 1 / math.sqrt(math.pi))
        slope = (2 * density - 1 / math.sqrt(math.pi)) / (2 * sigma)  # of the score, by the variance
        return score.mean(), np.array([(slope * squared_spread).mean() * factor, slope.mean() * floor])

    starts = (
        np.log([0.5, 0.5]),
        np.log([1.0, 1e-4]),
        np.log([1e-4, 1.0]),
    )  # the cost may have a hollow at either end
    best = min(
        (minimize(cost, start, jac=True, method="L-BFGS-B", bounds=[(-25, 25)] * 2) for start in starts),
        key=lambda found: found.fun,
    )
    factor, floor = np.exp(best.x / 2)
    return float(factor * size / reach), float(floor * size)


def cross_fitted(
    errors: Float[Tensor, "batch joint axis"],
    spread: Float[Tensor, "batch joint axis"],
    valid: Bool[Tensor, "batch joint"],
    group: Int[Tensor, " batch"],
    seed: int = 0,
) -> Float[Tensor, "batch joint axis"]:
    """The spread of each half of the groups (people) scaled as fits the other half."""
    names, number = group.unique(return_inverse=True)
    first = (Noise(seed, stream=Stream.SPREAD_HALVES).permutation(len(names)) < len(names) // 2)[number]
    scaled = spread.clone()
    for half in (first, ~first):
        if half.any() and valid[~half].any():
            scaled[half] = fit_spread_scale(errors[~half], spread[~half], valid[~half])(spread[half])
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
    """Continuous ranked probability score of N(0, spread^2) at each error, in the error's unit (Gneiting &
    Raftery 2007, eq. (21))."""
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
    n, covered = len(errors), coverage(errors, spread, valid, (*LEVELS, ONE_SIGMA))
    gap = (covered[:-1] - torch.tensor(LEVELS, dtype=covered.dtype)).abs().mean()
    e, s = errors[valid].double(), spread[valid].double().clamp_min(SMALLEST)
    likelihood = 0.5 * (e / s).square() + s.log() + 0.5 * math.log(2 * math.pi)
    levels = f"{len(LEVELS)} central intervals from {LEVELS[0]:.0%} to {LEVELS[-1]:.0%}"
    ranked = "of a joint's error and its claimed spread (root mean square over axes), all joints of all hands"
    return (
        Measure(f"{name}_coverage", 100 * float(covered[-1]), "%", n, protocol, "share of labelled coordinates with |error| <= claimed "
                "standard deviation; a calibrated Gaussian has 68.3 %"),
        Measure(f"{name}_calibration_error", 100 * float(gap), "%", n, protocol, f"mean |coverage - claimed|, {levels}"),
        Measure(f"{name}_sharpness", float(s.mean()), unit, n, protocol, "mean claimed standard deviation of a coordinate"),
        Measure(f"{name}_crps", float(crps(e, s).mean()), unit, n, protocol, "continuous ranked probability score of a coordinate"),
        Measure(f"{name}_nll", float(likelihood.mean()), "nats", n, protocol, f"Gaussian, of a coordinate in {unit}"),
        Measure(f"{name}_rank_correlation", _spearman(e.norm(dim=-1), s.square().mean(-1).sqrt()), "", n, protocol, f"Spearman, {ranked}"),
    )  # fmt: skip


def _spearman(a: Float[Tensor, " value"], b: Float[Tensor, " value"]) -> float:
    """Correlation of ranks; ties keep the order they came in."""
    if len(a) < 2:
        return float("nan")
    ranks = torch.stack([values.argsort(stable=True).argsort().double() for values in (a, b)])
    return float(torch.corrcoef(ranks)[0, 1])
