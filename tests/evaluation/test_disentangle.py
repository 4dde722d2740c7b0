"""DCI, MIG and SAP on codes whose disentanglement is known."""

import numpy as np
import pytest

from handvae.evaluation.disentangle import dci, linear_probe, mig, sap

NUMBERS = np.zeros(3, bool)


@pytest.fixture(scope="module")
def factors():
    """Three independent numbers, uniform."""
    return np.random.default_rng(0).uniform(-1, 1, (2000, 3))


@pytest.fixture(scope="module")
def rotated(factors):
    """Mirrored at the plane across (1, 1, 1): every code value is 1/3 of one factor less 2/3 of the two
    others."""
    return factors @ (np.eye(3) - 2 / 3)


@pytest.mark.parametrize(
    "change", [lambda f: f, lambda f: -5 * f + 3, lambda f: f[:, [2, 0, 1]], lambda f: np.exp(2 * f)]
)
def test_a_factor_a_code_value_is_perfect_whatever_its_sign_scale_order_and_bend(change, factors):
    codes = change(factors)
    found = dci(codes, factors, NUMBERS)
    assert found.disentanglement > 0.97
    assert found.completeness > 0.97
    assert found.informativeness > 0.97
    assert sap(codes, factors, NUMBERS) > 0.7
    assert mig(codes, factors, NUMBERS) > 0.5


def test_mig_and_sap_of_equal_codes_are_one(factors):
    assert mig(factors, factors, NUMBERS) == pytest.approx(1, abs=0.04)  # chance agreement of 20 x 20 bins
    assert sap(factors, factors, NUMBERS) == pytest.approx(1, abs=0.01)
    assert dci(factors, factors, NUMBERS, predictor="lasso").disentanglement == pytest.approx(1, abs=1e-6)


def test_a_rotated_code_knows_everything_and_has_the_values_of_the_formula(factors, rotated):
    entropy = -(0.2 * np.log(0.2) + 2 * 0.4 * np.log(0.4)) / np.log(3)
    found = dci(rotated, factors, NUMBERS, predictor="lasso")
    assert found.informativeness > 0.99
    assert found.disentanglement == pytest.approx(1 - entropy, abs=0.01)
    assert found.completeness == pytest.approx(1 - entropy, abs=0.01)
    assert dci(rotated, factors, NUMBERS).disentanglement < 0.15
    assert mig(rotated, factors, NUMBERS) < 0.05
    assert sap(rotated, factors, NUMBERS) < 0.05


def test_an_equal_mixture_of_two_factors_has_the_values_of_the_formula():
    """Code = (a + b, a - b): importances are halves, so disentanglement is 1 - log_2(2) = 0, and the gaps are
    0."""
    factors = np.random.default_rng(1).normal(size=(4000, 2))
    codes = factors @ np.array([[1.0, 1.0], [1.0, -1.0]])
    two = np.zeros(2, bool)
    found = dci(codes, factors, two, predictor="lasso")
    assert found.disentanglement == pytest.approx(0, abs=0.01)
    assert found.completeness == pytest.approx(0, abs=0.01)
    assert sap(codes, factors, two) == pytest.approx(0, abs=0.03)
    assert mig(codes, factors, two) == pytest.approx(0, abs=0.02)


def test_noise_tells_nothing(factors):
    noise = np.random.default_rng(2).normal(size=(2000, 5))
    assert dci(noise, factors, NUMBERS).informativeness < 0.02
    assert mig(noise, factors, NUMBERS) < 0.02
    assert sap(noise, factors, NUMBERS) < 0.02


def test_a_copy_of_a_code_value_costs_completeness_and_not_disentanglement(factors):
    codes = np.concatenate([factors, factors + 1e-3 * np.random.default_rng(3).normal(size=factors.shape)], 1)
    found = dci(codes, factors, NUMBERS)
    assert found.disentanglement > 0.9
    assert found.completeness < 0.85
    assert mig(codes, factors, NUMBERS) < 0.1
    assert sap(codes, factors, NUMBERS) < 0.01


def test_classes_are_told_from_numbers(factors):
    """A class found by one code value, whose order means nothing to a correlation."""
    generator = np.random.default_rng(4)
    kind = generator.integers(3, size=2000)
    place = np.array([1.0, -1.0, 0.0])[kind] + 0.01 * generator.normal(size=2000)
    codes = np.stack([place, generator.normal(size=2000)], 1)
    truth, classes = kind[:, None].astype(float), np.array([True])
    assert dci(codes, truth, classes).informativeness > 0.99
    assert sap(codes, truth, classes) > 0.6
    assert mig(codes, truth, classes) == pytest.approx(1, abs=0.03)
    assert sap(codes, truth, ~classes) < 0.5


def test_dead_codes_and_constant_factors_change_nothing(factors):
    dead = np.concatenate([factors, np.zeros((2000, 2))], 1)
    constant = np.concatenate([factors, np.full((2000, 1), 7.0)], 1)
    four = np.zeros(4, bool)
    assert mig(dead, constant, four) == pytest.approx(mig(factors, factors, NUMBERS))
    assert sap(dead, constant, four) == pytest.approx(sap(factors, factors, NUMBERS))
    found = dci(dead, constant, four)
    assert found.used.tolist() == [0, 1, 2]
    assert found.importance.shape == (5, 3)
    assert found.importance[3:].max() == 0
    with pytest.raises(ValueError, match="no factor varies"):
        mig(factors, constant[:, 3:], np.zeros(1, bool))


def test_a_linear_probe_finds_what_is_linear_in_the_code_and_nothing_else():
    generator = np.random.default_rng(0)
    codes = generator.normal(size=(2000, 3))
    factors = np.stack(
        [codes @ [1, -2, 0.5] + 7, codes[:, 0] ** 2, codes[:, 1] + generator.normal(size=2000)], 1
    )
    told = linear_probe(100 * codes + 5, factors)
    assert told[0] > 0.999
    assert abs(told[1]) < 0.05
    assert told[2] == pytest.approx(0.5, abs=0.08)
