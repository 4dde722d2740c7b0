"""Speed of SRV-VAE, as ratios within one run: python benchmarks/srv_vae.py [--quick] [--data DIR]

Training step of the random-variable decoder over the sampled one (eager and compiled), generation over a
plain decoder of the same weights, pictures a second, and the loader's speed over that of the fastest step.
Variants take turns, so that a busy machine slows all alike; medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from handvae.data.hands import DataSpec, Hands
from handvae.data.loader import Loader
from handvae.data.readers.coco import CocoHands
from handvae.nets.decoder import ImageDecoder
from handvae.nets.limb_maps import limb_maps
from handvae.noise import Noise
from handvae.systems.srv_vae import SrvVae, SrvVaeConfig
from handvae.training.presets import PRESETS
from handvae.training.process import prepare_process

PRESET = PRESETS["photos-base-64"]
CONFIG = cast(SrvVaeConfig, PRESET.system)
SPEC = DataSpec("bench", 1000, 64, (), "right")


def medians(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each variant; they take turns."""
    for run in variants.values():
        for _ in range(2):  # warm up, and compile
            run()
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def a_batch(count: int) -> Hands:
    """Random pictures and joints; speed does not depend on the content."""
    noise = Noise(0)
    image = noise.uniform(count, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    return Hands(
        image=image,
        joints_2d=noise.uniform(count, 21, 2) * 64,
        joint_valid=torch.ones(count, 21, dtype=torch.bool),
    )


def trainer(latent: str, batch: Hands, precision: str, compiled: bool) -> Callable[[], object]:
    """One whole training step: objective, backward, AdamW."""
    torch.manual_seed(0)
    system = SrvVae(replace(CONFIG, latent=latent), SPEC, PRESET.crop)
    system.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    system.train()
    optimiser = torch.optim.AdamW(system.parameters(), 1e-3)
    if compiled:
        system.objective = torch.compile(system.objective, dynamic=False)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            phase = next(system.step(batch, "all", Noise(0)))
        optimiser.zero_grad()
        phase.losses.total.backward()
        optimiser.step()

    return step


def generators(count: int) -> dict[str, Callable[[], object]]:
    """Generation through the system's converted decoder, and through a plain decoder of the same weights."""
    config = CONFIG
    system = SrvVae(config, SPEC, PRESET.crop)
    system.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    plain = ImageDecoder(
        42 + config.appearance_dims,
        config.decoder_widths,
        stem_px=4,
        kernel=config.decoder_kernel,
        refine=config.refine,
        hidden=config.decoder_hidden,
        maps=20,
        norm=config.norm,
        to_rgb=config.to_rgb,
    )
    plain.load_state_dict(system.decoder.state_dict())
    plain.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    pose = Noise(1).normal(count, 42) * 0.3
    appearances = Noise(2).normal(count, config.appearance_dims)

    def with_plain() -> torch.Tensor:
        joints = (pose * system.pose_std + system.pose_mean).unflatten(1, (21, 2))
        maps = [limb_maps(joints, size, config.limb_width) for size in plain.map_sizes]
        return plain(torch.cat([pose, appearances], 1), maps)

    def with_system() -> object:
        return system.decode(pose, appearances)

    def bf16(run: Callable[[], object]) -> Callable[[], object]:
        def under() -> object:
            with torch.autocast("cpu", torch.bfloat16):
                return run()

        return under

    runs = {
        "plain": with_plain,
        "system": with_system,
        "plain bf16": bf16(with_plain),
        "system bf16": bf16(with_system),
    }
    return {name: torch.inference_mode()(run) for name, run in runs.items()}


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="eager only, few rounds")
    parser.add_argument("--data", type=Path, help="a COCO-keypoints folder, for the loader's speed")
    options = parser.parse_args()
    prepare_process()
    rounds, size = (3, 16) if options.quick else (11, 64)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {size}, {rounds} rounds")

    batch = a_batch(size)
    fastest = 0.0  # pictures a second of the fastest sampled step
    for precision in ("float32", "bf16"):
        for compiled in (False,) if options.quick else (False, True):
            steps = {latent: trainer(latent, batch, precision, compiled) for latent in ("sample", "rv")}
            took = medians(steps, rounds)
            mode = f"{precision} {'compiled' if compiled else 'eager'}"
            speeds = ", ".join(f"{latent} {size / seconds:.0f}/s" for latent, seconds in took.items())
            print(f"training step, {mode}: rv / sample = {took['rv'] / took['sample']:.2f}  ({speeds})")
            fastest = max(fastest, size / took["sample"])

    for count in (1, 64):
        took = medians(generators(count), 5 * rounds)
        speeds = ", ".join(f"{name} {count / seconds:.0f}/s" for name, seconds in took.items())
        ratio, low = took["system"] / took["plain"], took["system bf16"] / took["plain bf16"]
        print(f"generation, batch {count}: system / plain = {ratio:.3f} float32, {low:.3f} bf16  ({speeds})")

    if options.data is not None:
        loader = Loader(CocoHands(options.data), PRESET.crop, PRESET.augment, size)
        count = 20 if options.quick else 100
        list(loader.batches(0, count))  # the first pass decodes the files
        start = time.perf_counter()
        list(loader.batches(0, count))
        speed = count * size / (time.perf_counter() - start)
        share = speed / fastest
        print(f"loader: {speed:.0f} pictures/s = {share:.1f} x the fastest sampled step ({fastest:.0f}/s)")


if __name__ == "__main__":
    main()
