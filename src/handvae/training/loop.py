"""The one training loop, for every system.

A run folder holds config.json, environment.json, metrics.jsonl, model.safetensors (what to use), state.pt (what to resume) and samples/.
Everything random in step n depends only on the seed and n, so a killed run that resumes ends where an unbroken one would have ended.
"""

import json
import os
import pickle
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import handvae
from handvae.data.augment import Augment
from handvae.data.hands import Hands
from handvae.data.loader import Loader
from handvae.data.pictures import as_pixels, write_picture
from handvae.data.view import HandData, cut
from handvae.errors import UserError
from handvae.files import write_atomically, write_text_atomically
from handvae.noise import Noise
from handvae.systems.srv_vae import SrvVae
from handvae.systems.system import Phase, Stage
from handvae.training.checkpoint import save_model
from handvae.training.config import Train
from handvae.training.distributed import Ranks
from handvae.training.process import prepare_process

SYSTEM_STREAM = 2
SHEET_STREAM = 3
SUMMARY_HANDS = 4096
"""Training pictures that the latent's moments are measured on, at most."""


@dataclass(frozen=True)
class Run:
    """One training run."""

    system: SrvVae
    data: HandData
    augment: Augment
    train: Train
    out: Path
    preset: str = ""
    resume: bool = False


def fit(run: Run, ranks: Ranks) -> Path:
    """Train, and return the model's path.

    Raises:
        UserError: the run folder is in use, cannot be resumed, or a loss stops being finite.
    """
    system, train, device = run.system, run.train, ranks.device
    prepare_process()

    # Run folder
    state_path = run.out / "state.pt"
    if ranks.main:
        _prepare_folder(run)
    ranks.wait()

    # Data
    loader = Loader(run.data, system.crop, run.augment, train.batch, train.seed, ranks.rank, ranks.ranks, train.workers)
    total = train.total_steps(len(run.data))

    # System
    system.prepare(_labels(run.data, system))
    system.to(device, memory_format=torch.channels_last if train.channels_last else torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    parameters = {name: [p for module in modules for p in module.parameters()] for name, modules in system.groups.items()}
    average = Average(system, train.ema)
    objective = system.objective
    if train.compile:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((run.out / "compiled").resolve()))
        system.objective = torch.compile(objective, dynamic=False)

    # Optimisers
    optimisers = {name: _optimiser(group, train) for name, group in parameters.items()}
    norms = dict.fromkeys(parameters, 0.0)

    # Resume
    first = 0
    if run.resume and state_path.is_file():
        first = _read_state(state_path, system, average, optimisers, norms)
    log = MetricsLog(run.out / "metrics.jsonl", first) if ranks.main else None

    # Train
    stage = stage_at(system.stages, first / total)
    enter(system, stage)
    started, since = time.monotonic(), first
    for step, batch in zip(range(first, total), loader.batches(first, total), strict=True):
        now = stage_at(system.stages, step / total)
        if now != stage:
            stage = now
            enter(system, stage)
        batch = batch.to(device)
        if train.channels_last and batch.image is not None:
            batch = replace(batch, image=batch.image.contiguous(memory_format=torch.channels_last))
        lr = train.lr_at(step, len(run.data))
        noise = Noise(train.seed, step, SYSTEM_STREAM, ranks.rank, ranks.ranks)
        phases = system.step(batch, stage.name, noise)
        scalars: dict[str, float] = {}
        while (phase := _next_phase(system, phases, train, device)) is not None:
            group = parameters[phase.group]
            if not torch.isfinite(phase.losses.total):
                terms = {name: value for name, value in phase.losses.scalars().items() if not abs(value) < float("inf")}
                raise UserError(run.out, f"step {step}: {', '.join(terms)} became NaN or infinite", "lower the learning rate (--train.lr)")
            optimisers[phase.group].zero_grad(set_to_none=True)
            torch.autograd.backward(phase.losses.total, inputs=group)
            gradients = [p.grad for p in group if p.grad is not None]
            ranks.average(gradients)
            norm = torch.nn.utils.get_total_norm(gradients)
            if train.clip:
                norms[phase.group] = (
                    float(norm) if step == 0 else 0.99 * norms[phase.group] + 0.01 * min(float(norm), 10 * norms[phase.group])
                )
                torch.nn.utils.clip_grads_with_norm_(group, train.clip * norms[phase.group], norm)
            for settings in optimisers[phase.group].param_groups:
                settings["lr"] = lr
            optimisers[phase.group].step()
            if (step + 1) % train.log_every == 0 or step + 1 == total:
                prefix = f"{phase.name}/" if phase.name else ""
                scalars |= {f"{prefix}{name}": ranks.mean(value) for name, value in phase.losses.scalars().items()}
                scalars[f"{prefix}gradient_norm"] = float(norm)
        average.update(system, step)

        # Log
        if log is not None and scalars:
            speed = (step + 1 - since) * train.batch / (time.monotonic() - started)
            log.write({"step": step + 1, "stage": stage.name, "lr": lr, "hands_per_second": round(speed, 1), **scalars})
            _say(step + 1, total, speed, scalars)

        # Save
        if (step + 1) % train.save_every == 0 or step + 1 == total:
            if ranks.main:
                if log is not None:
                    log.flush()
                write_model(run, average, step + 1, total)
                _write_state(state_path, step + 1, system, average, optimisers, norms)  # last: a state says that all before it is there
                enter(system, stage)
            ranks.wait()
    system.objective = objective
    average.copy_to(system)
    system.eval()
    return run.out / "model.safetensors"


