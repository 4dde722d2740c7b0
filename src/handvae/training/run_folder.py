"""A run's folder: its options, its environment, its log.

It holds config.json, environment.json, metrics.jsonl, model.safetensors (what to use), state.pt (what to
resume), samples/ and report.html.
"""

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import handvae
from handvae.data.augment import Augment
from handvae.data.dataset import HandData
from handvae.errors import UserError
from handvae.files import write_text_atomically
from handvae.systems.build import system_name
from handvae.systems.system import System
from handvae.training.checkpoint import Model
from handvae.training.config import Train
from handvae.training.first_edition import modernise_run


@dataclass(frozen=True)
class Run:
    """One training run."""

    system: System
    data: HandData
    augment: Augment
    train: Train
    out: Path
    preset: str = ""
    resume: bool = False
    init: Model | None = None
    """Weights to begin with, constants of the labels they were trained on included."""


def prepare_folder(run: Run) -> None:
    """Make the run folder, or check that it may be continued."""
    out, config_path = run.out, run.out / "config.json"
    config = {
        "preset": run.preset,
        "system": asdict(run.system.config),
        "crop": asdict(run.system.crop),
        "augment": asdict(run.augment),
        "train": asdict(run.train),
        "data": asdict(run.system.spec),
        "init": None if run.init is None else run.init.name,
    }
    text = json.dumps(config, indent=2) + "\n"
    if (out / "state.pt").is_file():
        if not run.resume:
            raise UserError(out, "already holds a run", "continue it with --resume, or give another --out")
        changed = _changes(config_path, system_name(run.system.config), json.loads(text))
        if changed:
            raise UserError(
                config_path,
                f"the run was started with other options ({', '.join(changed)})",
                "resume with the same options",
            )
        return
    begun = (
        config_path.is_file() and (out / "environment.json").is_file()
    )  # a run that was killed before its first save
    if out.is_dir() and any(out.iterdir()) and not begun:
        raise UserError(out, "holds something that is no run", "give another --out")
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


def _changes(path: Path, system: str, now: dict[str, Any]) -> list[str]:
    """Names of the options that differ from those that a run was started with."""
    try:
        was = _flat(modernise_run(system, json.loads(path.read_text())))
        wanted = _flat(now)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(path, "cannot be read as a run's options", "start anew in another --out") from error
    return sorted(name for name in was.keys() | wanted.keys() if was.get(name) != wanted.get(name))


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    parts = [(part, values if isinstance(values, dict) else {"": values}) for part, values in config.items()]
    return {f"{part}.{name}".rstrip("."): value for part, values in parts for name, value in values.items()}


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
