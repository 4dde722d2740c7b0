"""Bootstrap intervals and the paired permutation test against known values."""

import itertools

import numpy as np
import pytest

from handvae.evaluation import resampling
from handvae.evaluation.resampling import Draws, PerHand, bootstrap, difference, interval


def metric(values, statistic="mean", weights=None):
    values = np.asarray(values, float)
    return PerHand(
        "error",
        "px",
        statistic,
        values,
        np.ones(len(values)) if weights is None else np.asarray(weights, float),
    )


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(10, 2, 201)


def test_the_statistics_are_the_plain_ones_where_all_hands_count_once(values):
    assert metric(values).value() == pytest.approx(values.mean())
    assert metric(values, "median").value() == np.median(values)


def test_a_weight_counts_as_that_many_hands():
    weighted, repeated = metric([1, 2, 9], "median", [1, 1, 5]), metric([1, 2, 9, 9, 9, 9, 9], "median")
    assert weighted.value() == repeated.value() == 9
    assert metric([1, 2, 9], weights=[1, 1, 5]).value() == pytest.approx(48 / 7)


def test_a_hand_without_a_value_never_counts(values):
    holes = np.concatenate([values, [np.nan] * 7])
    for statistic in ("mean", "median"):
        assert metric(holes, statistic).value() == metric(values, statistic).value()


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_every_bootstrap_draw_is_the_statistic_of_hands_drawn_with_replacement(statistic, values):
    draws = Draws.of(len(values), None, seed=3, count=5)
    counts = np.concatenate(list(draws.resampled())).astype(int)
    expected = [
        np.median(np.repeat(values, row)) if statistic == "median" else np.repeat(values, row).mean()
        for row in counts
    ]
    assert counts.sum(1).tolist() == [len(values)] * 5
    assert bootstrap(metric(values, statistic), draws) == pytest.approx(expected)


def test_the_interval_of_a_mean_is_two_standard_errors_to_each_side(values):
    found = interval(bootstrap(metric(values), Draws.of(len(values), None, count=4000)))
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.08)
    assert (found.high + found.low) / 2 == pytest.approx(values.mean(), abs=half / 8)


def test_hands_of_one_person_make_no_interval_narrower():
    """Ten copies of a hand are one person: as uncertain as the hand alone."""
    one_each = np.random.default_rng(1).normal(size=30)
    people = np.repeat(np.arange(30), 10)
    alone = interval(bootstrap(metric(one_each), Draws.of(30, None)))
    copied = interval(bootstrap(metric(one_each[people]), Draws.of(300, people)))
    fooled = interval(bootstrap(metric(one_each[people]), Draws.of(300, None)))
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.05)
    assert (fooled.high - fooled.low) < 0.5 * (alone.high - alone.low)


def test_draws_are_over_persons_only_where_there_are_several():
    assert Draws.of(4, np.array([7, 7, 9, 7])).unit == "persons"
    assert Draws.of(4, np.array([7, 7, 9, 7])).groups == 2
    assert Draws.of(4, np.array([7, 7, 7, 7])).unit == "hands"


def test_memory_for_few_draws_at_a_time_gives_the_same_numbers(values, monkeypatch):
    draws = Draws.of(len(values), None, seed=5, count=50)
    other = metric(values + 0.1)
    whole = difference(("a", metric(values)), ("b", other), draws)
    monkeypatch.setattr(resampling, "CHUNK_VALUES", 3 * len(values))
    assert difference(("a", metric(values)), ("b", other), draws) == whole


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_the_p_value_agrees_with_all_exchanges_written_out(statistic):
    generator = np.random.default_rng(2)
    a, b = generator.normal(0.8, 1, 9), generator.normal(0, 1, 9)
    measured = difference(
        ("a", metric(a, statistic)), ("b", metric(b, statistic)), Draws.of(9, None, count=6000)
    )
    observed = abs(metric(a, statistic).value() - metric(b, statistic).value())
    extreme = 0
    for swap in itertools.product([False, True], repeat=9):
        gap = (
            metric(np.where(swap, b, a), statistic).value() - metric(np.where(swap, a, b), statistic).value()
        )
        extreme += abs(gap) >= observed - 1e-12
    assert measured.p_value == pytest.approx(extreme / 2**9, abs=0.025)


def test_pairing_finds_a_small_difference_between_noisy_hands():
    """A tenth of a pixel on hands that differ by ten: seen because each hand is its own control."""
    generator = np.random.default_rng(3)
    hard = generator.normal(50, 10, 200)
    found = difference(
        ("a", metric(hard + 0.1 + generator.normal(0, 0.1, 200))), ("b", metric(hard)), Draws.of(200, None)
    )
    assert found.p_value < 0.002
    assert 0.05 < found.interval.low < found.value < found.interval.high < 0.15
    assert found.n == 200


def test_equal_models_do_not_differ(values):
    found = difference(("a", metric(values)), ("b", metric(values)), Draws.of(len(values), None, count=100))
    assert (found.value, found.p_value, found.interval.low, found.interval.high) == (0, 1, 0, 0)


def test_under_no_difference_the_p_value_is_below_five_percent_in_five_percent():
    generator = np.random.default_rng(4)
    small = 0
    for trial in range(200):
        a, b = generator.normal(size=(2, 30))
        small += (
            difference(("a", metric(a)), ("b", metric(b)), Draws.of(30, None, seed=trial, count=199)).p_value
            <= 0.05
        )
    assert 2 <= small <= 20


def test_only_hands_that_both_have_are_compared():
    found = difference(
        ("a", metric([1, 2, np.nan, 4])), ("b", metric([1, np.nan, 100, 2])), Draws.of(4, None, count=50)
    )
    assert found.n == 2
    assert found.value == pytest.approx(1.0)


def test_different_metrics_are_not_paired(values):
    other = PerHand("psnr", "dB", "mean", values, np.ones(len(values)))
    with pytest.raises(ValueError, match="cannot be paired"):
        difference(("a", metric(values)), ("b", other), Draws.of(len(values), None))
