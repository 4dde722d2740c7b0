"""Values computed by hand (acceptance 11)."""

import math

import pytest
import torch

from handvae import rv
from handvae.rv.losses import point_error, reconstruction_error
from handvae.systems.soft_intro_objective import SoftIntroWeights, decoder_term, fake_term, real_term

SCALE = 0.25  # of a picture of four values


def test_reconstruction_error_of_a_four_pixel_picture():
    output = rv.RandomVariable(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.2))
    target = torch.full((1, 1, 2, 2), 0.5)
    assert reconstruction_error(target, output, "none").item() == pytest.approx(1.0)
    assert reconstruction_error(target, output, "expected").item() == pytest.approx(1.8)
    assert reconstruction_error(target, output, "squared").item() == pytest.approx(3.0)
    assert reconstruction_error(target, rv.RandomVariable(output.mean), "squared").item() == pytest.approx(
        1.0
    )


def test_expected_error_is_the_mean_over_draws(random_variable, generator):
    output = random_variable(1, 3, 2, 2)
    target = torch.randn(1, 3, 2, 2, generator=generator)
    draws = rv.RandomVariable(
        output.mean.expand(100_000, -1, -1, -1), output.var.expand(100_000, -1, -1, -1)
    ).sample(generator)
    sampled = (draws - target).square().flatten(1).sum(1).mean()
    assert reconstruction_error(target, output, "expected").item() == pytest.approx(sampled.item(), rel=0.01)


def test_point_error_of_two_points():
    prediction = rv.RandomVariable(torch.tensor([[[1.0], [-1.0]]]), torch.full((1, 2, 1), 0.5))
    target = torch.zeros(1, 2, 1)
    assert point_error(target, prediction, "squared").item() == pytest.approx(1.25)
    assert point_error(target, prediction, "linear").item() == pytest.approx(1.5)
    assert point_error(target, prediction, "none").item() == pytest.approx(1.0)
    floored = 0.5001
    assert point_error(target, prediction, "nll").item() == pytest.approx(
        0.5 * (1.0 / floored + math.log(floored))
    )


@pytest.mark.parametrize(("error", "expected"), [(3.0, 1.25), (1.8, 0.95)])
def test_real_part_of_the_encoder_s_objective(error, expected):
    value = real_term(torch.tensor(error), torch.tensor(2.0), SCALE, SoftIntroWeights())
    assert value.item() == pytest.approx(expected)


def test_fake_part_of_the_encoder_s_objective():
    term = fake_term(torch.tensor([1.0]), torch.tensor([2.0]), SCALE, SoftIntroWeights(neg=4.0))
    assert 0.25 * (term + term).item() == pytest.approx(0.5 * math.exp(-4.5), rel=1e-5)
    assert 0.5 * math.exp(-4.5) == pytest.approx(0.0055545, rel=1e-4)


def test_the_label_s_error_stands_inside_the_exponential_and_outside_s():
    term = fake_term(
        torch.tensor([1.0]), torch.tensor([2.0]), SCALE, SoftIntroWeights(neg=4.0), torch.tensor([0.3])
    )
    assert term.item() == pytest.approx(math.exp(-4.5 - 0.6), rel=1e-5)


def test_reconstruction_may_weigh_less_inside_the_exponential():
    term = fake_term(
        torch.tensor([1.0]), torch.tensor([2.0]), SCALE, SoftIntroWeights(rec=78.0, rec_fake=0.5, neg=4.0)
    )
    assert term.item() == pytest.approx(math.exp(-0.5 * (0.5 + 8.0)), rel=1e-5)


def test_the_decoder_s_objective():
    value = decoder_term(
        torch.tensor([1.8]), torch.tensor([2.0]), torch.tensor([4.0]), SCALE, SoftIntroWeights()
    )
    assert value.item() == pytest.approx(1.2)
