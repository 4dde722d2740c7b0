"""Speed of a Soft-Intro-SRV-VAE step, as ratios within one run: python benchmarks/soft_intro.py [--quick]

Our step, by default and with the options that make random variables cheaper (moments of activations in one
compiled loop each, variances in bfloat16, everything in bfloat16), against a plain port of the published
step on the same networks. That one has float64 ReLU moments, mean and variance in one tensor that every
layer takes apart and joins again, normalisation in single operations, upsampling at full size, and two
further re-decodings in the decoder's half. And random variables against samples, both ours.

Variants take turns; medians of processor seconds, so that other processes do not count; ratios are taken
within a round.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handvae import rv
from handvae.data.hands import DataSpec, Hands
from handvae.nets.residual import Residual, ResidualDecoder
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.systems.soft_intro import SoftIntroConfig, SoftIntroSrvVae
from handvae.training.presets import PRESETS
from handvae.training.process import prepare_process

PRESET = PRESETS["soft-intro-2d-64"]
CONFIG = cast(SoftIntroConfig, PRESET.system)
VARIANTS = (
    ("sample", "sample", "float32", False, ""),
    ("rv", "rv", "float32", False, "sample"),
    ("rv, fused", "rv", "float32", True, "sample"),
    ("rv, fused, bf16 variances", "rv", "bf16-variances", True, "sample"),
    ("sample, bf16", "sample", "bf16", False, ""),
    ("rv, bf16", "rv", "bf16", False, "sample, bf16"),
    ("rv, bf16, fused", "rv", "bf16", True, "sample, bf16"),
)
"""Name, latent, precision, moments of activations in one compiled loop, name of the reference."""
SPEC = DataSpec("bench", 1000, 64, (), "right")


# ------------------------------------------------------------------------- the published step, ported plainly


def relu_moments(x: Tensor) -> Tensor:
    """The textbook formulas, in float64 because E[x²] − E[x]² cancels."""
    m, v = x[:, 0].double(), x[:, 1].double()
    s = torch.sqrt(v + 1e-12)
    above = 0.5 * (1 + torch.erf(m / (s * math.sqrt(2))))
    density = torch.exp(-0.5 * (m / s) ** 2) / math.sqrt(2 * math.pi)
    mean = m * above + s * density
    square = (m**2 + v) * above + m * s * density
    return torch.stack([mean, (square - mean**2).clamp_min(0)], 1).float()


def conv_moments(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """The convolution of means, and of variances with squared weights."""
    padding = cast(tuple[int, int], layer.padding)
    return torch.stack([layer(x[:, 0]), F.conv2d(x[:, 1], layer.weight**2, None, 1, padding).abs()], 1)


def norm_moments(x: Tensor, layer: nn.BatchNorm2d) -> Tensor:
    """Batch normalisation by the total variance, an operation at a time."""
    m, v = x[:, 0], x[:, 1]
    mean = m.mean((0, 2, 3))
    total = ((m - mean[:, None, None]) ** 2).mean((0, 2, 3)) + v.mean((0, 2, 3))
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean = 0.9 * layer.running_mean + 0.1 * mean.detach()
    layer.running_var = 0.9 * layer.running_var + 0.1 * total.detach()
    scale = (layer.weight / torch.sqrt(total + layer.eps))[:, None, None]
    return torch.stack([(m - mean[:, None, None]) * scale + layer.bias[:, None, None], v * scale**2], 1)


def doubled(x: Tensor) -> Tensor:
    """Nearest upsampling of both moments."""
    mean = F.interpolate(x[:, 0], scale_factor=2.0)
    var = F.interpolate(x[:, 1], scale_factor=2.0)
    return torch.stack([mean, var], 1)


def block_moments(x: Tensor, block: Residual) -> Tensor:
    """A residual block."""
    x = doubled(x) if block.doubles else x
    first_norm = cast(nn.BatchNorm2d, block.between[0])
    second = cast(nn.Conv2d, block.second[0])
    second_norm = cast(nn.BatchNorm2d, block.second[1])

    y = relu_moments(norm_moments(conv_moments(x, block.first), first_norm))
    y = norm_moments(conv_moments(y, second), second_norm)
    skip = conv_moments(x, block.skip) if isinstance(block.skip, nn.Conv2d) else x
    return relu_moments(y + skip)


class PublishedStep:
    """One training step on a system's own weights."""

    def __init__(self, system: SoftIntroSrvVae, batch: Hands) -> None:
        self.system, self.image = system, cast(Tensor, batch.image)
        self.pose = system.standardise(system.joints_of(batch)).flatten(1)
        groups = {name: nn.ModuleList(modules) for name, modules in system.groups.items()}
        self.encoder, self.decoder = groups["encoder"], groups["decoder"]
        self.optimisers = [
            torch.optim.Adam(group.parameters(), 2e-4) for group in (self.encoder, self.decoder)
        ]
        self.scale = self.image.shape[0] / self.image.numel()

    def decode(self, code: Tensor) -> Tensor:
        """Mean and variance of a picture, stacked."""
        decoder = cast(ResidualDecoder, self.system.decoder)
        first = cast(nn.Linear, decoder.stem[0])
        flat = torch.stack([first(code[:, 0]), F.linear(code[:, 1], first.weight**2)], 1)
        x = relu_moments(flat).unflatten(2, (-1, 4, 4))
        for level in decoder.levels:
            for block in level if isinstance(level, nn.Sequential) else [level]:
                x = block_moments(x, cast(Residual, block))
        return conv_moments(x, cast(nn.Conv2d, decoder.to_rgb))

    def encode(self, image: Tensor) -> tuple[Tensor, RandomVariable, RandomVariable]:
        """The decoder's input, stacked, and its two parts."""
        code = self.system.encode_ranged(image)
        means = torch.cat([code.pose.mean, code.appearance.mean], 1)
        variances = torch.cat([code.pose.var_or_zeros(), code.appearance.var_or_zeros()], 1)
        return torch.stack([means, variances], 1), code.pose, code.appearance

    def error(self, x: Tensor, picture: Tensor) -> Tensor:
        """SSE + 50 mean(var²)."""
        return ((x - picture[:, 0]) ** 2).flatten(1).sum(1) + 50 * (picture[:, 1] ** 2).mean()

    def __call__(self) -> None:
        """Both halves."""
        config, count = CONFIG, len(self.image)
        appearances = torch.randn(count, config.appearance_dims)
        zeros = torch.zeros_like(self.pose)
        fake_means = torch.cat([self.pose.flip(0), appearances], 1)
        fake_variances = torch.cat([zeros, torch.ones_like(appearances)], 1)
        fakes = torch.stack([fake_means, fake_variances], 1)

        # the encoder's half
        self.encoder.requires_grad_(True)
        self.decoder.requires_grad_(False)
        fake = self.decode(fakes)[:, 0]
        z, pose, appearance = self.encode(self.image)
        rec = self.decode(z)
        reconstruction = config.beta_rec * self.error(self.image, rec).mean()
        real = self.scale * (reconstruction + config.beta_kl * appearance.kl().mean())
        real = real + ((pose.mean - self.pose) ** 2 + pose.var_or_zeros() ** 2).sum(1).mean() / 21
        exponentials = []
        for picture in (rec[:, 0].detach(), fake.detach()):
            again, _, encoded = self.encode(picture)
            error = self.error(picture, self.decode(again))
            inner = config.beta_rec * error + config.beta_neg * encoded.kl()
            exponentials.append(torch.exp(-2 * self.scale * inner).mean())
        self.step(real + 0.25 * (exponentials[0] + exponentials[1]), 0)

        # the decoder's half
        self.encoder.requires_grad_(False)
        self.decoder.requires_grad_(True)
        fake = self.decode(fakes)
        rec = self.decode(z.detach())
        z_rec, _, encoded_rec = self.encode(rec[:, 0])
        z_fake, _, encoded_fake = self.encode(fake[:, 0])
        loss = config.beta_rec * self.error(self.image, rec).mean()
        loss = loss + 0.5 * config.beta_kl * (encoded_rec.kl().mean() + encoded_fake.kl().mean())

        # re-decodings, with a weight of 1e-8 as published
        again_rec = self.error(rec[:, 0].detach(), self.decode(z_rec.detach())).mean()
        again_fake = self.error(fake[:, 0].detach(), self.decode(z_fake.detach())).mean()
        again = again_rec + again_fake
        self.step(self.scale * (loss + 1e-8 * 0.5 * config.beta_rec * again), 1)

    def step(self, loss: Tensor, player: int) -> None:
        """One optimiser step."""
        self.optimisers[player].zero_grad()
        loss.backward()
        self.optimisers[player].step()


