"""Distances of sets against closed forms, loops and each other."""

import math

import numpy as np
import pytest
import torch

from handvae.evaluation.frechet import (
    Gaussian,
    Moments,
    frechet_distance,
    gaussian_of,
    kernel_distance,
    manifold,
)


def gaussian(mean: list[float], covariance: list[list[float]]) -> Gaussian:
    return Gaussian(
        torch.tensor(mean, dtype=torch.float64), torch.tensor(covariance, dtype=torch.float64), 100
    )


def cloud(count: int, dim: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + shift


# ------------------------------------------------------------------------------------------------ --- Frechet


def test_gaussians_along_the_axes_have_a_closed_form():
    """|m1 - m2|^2 + sum (s1 - s2)^2."""
    first, second = (
        gaussian([0, 1, 2], [[4, 0, 0], [0, 9, 0], [0, 0, 1]]),
        gaussian([3, 1, -2], [[1, 0, 0], [0, 16, 0], [0, 0, 1]]),
    )
    assert frechet_distance(first, second) == pytest.approx(9 + 16 + 1 + 1)


def test_gaussians_in_two_dimensions_have_a_closed_form():
    """Covariances that do not commute: the trace of a 2 x 2 root is sqrt(tr + 2 sqrt(det))."""
    a, b = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([[1.0, -0.9], [-0.9, 3.0]])
    assert not np.allclose(a @ b, b @ a)
    cross = math.sqrt(np.trace(a @ b) + 2 * math.sqrt(np.linalg.det(a @ b)))
    expected = 0.25 + 1 + np.trace(a) + np.trace(b) - 2 * cross
    first, second = gaussian([0.5, 0], a.tolist()), gaussian([0, 1], b.tolist())
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-12)


def test_fewer_samples_than_dimensions_are_no_trouble():
    few = gaussian_of(cloud(5, 40, 0))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-5)
    turn = torch.linalg.qr(cloud(40, 40, 1).double()).Q
    turned = Gaussian(turn @ few.mean, turn @ few.covariance @ turn.T, 5)
    other = gaussian_of(cloud(5, 40, 2))
    turned_other = Gaussian(turn @ other.mean, turn @ other.covariance @ turn.T, 5)
    assert frechet_distance(turned, turned_other) == pytest.approx(frechet_distance(few, other), rel=1e-6)


def test_a_shift_alone_is_its_square():
    features = cloud(300, 8, 0).double()
    assert frechet_distance(gaussian_of(features), gaussian_of(features + 2.0)) == pytest.approx(
        8 * 4, rel=1e-9
    )


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_moments_in_batches_are_those_of_the_whole(batch):
    features = cloud(500, 6, 0, shift=1000.0) * torch.arange(1, 7)
    moments = Moments(6)
    for rows in features.split(batch):
        moments.add(rows)
    moments.add(features[:0])
    found, whole = moments.gaussian(), features.double().numpy()
    np.testing.assert_allclose(found.mean, whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(whole.T), rtol=1e-9, atol=1e-9)
    assert found.n == 500


def test_one_row_has_no_covariance():
    with pytest.raises(ValueError, match="two rows"):
        gaussian_of(cloud(1, 3, 0))


# ------------------------------------------------------------------------------------------------ ---- kernel


def test_the_kernel_distance_of_one_block_agrees_with_a_loop():
    real, generated = cloud(20, 4, 0), cloud(20, 4, 1, 0.5)
    found = kernel_distance(real, generated, torch.Generator().manual_seed(0), block=2)
    assert (found.blocks, found.block) == (10, 2)
    generator = torch.Generator().manual_seed(0)
    x, y = (
        features[torch.randperm(20, generator=generator)].double().view(10, 2, 4)
        for features in (real, generated)
    )

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a @ b / 4 + 1) ** 3)

    blocks = [
        k(a[0], a[1]) + k(b[0], b[1]) - sum(k(a[i], b[j]) for i in (0, 1) for j in (0, 1)) / 2
        for a, b in zip(x, y, strict=True)
    ]
    assert found.value == pytest.approx(np.mean(blocks))
    assert found.standard_error == pytest.approx(np.std(blocks, ddof=1) / math.sqrt(10))


def test_the_kernel_distance_has_no_bias_and_an_honest_error():
    """Sixty pairs of sets of one distribution: the mean is zero within its error, and the claimed errors are
    the scatter."""
    found = [
        kernel_distance(cloud(200, 3, 2 * s), cloud(200, 3, 2 * s + 1), torch.Generator().manual_seed(s))
        for s in range(60)
    ]
    values = np.array([distance.value for distance in found])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(60)
    assert np.mean([distance.standard_error for distance in found]) == pytest.approx(values.std(), rel=0.3)


def test_the_kernel_distance_sees_a_shift():
    found = kernel_distance(cloud(400, 3, 0), cloud(400, 3, 1, shift=0.7), torch.Generator().manual_seed(0))
    assert found.value > 4 * found.standard_error


def test_too_few_pictures_for_a_kernel_distance():
    with pytest.raises(ValueError, match="20 pictures"):
        kernel_distance(cloud(19, 3, 0), cloud(50, 3, 1), torch.Generator())


# ------------------------------------------------------------------------------------------------ -- manifold


def test_a_manifold_of_points_on_a_line():
    """Real 0, 1, 2, 10 reach 1, 1, 1, 8; generated 0.5, 1.4, 30, 31 reach 0.9, 0.9, 1, 1 (one neighbour)."""
    real, generated = (
        torch.tensor(points)[:, None] for points in ([0.0, 1.0, 2.0, 10.0], [0.5, 1.4, 30.0, 31.0])
    )
    found = manifold(real, generated, neighbours=1)
    assert found.precision == pytest.approx(2 / 4)  # 0.5 and 1.4
    assert found.recall == pytest.approx(3 / 4)  # 0, 1, 2
    assert found.density == pytest.approx((1 + 2 + 1 + 0) / 4)
    assert found.coverage == pytest.approx(3 / 4)


def test_the_manifold_agrees_with_loops_over_chunks():
    real, generated = cloud(1100, 5, 0, 50.0), cloud(1050, 5, 1, 50.4)
    found = manifold(real, generated, neighbours=3)
    among, between = (torch.cdist(a.double(), b.double()) for a, b in ((real, real), (real, generated)))
    reach = among.sort(1).values[:, 3]
    reach_generated = torch.cdist(generated.double(), generated.double()).sort(1).values[:, 3]
    inside = between <= reach[:, None]
    assert found.precision == pytest.approx(float(inside.any(0).double().mean()), abs=2e-3)
    assert found.recall == pytest.approx(float((between <= reach_generated).any(1).double().mean()), abs=2e-3)
    assert found.density == pytest.approx(float(inside.double().sum(0).mean()) / 3, rel=1e-3)
    assert found.coverage == pytest.approx(float(inside.any(1).double().mean()), abs=2e-3)


def test_a_set_covers_itself():
    features = cloud(200, 4, 0)
    found = manifold(features, features)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_collapse_keeps_precision_and_loses_recall():
    real = cloud(500, 2, 0)
    found = manifold(real, 0.05 * cloud(500, 2, 1))
    assert found.precision > 0.95
    assert found.recall < 0.1


def test_too_few_pictures_for_neighbours():
    with pytest.raises(ValueError, match="5 neighbours"):
        manifold(cloud(5, 2, 0), cloud(50, 2, 1))
