"""How far the variance that a network reports is from the variance that it has."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.rv.convert import to_rv
from handvae.rv.variable import RandomVariable


@dataclass(frozen=True)
class CalibrationReport:
    """Modelled moments of a network's output against moments of samples."""

    ratio: float
    """Total variance of the samples / total modelled variance; 1 is right, above 1 the model under-states."""
    map_correlation: float
    """Pearson correlation of the two variance maps, mean over the batch."""
    mean_error: float
    """Root mean squared error of the modelled mean / samples' std, with the sampling noise subtracted."""
    claimed_loss: float
    """E‖target − output‖² per sample from the modelled moments."""
    true_loss: float
    """The same from the samples."""
    samples: int
    """Draws for each element of the batch."""

    @property
    def label(self) -> Literal["calibrated", "uncalibrated"]:
        """ "uncalibrated" if the ratio leaves [0.8, 1.25]."""
        return "calibrated" if 0.8 <= self.ratio <= 1.25 else "uncalibrated"

    def __str__(self) -> str:
        return (
            f"{self.label}: true/modelled variance {self.ratio:.3g}, "
            f"map correlation {self.map_correlation:.2f}, mean error {self.mean_error:.3f} std, "
            f"claimed loss {self.claimed_loss:.4g}, true loss {self.true_loss:.4g} ({self.samples} samples)"
        )


def calibrate(
    decoder: Callable[..., Any],
    variable: RandomVariable,
    samples: int = 256,
    *,
    extra: tuple[Any, ...] = (),
    target: Float[Tensor, "batch *shape"] | None = None,
    generator: torch.Generator | None = None,
) -> CalibrationReport:
    """Compares the moments of `samples` decoded draws with the modelled ones, in evaluation mode.

    Args:
        decoder: a network, or any function of a tensor or a variable (such as a closure over a network of
            `to_rv`; the caller then sets its mode).
        variable: distribution of the input; the decoder gets Gaussian draws from it.
        samples: draws for each element of the batch; the relative error of the ratio is about √(2/samples)
            for one output and much smaller for a picture.
        extra: further arguments of the decoder.
        target: what the expected loss is measured against; None for the decoded mean of the input.
        generator: source of the draws.

    Raises:
        ValueError: the variable is a Dirac, the decoder adds no variance, or there are fewer than two
            samples.
    """
    if variable.is_dirac or samples < 2:
        raise ValueError(
            "calibration compares variances: give a variable with variance and at least two samples"
        )

    with torch.no_grad(), _evaluation(decoder):
        propagate = to_rv(decoder) if isinstance(decoder, nn.Module) else decoder
        modelled = propagate(variable, *extra)
        if not isinstance(modelled, RandomVariable) or modelled.var is None:
            raise ValueError("the decoder returned no variance; it must take and return random variables")

        centre = decoder(variable.mean, *extra) if target is None else target
        mean = modelled.mean.double()
        var = modelled.var.double()

        # Sums of deviations from the modelled mean in float64: nothing large cancels.
        total = torch.zeros_like(mean)
        squares = torch.zeros_like(mean)

        for _ in range(samples):
            deviation = decoder(variable.sample(generator), *extra).double() - mean
            total += deviation
            squares += deviation.square()

    # unbiased moments of the samples; their mean has the sampling noise var/n
    bias = total / samples
    true_var = (squares - samples * bias.square()) / (samples - 1)
    noise = true_var.mean() / samples
    squared_bias = max(0.0, (bias.square().mean() - noise).item())

    # E‖x − x̂‖² = ‖x − m‖² + Σv, once with the modelled moments, once with those of the samples. The squared
    # mean of n draws exceeds the true one by var/n, which the factor 1 − 1/n subtracts.
    residual = (centre.double() - mean).flatten(1)
    claimed = residual.square().sum(1) + var.flatten(1).sum(1)
    true_residual = residual - bias.flatten(1)
    true = true_residual.square().sum(1) + (1.0 - 1.0 / samples) * true_var.flatten(1).sum(1)

    return CalibrationReport(
        ratio=_quotient(true_var.sum().item(), var.sum().item()),
        map_correlation=_correlation(true_var.flatten(1), var.flatten(1)),
        mean_error=_quotient(math.sqrt(squared_bias), math.sqrt(true_var.mean().item())),
        claimed_loss=claimed.mean().item(),
        true_loss=true.mean().item(),
        samples=samples,
    )


@contextmanager
def _evaluation(decoder: Callable[..., Any]) -> Iterator[None]:
    """Puts a network in evaluation mode and restores each module's own mode afterwards."""
    training = []
    if isinstance(decoder, nn.Module):
        training = [module for module in decoder.modules() if module.training]

    for module in training:
        module.training = False

    try:
        yield
    finally:
        for module in training:
            module.training = True


def _quotient(numerator: float, denominator: float) -> float:
    if denominator == 0.0:
        return math.nan if numerator == 0.0 else math.inf
    return numerator / denominator


def _correlation(first: Float[Tensor, "batch n"], second: Float[Tensor, "batch n"]) -> float:
    """Returns the mean Pearson correlation of the rows that vary, NaN if none does."""
    first = first - first.mean(1, keepdim=True)
    second = second - second.mean(1, keepdim=True)
    scale = (first.square().sum(1) * second.square().sum(1)).sqrt()
    varies = scale > 0
    return ((first * second).sum(1)[varies] / scale[varies]).mean().item()
