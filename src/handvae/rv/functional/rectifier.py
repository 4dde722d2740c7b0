"""Moments of piecewise linear activations of a Gaussian, stable in float32.

With t = m/s, s = √v, φ and Φ the standard normal density and distribution function, P = Φ(t), Q = 1−P:
    M = m P + s φ(t),    V = v (P − g(g + |t|)),    g = φ(t) − |t| Φ(−|t|)
M is max(m, 0) + s g and V a product of v and a number in [0, 1]: neither cancels, no float64 is needed, and at
v = 0 the result is exactly relu(m), 0. Against float64 the error stays below 5e-7 v.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from handvae.rv.functional.moments import Moments, at_least_float32, result_dtype

_TAIL = 30.0  # |m|/s beyond which φ and Φ(−|t|) are zero in float32
_INVERSE_ROOT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_INVERSE_ROOT_2 = math.sqrt(0.5)


def relu(mean: Float[Tensor, "*shape"], var: Float[Tensor, "*shape"]) -> Moments:
    """ReLU, kind G: exact if the input is Gaussian; mean M and variance V of the header."""
    return leaky_relu(mean, var, 0.0)


def leaky_relu(mean: Float[Tensor, "*shape"], var: Float[Tensor, "*shape"], slope: float = 0.01) -> Moments:
    """LeakyReLU of any slope a, kind G: mean am+(1−a)M, variance a²v+(1−a)²V+2a(1−a)Pv.

    The cross term is Stein's lemma: Cov(x, relu(x)) = P v. Saves only (m, v).
    """
    return _RectifiedMoments.apply(mean, var, slope)


def prelu(mean: Float[Tensor, "batch *rest"], var: Float[Tensor, "batch *rest"], slope: Float[Tensor, "channel"]) -> Moments:
    """PReLU with a slope to learn, kind G: mean M−aN, variance V+a²V_N+2aMN, where N = M−m is the mean of relu(−x).

    V_N = v−V−2MN is the variance of relu(−x); the two halves exclude each other, so their covariance is −MN.
    """
    if slope.numel() > 1:
        slope = slope.view((1, -1) + (1,) * (mean.dim() - 2))
    mean, var = at_least_float32(mean), at_least_float32(var)
    positive, positive_var = relu(mean, var)
    negative = positive - mean
    product = positive * negative
    negative_var = (var - positive_var - 2.0 * product).clamp_min(0.0)
    return positive - slope * negative, positive_var + slope.square() * negative_var + 2.0 * slope * product


def absolute(mean: Float[Tensor, "*shape"], var: Float[Tensor, "*shape"]) -> Moments:
    """Absolute value, kind G: the LeakyReLU of slope −1."""
    return leaky_relu(mean, var, -1.0)


class _RectifiedMoments(torch.autograd.Function):
    """One kernel for ReLU and LeakyReLU whose backward pass is closed-form: 8 bytes saved an element, not 101."""

    @staticmethod
    def forward(mean: Tensor, var: Tensor, slope: float) -> tuple[Tensor, Tensor]:
        m, v, dtype = at_least_float32(mean), at_least_float32(var), result_dtype(mean)
        t = (m.abs() * (v + 1e-12).rsqrt()).clamp_max_(_TAIL)
        tail = torch.erfc(t * _INVERSE_ROOT_2).mul_(0.5)  # erfc is three times faster than erf on CPU
        gap = (t.square().mul_(-0.5).exp_().mul_(_INVERSE_ROOT_2PI) - t * tail).clamp_min_(0.0)
        above = torch.where(m > 0, 1.0 - tail, tail)  # P = Φ(m/s)
        rectified = torch.addcmul(m.clamp_min(0.0), v.sqrt(), gap)
        share = (above - gap * (gap + t)).clamp_(0.0, 1.0)
        if slope == 0.0:
            return rectified.to(dtype), share.mul_(v).to(dtype)
        keep = 1.0 - slope
        # V/v = a² + (1−a)² V/v + 2a(1−a) P; for a < 0 it may round below zero.
        share = share.mul_(keep * keep).add_(above, alpha=2.0 * slope * keep).add_(slope * slope).clamp_min_(0.0)
        return rectified.mul_(keep).add_(m, alpha=slope).to(dtype), share.mul_(v).to(dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: tuple[Tensor, Tensor]) -> None:
        mean, var, slope = inputs
        ctx.save_for_backward(mean, var)
        ctx.slope = slope

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_mean, grad_var = grad_outputs
        mean, var = ctx.saved_tensors
        m, v = at_least_float32(mean), at_least_float32(var)
        s = (v + 1e-8).sqrt()  # without the floor dM/dv reaches infinity at m = v = 0
        z = (m / s).clamp_(-_TAIL, _TAIL)
        below = torch.erfc(z * _INVERSE_ROOT_2).mul_(0.5)  # Q
        above = 1.0 - below
        density = z.square().mul_(-0.5).exp_() * _INVERSE_ROOT_2PI  # f
        rectified = m * above + s * density
        # ReLU: dM/dm = P, dM/dv = f/2s, dV/dm = 2MQ, dV/dv = P − Mf/s
        mean_by_mean, mean_by_var = above, 0.5 * density / s
        var_by_mean, var_by_var = 2.0 * rectified * below, above - 2.0 * rectified * mean_by_var
        slope = ctx.slope
        if slope != 0.0:
            # The cross term 2a(1−a) P v adds v dP/dm = s f and P + v dP/dv = P − f z / 2.
            keep, cross = 1.0 - slope, 2.0 * slope * (1.0 - slope)
            var_by_mean = keep * keep * var_by_mean + cross * s * density
            var_by_var = slope * slope + keep * keep * var_by_var + cross * (above - 0.5 * density * z)
            mean_by_mean, mean_by_var = slope + keep * above, keep * mean_by_var
        into_mean = grad_mean * mean_by_mean + grad_var * var_by_mean
        into_var = grad_mean * mean_by_var + grad_var * var_by_var
        return into_mean.to(mean.dtype), into_var.to(var.dtype), None
