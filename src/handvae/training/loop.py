"""The one training loop, for every system.

Everything random in step n depends only on the seed and n, so a killed run that resumes ends where an
unbroken one would have ended.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from handvae import rv
from handvae.data.crop import crop_affines, cut, move_labels
from handvae.data.files.pictures import as_pixels, write_picture
from handvae.data.hands import Hands
from handvae.data.loader import Loader
from handvae.errors import UserError
from handvae.noise import Noise, Stream
from handvae.systems.system import Phase, Stage, System
from handvae.training.checkpoint import save_model, start_from
from handvae.training.config import Train
from handvae.training.distributed import Ranks
from handvae.training.process import prepare_process
from handvae.training.run_folder import MetricsLog, Run, prepare_folder
from handvae.training.state import State

SAID = {"total", "image", "rate", "pose", "kl_real", "kl_fake", "exp_elbo_fake"}
"""Scalars that are also printed."""
SUMMARY_HANDS = 4096
"""Training pictures that the latent's moments are measured on, at most."""


def fit(run: Run, ranks: Ranks) -> Path:
    """Train, and return the model's path.

    Raises:
        UserError: the run folder is in use, cannot be resumed, or a loss stops being finite.
    """
    rv.fuse_chains(run.train.compile)
    rv.round_variances(run.train.precision == "bf16-variances")
    try:
        return _fit(run, ranks)
    finally:
        rv.fuse_chains(False)
        rv.round_variances(False)


def _fit(run: Run, ranks: Ranks) -> Path:
    system, train = run.system, run.train
    prepare_process()

    # Run folder
    if ranks.main:
        prepare_folder(run)
    ranks.wait()

    # Data
    loader = Loader(
        run.data,
        system.crop,
        run.augment,
        train.batch,
        train.seed,
        ranks.rank,
        ranks.ranks,
        train.workers,
        fields=system.fields,
    )
    count = len(run.data)
    total = train.total_steps(count)
    end = min(total, train.stop_at or total)

    # System and optimisers
    if run.init is None:
        system.prepare(_labels(run))
    else:
        start_from(system, run.init)
    layout = torch.channels_last if train.channels_last else torch.contiguous_format
    system.to(ranks.device, memory_format=layout)  # pyright: ignore[reportCallIssue]
    state = State.fresh(system, train)
    compiled = compile_objectives(system, run.out) if train.compile else {}

    # Resume
    state_path = run.out / "state.pt"
    first = state.read(state_path) if run.resume and state_path.is_file() else 0
    log = MetricsLog(run.out / "metrics.jsonl", first) if ranks.main else None

    # Train
    if compiled and ranks.main and first < end:
        print(
            "compiling before the first step: a minute or more, kept in the run folder (--train.no-compile begins at once)",
            flush=True,
        )
    stage: Stage | None = None
    started = time.monotonic()
    for step, batch in zip(range(first, end), loader.batches(first, end), strict=True):
        if stage is None or stage != stage_at(system.stages, step / total):
            stage = stage_at(system.stages, step / total)
            activate_stage(system, stage)
        last = step + 1 == end
        noise = Noise(train.seed, step, Stream.SYSTEM, ranks.rank, ranks.ranks)
        phases = system.step(_on_device(batch, ranks, train), stage.name, noise)
        scalars: dict[str, float] = {}
        for phase, norm in optimiser_steps(state, phases, run, ranks, step, train.lr_at(step, count)):
            if log is not None and phase.note:
                log.write({"step": step + 1, "note": phase.note})
                print(f"step {step + 1}/{end}  {phase.note}", flush=True)
            if (step + 1) % train.log_every == 0 or last:
                prefix = f"{phase.name}/" if phase.name else ""
                scalars |= {
                    f"{prefix}{name}": ranks.mean(value) for name, value in phase.losses.scalars().items()
                }
                scalars[f"{prefix}gradient_norm"] = norm
        state.average.update(system, step)

        # Log
        if log is not None and scalars:
            speed = (step + 1 - first) * train.batch / (time.monotonic() - started)
            head = {
                "step": step + 1,
                "stage": stage.name,
                "lr": train.lr_at(step, count),
                "hands_per_second": round(speed, 1),
            }
            log.write(head | scalars)
            print_progress(step + 1, end, speed, scalars)

        # Save
        if (step + 1) % train.save_every == 0 or last:
            if log is not None:
                log.flush()
                write_model(run, state, step + 1, end)
                state.write(state_path, step + 1)  # last: a state says that all before it is there
                activate_stage(system, stage)
            ranks.wait()

    for name, eager in compiled.items():
        setattr(system, name, eager)
    state.average.copy_to(system)
    system.eval()
    return run.out / "model.safetensors"


