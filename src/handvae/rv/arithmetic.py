"""Sums and products of random variables, as the operators + - * / ** of Python."""

from typing import Any, Self

import torch
from torch import Tensor

from handvae.rv.errors import UnsupportedRVOp

Operand = Any  # a variable, a tensor or a number


class Arithmetic:
    """Operators for a class of two moments.

    Sums and products of two variables assume independence (kind I), except that a variable knows itself:
    x + x has variance 4v, x * x mean m² + v and variance 2v² + 4m²v under a Gaussian. With known numbers
    everything is exact.
    """

    mean: Tensor
    var: Tensor | None

    def __init__(self, mean: Tensor, var: Tensor | None = None) -> None:
        raise NotImplementedError("only the variable itself is built")

    def __add__(self, other: Operand) -> Self:
        if other is self:
            return self * 2.0
        if isinstance(other, Arithmetic):
            return self._of(self.mean + other.mean, _sum(self.var, other.var))
        return self._of(self.mean + other, self.var)

    __radd__ = __add__

    def __sub__(self, other: Operand) -> Self:
        if other is self:
            return type(self)(torch.zeros_like(self.mean))
        if isinstance(other, Arithmetic):
            return self._of(self.mean - other.mean, _sum(self.var, other.var))
        return self._of(self.mean - other, self.var)

    def __rsub__(self, other: Operand) -> Self:
        return self._of(other - self.mean, self.var)

    def __neg__(self) -> Self:
        return type(self)(-self.mean, self.var)

    def __mul__(self, other: Operand) -> Self:
        if other is self:
            return self.square()
        if isinstance(other, Arithmetic):
            return self._of(self.mean * other.mean, _product_variance(self, other))
        return self._of(self.mean * other, None if self.var is None else self.var * (other * other))

    __rmul__ = __mul__

    def __truediv__(self, other: Operand) -> Self:
        if isinstance(other, Arithmetic):
            raise UnsupportedRVOp("division by a random variable", "", "its variance is infinite for a Gaussian; divide by a known number")
        return self._of(self.mean / other, None if self.var is None else self.var / (other * other))

    def __rtruediv__(self, other: Operand) -> Self:
        raise UnsupportedRVOp("division by a random variable", "", "its variance is infinite for a Gaussian; divide by a known number")

    def __pow__(self, exponent: Operand) -> Self:
        if exponent == 2:
            return self.square()
        raise UnsupportedRVOp(f"power {exponent}", "", "only the square has a rule; for others use rv.functional.gauss_hermite")

    def square(self) -> Self:
        """Returns x², kind G: mean m² + v, variance 2v² + 4m²v."""
        if self.var is None:
            return type(self)(self.mean.square())
        square = self.mean.square()
        return type(self)(square + self.var, 2.0 * self.var.square() + 4.0 * square * self.var)

    def _of(self, mean: Tensor, var: Tensor | None) -> Self:
        # A known operand may have broadcast the mean: copies then share their variance.
        return type(self)(mean, var if var is None or var.shape == mean.shape else var.expand_as(mean))


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def _product_variance(first: Arithmetic, second: Arithmetic) -> Tensor | None:
    """Variance of x y: v_x v_y + v_x m_y² + v_y m_x²."""
    if first.var is None and second.var is None:
        return None
    if first.var is None or second.var is None:
        known, random = (first, second) if first.var is None else (second, first)
        assert random.var is not None
        return random.var * known.mean.square()
    return first.var * second.var + first.var * second.mean.square() + second.var * first.mean.square()
