"""Compilation without graph breaks, and number formats under autocast (acceptance 12)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from handvae import rv
from handvae.rv import functional

NEEDS_COMPILER = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs a compiler"),
]


@pytest.mark.parametrize(
    "arguments",
    [
        ["aot_eager", "float32", "autocast"],
        pytest.param(["inductor", "rectifier", "fused"], marks=NEEDS_COMPILER),
    ],
)
def test_compiled_moments_and_gradients_equal_eager_ones(arguments):
    script = Path(__file__).parent / "compiled_equals_eager.py"
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "equal"


@pytest.mark.parametrize(
    "layer", [nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(), nn.SiLU(), nn.GroupNorm(2, 4), nn.BatchNorm2d(4)]
)
def test_autocast_keeps_moments_in_float32(layer):
    variable = rv.RandomVariable(torch.randn(2, 4, 3, 3).bfloat16(), torch.rand(2, 4, 3, 3).bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        for output in (layer(variable), rv.to_rv(layer)(variable)):
            assert output.mean.dtype == output.var.dtype == torch.float32


def test_without_autocast_half_precision_stays_half_precision():
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.LeakyReLU(0.2), nn.Conv2d(4, 2, 1)
    ).bfloat16()
    variable = rv.RandomVariable(torch.randn(2, 2, 5, 5).bfloat16(), torch.rand(2, 2, 5, 5).bfloat16())
    assert rv.to_rv(network)(variable).var.dtype == torch.bfloat16


def test_small_weights_are_squared_before_they_are_cast():
    weight = torch.full((1, 1), 1e-4, dtype=torch.float16)  # its square is below the smallest half
    assert functional.moments.squared_weight(weight, torch.ones(1)).item() == pytest.approx(1e-8, rel=1e-2)


def test_variance_products_keep_out_of_float16():
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 1e-4)
    with torch.autocast("cpu", torch.float16):
        output = layer(rv.RandomVariable(torch.ones(1, 1), torch.ones(1, 1)))
    assert output.var.item() == pytest.approx(1e-8, rel=1e-3)


def test_variance_under_autocast_is_near_that_of_float32(random_variable):
    torch.manual_seed(0)
    network = rv.to_rv(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1))
    )
    variable = random_variable(2, 3, 8, 8)
    expected = network(variable).var
    with torch.autocast("cpu", torch.bfloat16):
        found = network(variable).var.float()
    assert (found / expected - 1.0).abs().max() < 0.1


def test_rounded_variances_leave_means_alone_and_are_off_by_a_percent_at_most(random_variable):
    torch.manual_seed(0)
    network = rv.to_rv(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8).eval(), nn.ConvTranspose2d(8, 3, 4, 2, 1))
    )
    variable = random_variable(2, 3, 8, 8)
    expected = network(variable)
    rv.round_variances()
    try:
        found = network(variable)
    finally:
        rv.round_variances(False)
    assert torch.equal(found.mean, expected.mean)
    assert found.var.dtype == torch.float32
    assert 1e-5 < (found.var / expected.var - 1.0).abs().max() < 0.015


def test_chains_that_cannot_be_compiled_go_on_in_pieces_and_say_so_once(monkeypatch, capsys):
    from torch._dynamo.exc import TorchDynamoException

    def broken(function, **options):
        def call(*arguments):
            raise TorchDynamoException("no C++ compiler")

        return call

    mean, var = torch.randn(200_000), torch.rand(200_000)
    expected = functional.relu(mean, var)
    monkeypatch.setattr(functional.tiles.torch, "compile", broken)
    functional.tiles._loop.cache_clear()
    rv.fuse_chains()
    for _ in range(2):
        found = functional.relu(mean, var)
        assert all(map(torch.equal, found, expected))
    functional.tiles._loop.cache_clear()
    assert capsys.readouterr().out.count("cannot be compiled here (no C++ compiler)") == 1
