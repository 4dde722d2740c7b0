import math

import pytest
import torch

from handvae import losses
from handvae.losses import LABEL_SCALE, chamfer, image_loss, labelled_error, nearest_points, spread_weights
from handvae.rv import RandomVariable
from handvae.rv.losses import point_error

close = torch.testing.assert_close


def picture(value: float) -> torch.Tensor:
    return torch.full((1, 3, 2, 2), value)


@pytest.mark.parametrize(
    ("variance", "expected"), [("squared", 0.25 + 50 * 0.2**2), ("expected", 0.45), ("none", 0.25)]
)
def test_the_image_loss_of_residual_one_half_and_variance_one_fifth(variance, expected):
    close(
        image_loss(picture(0.5), RandomVariable(picture(0.0), picture(0.2)), variance),
        torch.tensor([expected]),
    )


@pytest.mark.parametrize("variance", ["squared", "expected", "none"])
def test_a_picture_known_exactly_pays_for_its_error_alone(variance):
    close(image_loss(picture(0.5), picture(0.0), variance), torch.tensor([0.25]))
    close(image_loss(picture(0.5), RandomVariable(picture(0.0)), variance), torch.tensor([0.25]))


def test_the_expected_image_loss_is_the_expectation_of_the_squared_error():
    generator = torch.Generator().manual_seed(0)
    target, mean, variance = torch.rand(3, 1, 3, 4, 4, generator=generator)
    drawn = mean + variance.sqrt() * torch.randn(20_000, 3, 4, 4, generator=generator)
    close(
        image_loss(target, RandomVariable(mean, variance), "expected")[0],
        (drawn - target).square().mean(),
        atol=5e-3,
        rtol=0,
    )


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
    close(
        point_error(target, RandomVariable(torch.zeros(1, 3, 2)), valid=valid),
        torch.tensor([(25.0 + 1.0) / 2]),
    )


def test_a_hand_without_any_label_costs_nothing():
    loss = point_error(
        torch.ones(1, 2, 2), RandomVariable(torch.zeros(1, 2, 2)), valid=torch.zeros(1, 2, dtype=torch.bool)
    )
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


# ------------------------------------------------------------------------------------------- Chamfer distance


def clouds(*sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, size, 3, generator=generator) for size in sizes]


def brute_force(first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
    """Both ways, in loops."""
    ways = []
    for a, b in ((first, second), (second, first)):
        each = [
            torch.stack([(point - others).norm(dim=1).min() for point in cloud]).mean()
            for cloud, others in zip(a, b, strict=True)
        ]
        ways.append(torch.stack(each))
    return ways


@pytest.mark.parametrize("at_once", [1, 100, 2**21], ids=["point by point", "in pieces", "all at once"])
def test_the_chamfer_distance_is_that_of_brute_force(at_once, monkeypatch):
    monkeypatch.setattr(losses, "DISTANCES_AT_ONCE", at_once)
    first, second = clouds(37, 23)
    there, again = brute_force(first, second)
    close(chamfer(first, second), (there + again) / 2)
    close(chamfer(first, second, "max"), torch.maximum(there, again))
    assert not torch.allclose(there, again)


def test_the_chamfer_distance_of_a_cloud_to_itself_in_any_order_is_nothing():
    (cloud,) = clouds(50)
    shuffled = cloud[:, torch.randperm(50, generator=torch.Generator().manual_seed(2))]
    close(chamfer(cloud, cloud), torch.zeros(3))
    close(chamfer(cloud, shuffled), torch.zeros(3))
    first, second = clouds(50, 31)
    close(chamfer(first, second.flip(1)), chamfer(first, second))
    close(chamfer(first, second), chamfer(second, first))


def test_the_gradient_of_the_chamfer_distance_is_that_of_all_pairs():
    first, second = (cloud.requires_grad_() for cloud in clouds(19, 29))
    ours = torch.autograd.grad(chamfer(first, second).sum(), (first, second))
    theirs = torch.autograd.grad(sum(way.sum() for way in brute_force(first, second)) / 2, (first, second))
    for found, expected in zip(ours, theirs, strict=True):
        close(found, expected)
        assert found.abs().sum() > 0


def test_the_gradient_is_finite_where_points_meet():
    (cloud,) = clouds(5)
    moved = cloud.clone().requires_grad_()
    chamfer(moved, cloud).sum().backward()
    assert moved.grad.isfinite().all()


def test_nearest_points_are_found_far_from_the_origin():
    first, second = clouds(40, 40)
    expected = torch.cdist(first.double(), second.double()).argmin(2)
    close(nearest_points(100 * first + 600, 100 * second + 600), expected)


def test_autocast_leaves_the_chamfer_distance_as_it_is():
    first, second = clouds(40, 40)
    expected = chamfer(first, second)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(chamfer(first, second), expected)
        assert chamfer(first.bfloat16(), second).dtype == torch.float32


def test_the_chamfer_distance_never_holds_all_pairs(monkeypatch):
    """2,000 x 2,000 points, 16,000 pairs at a time, in one and the same table."""
    tables = []
    real = torch.baddbmm
    monkeypatch.setattr(
        torch, "baddbmm", lambda *given, **named: tables.append(named["out"]) or real(*given, **named)
    )
    monkeypatch.setattr(losses, "DISTANCES_AT_ONCE", 16_000)
    first, second = (
        torch.randn(1, 2000, 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)
    )
    chamfer(first, second)
    assert max(table.numel() for table in tables) == 16_000
    assert sum(table.numel() for table in tables) == 2 * 2000 * 2000
    assert len({table.data_ptr() for table in tables}) <= 2


# ----------------------------------------------------------------------------------------------------- labels


def square_of_ten_px(*spread: float) -> torch.Tensor:
    """The weights of joints at the corners of a square; a fifth, far away, has no label."""
    joints = torch.tensor([[[0.0, 0], [10, 0], [0, 10], [10, 10], [900, 900]]])
    labelled = torch.tensor([[True, True, True, True, False]])
    return spread_weights(joints, torch.tensor([[*spread, 0.0]]), labelled)[0, :4]


def test_labels_count_less_the_more_their_makers_disagree():
    half = 10 * LABEL_SCALE
    close(square_of_ten_px(0.0, half, 2 * half, 1e9), torch.tensor([1.0, 0.5, 0.2, 0.0]))


def test_without_any_label_the_weights_are_finite():
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    assert spread_weights(torch.zeros(1, 3, 2), torch.ones(1, 3), nothing).isfinite().all()


@pytest.mark.parametrize("weight", [1.0, 0.5, 0.1])
def test_a_hand_whose_labels_all_weigh_less_counts_less(weight):
    target, prediction = torch.zeros(2, 4, 3), torch.ones(2, 4, 3)
    weights = torch.tensor([[weight] * 3 + [0.0], [1.0] * 4])
    marks = weights > 0
    close(labelled_error(prediction, target, weights), torch.tensor([weight, 1.0]))
    close(point_error(target, RandomVariable(prediction), valid=weights), torch.tensor([3 * weight, 3.0]))
    close(labelled_error(prediction, target, marks), torch.ones(2))
