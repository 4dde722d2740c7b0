"""The one training loop, for every system.

Everything random in step n depends on the seed and n alone, so a killed run that resumes ends where an
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
from handvae.training.state import State, average_statistics

PRINTED_SCALARS = {"total", "image", "rate", "pose", "kl_real", "kl_fake", "exp_elbo_fake"}
"""Scalars of the log that the terminal shows too."""
SUMMARY_HANDS = 4096
"""Training images that the latent's moments are measured on, at most."""
SHEET_HANDS = 12
"""Columns of the sample sheet, at most."""


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

    # Initialise. Other ranks wait until the folder is there.
    prepare_process()
    if ranks.main:
        prepare_folder(run)

    ranks.wait()

    # Data. The run may end before its schedule does.
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
    end = train.end_step(count)

    # System. Constants come from the training labels, or with the initial model.
    if run.init is None:
        system.prepare(_labels(run))
    else:
        start_from(system, run.init)

    layout = torch.channels_last if train.channels_last else torch.contiguous_format
    system.to(ranks.device, memory_format=layout)  # pyright: ignore[reportCallIssue]
    eager_objectives = compile_objectives(system, run.out) if train.compile else {}

    # Optimisers, one for each group, and the averaged weights.
    state = State.fresh(system, train)

    # Resume.
    state_path = run.out / "state.pt"
    first = state.read(state_path) if run.resume and state_path.is_file() else 0
    log = MetricsLog(run.out / "metrics.jsonl", first) if ranks.main else None

    if eager_objectives and ranks.main and first < end:
        duration = "a minute or more, kept in the run folder"
        print(f"compiling before the first step: {duration} (--train.no-compile begins at once)", flush=True)

    # Train.
    stage: Stage | None = None
    started = time.monotonic()
    for step, batch in zip(range(first, end), loader.batches(first, end), strict=True):
        done = step + 1
        log_now = done % train.log_every == 0 or done == end
        save_now = done % train.save_every == 0 or done == end

        # Enter the next stage when its share of the run begins.
        current = stage_at(system.stages, step / total)

        if stage != current:
            # a layer that is frozen from now on must normalise alike in all processes
            if stage is not None:
                average_statistics(system, state.average, ranks)

            stage = current
            activate_stage(system, stage)

        # One optimiser step for each phase, then the averaged weights.
        scalars: dict[str, float] = {}
        lr = train.lr_at(step, count)
        noise = Noise(train.seed, step, Stream.SYSTEM, ranks.rank, ranks.ranks)
        phases = system.step(_on_device(batch, ranks, train), current.name, noise)

        for phase, gradient_norm in optimiser_steps(state, phases, run, ranks, step, lr):
            if log is not None and phase.note:
                log.write({"step": done, "note": phase.note})
                print(f"step {done}/{end}  {phase.note}", flush=True)
            if log_now:
                scalars |= phase_scalars(phase, gradient_norm, ranks)

        state.average.update(system, step)

        # Every `log_every` steps: a line of metrics.jsonl, and one in the terminal.
        if log is not None and scalars:
            speed = (done - first) * train.batch / (time.monotonic() - started)
            head = {"step": done, "stage": current.name, "lr": lr, "hands_per_second": round(speed, 1)}
            log.write(head | scalars)
            print_progress(done, end, speed, scalars)

        # Every `save_every` steps: the model, a sample sheet, and what a run resumes from. The state comes
        # last: where it is, all other files are. All processes go on from what is saved, as a resumed run.
        if save_now:
            average_statistics(system, state.average, ranks)

            if log is not None:
                log.flush()
                write_model(run, state, done, end)
                state.write(state_path, done)
                activate_stage(system, current)
            ranks.wait()

    # Leave the system as it is saved: eager, with averaged weights, in evaluation mode.
    for name, eager in eager_objectives.items():
        setattr(system, name, eager)

    state.average.copy_to(system)
    system.eval()
    return run.out / "model.safetensors"


# -------------------------------------------------------------------------------------------- optimiser steps


def optimiser_steps(
    state: State, phases: Iterator[Phase], run: Run, ranks: Ranks, step: int, lr: float
) -> Iterator[tuple[Phase, float]]:
    """Take the optimiser steps of one training step.

    Yields each phase with its gradient norm once its step is taken.

    Raises:
        UserError: a loss is not finite.
    """
    bf16 = run.train.precision == "bf16"
    while True:
        # The next phase is computed only now, with the weights that the last step has updated.
        with torch.autocast(ranks.device.type, torch.bfloat16, enabled=bf16):
            phase = next(phases, None)

        if phase is None:
            return

        _require_finite(phase, run, step)

        # Gradients of this group alone, whatever else the loss depends on; averaged over ranks.
        group, optimiser = state.parameters[phase.group], state.optimisers[phase.group]
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(phase.losses.total, inputs=group)
        gradients = [p.grad for p in group if p.grad is not None]
        ranks.average(gradients)

        # Clip to a multiple of the norm's running mean.
        norm = torch.nn.utils.get_total_norm(gradients)

        if run.train.clip:
            mean_norm = state.norms.get(phase.group, float(norm))
            torch.nn.utils.clip_grads_with_norm_(group, run.train.clip * mean_norm, norm)
            state.norms[phase.group] = 0.99 * mean_norm + 0.01 * min(float(norm), 10 * mean_norm)

        for settings in optimiser.param_groups:
            settings["lr"] = lr

        optimiser.step()
        yield phase, float(norm)


