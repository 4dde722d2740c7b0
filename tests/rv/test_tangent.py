"""Variance along random directions: exact where it must be, and not to be gamed."""

import pytest
import torch
from torch import nn

from handvae import rv
from handvae.rv.tangent import mirrored_moments, tangent_moments


def a_variable(batch: int, size: int) -> rv.RandomVariable:
    generator = torch.Generator().manual_seed(3)
    mean = torch.randn(batch, size, generator=generator, dtype=torch.float64)
    return rv.RandomVariable(mean, torch.rand(batch, size, generator=generator, dtype=torch.float64) + 0.1)


def test_many_tangents_give_the_variance_of_a_linear_layer() -> None:
    layer = nn.Linear(6, 4).double()
    variable = a_variable(2, 6)
    modelled = tangent_moments(layer, variable, 3_000, generator=torch.Generator().manual_seed(0))
    assert variable.var is not None
    assert modelled.var is not None
    exact = variable.var @ layer.weight.square().T
    torch.testing.assert_close(modelled.mean, layer(variable.mean))
    torch.testing.assert_close(modelled.var, exact, rtol=0.15, atol=0.0)


@pytest.mark.parametrize("moments", [tangent_moments, mirrored_moments])
def test_the_average_of_equal_copies_keeps_its_variance(moments: object) -> None:
    # the diagonal model would say v / 32: copies are taken for independent
    network = nn.Sequential(nn.Linear(1, 32, bias=False), nn.Linear(32, 1, bias=False)).double()
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[1].weight.fill_(1 / 32)
    variable = rv.RandomVariable(
        torch.zeros(4000, 1, dtype=torch.float64), torch.full((4000, 1), 0.7, dtype=torch.float64)
    )
    modelled = moments(network, variable, generator=torch.Generator().manual_seed(0))  # pyright: ignore[reportCallIssue]
    diagonal = rv.to_rv(network)(variable)
    assert modelled.var.mean().item() == pytest.approx(0.7, rel=0.1)
    assert diagonal.var.mean().item() == pytest.approx(0.7 / 32, rel=1e-6)


def test_a_relu_network_is_modelled_closer_to_samples_than_by_independent_layers() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]
    network = nn.Sequential(*layers).double()
    with torch.no_grad():  # all rows alike: as correlated as hidden units can be
        for layer in (network[0], network[2]):
            layer.weight.copy_(layer.weight[:1].expand_as(layer.weight) + 0.1 * layer.weight)
            layer.bias.fill_(1.0)
        network[4].weight.abs_()
    variable = rv.RandomVariable(
        torch.zeros(64, 4, dtype=torch.float64), torch.full((64, 4), 0.01, dtype=torch.float64)
    )

    def tangent(value: object) -> object:
        return tangent_moments(network, value, 64) if isinstance(value, rv.RandomVariable) else network(value)

    diagonal, along = rv.calibrate(network, variable, 2000), rv.calibrate(tangent, variable, 2000)
    assert diagonal.ratio > 1.5
    assert along.ratio == pytest.approx(1.0, abs=0.1)


def test_the_expected_loss_of_mirrored_moments_is_the_mean_of_the_two_draws_losses() -> None:
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 5)).double()
    variable, target = a_variable(7, 3), torch.randn(7, 5, dtype=torch.float64)
    modelled = mirrored_moments(network, variable, generator=torch.Generator().manual_seed(5))
    noise = torch.randn(7, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    assert variable.var is not None
    assert modelled.var is not None
    step = variable.var.sqrt() * noise
    losses = [(target - network(variable.mean + sign * step)).square().sum() for sign in (1, -1)]
    expected = (target - modelled.mean).square().sum() + modelled.var.sum()
    torch.testing.assert_close(expected, (losses[0] + losses[1]) / 2)


def test_what_is_known_exactly_runs_the_network_once() -> None:
    calls = []

    def network(value: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return 2 * value

    for moments in (tangent_moments, mirrored_moments):
        known = moments(network, rv.RandomVariable(torch.ones(2, 3)), 5)
        assert known.is_dirac
        torch.testing.assert_close(known.mean, torch.full((2, 3), 2.0))
    assert len(calls) == 2
