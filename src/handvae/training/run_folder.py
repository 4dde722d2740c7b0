"""A run's folder: its options, its environment, its log.

It holds config.json, environment.json, metrics.jsonl, model.safetensors (for use), state.pt (to resume from),
samples/ and report.html.
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
from handvae.systems.system import System
from handvae.training.checkpoint import Model
from handvae.training.config import Train


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
    """Initial weights, with the constants of the labels that they were trained on."""
    must_resume: bool = False
    """Refuse to start where there is no run to continue."""


def prepare_folder(run: Run) -> None:
    """Make the run folder, or check that its run may be continued.

    Raises:
        UserError: it holds another run, or something that is no run.
    """
    out, config_path, environment_path = run.out, run.out / "config.json", run.out / "environment.json"
    config = json.dumps(_options(run), indent=2) + "\n"

    # A run with a saved state: continue it only with the same options.
    if (out / "state.pt").is_file():
        if not run.resume:
            raise UserError(out, "already holds a run", "continue it with --resume, or give another --out")
        changed = _changed_options(config_path, json.loads(config))
        if changed:
            fault = f"the run was started with other options ({', '.join(changed)})"
            raise UserError(config_path, fault, "resume with the same options")
        return

    # Anything else in the folder may only be a run that was killed before its first save.
    begun = config_path.is_file() and environment_path.is_file()
    if out.is_dir() and any(out.iterdir()) and not begun:
        raise UserError(out, "holds something that is no run", "give another --out")

    if run.must_resume and not begun:
        remedy = "mend --out, or give --resume-or-start"
        raise UserError(out, "holds no run that could be continued", remedy)

    out.mkdir(parents=True, exist_ok=True)
    write_text_atomically(config_path, config)
    write_text_atomically(environment_path, json.dumps(_environment(), indent=2) + "\n")


def _options(run: Run) -> dict[str, Any]:
    return {
        "preset": run.preset,
        "system": asdict(run.system.config),
        "crop": asdict(run.system.crop),
        "augment": asdict(run.augment),
        "train": asdict(run.train),
        "data": asdict(run.system.spec),
        "init": None if run.init is None else run.init.name,
    }


def _environment() -> dict[str, Any]:
    return {
        "handvae": handvae.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "command": sys.argv,
    }


def _changed_options(path: Path, config: dict[str, Any]) -> list[str]:
    """Names of the options that differ from those that a run was started with."""
    try:
        saved = _flat(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            path, "cannot be read as a run's options", "start a new run in another --out"
        ) from error
    now = _flat(config)
    return sorted(name for name in saved.keys() | now.keys() if saved.get(name) != now.get(name))


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """Options by their dotted names, such as `train.batch`."""
    flat: dict[str, Any] = {}
    for section, values in config.items():
        if isinstance(values, dict):
            flat |= {f"{section}.{name}": value for name, value in values.items()}
        else:
            flat[section] = values
    return flat


class MetricsLog:
    """metrics.jsonl: a line for each logged step.

    Lines after the step that a run resumes from are dropped.
    """

    def __init__(self, path: Path, first: int) -> None:
        self.path = path
        lines = path.read_text(errors="replace").splitlines() if path.is_file() and first else []
        kept = [line for line in lines if 0 < _step_of(line) <= first]
        write_text_atomically(path, "".join(f"{line}\n" for line in kept))

    def write(self, row: dict[str, float | int | str]) -> None:
        """Append a line."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def flush(self) -> None:
        """Bring the lines to the disk."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())


def _step_of(line: str) -> int:
    """The step of a line of metrics.jsonl; 0 for a line that a kill cut off."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return 0
