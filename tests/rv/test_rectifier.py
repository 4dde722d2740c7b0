"""The float32 ReLU and its gradients (acceptance 2 and 3)."""

import math

import pytest
import torch
from torch import Tensor

from handvae.rv import functional
from handvae.rv.functional import tiles

SLOPES = [0.0, 0.2, -1.0]


def grid() -> tuple[Tensor, Tensor]:
    """Means of either sign from 1e-3 to 30 and variances from 1e-8 to 1e2."""
    size = torch.logspace(-3, math.log10(30.0), 200)
    mean, var = torch.meshgrid(torch.cat([-size, size]), torch.logspace(-8, 2, 300), indexing="ij")
    return mean.reshape(-1), var.reshape(-1)


def textbook(mean: Tensor, var: Tensor, slope: float) -> tuple[Tensor, Tensor]:
    """The formulas of the guide in float64, without epsilon; log Φ keeps the far tail."""
    m, v = mean.double(), var.double()
    s = v.sqrt()
    t = m.abs() / s
    tail = torch.special.log_ndtr(-t).exp()
    density = (-0.5 * t.square()).exp() / math.sqrt(2.0 * math.pi)
    gap = density - t * tail
    above = torch.where(m > 0, 1.0 - tail, tail)
    rectified, spread = m.clamp_min(0.0) + s * gap, v * (above - gap * (gap + t))
    keep = 1.0 - slope
    return slope * m + keep * rectified, slope**2 * v + keep**2 * spread + 2.0 * slope * keep * above * v


@pytest.mark.parametrize("slope", SLOPES)
def test_float32_moments_agree_with_float64_over_ten_decades(slope):
    mean, var = grid()
    rectified, spread = functional.leaky_relu(mean, var, slope)
    expected = textbook(mean, var, slope)
    assert torch.isfinite(rectified).all()
    assert (spread >= 0).all()
    assert ((rectified - expected[0]).abs() <= 1e-6 * (mean.abs() + var.sqrt())).all()
    assert ((spread - expected[1]).abs() <= 1e-6 * var).all()


@pytest.mark.parametrize("slope", SLOPES)
def test_known_input_gives_the_plain_function_and_no_variance(slope):
    mean = torch.linspace(-3, 3, 101)
    rectified, spread = functional.leaky_relu(mean, torch.zeros_like(mean), slope)
    torch.testing.assert_close(rectified, torch.nn.functional.leaky_relu(mean, slope))
    torch.testing.assert_close(spread, torch.zeros_like(mean))


@pytest.mark.parametrize("slope", SLOPES)
def test_closed_form_gradients_pass_gradcheck_twice(slope):
    torch.manual_seed(0)
    mean = torch.randn(30, dtype=torch.float64, requires_grad=True)
    var = (0.05 + torch.rand(30, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, v: functional.leaky_relu(m, v, slope), (mean, var))
    assert torch.autograd.gradgradcheck(lambda m, v: functional.leaky_relu(m, v, slope), (mean, var))


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "sigmoid", "tanh", "silu", "gelu", "softplus"])
def test_gradients_are_finite_where_mean_and_variance_vanish(name):
    mean, var = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    total = sum((part.sum() for part in getattr(functional, name)(mean, var)), torch.zeros(()))
    total.backward()
    assert mean.grad is not None
    assert var.grad is not None
    assert torch.isfinite(mean.grad).all()
    assert torch.isfinite(var.grad).all()


def test_only_mean_and_variance_are_saved_for_backward():
    mean, var = torch.randn(1000, requires_grad=True), torch.rand(1000, requires_grad=True)
    saved = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        functional.relu(mean, var)
    assert sum(saved) == 8 * 1000


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_tiles_change_neither_results_nor_layout(layout, monkeypatch):
    torch.manual_seed(0)
    mean = torch.randn(2, 6, 40, 40).to(memory_format=layout).requires_grad_()
    var = torch.rand(2, 6, 40, 40).to(memory_format=layout).requires_grad_()

    def run() -> tuple[Tensor, ...]:
        outputs = functional.leaky_relu(mean, var, 0.2)
        return *outputs, *torch.autograd.grad(outputs, (mean, var), (mean.detach().cos(), var.detach().sin()))

    whole = run()
    monkeypatch.setattr(tiles, "_TILE", 1000)
    for piece, reference in zip(run(), whole, strict=True):
        torch.testing.assert_close(piece, reference)
        assert piece.is_contiguous(memory_format=layout)


def test_prelu_gradients_pass_gradcheck():
    torch.manual_seed(0)
    mean = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    var = (0.05 + torch.rand(2, 3, dtype=torch.float64)).requires_grad_()
    slope = torch.tensor([0.1, 0.5, -0.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(functional.prelu, (mean, var, slope))