# -------------------------------------------------------------------------------------------------- measuring


def a_system(latent: str) -> SoftIntroSrvVae:
    """The paper's 64 px networks with fresh weights, contiguous like the published ones."""
    torch.manual_seed(0)
    return SoftIntroSrvVae(replace(CONFIG, latent=latent), SPEC, PRESET.crop).train()  # pyright: ignore[reportArgumentType]


def a_batch(count: int) -> Hands:
    """Random pictures and joints; speed does not depend on the content."""
    noise = Noise(0)
    valid = torch.ones(count, 21, dtype=torch.bool)
    return Hands(
        image=noise.uniform(count, 3, 64, 64), joints_2d=noise.uniform(count, 21, 2) * 64, joint_valid=valid
    )


def ours(latent: str, batch: Hands, precision: str = "float32", fused: bool = False) -> Callable[[], object]:
    """Both halves of our step with Adam, as in the training loop."""
    system = a_system(latent).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    image = cast(Tensor, batch.image).contiguous(memory_format=torch.channels_last)
    batch = replace(batch, image=image)
    groups = {name: list(nn.ModuleList(modules).parameters()) for name, modules in system.groups.items()}
    optimisers = {name: torch.optim.Adam(group, 2e-4) for name, group in groups.items()}

    def step() -> None:
        rv.fuse_chains(fused)
        rv.round_variances(precision == "bf16-variances")
        phases = system.step(batch, "adversarial", Noise(0))
        while True:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                phase = next(phases, None)
            if phase is None:
                return
            optimisers[phase.group].zero_grad()
            torch.autograd.backward(phase.losses.total, inputs=groups[phase.group])
            optimisers[phase.group].step()

    return step


