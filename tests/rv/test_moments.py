"""Each operation's moments against samples, or against its stated error (acceptance 1)."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from handvae import rv

EXACT_ON_INDEPENDENT_GAUSSIANS = {
    "linear": (lambda: nn.Linear(5, 4), (5,)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1), (2, 5)),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3, padding=2, dilation=2, groups=2), (2, 4, 4)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2), (1, 2, 3, 2)),
    "transposed conv1d": (lambda: nn.ConvTranspose1d(2, 2, 3, stride=2), (2, 3)),
    "transposed conv2d": (
        lambda: nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1, output_padding=1),
        (2, 2, 3),
    ),
    "batch norm in evaluation": (lambda: _tracked(nn.BatchNorm2d(2)).eval(), (2, 2, 2)),
    "relu": (nn.ReLU, (12,)),
    "leaky relu": (lambda: nn.LeakyReLU(0.2), (12,)),
    "leaky relu of negative slope": (lambda: nn.LeakyReLU(-0.5), (12,)),
    "leaky relu of slope above one": (lambda: nn.LeakyReLU(1.5), (12,)),
    "prelu": (lambda: nn.PReLU(3), (3, 4)),
    "elu": (lambda: nn.ELU(0.7), (12,)),
    "silu": (nn.SiLU, (6,)),
    "average pool with padding": (lambda: nn.AvgPool2d(3, 2, padding=1), (1, 5, 5)),
    "average pool of the inside": (lambda: nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), (1, 5, 5)),
    "average pool, rounded up": (lambda: nn.AvgPool2d(2, 2, ceil_mode=True), (1, 5, 3)),
    "average pool, own divisor": (lambda: nn.AvgPool2d(2, divisor_override=3), (1, 4, 4)),
    "average pool 1d": (lambda: nn.AvgPool1d(3, 2, padding=1), (2, 5)),
    "adaptive average pool": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (1, 5, 4)),
    "adaptive average pool 1d": (lambda: nn.AdaptiveAvgPool1d(2), (1, 5)),
    "max pool of two": (lambda: nn.MaxPool2d((1, 2)), (1, 3, 4)),
    "max pool 1d of two": (lambda: nn.MaxPool1d(2), (1, 6)),
    "upsample nearest": (lambda: nn.Upsample(scale_factor=2), (1, 2, 2)),
    "upsample bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 3, 3)),
    "upsample bilinear, corners aligned": (
        lambda: nn.Upsample(size=(5, 4), mode="bilinear", align_corners=True),
        (1, 3, 3),
    ),
    "upsample bicubic": (lambda: nn.Upsample(scale_factor=1.5, mode="bicubic"), (1, 4, 4)),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), (4, 2, 2)),
    "constant pad": (lambda: nn.ConstantPad2d(1, 3.0), (1, 2, 2)),
    "reflection pad": (lambda: nn.ReflectionPad2d(1), (1, 3, 3)),
    "dropout": (lambda: nn.Dropout(0.3), (8,)),
}

FUNCTIONS = {
    "sum of a variable and a number": (lambda x: x + 2.0, (4,)),
    "difference from a tensor": (lambda x: torch.tensor([1.0, 2.0]) - x, (2,)),
    "scaled": (lambda x: 3.0 * x / torch.tensor([2.0, 5.0]), (2,)),
    "twice itself": (lambda x: x + x, (4,)),
    "squared by product": (lambda x: x * x, (4,)),
    "squared by power": (lambda x: x**2, (4,)),
    "sum of two halves": (lambda x: x[:, :3] + x[:, 3:], (6,)),
    "difference of two halves": (lambda x: x[:, :3] - x[:, 3:], (6,)),
    "product of two halves": (lambda x: x[:, :3] * x[:, 3:], (6,)),
    "added with a factor": (lambda x: torch.add(x, x, alpha=2.0), (4,)),
    "absolute": (lambda x: x.abs(), (8,)),
    "exponential": (lambda x: (0.3 * x).exp(), (6,)),
    "sum over an axis": (lambda x: x.reshape(-1, 3, 2).sum(2), (6,)),
    "mean over an axis": (lambda x: torch.mean(x.reshape(-1, 2, 3), 2), (6,)),
    "product with a matrix": (lambda x: x @ torch.tensor([[1.0, -2.0], [0.5, 0.0], [3.0, 1.0]]), (3,)),
    "larger of two": (lambda x: F.max_pool1d(x[:, None], 2), (6,)),
}


def _tracked(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    norm.running_mean = torch.tensor([0.3, -0.5])
    norm.running_var = torch.tensor([0.5, 2.0])
    return norm


@pytest.mark.parametrize("name", EXACT_ON_INDEPENDENT_GAUSSIANS)
def test_moments_of_a_layer_are_those_of_its_samples(name, random_variable, sampled, agrees_with_samples):
    torch.manual_seed(0)
    make, shape = EXACT_ON_INDEPENDENT_GAUSSIANS[name]
    layer, variable = make(), random_variable(1, *shape)
    agrees_with_samples(layer(variable), sampled(layer, variable))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_moments_of_a_function_are_those_of_its_samples(name, random_variable, sampled, agrees_with_samples):
    function, shape = FUNCTIONS[name]
    variable = random_variable(1, *shape)
    agrees_with_samples(function(variable), sampled(function, variable))


@pytest.mark.parametrize(("name", "limit", "mean_error", "var_error"), [
    ("sigmoid", 1.0, 0.005, 0.006), ("sigmoid", 4.0, 0.010, 0.011),
    ("tanh", 1.0, 0.02, 0.04), ("tanh", 4.0, 0.03, 0.06),
])  # fmt: skip
def test_probit_moments_keep_their_stated_error(name, limit, mean_error, var_error, integrated):
    mean, var = (
        part.flatten()
        for part in torch.meshgrid(torch.linspace(-6, 6, 49), torch.linspace(0.02, limit, 12), indexing="ij")
    )
    modelled = getattr(rv.functional, name)(mean, var)
    reference = integrated(getattr(torch, name), mean, var)
    # The stated errors are rounded to one figure.
    assert (modelled[0] - reference[0]).abs().max() <= 1.1 * mean_error
    assert (modelled[1] - reference[1]).abs().max() <= 1.1 * var_error


@pytest.mark.parametrize(("function", "points", "limit", "mean_error", "var_error"), [
    (F.silu, 9, 1.0, 4e-6, 4e-5), (F.gelu, 9, 1.0, 2e-5, 5e-4), (F.softplus, 9, 1.0, 3e-7, 2e-6),
    (torch.sigmoid, 9, 1.0, 1e-6, 5e-6), (torch.tanh, 9, 1.0, 9e-4, 5e-3),
    (F.silu, 15, 4.0, 1e-4, 1e-3), (F.gelu, 15, 4.0, 8e-4, 9e-3), (F.softplus, 15, 4.0, 1e-5, 7e-5),
    (torch.sigmoid, 15, 4.0, 3e-5, 1e-4), (torch.tanh, 15, 4.0, 7e-3, 3e-2),
])  # fmt: skip
def test_quadrature_keeps_its_stated_error(function, points, limit, mean_error, var_error, integrated):
    mean, var = (
        part.flatten()
        for part in torch.meshgrid(torch.linspace(-6, 6, 49), torch.linspace(0.02, limit, 12), indexing="ij")
    )
    modelled = rv.functional.gauss_hermite(mean.double(), var.double(), function, points)
    reference = integrated(function, mean, var)
    assert (modelled[0] - reference[0]).abs().max() <= 1.5 * mean_error
    assert (modelled[1] - reference[1]).abs().max() <= 1.5 * var_error


@pytest.mark.parametrize("layer", [nn.GroupNorm(2, 4), nn.LayerNorm([4, 3, 3]), nn.InstanceNorm2d(4)])
def test_normalisation_is_good_while_the_variance_is_small(layer, random_variable, sampled):
    variable = random_variable(1, 4, 3, 3)
    variable = rv.RandomVariable(variable.mean, 1e-3 * variable.var)
    modelled, draws = layer(variable), sampled(layer, variable, 20_000)
    assert (modelled.mean[0] - draws.mean(0)).abs().max() < 0.01
    # A normaliser of 9 to 36 values moves with each of them, which the model leaves out: one part in nine.
    assert abs(modelled.var.sum().item() / draws.var(0).sum().item() - 1.0) < 0.3


def test_max_pool_of_four_errs_by_a_fifth_of_the_variance_at_most(random_variable, sampled):
    variable = random_variable(1, 2, 4, 4)
    layer = nn.MaxPool2d(2)
    modelled, draws = layer(variable), sampled(layer, variable)
    assert ((modelled.mean[0] - draws.mean(0)).abs() < 0.03 * draws.std(0)).all()
    assert ((modelled.var[0] / draws.var(0) - 1.0).abs() < 0.2).all()


def test_max_pool_by_argmax_takes_the_variance_of_the_largest_mean():
    mean, var = torch.tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])
    pooled = rv.functional.max_pool(mean, var, 2, rule="argmax")
    assert pooled[0].item() == 3.0
    assert pooled[1].item() == pytest.approx(0.2)


def test_padding_never_wins_a_max_pool():
    mean, var = torch.full((1, 1, 2, 2), -100.0), torch.full((1, 1, 2, 2), 0.5)
    pooled = rv.functional.max_pool(mean, var, 3, 2, 1)
    assert (pooled[0] < -90.0).all()


def test_dropout_makes_a_known_number_random(sampled, agrees_with_samples):
    known = rv.RandomVariable(torch.tensor([[1.0, -2.0, 3.0]]))
    layer = nn.Dropout(0.4)
    with torch.no_grad():
        draws = layer(known.mean.expand(200_000, 3)).double()
    agrees_with_samples(layer(known), draws)
    assert layer.eval()(known).is_dirac
