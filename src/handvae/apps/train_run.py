"""Training a preset, from its options to the report."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from handvae.apps.output import output
from handvae.apps.train_options import Options, parse_options
from handvae.data.crop import check_crop, cut
from handvae.data.dataset import HandData
from handvae.data.mixture import open_training_data
from handvae.data.scenes import open_training_scenes
from handvae.data.subset import taken_for, with_known_sides
from handvae.device import find_device
from handvae.errors import UserError
from handvae.evaluation.calibration import appearance_calibration
from handvae.evaluation.run_report import write_run_report
from handvae.files import write_text_atomically
from handvae.systems.build import build_system, takes_unknown_sides
from handvae.systems.pose_appearance import PoseAppearanceVae
from handvae.systems.system import System
from handvae.training.attach import attach_pretrained
from handvae.training.checkpoint import load_model, start_from
from handvae.training.configuration import REQUIRED, Configuration, to_json
from handvae.training.distributed import ranks
from handvae.training.held_back import HeldBack, hold_back, measure, say_whether_better
from handvae.training.loop import fit
from handvae.training.run_folder import Run

CALIBRATED = 32
"""Training hands whose pixel variances are compared."""


def train_preset(name: str, words: Sequence[str]) -> None:
    """Parse, check, train.

    Raises:
        UserError: an option is wrong, or the data do not fit the preset.
    """
    options = parse_options(name, words)
    if options.print_config:
        print(to_json(options.configuration))
        return

    for flag, value in (("--data.root", options.configuration.data.root), ("--out", options.out)):
        if value == REQUIRED:
            raise UserError("command line", f"{flag} is required", f"see handvae train {name} --help")

    with output(options.quiet, options.json, options.out) as result:
        result(_train(options))


def _train(options: Options) -> dict[str, Path]:
    """Open the data, build the system, train it; gives the files that a user looks for."""
    configuration = options.configuration
    if configuration.augment.mirror and configuration.crop.sides != "keep":
        fault = f"would mirror hands that --crop.sides has just made {configuration.crop.sides}"
        raise UserError("--augment.mirror", fault, "set it to 0, or --crop.sides to keep")

    device = None if options.device == "auto" else find_device(options.device)

    whole_pictures = configuration.crop.box == "picture"
    data = (open_training_scenes if whole_pictures else open_training_data)(configuration.data)
    if not takes_unknown_sides(configuration.system):
        data = with_known_sides(data, configuration.data.root)
    if configuration.crop.sides != "keep":
        data = taken_for(data, configuration.data.root, configuration.crop.sides, "--data.side")
    check_crop(data, configuration.crop, configuration.data.root)
    system = _system(configuration, data)

    # A model that does not fit is found before the data are read
    init = None if configuration.init is None else load_model(configuration.init)

    if init is not None:
        fresh = start_from(system, init)
        if fresh:
            print(f"weights of {init.name}, which has no {', '.join(fresh)}: these start from random weights")

    parts = HeldBack(data, None) if init is None else hold_back(data)
    before = None if parts.held is None else measure(system, parts.held)

    with ranks(device) as here:
        if configuration.train.batch % here.ranks:
            fault = f"{configuration.train.batch} does not divide over {here.ranks} processes"
            raise UserError("--train.batch", fault, "use a multiple")

        run = Run(
            system=system,
            data=parts.train,
            augment=configuration.augment,
            train=configuration.train,
            out=options.out,
            preset=configuration.preset,
            resume=options.resume or options.resume_or_start,
            must_resume=options.resume and not options.resume_or_start,
            init=init,
        )
        path = fit(run, here)
        if not here.main:
            return {}

        if init is not None and before is not None:
            say_whether_better(system, init.name, parts, before)

        if isinstance(system, PoseAppearanceVae) and system.config.latent == "rv":
            write_calibration(system, data, options.out / "calibration.json")

        report = write_run_report(options.out, system.sheet_rows)
        print(f"model: {path}\nreport: {report}")
        return {"model": path, "report": report}


def _system(configuration: Configuration, data: HandData) -> System:
    """The system with fresh weights, for this data."""
    sides = configuration.crop.sides if configuration.crop.sides != "keep" else data.spec.sides
    spec = replace(data.spec, size_px=configuration.crop.size_px, sides=sides)

    # Only the weights' initial values draw from the global generator
    torch.manual_seed(configuration.train.seed)

    try:
        system = build_system(configuration.system, spec, configuration.crop)
        attach_pretrained(system)
    except ValueError as error:
        raise UserError(f"train {configuration.preset}", str(error), "change that option") from error

    return system


def write_calibration(system: PoseAppearanceVae, data: HandData, path: Path) -> None:
    """Write how far the variances that a random-variable model reports are from the true ones."""
    hands = cut(data, torch.arange(min(CALIBRATED, len(data))), system.crop)
    image = hands.require("image")
    measures = appearance_calibration(system.to("cpu"), image, system.joints_of(hands), samples=64)
    write_text_atomically(path, json.dumps([asdict(measure) for measure in measures], indent=1))
    print(f"{measures[0]}\ncalibration: {path}")
