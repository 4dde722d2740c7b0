"""Moments of piecewise linear activations of a Gaussian, stable in float32.

With t = m/s, s = √v, φ and Φ the standard normal density and distribution function, P = Φ(t), Q = 1−P:
    M = m P + s φ(t),    V = v (P − g(g + |t|)),    g = φ(t) − |t| Φ(−|t|)
M is max(m, 0) + s g and V a product of v and a number in [0, 1]: neither cancels, no float64 is needed, and
at v = 0 the result is exactly relu(m), 0. Against float64 the error stays below 5e-7 v.
"""

import math
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from handvae.rv.functional.moments import Moments, at_least_float32, result_dtype
from handvae.rv.functional.tiles import in_tiles

_TAIL = 30.0  # |m|/s beyond which φ and Φ(−|t|) are zero in float32
_INVERSE_ROOT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_MILLS_SCALE = 0.27
_MILLS = (
    0.27000988,
    0.26970459,
    0.25396203,
    0.18658814,
    0.25348069,
    -0.14517418,
    0.3973773,
    -0.3017516,
    0.06911721,
)


def relu(mean: Float[Tensor, "*shape"], var: Float[Tensor, "*shape"]) -> Moments:
    """ReLU, kind G: exact if the input is Gaussian; mean M and variance V of the header."""
    return leaky_relu(mean, var, 0.0)


def leaky_relu(mean: Float[Tensor, "*shape"], var: Float[Tensor, "*shape"], slope: float = 0.01) -> Moments:
    """LeakyReLU of any slope a, kind G: mean am+(1−a)M, variance a²v+(1−a)²V+2a(1−a)Pv.

    The cross term is Stein's lemma: Cov(x, relu(x)) = P v. Saves only (m, v).
    """
    return _RectifiedMoments.apply(mean, var, slope)


def prelu(
    mean: Float[Tensor, "batch *rest"], var: Float[Tensor, "batch *rest"], slope: Float[Tensor, "channel"]
) -> Moments:
    """PReLU with a slope to learn, kind G: mean M−aN, variance V+a²V_N+2aMN.

    N = M−m is the mean of relu(−x),
    V_N = v−V−2MN is the variance of relu(−x); the two halves exclude each other, so their covariance is −MN.
    """
    if slope.numel() > 1:
        slope = slope.view((1, -1) + (1,) * (mean.dim() - 2))

    mean = at_least_float32(mean)
    var = at_least_float32(var)

    positive, positive_var = relu(mean, var)
    negative = positive - mean
    product = positive * negative
    negative_var = (var - positive_var - 2.0 * product).clamp_min(0.0)
    return positive - slope * negative, positive_var + slope.square() * negative_var + 2.0 * slope * product


def absolute(mean: Float[Tensor, "*shape"], var: Float[Tensor, "*shape"]) -> Moments:
    """Absolute value, kind G: the LeakyReLU of slope −1."""
    return leaky_relu(mean, var, -1.0)


class _RectifiedMoments(torch.autograd.Function):
    """ReLU and LeakyReLU with a closed-form backward pass: 8 bytes saved an element, not 101."""

    @staticmethod
    def forward(mean: Tensor, var: Tensor, slope: float) -> tuple[Tensor, Tensor]:
        return in_tiles(partial(_rectify, slope=slope), (mean, var), result_dtype(mean))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: tuple[Tensor, Tensor]) -> None:
        mean, var, slope = inputs
        ctx.save_for_backward(mean, var)
        ctx.slope = slope

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        mean, var = ctx.saved_tensors
        into_mean, into_var = in_tiles(
            partial(_pull_back, slope=ctx.slope), (mean, var, *grad_outputs), mean.dtype
        )
        return into_mean, into_var, None


def _rectify(m: Tensor, v: Tensor, slope: float) -> tuple[Tensor, Tensor]:
    # The formulas of the header, in place: fresh memory would cost more than the arithmetic.
    inverse = (v + 1e-12).rsqrt_()
    t = (m.abs() * inverse).clamp_max_(_TAIL)
    density = t.square().mul_(-0.5).exp_().mul_(_INVERSE_ROOT_2PI)
    ratio = _mills(t)
    tail = ratio * density

    # g = φ(t) − t Q(t) = φ(t) (1 − t ratio)
    gap = ratio.mul_(t).neg_().add_(1.0).clamp_min_(0.0).mul_(density)
    above = torch.copysign(0.5 - tail, m).add_(0.5)  # P; a torch.where would cost as much as all the rest

    rectified = m.clamp_min(0.0).addcmul_(inverse.mul_(v), gap)  # v/√v: zero at v = 0
    share = torch.addcmul(above, gap, t.add_(gap), value=-1.0).clamp_(0.0, 1.0)
    if slope == 0.0:
        return rectified, share.mul_(v)

    keep = 1.0 - slope
    # a² + (1−a)² V/v + 2a(1−a) P; for a < 0 it may round below zero.
    share = share.mul_(keep * keep).add_(above, alpha=2.0 * slope * keep).add_(slope * slope).clamp_min_(0.0)
    return rectified.mul_(keep).add_(m, alpha=slope), share.mul_(v)


def _pull_back(
    m: Tensor, v: Tensor, grad_mean: Tensor, grad_var: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    # V is the second moment E minus M², so a gradient of V is one of E and −2M times one of M:
    #     dM/dm = a + (1−a)P         dM/dv = (1−a) f/2s
    #     dE/dm = 2a²m + 2(1−a²)R    dE/dv = a² + (1−a²)P       with the ReLU's mean R = s(zP + f)

    floored = v + 1e-8  # else dM/dv is infinite at m = v = 0
    inverse = floored.rsqrt()
    z = (m * inverse).clamp(-_TAIL, _TAIL)
    density = _INVERSE_ROOT_2PI * (z * z * -0.5).exp()
    above = 0.5 + torch.copysign(0.5 - _mills(z.abs()) * density, z)
    ramp = z * above + density  # R/s

    doubled = 2.0 * floored * inverse * grad_var
    keep = 1.0 - slope

    if slope == 0.0:
        direct = grad_mean - doubled * ramp
        return above * direct + doubled * ramp, 0.5 * density * inverse * direct + above * grad_var

    direct = grad_mean - doubled * (slope * z + keep * ramp)
    square, rest = slope * slope, 1.0 - slope * slope
    into_mean = (slope + keep * above) * direct + doubled * (square * z + rest * ramp)
    into_var = (0.5 * keep) * density * inverse * direct + (square + rest * above) * grad_var
    return into_mean, into_var


def _mills(t: Tensor) -> Tensor:
    """Mills' ratio Q(t)/φ(t) for 0 ≤ t ≤ 30.

    A polynomial of 1/(1 + 0.27 t) without constant term, fitted to a relative error of 6e-8; float32 adds
    4e-7 at most. Nothing cancels in either tail, and it takes two thirds of the time of erfc; in one compiled
    loop, a fifth. In float64 and where a graph is built, erfc.
    """
    if t.dtype == torch.float64 or torch.is_grad_enabled():
        return torch.special.erfcx(t * math.sqrt(0.5)) * math.sqrt(0.5 * math.pi)

    k = (t * _MILLS_SCALE).add_(1.0).reciprocal_()
    ratio = k * _MILLS[-1]
    for coefficient in _MILLS[-2::-1]:
        ratio.add_(coefficient).mul_(k)

    return ratio
