"""Schedules and lengths of runs."""

import itertools

import pytest

from handvae.training.config import Train


def test_the_rate_rises_over_the_warm_up_and_then_falls_to_a_hundredth():
    train = Train(steps=1000, lr=1.0, warmup_steps=100)
    rates = [train.lr_at(step, count=64) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[99] == max(rates[:100])
    assert rates[500] == pytest.approx(0.01 + 0.99 * 0.5, rel=1e-6)
    assert rates[999] == pytest.approx(0.01, rel=0.01)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[100:]))


def test_epoch_decay_multiplies_once_an_epoch_as_the_paper_does():
    train = Train(epochs=3.0, batch=10, lr=5e-3, warmup_steps=0, schedule="epoch_decay", decay=0.95)
    assert [train.lr_at(step, count=100) for step in (0, 9, 10, 19, 20)] == pytest.approx(
        [5e-3, 5e-3, 4.75e-3, 4.75e-3, 4.5125e-3]
    )


def test_epochs_outrank_steps():
    assert Train(steps=7).total_steps(1000) == 7
    assert Train(steps=7, epochs=2.0, batch=50).total_steps(1000) == 40


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 0}, {"log_every": 0}, {"save_every": 0}])
def test_counts_below_one_are_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        Train(**wrong)


def test_a_constant_rate_stays_after_the_warm_up():
    train = Train(steps=100, lr=0.5, warmup_steps=10, schedule="constant")
    assert {train.lr_at(step, count=64) for step in range(10, 100)} == {0.5}
    assert train.lr_at(4, count=64) == pytest.approx(0.25)
