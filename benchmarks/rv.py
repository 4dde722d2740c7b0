"""Cost of random variables: ratios of medians, from cases that take turns in one process.

    python benchmarks/rv.py             # two to three minutes, with compilation
    python benchmarks/rv.py --quick     # seconds: small batch, no compilation; its ratios are not published

Seconds differ between machines and between minutes, so only ratios are printed.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handvae import rv
from handvae.rv.tangent import mirrored_moments, tangent_moments
from handvae.training.process import prepare_process

LATENT = 32
WIDTHS = (256, 128, 64, 32)
PICTURE = (3, 64, 64)


@dataclass(frozen=True)
class Ratio:
    """One line of the report."""

    name: str
    value: float
    target: str
    holds: bool


@dataclass(frozen=True)
class Settings:
    """Size and length of a run."""

    batch: int
    rounds: int
    compiled: bool


# --------------------------------------------------------------------------------------------------- networks


def upsampling_decoder() -> nn.Sequential:
    """64 px decoder of nearest upsampling and 3x3 convolutions."""
    layers: list[nn.Module] = [nn.Linear(LATENT, WIDTHS[0] * 16), nn.Unflatten(1, (WIDTHS[0], 4, 4))]
    for inputs, outputs in zip(WIDTHS, (*WIDTHS[1:], WIDTHS[-1]), strict=True):
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
        layers += [nn.GroupNorm(8, outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(WIDTHS[-1], 3, 3, padding=1))


def transposed_decoder() -> nn.Sequential:
    """64 px decoder of transposed convolutions."""
    layers: list[nn.Module] = [nn.Linear(LATENT, WIDTHS[0] * 16), nn.Unflatten(1, (WIDTHS[0], 4, 4))]
    for inputs, outputs in zip(WIDTHS, (*WIDTHS[1:], WIDTHS[-1]), strict=True):
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(WIDTHS[-1], 3, 3, padding=1))


def textbook_relu(mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """The textbook formulas, in float64 because E[x²] − E[x]² cancels."""
    m, v = mean.double(), var.double()
    s = (v + 1e-12).sqrt()
    above = 0.5 * (1.0 + torch.erf(m / (s * math.sqrt(2.0))))
    density = torch.exp(-0.5 * (m / s) ** 2) / math.sqrt(2.0 * math.pi)
    rectified = m * above + s * density
    square = (m**2 + v) * above + m * s * density
    return rectified.float(), (square - rectified**2).clamp_min(0.0).float()


class TextbookDecoder(nn.Module):
    """Simple moments for the upsampling decoder: one stacked tensor, sliced and joined at every layer."""

    def __init__(self, decoder: nn.Sequential) -> None:
        super().__init__()
        self.layers = decoder

    def forward(self, variable: rv.RandomVariable) -> rv.RandomVariable:
        """Returns the moments of the picture."""
        stacked = variable.stack()
        for layer in self.layers:
            stacked = torch.stack(self._moments(layer, stacked[:, 0], stacked[:, 1]), 1)
        return rv.RandomVariable.from_stacked(stacked)

    def _moments(self, layer: nn.Module, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        match layer:
            case nn.Linear():
                return layer(mean), F.linear(var, layer.weight**2)
            case nn.Conv2d():
                return layer(mean), F.conv2d(var, layer.weight**2, None, layer.stride, layer.padding)
            case nn.GroupNorm():
                groups = mean.view(mean.shape[0], layer.num_groups, -1)
                channels = mean.shape[1] // layer.num_groups
                spread = groups.var(2, correction=0) + var.view_as(groups).mean(2)
                scale = ((spread + layer.eps) ** -0.5).repeat_interleave(channels, 1)[..., None, None]
                centre = groups.mean(2).repeat_interleave(channels, 1)[..., None, None]
                gain, bias = layer.weight[:, None, None], layer.bias[:, None, None]
                return (mean - centre) * scale * gain + bias, var * scale**2 * gain**2
            case nn.LeakyReLU():
                return textbook_relu(mean, var)
        return layer(mean), layer(var)


# -------------------------------------------------------------------------------------------------- measuring


def medians(cases: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Returns the median processor seconds of each case; they take turns, so that a busy minute hits all.

    Processor time, not the clock's: on a shared machine the time that other processes take does not count.
    """
    # warm up, and compile
    for case in cases.values():
        case()
        case()

    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            start = time.process_time()
            case()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def saved_bytes(forward: Callable[[], Any], known: nn.Module | None = None) -> int:
    """Returns the bytes that autograd keeps for the backward pass, each storage once, parameters left out."""
    skip = {parameter.untyped_storage().data_ptr() for parameter in known.parameters()} if known else set()
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in skip:
            storages[storage.data_ptr()] = storage
        return tensor

    # the result keeps the graph alive until all is counted
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    total = sum(storage.nbytes() for storage in storages.values())
    del result
    return total