def stage_at(stages: Sequence[Stage], done: float) -> Stage:
    """The stage at a share `done` of the run."""
    whole, end = sum(stage.share for stage in stages), 0.0
    for stage in stages:
        end += stage.share / whole
        if done < end:
            return stage
    return stages[-1]


def enter(system: SrvVae, stage: Stage) -> None:
    """Set what the stage trains in motion, and put the rest to rest: no gradients, normalisation statistics fixed."""
    system.eval().requires_grad_(False)
    for name in stage.trains:
        for module in system.groups[name]:
            module.train().requires_grad_(True)


class Average:
    """Exponential moving average of all weights and buffers; the first steps weigh more, so that it starts quickly."""

    def __init__(self, system: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in system.state_dict().items()}

    @torch.no_grad()
    def update(self, system: nn.Module, step: int) -> None:
        """Move towards the present weights."""
        share = 1 - min(self.decay, (step + 1) / (step + 51)) if self.decay else 1.0
        pairs = [(self.values[name], value) for name, value in system.state_dict().items()]
        floats = [(old, new) for old, new in pairs if old.is_floating_point()]
        for old, new in floats:
            old.lerp_(new, share)
        for old, new in pairs:
            if not old.is_floating_point():
                old.copy_(new)

    def copy_to(self, system: nn.Module) -> None:
        """Give the system the averaged weights."""
        system.load_state_dict(self.values)


class MetricsLog:
    """metrics.jsonl: a line per logged step; lines after the step a run resumes from are dropped."""

    def __init__(self, path: Path, first: int) -> None:
        self.path = path
        lines = path.read_text(errors="replace").splitlines() if path.is_file() and first else []
        write_text_atomically(path, "".join(f"{line}\n" for line in lines if 0 < _step_of(line) <= first))

    def write(self, row: dict[str, float | int | str]) -> None:
        """Append a line."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def flush(self) -> None:
        """Bring the lines to the disk."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())


def _step_of(line: str) -> int:
    """The step a line of metrics.jsonl tells of; 0 for the rest of a line that a kill cut off."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return 0


@contextmanager
def averaged(system: SrvVae, average: Average) -> Iterator[None]:
    """The system with its averaged weights, at rest, for a while."""
    present = {name: value.clone() for name, value in system.state_dict().items()}
    average.copy_to(system)
    system.eval()
    try:
        yield
    finally:
        system.load_state_dict(present)


@torch.no_grad()
def write_model(run: Run, average: Average, step: int, total: int) -> None:
    """Write model.safetensors and a sample sheet, both from the averaged weights."""
    system, size = run.system, len(run.data)
    device = system.pose_mean.device
    with averaged(system, average):
        rows = torch.arange(0, size, max(1, -(-size // SUMMARY_HANDS)))
        summary = system.summarise(cut(run.data, part, system.crop).to(device) for part in rows.split(64))
        save_model(run.out / "model.safetensors", system, steps=step, preset=run.preset, summary=summary)
        few = torch.linspace(0, size - 1, min(12, size)).long()
        sheet = system.sample_sheet(cut(run.data, few, system.crop).to(device), Noise(run.train.seed, 0, SHEET_STREAM))
        folder = run.out / "samples"
        folder.mkdir(exist_ok=True)
        write_picture(folder / f"step_{step:0{len(str(total))}d}.png", as_pixels(sheet.cpu().numpy()))


def _next_phase(system: SrvVae, phases: Iterator[Phase], train: Train, device: torch.device) -> Phase | None:
    """The next phase under the run's precision; where compiling fails, the same in eager mode."""
    with torch.autocast(device.type, torch.bfloat16, enabled=train.precision == "bf16"):
        return next(phases, None)


