"""Moments of sums, products and masks. A variance of None stands for a number known exactly."""

from jaxtyping import Float
from torch import Tensor

from handvae.rv.functional.moments import Moments

Variance = Float[Tensor, "..."] | None


def sum_variance(first: Variance, second: Variance) -> Variance:
    """Variance of x + y and of x − y, kind I: v_x + v_y."""
    if first is None:
        return second
    if second is None:
        return first
    return first + second


def product_variance(
    first: Float[Tensor, "..."], first_var: Variance, second: Float[Tensor, "..."], second_var: Variance
) -> Variance:
    """Variance of x y, kind I: v_x v_y + v_x m_y² + v_y m_x²; by a known number c it is c² v, exactly."""
    # E[x²y²] − (m_x m_y)² = (v_x + m_x²)(v_y + m_y²) − m_x² m_y², with the last term cancelled by hand
    if first_var is None:
        return None if second_var is None else second_var * first.square()
    if second_var is None:
        return first_var * second.square()
    return first_var * second_var + first_var * second.square() + second_var * first.square()


def square(mean: Float[Tensor, "*shape"], var: Float[Tensor, "*shape"]) -> Moments:
    """The square x x, kind G: mean m² + v, variance 2v² + 4m²v."""
    # with x = m + s e: x² = m² + 2ms e + v e², and for a Gaussian e Var[e²] = 2, Cov(e, e²) = 0
    centre = mean.square()
    return centre + var, 2.0 * var.square() + 4.0 * centre * var


def exponential(mean: Float[Tensor, "*shape"], var: Float[Tensor, "*shape"]) -> Moments:
    """The exponential, kind G: mean exp(m + v/2), variance mean² (eᵛ − 1)."""
    centre = (mean + 0.5 * var).exp()
    return centre, centre.square() * var.expm1()


def dropout(mean: Float[Tensor, "*shape"], var: Variance, probability: float) -> Moments:
    """Dropout in training, kind E: mean m, variance (v + p m²)/(1 − p); it makes a known number random.

    At p = 1 everything is dropped: both moments are zero.
    """
    if probability == 1.0:
        return mean * 0.0, mean * 0.0

    # y = x b/(1 − p) with b kept with probability 1 − p: E[y²] = (v + m²)/(1 − p), less m²
    dropped = probability * mean.square()
    kept = dropped if var is None else var + dropped
    return mean, kept / (1.0 - probability)
