"""Statistics of errors that arrive in batches, in constant memory.

Means and shares are exact, and medians are up to a stated number of errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

KEPT_VALUES = 1 << 22
"""Errors that metrics keep for exact medians (16 MB in float32)."""
MEDIAN_ERROR = 2.0**-13
"""Largest relative error of a median from the histogram (0.012 %), for errors of 6e-5 to 1.3e5 units.

Beyond these it is the nearer end.
"""

# Of float32's 23 mantissa bits. Floats above zero sort as their bits do, so bins of these bits are equally
# wide, relative to their value.
_DROPPED_BITS = 11
_LOWEST = ((127 - 14) << 23) >> _DROPPED_BITS
_BINS = (((127 + 17) << 23) >> _DROPPED_BITS) - _LOWEST


@dataclass(frozen=True)
class Curve:
    """Share of errors at or below each threshold."""

    thresholds: Float[Tensor, " threshold"]
    share: Float[Tensor, " threshold"]
    """0 to 1; NaN where nothing was counted."""

    @property
    def area(self) -> float:
        """Area under the curve by the trapezoid rule, divided by the range of thresholds.

        It is 1 where every error is below the first.
        """
        span = self.thresholds[-1] - self.thresholds[0]
        return float(torch.trapezoid(self.share, self.thresholds) / span)


class Tally:
    """Counts, means, medians and shares within thresholds of columns of errors.

    Args:
        columns: how many kinds of error a row has: joints of a hand, or one.
        thresholds: those at which shares may be asked, in the errors' unit.
        kept: errors to keep so that medians are exact; beyond, a histogram of 1 MB a column replaces
            them. None where no median is asked.
    """

    def __init__(self, columns: int, thresholds: Sequence[float] = (), kept: int | None = None) -> None:
        self._thresholds = torch.tensor(sorted(set(thresholds)), dtype=torch.float64)

        self._count = torch.zeros(columns, dtype=torch.int64)
        self._total = torch.zeros(columns, dtype=torch.float64)
        self._between = torch.zeros(columns, len(self._thresholds) + 1, dtype=torch.int64)

        # medians: all errors while they are few, then their histogram
        self._histogram: Int[Tensor, "column bin"] | None = None
        self._pending: list[Tensor] = []
        self._rows_kept = None if kept is None else kept // columns
        self._rows_pending = 0

        self.rows = 0
        """Rows with at least one error."""

    @property
    def medians_exact(self) -> bool:
        """Whether all errors are still at hand."""
        return self._histogram is None

    def add(self, errors: Float[Tensor, "row column"]) -> None:
        """Count more errors; NaN means that there is none."""
        missing = errors.isnan()
        present = len(errors) - missing.sum(0)
        self.rows += len(errors) - int(missing.all(1).sum())
        self._count += present
        self._total += errors.nan_to_num(nan=0.0).sum(0, dtype=torch.float64)

        if len(self._thresholds):
            # NaN falls into the last interval, from which the missing ones are taken off again
            interval = torch.bucketize(errors, self._thresholds.to(errors.dtype))
            self._between += _column_counts(interval, len(self._thresholds) + 1, len(errors) - present)

        if self._rows_kept is not None:
            self._pending.append(errors)
            self._rows_pending += len(errors)

            if self._rows_pending > self._rows_kept:
                self._fold()

    def _fold(self) -> None:
        """Move the kept errors into the histogram."""
        if self._histogram is None:
            self._histogram = torch.zeros(len(self._count), _BINS, dtype=torch.int64)

        for errors in self._pending:
            # without its sign, NaN has bits above those of any number
            bits = errors.float().abs().contiguous().view(torch.int32)
            key = (bits >> _DROPPED_BITS).sub_(_LOWEST).clamp_(0, _BINS - 1).to(torch.int64)
            self._histogram += _column_counts(key, _BINS, errors.isnan().sum(0))

        self._pending, self._rows_pending = [], 0

    # ----------------------------------------------------------------------------------------- what was found

    def mean(self) -> float:
        """Mean of all errors, NaN where there are none."""
        return float(self._total.sum() / self._count.sum())

    def column_means(self) -> Float[Tensor, " column"]:
        """Mean of each column, NaN where it has no errors."""
        return self._total / self._count

    def median(self) -> float:
        """Median of all errors, NaN where there are none; of an even number, the mean of the middle two."""
        if self._histogram is None:
            return _median(torch.cat(self._pending).flatten()) if self._pending else float("nan")

        self._fold()
        return _histogram_median(self._histogram.sum(0))

    def column_medians(self) -> Float[Tensor, " column"]:
        """Median of each column, NaN where it has no errors."""
        if self._histogram is not None:
            self._fold()
            found = [_histogram_median(column) for column in self._histogram]
        elif self._pending:
            found = [_median(column) for column in torch.cat(self._pending).unbind(1)]
        else:
            found = [float("nan")] * len(self._count)

        return torch.tensor(found, dtype=torch.float64)

    def within(self, threshold: float) -> float:
        """Share of all errors at or below a threshold."""
        return float(self.curve([threshold]).share)

    def curve(self, thresholds: Sequence[float], *, by_column: bool = False) -> Curve:
        """Shares of errors at or below thresholds.

        Args:
            thresholds: some of those that the tally was made with.
            by_column: take the share of each column, and their mean over columns that have errors; else the
                share of all errors.

        Raises:
            KeyError: a threshold was not named when the tally was made.
        """
        known = {threshold: index for index, threshold in enumerate(self._thresholds.tolist())}
        index = torch.tensor([known[threshold] for threshold in thresholds])
        below = self._between.cumsum(1)[:, index].double()
        share = (below / self._count[:, None]).nanmean(0) if by_column else below.sum(0) / self._count.sum()
        return Curve(torch.tensor(thresholds, dtype=torch.float64), share)


def _column_counts(
    bins: Int[Tensor, "row column"], size: int, in_last: Int[Tensor, " column"]
) -> Int[Tensor, "column bin"]:
    """How often each bin occurs in each column; overwrites `bins`.

    Args:
        bins: bins of each column's errors.
        size: how many bins there are.
        in_last: missing values that stand in the last bin, and do not count.
    """
    columns = bins.shape[1]

    # one count for all columns, in bins of their own
    bins += torch.arange(columns) * size
    counts = torch.bincount(bins.flatten(), minlength=columns * size).view(columns, size)
    counts[:, -1] -= in_last
    return counts


def _median(errors: Tensor) -> float:
    counted = errors[~errors.isnan()]
    if not len(counted):
        return float("nan")
    middle = [int(counted.kthvalue(rank + 1).indices) for rank in _middle_ranks(len(counted))]
    return float(counted[middle].double().mean())


def _middle_ranks(count: int) -> tuple[int, int]:
    return (count - 1) // 2, count // 2


def _histogram_median(histogram: Int[Tensor, " bin"]) -> float:
    count = int(histogram.sum())
    if not count:
        return float("nan")

    ranks = torch.tensor(_middle_ranks(count))
    key = torch.searchsorted(histogram.cumsum(0), ranks, right=True) + _LOWEST

    # the middle of the bin
    bits = (key << _DROPPED_BITS) + (1 << (_DROPPED_BITS - 1))
    return float(bits.to(torch.int32).view(torch.float32).double().mean())