def _require_finite(phase: Phase, run: Run, step: int) -> None:
    if torch.isfinite(phase.losses.total):
        return
    terms = [name for name, value in phase.losses.scalars().items() if not abs(value) < float("inf")]
    fault = f"step {step}: {', '.join(terms)} became NaN or infinite"
    raise UserError(run.out, fault, "lower the learning rate (--train.lr)")


def phase_scalars(phase: Phase, gradient_norm: float, ranks: Ranks) -> dict[str, float]:
    """The phase's scalars for the log, means over all ranks, which must all call this."""
    prefix = f"{phase.name}/" if phase.name else ""
    scalars = {f"{prefix}{name}": ranks.mean(value) for name, value in phase.losses.scalars().items()}
    return scalars | {f"{prefix}gradient_norm": gradient_norm}


# ----------------------------------------------------------------------------------------------------- stages


def stage_at(stages: Sequence[Stage], done: float) -> Stage:
    """The stage when a share `done` of the run is over."""
    whole = sum(stage.share for stage in stages)
    end = 0.0
    for stage in stages:
        end += stage.share / whole
        if done < end:
            return stage
    return stages[-1]


def activate_stage(system: System, stage: Stage) -> None:
    """Enable gradients and train mode for the stage's groups; freeze the rest.

    Frozen modules keep their normalisation statistics.
    """
    system.eval().requires_grad_(False)
    for name in stage.trains:
        for module in system.groups[name]:
            module.train().requires_grad_(True)


# ------------------------------------------------------------------------------------------------ compilation


def compile_objectives(system: System, out: Path) -> dict[str, Callable[..., Any]]:
    """Compile the system's heavy methods; returns the eager ones.

    It takes 20 to 60 s at the first step, and is cached in the run folder.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((out / "compiled").resolve()))
    eager = {name: getattr(system, name) for name in system.objectives}
    for name, function in eager.items():
        setattr(system, name, _compiled_or_eager(name, function))
    return eager


def _compiled_or_eager(name: str, eager: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled function; the eager one once compilation fails, for lack of a C++ compiler, say."""
    # Importing it takes a second, of no use to those who do not compile.
    from torch._dynamo.exc import TorchDynamoException

    function = torch.compile(eager, dynamic=False)

    def call(*arguments: Any) -> Any:
        nonlocal function
        try:
            return function(*arguments)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            print(f"{name} cannot be compiled here ({reason}); training continues without", flush=True)
            function = eager
            return eager(*arguments)

    return call


# ----------------------------------------------------------------------------------------------------- output


@torch.no_grad()
def write_model(run: Run, state: State, step: int, total: int) -> None:
    """Write model.safetensors and a sample sheet, both from the averaged weights."""
    system, size = run.system, len(run.data)
    device = next(system.parameters()).device

    def crops(rows: torch.Tensor) -> Hands:
        return cut(run.data, rows, system.crop, fields=system.fields).to(device)

    with state.average.inside(system):
        # Evenly spaced training images, in batches of 64.
        stride = max(1, -(-size // SUMMARY_HANDS))
        rows = torch.arange(0, size, stride)
        summary = system.summarise(crops(part) for part in rows.split(64))
        save_model(run.out / "model.safetensors", system, steps=step, preset=run.preset, summary=summary)

        columns = torch.linspace(0, size - 1, min(SHEET_HANDS, size)).long()
        sheet = system.sample_sheet(crops(columns), Noise(run.train.seed, 0, Stream.SHEET))
        folder = run.out / "samples"
        folder.mkdir(exist_ok=True)
        digits = len(str(total))
        write_picture(folder / f"step_{step:0{digits}d}.png", as_pixels(sheet.cpu().numpy()))


def print_progress(step: int, total: int, speed: float, scalars: dict[str, float]) -> None:
    """One line in the terminal: step, speed, and `PRINTED_SCALARS`."""
    printed = {name: value for name, value in scalars.items() if name.rsplit("/")[-1] in PRINTED_SCALARS}
    values = "  ".join(f"{name} {value:.4g}" for name, value in printed.items())
    print(f"step {step}/{total}  {speed:.3g} hands/s  {values}", flush=True)


def _on_device(batch: Hands, ranks: Ranks, train: Train) -> Hands:
    batch = batch.to(ranks.device)
    if train.channels_last and batch.image is not None:
        return replace(batch, image=batch.image.contiguous(memory_format=torch.channels_last))
    return batch


def _labels(run: Run) -> Hands:
    """All labels, in the coordinates of their crops."""
    labels = run.data.labels(torch.arange(len(run.data)))
    return move_labels(labels, crop_affines(labels, run.system.crop, None, Noise(0)))