def _labels(data: HandData, system: SrvVae) -> Hands:
    """All labels as the crops show them."""
    from handvae.data.view import move_labels, place

    labels = data.labels(torch.arange(len(data)))
    return move_labels(labels, place(labels, system.crop, None, Noise(0)))


def _optimiser(parameters: list[nn.Parameter], train: Train) -> torch.optim.Optimizer:
    betas = (0.9, train.beta2)
    if train.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=train.lr, betas=betas)
    return torch.optim.AdamW(parameters, lr=train.lr, betas=betas, weight_decay=train.weight_decay)


def _prepare_folder(run: Run) -> None:
    """Make the run folder, or check that it may be continued."""
    out, config_path = run.out, run.out / "config.json"
    config = {
        "preset": run.preset,
        "system": asdict(run.system.config),
        "crop": asdict(run.system.crop),
        "augment": asdict(run.augment),
        "train": asdict(run.train),
        "data": asdict(run.system.spec),
    }
    text = json.dumps(config, indent=2) + "\n"
    if (out / "state.pt").is_file():
        if not run.resume:
            raise UserError(out, "already holds a run", "continue it with --resume, or give another --out")
        changed = _changes(config_path, json.loads(text))
        if changed:
            raise UserError(config_path, f"the run was started with other options ({', '.join(changed)})", "resume with the same options")
        return
    out.mkdir(parents=True, exist_ok=True)
    environment = {
        "handvae": handvae.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "command": sys.argv,
    }
    write_text_atomically(config_path, text)
    write_text_atomically(out / "environment.json", json.dumps(environment, indent=2) + "\n")


def _changes(path: Path, now: dict[str, Any]) -> list[str]:
    """Names of the options that differ from those that a run was started with."""
    try:
        was, wanted = _flat(json.loads(path.read_text())), _flat(now)
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(path, "cannot be read as a run's options", "start anew in another --out") from error
    return sorted(name for name in was.keys() | wanted.keys() if was.get(name) != wanted.get(name))


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    parts = [(part, values if isinstance(values, dict) else {"": values}) for part, values in config.items()]
    return {f"{part}.{name}".rstrip("."): value for part, values in parts for name, value in values.items()}


def _write_state(
    path: Path, step: int, system: SrvVae, average: Average, optimisers: dict[str, torch.optim.Optimizer], norms: dict[str, float]
) -> None:
    state = {
        "step": step,
        "system": system.state_dict(),
        "average": average.values,
        "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
        "norms": norms,
    }
    write_atomically(path, lambda beside: torch.save(state, beside))


def _read_state(path: Path, system: SrvVae, average: Average, optimisers: dict[str, torch.optim.Optimizer], norms: dict[str, float]) -> int:
    """Put a saved state back; returns the next step."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        system.load_state_dict(state["system"])
        for name, value in state["average"].items():
            average.values[name].copy_(value)
        for name, optimiser in optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        norms.update(state["norms"])
        return int(state["step"])
    except (OSError, EOFError, LookupError, TypeError, AttributeError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise UserError(path, "cannot be read as a training state", "start anew in another --out") from error


def _say(step: int, total: int, speed: float, scalars: dict[str, float]) -> None:
    parts = "  ".join(f"{name} {value:.4g}" for name, value in scalars.items() if name in {"total", "image", "rate", "pose"})
    print(f"step {step}/{total}  {speed:.0f} hands/s  {parts}", flush=True)
