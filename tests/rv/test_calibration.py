"""Modelled against sampled variance, and how the model can be gamed (acceptance 9)."""

import math

import pytest
import torch
from torch import Tensor, nn

from handvae import rv

COPIES = 8


class Averager(nn.Module):
    """Copies its input n times and averages the copies: the identity, with a lower modelled variance."""

    def __init__(self) -> None:
        super().__init__()
        self.spread, self.average = nn.Linear(4, 4 * COPIES, bias=False), nn.Linear(4 * COPIES, 4, bias=False)
        with torch.no_grad():
            self.spread.weight.copy_(torch.eye(4).repeat(COPIES, 1))
            self.average.weight.copy_(torch.eye(4).repeat(1, COPIES) / COPIES)

    def forward(self, x: Tensor) -> Tensor:
        return self.average(self.spread(x))


def test_average_of_copies_reports_a_fraction_and_calibration_finds_the_factor(random_variable, generator):
    network, variable = Averager(), random_variable(16, 4)
    torch.testing.assert_close(network(variable).var, variable.var / COPIES)
    report = rv.calibrate(network, variable, 2000, generator=generator)
    assert report.ratio == pytest.approx(COPIES, rel=0.05)
    assert report.label == "uncalibrated"


def test_a_single_layer_is_calibrated(random_variable, generator):
    torch.manual_seed(0)
    report = rv.calibrate(nn.Linear(6, 40), random_variable(8, 6), 1000, generator=generator)
    assert report.ratio == pytest.approx(1.0, abs=0.05)
    assert report.map_correlation > 0.98
    assert report.mean_error < 0.02
    assert report.true_loss == pytest.approx(report.claimed_loss, rel=0.05)
    assert report.label == "calibrated"


def test_losses_are_measured_against_the_target(generator):
    variable = rv.RandomVariable(torch.zeros(2, 3), torch.full((2, 3), 0.5))
    report = rv.calibrate(nn.Identity(), variable, 4000, target=torch.ones(2, 3), generator=generator)
    assert report.claimed_loss == pytest.approx(4.5)  # 3 · 1² + 3 · 0.5
    assert report.true_loss == pytest.approx(4.5, rel=0.05)


def test_calibration_runs_in_evaluation_mode_and_restores_the_mode(random_variable, generator):
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    before = network[1].running_mean.clone()
    rv.calibrate(network, random_variable(4, 3), 10, generator=generator)
    assert network.training
    assert network[2].training
    assert torch.equal(network[1].running_mean, before)


def test_the_same_generator_gives_the_same_report(random_variable):
    variable = random_variable(4, 3)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    first, second = (
        rv.calibrate(network, variable, 20, generator=torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert first == second


def test_functions_and_further_arguments_are_accepted(random_variable, generator):
    def decoder(code, shift):
        return 2.0 * code + shift

    report = rv.calibrate(decoder, random_variable(4, 3), 500, extra=(1.0,), generator=generator)
    assert report.ratio == pytest.approx(1.0, abs=0.1)


def test_known_inputs_are_refused(random_variable):
    with pytest.raises(ValueError, match="variance"):
        rv.calibrate(nn.Identity(), rv.RandomVariable(torch.zeros(2, 2)))


def test_a_network_that_loses_all_variance_is_infinitely_uncalibrated(random_variable, generator):
    report = rv.calibrate(
        lambda x: x * 0.0 if isinstance(x, rv.RandomVariable) else x,
        random_variable(2, 3),
        10,
        generator=generator,
    )
    assert math.isinf(report.ratio)
    assert report.label == "uncalibrated"


def test_antithetic_loss_is_unbiased_where_the_modelled_one_is_not(generator):
    network = Averager()
    mean, var = torch.zeros(20_000, 4), torch.full((20_000, 4), 0.5)
    variable = rv.RandomVariable(mean, var)
    draws = rv.antithetic(variable, torch.randn(mean.shape, generator=generator))
    loss = sum(network(draw).square().sum(1).mean().item() for draw in draws) / 2
    assert loss == pytest.approx(2.0, rel=0.03)  # 4 · 0.5
    assert network(variable).var.sum(1).mean().item() == pytest.approx(2.0 / COPIES)
