import math

import pytest
import torch

from handvae.losses import image_loss
from handvae.rv import RandomVariable
from handvae.rv.losses import point_error

close = torch.testing.assert_close


def picture(value: float) -> torch.Tensor:
    return torch.full((1, 3, 2, 2), value)


@pytest.mark.parametrize(("variance", "expected"), [("squared", 0.25 + 50 * 0.2**2), ("expected", 0.45), ("none", 0.25)])
def test_the_image_loss_of_residual_one_half_and_variance_one_fifth(variance, expected):
    close(image_loss(picture(0.5), RandomVariable(picture(0.0), picture(0.2)), variance), torch.tensor([expected]))


@pytest.mark.parametrize("variance", ["squared", "expected", "none"])
def test_a_picture_known_exactly_pays_for_its_error_alone(variance):
    close(image_loss(picture(0.5), picture(0.0), variance), torch.tensor([0.25]))
    close(image_loss(picture(0.5), RandomVariable(picture(0.0)), variance), torch.tensor([0.25]))


def test_the_expected_image_loss_is_the_expectation_of_the_squared_error():
    generator = torch.Generator().manual_seed(0)
    target, mean, variance = torch.rand(3, 1, 3, 4, 4, generator=generator)
    drawn = mean + variance.sqrt() * torch.randn(20_000, 3, 4, 4, generator=generator)
    close(image_loss(target, RandomVariable(mean, variance), "expected")[0], (drawn - target).square().mean(), atol=5e-3, rtol=0)


def test_the_image_loss_is_per_sample():
    target = torch.stack([picture(0.5)[0], picture(0.0)[0]])
    close(image_loss(target, torch.zeros(2, 3, 2, 2)), torch.tensor([0.25, 0.0]))


@pytest.mark.parametrize(
    ("variance", "expected"),
    [("squared", 1.25), ("linear", 1.5), ("nll", 0.5 * (1 / 0.5001 + math.log(0.5001)))],
)
def test_the_pose_loss_of_errors_of_one_and_variance_one_half(variance, expected):
    """K = 2 joints, D = 1 axis, errors +1 and -1."""
    target = torch.tensor([[[1.0], [-1.0]]])
    prediction = RandomVariable(torch.zeros(1, 2, 1), torch.full((1, 2, 1), 0.5))
    close(point_error(target, prediction, variance), torch.tensor([expected]))


def test_the_pose_loss_sums_over_axes_and_averages_over_labelled_joints():
    target = torch.tensor([[[3.0, 4.0], [1.0, 0.0], [100.0, 100.0]]])
    valid = torch.tensor([[True, True, False]])
    close(point_error(target, RandomVariable(torch.zeros(1, 3, 2)), valid=valid), torch.tensor([(25.0 + 1.0) / 2]))


def test_a_hand_without_any_label_costs_nothing():
    loss = point_error(torch.ones(1, 2, 2), RandomVariable(torch.zeros(1, 2, 2)), valid=torch.zeros(1, 2, dtype=torch.bool))
    assert loss.item() == 0


@pytest.mark.parametrize("variance", ["squared", "linear", "nll"])
def test_an_unlabelled_joint_gives_the_prediction_no_gradient(variance):
    mean, spread = torch.zeros(1, 2, 2, requires_grad=True), torch.full((1, 2, 2), 0.5, requires_grad=True)
    valid = torch.tensor([[True, False]])
    point_error(torch.ones(1, 2, 2), RandomVariable(mean, spread), variance, valid=valid).sum().backward()
    for gradient in (mean.grad, spread.grad):
        assert (gradient[0, 1] == 0).all()
        assert (gradient[0, 0] != 0).any()


def test_the_gaussian_likelihood_is_least_where_the_variance_is_the_squared_error():
    target, zero = torch.full((1, 1, 1), 0.3), torch.zeros(1, 1, 1)
    costs = {v: point_error(target, RandomVariable(zero, zero + v), "nll").item() for v in (0.03, 0.09, 0.27)}
    assert min(costs, key=costs.__getitem__) == 0.09
