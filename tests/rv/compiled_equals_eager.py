"""Run by test_compile.py in a process of its own: torch.compile cannot trace functions that pytest's type
checker has wrapped.

python compiled_equals_eager.py BACKEND float32|autocast|rectifier|fused ...
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from handvae import rv


class Decoder(nn.Module):
    """One of everything that the compiled path promises, with a forward of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(5, 64), nn.Unflatten(1, (4, 4, 4)))
        self.up = nn.Sequential(
            nn.ConvTranspose2d(6, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)
        )
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.GroupNorm(2, 8), nn.ReLU())
        self.head = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 3, padding=1), nn.Sigmoid())

    def forward(self, code: Any, extra: Tensor) -> Any:
        x = self.up(rv.cat([self.stem(code), extra], 1))
        return self.head(self.block(x) + x * 0.5)


class Rectifier(nn.Module):
    """A short network, for the backend that takes long to compile."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 6), nn.LeakyReLU(0.2), nn.Linear(6, 3))

    def forward(self, code: Any, extra: Tensor) -> Any:
        return self.layers(code)


def moments_and_gradients(network: Callable[..., Any], parameters: nn.Module, autocast: bool) -> list[Tensor]:
    """Returns output moments, then gradients of the input's moments and of all parameters."""
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(3, 5, generator=generator).requires_grad_()
    var = torch.rand(3, 5, generator=generator).requires_grad_()
    extra = torch.randn(3, 2, 4, 4, generator=generator)
    parameters.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = network(rv.RandomVariable(mean, var), extra)
    (output.mean.float().square().sum() + output.var.float().sum()).backward()
    found = [
        output.mean,
        output.var,
        mean.grad,
        var.grad,
        *(parameter.grad for parameter in parameters.parameters()),
    ]
    return [tensor.detach().clone() for tensor in found if tensor is not None]


def compare(backend: str, network: type[nn.Module], autocast: bool) -> None:
    """Asserts that the compiled twin returns and differentiates what the eager one does."""
    torch.manual_seed(0)
    twin = rv.to_rv(network())
    compiled = torch.compile(twin, fullgraph=True, backend=backend)
    tolerance = 0.05 if autocast else 1e-4
    expected, found = (moments_and_gradients(callee, twin, autocast) for callee in (twin, compiled))
    assert len(expected) == len(found) == 4 + len(list(twin.parameters()))
    for reference, tensor in zip(expected, found, strict=True):
        assert reference.dtype == tensor.dtype
        torch.testing.assert_close(
            tensor, reference, rtol=tolerance, atol=tolerance * reference.float().abs().max().item()
        )
    if not autocast:
        dirac = compiled(rv.RandomVariable(torch.randn(3, 5)), torch.randn(3, 2, 4, 4))
        assert dirac.is_dirac


def compare_chains() -> None:
    """Asserts that activations in one compiled loop give what they give in pieces, forwards and backwards, in
    any layout."""
    mean = torch.randn(2, 6, 130, 130).to(memory_format=torch.channels_last).requires_grad_()
    var = torch.rand(2, 6, 130, 130).to(memory_format=torch.channels_last).requires_grad_()
    for slope in (0.0, 0.2):
        found = []
        for fused in (False, True):
            rv.fuse_chains(fused)
            outputs = rv.functional.leaky_relu(mean, var, slope)
            gradients = torch.autograd.grad(outputs, (mean, var), (mean.detach().cos(), var.detach().sin()))
            found.append((*outputs, *gradients))
        for eager, compiled in zip(*found, strict=True):
            torch.testing.assert_close(compiled, eager, rtol=1e-5, atol=1e-6)
            assert compiled.stride() == eager.stride()
        rv.fuse_chains(False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for choice in sys.argv[2:]:
        if choice == "fused":
            compare_chains()
            continue
        compare(sys.argv[1], Rectifier if choice == "rectifier" else Decoder, choice == "autocast")
    print("equal")
