"""Streaming statistics against those of the whole."""

import numpy as np
import pytest
import torch

from handvae.evaluation.tally import MEDIAN_ERROR, Tally

THRESHOLDS = [0.0, 1.0, 2.5, 30.0]


@pytest.fixture
def errors() -> torch.Tensor:
    """Three columns of very different sizes, a fifth of them missing, one row wholly."""
    generator = torch.Generator().manual_seed(0)
    errors = torch.rand(1001, 3, generator=generator, dtype=torch.float64) * torch.tensor(
        [1e-2, 5.0, 4e3], dtype=torch.float64
    )
    errors[torch.rand(1001, 3, generator=generator) < 0.2] = float("nan")
    errors[7] = float("nan")
    return errors


def filled(errors: torch.Tensor, batch: int, kept: int | None) -> Tally:
    tally = Tally(errors.shape[1], THRESHOLDS, kept)
    for rows in errors.split(batch):
        tally.add(rows)
    return tally


@pytest.mark.parametrize(("batch", "kept"), [(1001, 10**6), (64, 10**6), (64, 300), (1, 0)])
def test_batches_give_what_the_whole_gives(errors, batch, kept):
    tally, whole = filled(errors, batch, kept), errors.numpy()
    assert tally.rows == (~errors.isnan()).any(1).sum()
    assert tally.mean() == pytest.approx(np.nanmean(whole), rel=1e-12)
    np.testing.assert_allclose(tally.column_means(), np.nanmean(whole, 0), rtol=1e-12)
    for threshold in THRESHOLDS:
        share = (whole <= threshold).sum(0) / (~np.isnan(whole)).sum(0)
        assert tally.within(threshold) == pytest.approx(
            (whole <= threshold).sum() / (~np.isnan(whole)).sum(), abs=1e-15
        )
        assert float(tally.curve([threshold], by_column=True).share) == pytest.approx(share.mean(), abs=1e-15)


@pytest.mark.parametrize("rows", [1000, 1001])
def test_medians_are_exact_while_errors_are_kept(errors, rows):
    tally = filled(errors[:rows], 64, 10**6)
    assert tally.medians_exact
    assert tally.median() == np.nanmedian(errors[:rows])
    np.testing.assert_array_equal(tally.column_medians(), np.nanmedian(errors[:rows], 0))


@pytest.mark.parametrize("rows", [1000, 1001])
def test_medians_beyond_what_is_kept_are_within_the_stated_error(errors, rows):
    tally = filled(errors[:rows], 64, 300)
    assert not tally.medians_exact
    assert tally.median() == pytest.approx(np.nanmedian(errors[:rows]), rel=MEDIAN_ERROR)
    np.testing.assert_allclose(tally.column_medians(), np.nanmedian(errors[:rows], 0), rtol=MEDIAN_ERROR)
    assert tally.median() != np.nanmedian(errors[:rows])


def test_memory_does_not_grow_with_rows():
    tally = Tally(2, (), kept=100)
    for _ in range(200):
        tally.add(torch.rand(30, 2))
        assert sum(len(rows) for rows in tally._pending) <= 50


def test_an_error_on_the_threshold_is_within_it():
    tally = Tally(1, [2.0])
    tally.add(torch.tensor([[2.0], [2.0000002]]))
    assert tally.within(2.0) == 0.5


def test_every_sort_of_nan_is_missing():
    """0/0 has its sign bit set on many processors."""
    tally = Tally(1, [1.0], kept=0)
    tally.add(torch.tensor([[float("nan")], [-float("nan")], [0.0], [3.0], [4.0]]))
    assert (tally.rows, tally.within(1.0)) == (3, pytest.approx(1 / 3))
    assert tally.median() == pytest.approx(3.0, rel=MEDIAN_ERROR)


def test_nothing_counted_is_nan():
    for tally in (Tally(2, [1.0], 10), filled(torch.full((5, 2), float("nan")), 5, 0)):
        values = [
            tally.mean(),
            tally.median(),
            *tally.column_medians().tolist(),
            tally.curve([1.0]).area,
            tally.within(1.0),
        ]
        assert all(value != value for value in values)


def test_the_area_of_a_step_is_its_share_of_the_range():
    tally = Tally(1, [float(t) for t in range(5)])
    tally.add(torch.tensor([[1.5]]))
    assert tally.curve([0.0, 1.0, 2.0, 3.0, 4.0]).area == pytest.approx((0.5 + 2) / 4)
