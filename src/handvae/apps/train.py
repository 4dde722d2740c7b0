"""`handvae train PRESET`: every option of the preset's dataclasses as a flag."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from handvae.apps.options import parse
from handvae.data.augment import Augment
from handvae.data.crop import Crop, check_crop, cut
from handvae.data.dataset import HandData
from handvae.data.mixture import open_training_data
from handvae.data.open import DataOptions
from handvae.errors import UserError
from handvae.evaluation.calibration import appearance_calibration
from handvae.evaluation.run_report import write_run_report
from handvae.files import write_text_atomically
from handvae.systems.build import SystemConfig, build_system
from handvae.systems.pose_appearance import PoseAppearanceVae
from handvae.training.attach import attach_pretrained
from handvae.training.checkpoint import load_model, start_from
from handvae.training.config import Train
from handvae.training.distributed import ranks
from handvae.training.loop import fit
from handvae.training.preset_list import PRESET_LIST
from handvae.training.presets import find_preset
from handvae.training.run_folder import Run

CALIBRATED = 32
"""Training hands whose pixel variances are compared."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for, on top of a preset."""

    data: DataOptions
    out: Path
    init: str | None
    resume: bool
    system: SystemConfig
    crop: Crop
    augment: Augment
    train: Train


def main(arguments: Sequence[str]) -> None:
    """Parse, check, train."""
    if not arguments or arguments[0].startswith("-"):
        listing = "\n".join(f"  {name:<25}{about}" for name, about in PRESET_LIST.items())
        print(f"usage: handvae train PRESET --data.root DIR --out DIR [options]\n\npresets:\n{listing}")
        if not set(arguments) & {"-h", "--help"}:
            raise UserError("train", "no preset given", "name one of the above first")
        return
    name, *rest = arguments
    preset = find_preset(name)

    def ask(
        data: DataOptions,
        out: Path,
        init: str | None = None,
        resume: bool = False,
        system: Annotated[SystemConfig, tyro.conf.AvoidSubcommands] = preset.system,
        crop: Crop = preset.crop,
        augment: Augment = preset.augment,
        train: Train = preset.train,
    ) -> Options:
        """Train a preset; stop and continue it as you like.

        Args:
            data: Pictures to train on.
            out: Run folder.
            init: Begin with the weights of a shipped model, a .safetensors file or a run folder.
            resume: Continue the run in that folder.
            system: The networks and the objective.
            crop: How a hand is cut out of its picture.
            augment: Random changes of crops.
            train: Optimiser, schedule, precision.
        """
        return Options(data, out, init, resume, system, crop, augment, train)

    options = parse(ask, rest, f"handvae train {name}")
    if options.augment.mirror and options.crop.sides != "keep":
        fault = f"would mirror hands that --crop.sides has just made {options.crop.sides}"
        raise UserError("--augment.mirror", fault, "set it to 0, or --crop.sides to keep")
    data = open_training_data(options.data)
    check_crop(data, options.crop, options.data.root)
    spec = replace(
        data.spec,
        size_px=options.crop.size_px,
        sides=options.crop.sides if options.crop.sides != "keep" else data.spec.sides,
    )
    torch.manual_seed(options.train.seed)  # only the weights' initial values draw from it
    try:
        system = build_system(options.system, spec, options.crop)
        attach_pretrained(system)
    except ValueError as error:
        raise UserError(f"train {name}", str(error), "change that option") from error
    init = None if options.init is None else load_model(options.init)
    if init is not None:
        fresh = start_from(system, init)  # found now, not after the data are read
        if fresh:
            print(f"weights of {init.name}, which has no {', '.join(fresh)}: these begin anew")
    with ranks() as here:
        if options.train.batch % here.ranks:
            raise UserError(
                "--train.batch",
                f"{options.train.batch} does not divide over {here.ranks} processes",
                "use a multiple",
            )
        path = fit(
            Run(system, data, options.augment, options.train, options.out, name, options.resume, init), here
        )
        if here.main:
            if isinstance(system, PoseAppearanceVae) and system.config.latent == "rv":
                write_calibration(system, data, options.out / "calibration.json")
            print(f"model: {path}\nreport: {write_run_report(options.out, system.sheet_rows)}")


def write_calibration(system: PoseAppearanceVae, data: HandData, path: Path) -> None:
    """Say how far the variances that a random-variable model reports are from the true ones."""
    hands = cut(data, torch.arange(min(CALIBRATED, len(data))), system.crop)
    image = hands.require("image")
    measures = appearance_calibration(system.to("cpu"), image, system.joints_of(hands), samples=64)
    write_text_atomically(path, json.dumps([asdict(m) for m in measures], indent=1))
    print(f"{measures[0]}\ncalibration: {path}")