def optimiser_steps(
    state: State, phases: Iterator[Phase], run: Run, ranks: Ranks, step: int, lr: float
) -> Iterator[tuple[Phase, float]]:
    """Take the optimiser steps of one training step; yields each phase with its gradient norm when its step
    is done."""
    bf16 = run.train.precision == "bf16"
    while True:
        with torch.autocast(ranks.device.type, torch.bfloat16, enabled=bf16):
            phase = next(phases, None)
        if phase is None:
            return
        if not torch.isfinite(phase.losses.total):
            terms = [name for name, value in phase.losses.scalars().items() if not abs(value) < float("inf")]
            raise UserError(
                run.out,
                f"step {step}: {', '.join(terms)} became NaN or infinite",
                "lower the learning rate (--train.lr)",
            )
        group, optimiser = state.parameters[phase.group], state.optimisers[phase.group]
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(
            phase.losses.total, inputs=group
        )  # into this group alone, whatever else the loss reaches
        gradients = [p.grad for p in group if p.grad is not None]
        ranks.average(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        if run.train.clip:
            usual = state.norms.get(phase.group, float(norm))
            torch.nn.utils.clip_grads_with_norm_(group, run.train.clip * usual, norm)
            state.norms[phase.group] = 0.99 * usual + 0.01 * min(float(norm), 10 * usual)
        for settings in optimiser.param_groups:
            settings["lr"] = lr
        optimiser.step()
        yield phase, float(norm)


def stage_at(stages: Sequence[Stage], done: float) -> Stage:
    """The stage at a share `done` of the run."""
    whole, end = sum(stage.share for stage in stages), 0.0
    for stage in stages:
        end += stage.share / whole
        if done < end:
            return stage
    return stages[-1]


def activate_stage(system: System, stage: Stage) -> None:
    """Set what the stage trains in motion, and put the rest to rest: no gradients, normalisation statistics
    fixed."""
    system.eval().requires_grad_(False)
    for name in stage.trains:
        for module in system.groups[name]:
            module.train().requires_grad_(True)


def compile_objectives(system: System, out: Path) -> dict[str, Callable[..., Any]]:
    """Compile the system's heavy methods (20 to 60 s at the first step, cached in the run folder); returns
    the eager ones."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((out / "compiled").resolve()))
    eager = {name: getattr(system, name) for name in system.objectives}
    for name, function in eager.items():
        setattr(system, name, _compiled_or_eager(name, function))
    return eager


def _compiled_or_eager(name: str, eager: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled function; from the first time that compiling fails (no C++ compiler, say), the eager
    one."""
    from torch._dynamo.exc import (
        TorchDynamoException,
    )  # a second to import, of no use to those who do not compile

    run = torch.compile(eager, dynamic=False)

    def call(*arguments: Any) -> Any:
        nonlocal run
        try:
            return run(*arguments)
        except TorchDynamoException as error:
            print(
                f"{name} cannot be compiled here ({str(error).strip().splitlines()[0]}); going on without",
                flush=True,
            )
            run = eager
            return eager(*arguments)

    return call


@torch.no_grad()
def write_model(run: Run, state: State, step: int, total: int) -> None:
    """Write model.safetensors and a sample sheet, both from the averaged weights."""
    system, size = run.system, len(run.data)
    device = next(system.parameters()).device
    with state.average.inside(system):
        rows = torch.arange(0, size, max(1, -(-size // SUMMARY_HANDS)))
        summary = system.summarise(
            cut(run.data, part, system.crop, fields=system.fields).to(device) for part in rows.split(64)
        )
        save_model(run.out / "model.safetensors", system, steps=step, preset=run.preset, summary=summary)
        few = torch.linspace(0, size - 1, min(12, size)).long()
        shown = cut(run.data, few, system.crop, fields=system.fields).to(device)
        sheet = system.sample_sheet(shown, Noise(run.train.seed, 0, Stream.SHEET))
        folder = run.out / "samples"
        folder.mkdir(exist_ok=True)
        write_picture(folder / f"step_{step:0{len(str(total))}d}.png", as_pixels(sheet.cpu().numpy()))


def _on_device(batch: Hands, ranks: Ranks, train: Train) -> Hands:
    batch = batch.to(ranks.device)
    if train.channels_last and batch.image is not None:
        return replace(batch, image=batch.image.contiguous(memory_format=torch.channels_last))
    return batch


def _labels(run: Run) -> Hands:
    """All labels as the crops show them."""
    labels = run.data.labels(torch.arange(len(run.data)))
    return move_labels(labels, crop_affines(labels, run.system.crop, None, Noise(0)))


def print_progress(step: int, total: int, speed: float, scalars: dict[str, float]) -> None:
    """One line for the terminal: step, speed, and the scalars that people watch."""
    parts = "  ".join(
        f"{name} {value:.4g}" for name, value in scalars.items() if name.rsplit("/")[-1] in SAID
    )
    print(f"step {step}/{total}  {speed:.3g} hands/s  {parts}", flush=True)
