"""Calibration of a spread on errors drawn from known Gaussians."""

import math

import pytest
import torch

from handvae.evaluation.measure import Stated
from handvae.evaluation.spread import LEVELS, coverage, cross_fitted, crps, fit_spread_scale, spread_measures
from handvae.systems.spread import SpreadScale

COUNT = 800


@pytest.fixture
def spread():
    return torch.rand(COUNT, 21, 2, generator=torch.Generator().manual_seed(0)) + 0.5


@pytest.fixture
def errors(spread):
    """Drawn with that spread."""
    return spread * torch.randn(spread.shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def valid():
    return torch.rand(COUNT, 21, generator=torch.Generator().manual_seed(2)) < 0.8


def values(errors, spread, valid):
    return {
        m.name: m.value for m in spread_measures(errors, spread, valid, unit="px", protocol=Stated("test"))
    }


def test_a_right_spread_covers_every_level(errors, spread, valid):
    assert coverage(errors, spread, valid).tolist() == pytest.approx(LEVELS, abs=0.01)
    found = values(errors, spread, valid)
    assert found["spread_coverage"] == pytest.approx(68.27, abs=1)
    assert found["spread_calibration_error"] < 0.6


def test_a_spread_of_half_the_errors_covers_what_the_formula_says(errors, spread, valid):
    expected = [
        math.erf(float(torch.erfinv(torch.tensor(level, dtype=torch.float64))) / 2) for level in LEVELS
    ]
    assert coverage(errors, spread / 2, valid).tolist() == pytest.approx(expected, abs=0.01)


def test_scores_are_best_where_the_spread_is_right(errors, spread, valid):
    for score in ("spread_crps", "spread_nll", "spread_calibration_error"):
        right = values(errors, spread, valid)[score]
        assert right < values(errors, 0.7 * spread, valid)[score]
        assert right < values(errors, 1.4 * spread, valid)[score]
        if score != "spread_calibration_error":  # a constant spread may be calibrated; it is not as good
            assert right < values(errors, torch.full_like(spread, 1.04), valid)[score]


def test_crps_is_the_integral_of_the_squared_difference_of_distributions():
    points = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    for error, sigma in ((0.0, 1.0), (1.7, 0.6), (-3.0, 2.0)):
        below = 0.5 * (1 + torch.erf(points / sigma / math.sqrt(2)))
        integral = torch.trapezoid((below - (points >= error).double()).square(), points)
        assert crps(torch.tensor(error), torch.tensor(sigma)).item() == pytest.approx(
            float(integral), abs=1e-3
        )


def test_factor_and_floor_are_found_for_each_kind_of_coordinate(errors, spread, valid):
    """Errors are of spread^2 = (3 claimed)^2 + 0.4^2 in x, and of the claim halved, without a floor, in y."""
    claimed = torch.stack([(spread[..., 0].square() - 0.16).sqrt() / 3, 2 * spread[..., 1]], -1)
    scale = fit_spread_scale(errors, claimed, valid)
    assert scale.factor == pytest.approx([3, 0.5], rel=0.04)
    assert scale.floor == pytest.approx([0.4, 0], abs=0.12)
    assert values(errors, scale(claimed), valid)["spread_coverage"] == pytest.approx(68.27, abs=1)


def test_claims_of_certainty_do_not_spoil_the_others(errors, spread, valid):
    """A tenth of the joints claim to be certain and err as the others do."""
    certain = torch.rand(COUNT, 21, generator=torch.Generator().manual_seed(3)) < 0.1
    claimed = (spread / 3).masked_fill(certain[..., None], 0.0)
    scaled = fit_spread_scale(errors, claimed, valid)(claimed)
    found = values(errors, scaled, valid)
    assert found["spread_calibration_error"] < 2
    assert found["spread_crps"] < 1.05 * values(errors, spread, valid)["spread_crps"]
    assert math.isfinite(values(errors, claimed, valid)["spread_nll"])


def test_no_scale_has_a_lower_crps_on_the_hands_it_was_fitted_on(errors, spread, valid):
    claimed = spread.square() / 4
    scale = fit_spread_scale(errors, claimed, valid)
    best = values(errors, scale(claimed), valid)["spread_crps"]
    for factor, floor in ((0.9, 1), (1.1, 1), (1, 0.9), (1, 1.1)):
        other = SpreadScale(
            tuple(factor * value for value in scale.factor), tuple(floor * value for value in scale.floor)
        )
        assert best < values(errors, other(claimed), valid)["spread_crps"]


def test_a_few_errors_that_are_far_too_large_do_not_widen_the_rest(errors, spread, valid):
    """One hand in fifty is wholly mistaken: the others' coverage stays near 68.3 %."""
    mistaken = errors.clone()
    mistaken[::50] *= 20
    scaled = fit_spread_scale(mistaken, spread / 3, valid)(spread / 3)
    assert values(errors, scaled, valid)["spread_coverage"] == pytest.approx(68.27, abs=3)


def test_a_model_that_claims_to_be_certain_everywhere_gets_the_spread_of_its_errors(errors, spread, valid):
    scaled = fit_spread_scale(errors, torch.zeros_like(spread), valid)(torch.zeros_like(spread))
    assert values(errors, scaled, valid)["spread_coverage"] == pytest.approx(68.27, abs=3)


def test_labels_that_are_missing_have_no_say(errors, spread, valid):
    spoilt = errors.masked_fill(~valid[..., None], 1e6)
    assert values(spoilt, spread, valid) == values(errors, spread, valid)
    assert fit_spread_scale(spoilt, spread, valid) == fit_spread_scale(errors, spread, valid)


def test_a_cross_fitted_hand_never_sees_its_own_persons_errors(errors, spread, valid):
    """One person's errors made huge change the scale of other people only."""
    people = torch.arange(COUNT) // 100
    before = cross_fitted(errors, spread, valid, people)
    wild = errors.clone()
    wild[people == 3] *= 100
    after = cross_fitted(wild, spread, valid, people)
    changed = (after != before).flatten(1).any(1)
    assert not changed[people == 3].any()
    assert changed.sum() == COUNT / 2
    assert changed.view(8, 100).all(1).sum() == 4  # whole people


def test_the_rank_correlation_sees_order_and_not_scale(errors, spread, valid):
    found = values(errors, spread, valid)["spread_rank_correlation"]
    assert 0.1 < found < 0.6  # errors are random, larger where more spread is claimed
    assert values(errors, (5 * spread).exp(), valid)["spread_rank_correlation"] == pytest.approx(
        found, abs=0.05
    )
    assert values(errors, 1 / spread, valid)["spread_rank_correlation"] == pytest.approx(-found, abs=0.1)
    sure = values(errors, errors.abs().clamp_min(1e-3), valid)["spread_rank_correlation"]
    assert sure == pytest.approx(1, abs=1e-3)
