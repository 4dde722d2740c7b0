"""References for moments: samples, and quadrature far finer than the code's."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from handvae import rv

torch.set_num_threads(1)

SAMPLES = 200_000


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20)


@pytest.fixture
def random_variable(generator: torch.Generator) -> Callable[..., rv.RandomVariable]:
    """Makes a variable of a shape whose variances lie between 0.05 and `spread`."""

    def make(*shape: int, spread: float = 1.0, dtype: torch.dtype = torch.float32) -> rv.RandomVariable:
        mean = torch.randn(shape, generator=generator, dtype=dtype)
        return rv.RandomVariable(
            mean, 0.05 + (spread - 0.05) * torch.rand(shape, generator=generator, dtype=dtype)
        )

    return make


@pytest.fixture
def sampled(generator: torch.Generator) -> Callable[..., Tensor]:
    """Runs a function of a batch on draws of a variable of batch size one."""

    def run(
        function: Callable[[Tensor], Tensor], variable: rv.RandomVariable, samples: int = SAMPLES
    ) -> Tensor:
        noise = torch.randn(samples, *variable.shape[1:], generator=generator)
        with torch.no_grad():
            return torch.cat(
                [function(variable.mean + variable.std * part) for part in noise.split(10_000)]
            ).double()

    return run


@pytest.fixture
def agrees_with_samples() -> Callable[[rv.RandomVariable, Tensor], None]:
    """Asserts that moments lie within five standard errors of those of the draws."""

    def check(modelled: rv.RandomVariable, draws: Tensor) -> None:
        count = len(draws)
        mean, var = draws.mean(0), draws.var(0)
        fourth = (draws - mean).pow(4).mean(0)
        mean_error = (modelled.mean[0].double() - mean).abs()
        var_error = (modelled.var_or_zeros()[0].double() - var).abs()
        assert (mean_error <= 5.0 * (var / count).sqrt() + 1e-6).all()
        assert (var_error <= 5.0 * ((fourth - var.square()).clamp_min(0.0) / count).sqrt() + 1e-6).all()

    return check


@pytest.fixture
def integrated() -> Callable[..., tuple[Tensor, Tensor]]:
    """Returns mean and variance of an elementwise function of a Gaussian by trapezia on 8,001 points, in
    float64."""

    def integrate(function: Callable[[Tensor], Tensor], mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        nodes = torch.linspace(-10.0, 10.0, 8001, dtype=torch.float64)
        weights = torch.exp(-0.5 * nodes.square()) * (20.0 / 8000.0) / np.sqrt(2.0 * np.pi)
        values = function(mean.double()[:, None] + var.double().sqrt()[:, None] * nodes)
        centre = (weights * values).sum(1)
        return centre, (weights * (values - centre[:, None]).square()).sum(1)

    return integrate
