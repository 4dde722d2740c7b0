"""Nearest upsampling fused with the convolution behind it (acceptance 7)."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from handvae import rv
from handvae.rv import functional


@pytest.mark.parametrize(
    ("kernel", "padding", "groups", "scale"),
    [(3, 1, 1, 2), (3, 0, 2, 2), (5, 2, 1, 2), (2, 1, 2, 3), (1, 0, 1, 2)],
)
def test_fused_mean_equals_the_pair(kernel, padding, groups, scale):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, kernel, padding=padding, groups=groups)
    x = torch.randn(2, 4, 5, 3)
    expected = layer(F.interpolate(x, scale_factor=scale))
    torch.testing.assert_close(rv.upsample_conv2d(x, layer, scale), expected, atol=1e-5, rtol=1e-5)


def test_fused_variance_is_that_of_duplicated_pixels(random_variable, sampled, agrees_with_samples):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, padding=1))
    variable = random_variable(1, 2, 3, 3)
    agrees_with_samples(rv.to_rv(layers)(variable), sampled(layers, variable))


def test_unfused_form_understates_the_variance_of_a_positive_kernel():
    layers = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, padding=1))
    nn.init.constant_(layers[1].weight, 1.0)
    variable = rv.RandomVariable(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8))
    fused, plain = rv.to_rv(layers)(variable), rv.to_rv(layers, upsample="plain")(variable)
    ratio = fused.var[0, 0, 4:12, 4:12].mean() / plain.var[0, 0, 4:12, 4:12].mean()
    assert ratio.item() == pytest.approx(25 / 9, rel=1e-5)  # (1 + 4 + 4 + 16) / 9 for all-ones


def test_phase_kernels_are_those_of_the_guide():
    # A_i W A_j^T, i and j the parity of the output pixel, read from the wide kernel.
    torch.manual_seed(0)
    weight = torch.randn(1, 1, 3, 3)
    wide = functional.upsampling_kernel(weight, 2)[0, 0]
    even = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    odd = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    for row, left in ((1, even), (0, odd)):
        for column, right in ((1, even), (0, odd)):
            taps = wide[row::2, column::2].flip(
                0, 1
            )  # a transposed convolution lays its kernel out backwards
            torch.testing.assert_close(taps, left @ weight[0, 0] @ right.T)


def test_gradients_of_the_fused_pair_pass_gradcheck():
    torch.manual_seed(0)
    mean = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    var = (0.05 + torch.rand(1, 2, 2, 3, dtype=torch.float64)).requires_grad_()
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(functional.upsample_convolution, (mean, var, weight, bias))


def test_layout_passes_through_the_fused_pair():
    layers = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1)).to(
        memory_format=torch.channels_last
    )  # pyright: ignore
    moments = (torch.rand(2, 4, 3, 3).to(memory_format=torch.channels_last) for _ in range(2))
    output = rv.to_rv(layers)(rv.RandomVariable(*moments))
    assert output.mean.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(2, 2, 3, stride=2), nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")]
)
def test_other_convolutions_are_not_fused(layer, random_variable):
    with pytest.raises(ValueError, match="stride 1"):
        rv.upsample_conv2d(random_variable(1, 2, 4, 4), layer)
    pair = nn.Sequential(nn.Upsample(scale_factor=2), layer)
    variable = random_variable(1, 2, 4, 4)
    torch.testing.assert_close(rv.to_rv(pair)(variable).var, pair(variable).var)