def measured(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each variant in each round; they take turns."""
    for run in variants.values():
        for _ in range(2):  # warm up, and compile
            run()
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return times


def ratio(times: list[float], reference: list[float]) -> float:
    """Median over rounds of the ratio within a round, in which a busy machine slows both."""
    return statistics.median(one / other for one, other in zip(times, reference, strict=True))


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small batch, few rounds, nothing compiled")
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    prepare_process()
    count, rounds = (4, 3) if options.quick else (options.batch, 9)

    batch = a_batch(count)
    variants: dict[str, Callable[[], object]] = {"published step": PublishedStep(a_system("rv"), batch)}
    references: dict[str, str] = {}
    for name, latent, precision, fused, reference in VARIANTS:
        if not (fused and options.quick):
            variants[name] = ours(latent, batch, precision, fused)
            if reference:
                references[name] = reference

    times = measured(variants, rounds)
    threads = torch.get_num_threads()
    print(
        f"torch {torch.__version__}, {threads} threads, 64 px, batch {count}, {rounds} rounds, "
        "processor seconds"
    )
    for name, taken in times.items():
        published = ratio(times["published step"], taken)
        line = f"{name:26} {statistics.median(taken):7.2f} s  published / this = {published:5.2f}"
        if name in references:
            reference = references[name]
            line += f"  this / {reference} = {ratio(taken, times[reference]):.2f}"
        print(line)


if __name__ == "__main__":
    main()
