"""Sums, products, joins and what has no rule (acceptance 8)."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from handvae import rv


def test_a_variable_knows_itself(random_variable):
    x = random_variable(2, 3)
    assert torch.equal((x + x).var, 4.0 * x.var)
    assert torch.equal(torch.add(x, x).var, 4.0 * x.var)
    torch.testing.assert_close((x * x).mean, x.mean.square() + x.var)
    torch.testing.assert_close((x * x).var, 2.0 * x.var.square() + 4.0 * x.mean.square() * x.var)
    assert (x - x).is_dirac
    assert torch.equal((x - x).mean, torch.zeros(2, 3))


def test_known_parts_of_a_join_get_zero_variance_if_any_part_is_random(random_variable):
    x, known = random_variable(2, 3), torch.ones(2, 2)
    for joined in (
        rv.cat([known, x], 1),
        torch.cat([known, x], 1),
        torch.cat([rv.RandomVariable(known), x], dim=1),
    ):
        assert torch.equal(joined.mean, torch.cat([known, x.mean], 1))
        assert torch.equal(joined.var, torch.cat([torch.zeros(2, 2), x.var], 1))


def test_known_parts_alone_stay_known():
    known = torch.ones(2, 2)
    assert rv.cat([rv.RandomVariable(known), known], 1).is_dirac
    assert isinstance(rv.cat([known, known], 1), torch.Tensor)


def test_a_tensor_may_stand_on_either_side(random_variable):
    x, known = random_variable(2, 3), torch.randn(2, 3)
    for left, right in (
        (known + x, x + known),
        (known * x, x * known),
        (known - x, -(x - known)),
        (2.0 - x, -(x - 2.0)),
    ):
        torch.testing.assert_close(left.mean, right.mean)
        torch.testing.assert_close(left.var, right.var)


def test_a_larger_known_operand_spreads_the_variance(random_variable):
    x = random_variable(2, 3, 1, 1)
    output = x + torch.zeros(2, 3, 4, 5)
    assert output.var.shape == (2, 3, 4, 5)
    assert torch.equal(output.var[..., 1, 2], x.var[..., 0, 0])


def test_an_unmodified_residual_network_runs(random_variable):
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

        def forward(self, x):
            out = F.relu(self.norm(self.conv(x)), inplace=True)
            out += x
            return torch.relu(out)

    network = nn.Sequential(Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    output = network(random_variable(3, 4, 5, 5))
    assert output.shape == (3, 2)
    assert (output.var > 0).all()


UNKNOWN = {
    "torch.fft.fft": lambda x: torch.fft.fft(x),
    "torch.Tensor.softmax": lambda x: x.softmax(1),
    "torch.Tensor.add_": lambda x: torch.zeros(2, 3).add_(x),
    "torch.nn.functional.relu_": lambda x: F.relu_(x),
    "torch.max": lambda x: torch.max(x),
    "division by a random variable": lambda x: 1.0 / x,
    "power 3": lambda x: x**3,
    "torch.nn.functional.linear": lambda x: F.linear(torch.ones(1, 3), x),
    "matmul of two random variables": lambda x: x @ x.t(),
    "interpolate with mode area": lambda x: F.interpolate(x[:, None, None], scale_factor=2, mode="area"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_operation_without_a_rule_names_itself(name, random_variable):
    with pytest.raises(rv.UnsupportedRVOp) as caught:
        UNKNOWN[name](random_variable(2, 3))
    assert name in str(caught.value)


def test_an_unknown_function_raises_for_known_variables_too():
    with pytest.raises(rv.UnsupportedRVOp):
        torch.fft.fft(rv.RandomVariable(torch.ones(3)))


def test_the_error_names_the_module_and_the_hook(random_variable):
    network = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Identity(), nn.Softmax(1)))
    with pytest.raises(rv.UnsupportedRVOp, match=r"softmax at 1\.1 \(Softmax\).*register_function") as caught:
        network(random_variable(2, 3))
    assert caught.value.path == "1.1 (Softmax)"


def test_a_registered_function_is_dispatched(random_variable):
    @rv.register_function(torch.erf, kind=rv.Kind.GAUSSIAN, assumption="quadrature")
    def _erf(x: rv.RandomVariable) -> rv.RandomVariable:
        return rv.RandomVariable(*rv.functional.gauss_hermite(x.mean, x.var_or_zeros(), torch.erf))

    x = random_variable(2, 3)
    assert torch.erf(x).shape == (2, 3)
    assert torch.equal(torch.erf(rv.RandomVariable(x.mean)).mean, torch.erf(x.mean))