def step(network: Callable[..., Any], parameters: nn.Module, batch: int, random: bool) -> Callable[[], None]:
    """Returns a training step: plain decoders get a sample, the others mean and variance."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(batch, LATENT, generator=generator)
    noise = torch.randn(batch, LATENT, generator=generator)
    picture = torch.rand(batch, *PICTURE, generator=generator)
    mean.requires_grad_()
    logvar = torch.full_like(mean, -2.0).requires_grad_()

    def run() -> None:
        parameters.zero_grad(set_to_none=True)
        code = rv.RandomVariable.from_logvar(mean, logvar)
        if random:
            output = network(code)
            loss = (output.mean - picture).square().sum() + output.var.sum()
        else:
            loss = (network(code.sample(noise=noise)) - picture).square().sum()
        loss.backward()

    return run


# ------------------------------------------------------------------------------------------------- the report


def training(settings: Settings) -> list[Ratio]:
    """Training steps of both decoders, eager and compiled."""
    batch = settings.batch
    cases: dict[str, Callable[[], Any]] = {}
    for name, make in (("upsampling", upsampling_decoder), ("transposed", transposed_decoder)):
        for layout, memory in (("", torch.contiguous_format), (" channels_last", torch.channels_last)):
            decoder = make().to(memory_format=memory)  # pyright: ignore[reportCallIssue]
            cases[f"{name}{layout} plain"] = step(decoder, decoder, batch, False)
            cases[f"{name}{layout} rv"] = step(rv.to_rv(decoder), decoder, batch, True)

    decoder = upsampling_decoder()
    cases["unfused"] = step(rv.to_rv(decoder, upsample="plain"), decoder, batch, True)
    cases["textbook"] = step(TextbookDecoder(decoder), decoder, batch, True)

    if settings.compiled:
        for name, make in (("upsampling", upsampling_decoder), ("transposed", transposed_decoder)):
            decoder = make().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
            plain = torch.compile(decoder, fullgraph=True)
            twin = torch.compile(rv.to_rv(decoder), fullgraph=True)
            cases[f"{name} compiled plain"] = step(plain, decoder, batch, False)
            cases[f"{name} compiled rv"] = step(twin, decoder, batch, True)

    took = medians(cases, settings.rounds)
    ratio = took["upsampling rv"] / took["upsampling plain"]
    lines = [_at_most("RV step / plain step, eager, upsampling decoder", ratio, 2.1)]
    for name in ("upsampling channels_last", "transposed", "transposed channels_last"):
        ratio = took[f"{name} rv"] / took[f"{name} plain"]
        lines.append(_no_target(f"RV step / plain step, eager, {name}", ratio))
    if settings.compiled:
        ratio = took["upsampling compiled rv"] / took["upsampling compiled plain"]
        lines.append(_at_most("RV step / plain step, both compiled, upsampling decoder", ratio, 1.8))
        ratio = took["transposed compiled rv"] / took["transposed compiled plain"]
        lines.append(_no_target("RV step / plain step, both compiled, transposed", ratio))
        ratio = took["transposed compiled rv"] / took["transposed plain"]
        lines.append(_no_target("compiled RV step / eager plain step, transposed", ratio))

    ratio = took["upsampling rv"] / took["unfused"]
    lines.append(_at_most("fused / unfused upsampling, RV step", ratio, 1.0))
    ratio = took["textbook"] / took["upsampling rv"]
    lines.append(_at_least("textbook RV modules / ours, RV step", ratio, 2.0))
    return lines


def memory(settings: Settings) -> list[Ratio]:
    """Bytes that a forward pass keeps for the backward pass."""
    decoder = upsampling_decoder()
    twin = rv.to_rv(decoder)
    mean = torch.randn(settings.batch, LATENT, requires_grad=True)
    variable = rv.RandomVariable(mean, torch.full_like(mean, 0.1).requires_grad_())
    ratio = saved_bytes(lambda: twin(variable), decoder) / saved_bytes(lambda: decoder(mean), decoder)
    return [_at_most("memory for backward, RV / plain, upsampling decoder", ratio, 2.2)]


def generation(settings: Settings) -> list[Ratio]:
    """Decoding of known codes."""
    lines = []
    for name, make in (("upsampling", upsampling_decoder), ("transposed", transposed_decoder)):
        decoder = make().eval()
        twin, code = rv.to_rv(decoder), torch.randn(settings.batch, LATENT)
        cases = {"plain": partial(decoder, code), "dirac": partial(twin, rv.RandomVariable(code))}
        with torch.inference_mode():
            took = medians(cases, 3 * settings.rounds)
        ratio = took["dirac"] / took["plain"]
        lines.append(_at_most(f"Dirac generation / plain, {name} decoder", ratio, 1.05))
    return lines


def with_correlations(settings: Settings) -> list[Ratio]:
    """Forward passes that keep correlations, and the diagonal one, against a plain pass."""
    decoder = upsampling_decoder().eval()
    twin = rv.to_rv(decoder)
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(settings.batch, LATENT, generator=generator)
    variable = rv.RandomVariable(mean, torch.full_like(mean, 0.1))
    with torch.no_grad():
        cases = {
            "plain": lambda: decoder(mean),
            "diagonal": lambda: twin(variable),
            "tangent": lambda: tangent_moments(decoder, variable, generator=generator),
            "mirrored": lambda: mirrored_moments(decoder, variable, generator=generator),
        }
        took = medians(cases, settings.rounds)
    return [
        _no_target(f"forward pass, {name} moments / plain", took[name] / took["plain"])
        for name in ("diagonal", "tangent", "mirrored")
    ]


def rectifier(settings: Settings) -> list[Ratio]:
    """The float32 ReLU against the textbook's float64."""
    size = (settings.batch, WIDTHS[-1], 64, 64)
    mean, var = torch.randn(size, requires_grad=True), torch.rand(size, requires_grad=True)

    def both(relu: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad([part.sum() for part in relu(mean, var)], (mean, var))

    took = medians({"ours": both(rv.functional.relu), "textbook": both(textbook_relu)}, settings.rounds)
    kept = saved_bytes(lambda: textbook_relu(mean, var)) / saved_bytes(lambda: rv.functional.relu(mean, var))
    return [
        _at_least("textbook float64 ReLU / ours, time", took["textbook"] / took["ours"], 3.0),
        _at_least("textbook float64 ReLU / ours, bytes saved for backward", kept, 10.0),
    ]


def _at_most(name: str, value: float, limit: float) -> Ratio:
    return Ratio(name, value, f"<= {limit:g}", value <= limit)


def _at_least(name: str, value: float, limit: float) -> Ratio:
    return Ratio(name, value, f">= {limit:g}", value >= limit)


def _no_target(name: str, value: float) -> Ratio:
    return Ratio(name, value, "", True)


def report(settings: Settings) -> list[Ratio]:
    """Measures everything and prints one line a ratio."""
    lines = []
    for part in (training, memory, generation, with_correlations, rectifier):
        for line in part(settings):
            verdict = ("ok" if line.holds else "MISSED") if line.target else ""
            print(f"{line.name:62s} {line.value:6.2f}  {line.target:8s} {verdict}", flush=True)
            lines.append(line)
    return lines


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small batch, two rounds, no compilation")
    parser.add_argument("--batch", type=int, default=32, help="pictures a step")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each case")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    prepare_process()  # as in every training process: denormals flushed, freed memory kept
    torch.manual_seed(0)
    settings = Settings(4, 2, False) if options.quick else Settings(options.batch, options.rounds, True)

    sizes = f"batch {settings.batch}, {settings.rounds} rounds, {options.threads} threads"
    print(f"{sizes}, torch {torch.__version__}")
    report(settings)


if __name__ == "__main__":
    main()
