"""Batch normalisation of random scalars (acceptance 6), and gradients of all normalisations (acceptance
3)."""

import pytest
import torch
from torch import nn

from handvae import rv
from handvae.rv import functional


def test_batch_statistics_are_those_of_the_mixture_of_all_samples(random_variable, generator):
    layer = nn.BatchNorm2d(3, eps=0.0, affine=False, momentum=1.0).double()
    variable = random_variable(10, 3, 2, 2, dtype=torch.float64)
    layer(variable)
    noise = torch.randn(25_000, *variable.shape, generator=generator, dtype=torch.float64)
    values = (variable.mean + variable.std * noise).transpose(0, 2).reshape(3, -1)  # 10^6 values a channel
    torch.testing.assert_close(layer.running_mean, values.mean(1), atol=0.005, rtol=0.0)
    # The buffer holds the unbiased variance of n = 40 positions.
    torch.testing.assert_close(layer.running_var, values.var(1) * 40 / 39, atol=0.0, rtol=0.005)


def test_normalised_mixture_has_mean_zero_and_variance_one(random_variable):
    output = nn.BatchNorm1d(4, eps=0.0)(random_variable(30, 4))
    torch.testing.assert_close(output.mean.mean(0), torch.zeros(4), atol=1e-6, rtol=0.0)
    torch.testing.assert_close(output.mean.var(0, correction=0) + output.var.mean(0), torch.ones(4))


def test_running_buffers_follow_momentum_in_place(random_variable):
    layer = nn.BatchNorm2d(3, momentum=0.25)
    mean_buffer, var_buffer = layer.running_mean, layer.running_var
    variable = random_variable(6, 3, 4, 4)
    layer(variable)
    total = variable.mean.transpose(0, 1).flatten(1).var(1, correction=0) + variable.var.transpose(
        0, 1
    ).flatten(1).mean(1)
    assert layer.running_mean is mean_buffer
    assert layer.running_var is var_buffer
    torch.testing.assert_close(mean_buffer, 0.25 * variable.mean.mean((0, 2, 3)))
    torch.testing.assert_close(var_buffer, 0.75 + 0.25 * total * 96 / 95)


def test_evaluation_is_an_affine_map(random_variable):
    layer = nn.BatchNorm2d(3).eval()
    layer.running_var = torch.tensor([0.5, 2.0, 4.0])
    layer.weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    variable = random_variable(2, 3, 2, 2)
    scale = layer.weight.square() / (layer.running_var + layer.eps)
    torch.testing.assert_close(layer(variable).var, variable.var * scale.view(3, 1, 1))


def test_large_means_do_not_cancel(random_variable):
    variable = random_variable(8, 3, 4, 4)
    shifted = rv.RandomVariable(variable.mean + 1000.0, variable.var)
    expected = functional.batch_norm(variable.mean, variable.var, None, None, training=True)
    output = functional.batch_norm(shifted.mean, shifted.var, None, None, training=True)
    torch.testing.assert_close(output[1], expected[1], rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("name", ["batch", "group", "layer", "instance"])
def test_gradients_of_normalisation_pass_gradcheck_twice(name):
    torch.manual_seed(0)
    mean = torch.randn(2, 4, 2, 1, dtype=torch.float64, requires_grad=True)
    var = (0.05 + torch.rand(2, 4, 2, 1, dtype=torch.float64)).requires_grad_()
    size = (2, 1) if name == "layer" else (4,)
    weight, bias = (torch.randn(size, dtype=torch.float64, requires_grad=True) for _ in range(2))
    function = {
        "batch": lambda m, v, w, b: functional.batch_norm(m, v, None, None, w, b, True),
        "group": lambda m, v, w, b: functional.group_norm(m, v, 2, w, b),
        "layer": lambda m, v, w, b: functional.layer_norm(m, v, (2, 1), w, b),
        "instance": lambda m, v, w, b: functional.instance_norm(m, v, w, b),
    }[name]
    assert torch.autograd.gradcheck(function, (mean, var, weight, bias))
    assert torch.autograd.gradgradcheck(function, (mean, var, weight, bias))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layout_passes_through_normalisation(layout):
    mean, var = (torch.rand(2, 4, 3, 3).to(memory_format=layout) for _ in range(2))
    for output in (
        *functional.group_norm(mean, var, 2),
        *functional.batch_norm(mean, var, None, None, training=True),
    ):
        assert output.is_contiguous(memory_format=layout)
