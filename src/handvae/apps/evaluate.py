"""`handvae evaluate MODEL DATASET`: numbers that name their protocol."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from handvae.apps import evaluate_predictions
from handvae.apps.options import parse
from handvae.data.hands import Hands
from handvae.data.reader import HandData
from handvae.data.source import open_data
from handvae.data.view import cut, to_crop_px
from handvae.errors import UserError
from handvae.evaluation.calibration import appearance_calibration
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.pose import bone_measures_3d, pose_measures_2d, spread_coverage
from handvae.files import write_text_atomically
from handvae.systems.srv_vae import SrvVae
from handvae.systems.system import Generator, Reader
from handvae.training.checkpoint import load_model

BATCH = 64
CALIBRATED = 32
"""Hands whose pixel variances are compared."""


@dataclass(frozen=True)
class Options:
    """Measure a model on labelled pictures it was not trained on (a file of predictions: `--predictions FILE --truth FILE --help`)."""

    model: tyro.conf.Positional[str]
    """A shipped model, a .safetensors file or a run folder."""
    dataset: tyro.conf.Positional[Path]
    """Folder of a data set."""
    split: str | None = "test"
    """Split of the data set; None for all of it."""
    calibration: bool = False
    """Also compare modelled with true pixel variances (first 32 hands)."""
    out: Path | None = None
    """Write report.json there."""


def main(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    if any(word.split("=")[0] == "--predictions" for word in arguments):
        return evaluate_predictions.main(arguments)
    options = parse(Options, arguments, "handvae evaluate")
    model = load_model(options.model)
    system = model.reader
    if options.calibration and not isinstance(system, SrvVae):
        raise UserError("--calibration", f"{model.name} is a {model.header.system}, whose pictures have no variance", "leave it out")
    data = open_data(options.dataset, options.split)
    if system.pose == "3d" and "joints_3d" not in data.spec.modalities:
        raise UserError(options.dataset, "has no keypoints_3d, and this model reads 3D poses", "give a set with them, or a 2D model")
    measures = measure(system, data)
    if isinstance(system, SrvVae) and options.calibration:
        hands = cut(data, torch.arange(min(CALIBRATED, len(data))), system.crop)
        (image,) = hands.need("image")
        measures += appearance_calibration(system, image, system.joints_of(hands))
    table = Table("metric", "value", "N", "protocol", title=f"{model.name} on {options.dataset}, split {options.split}")
    for m in measures:
        table.add_row(m.name, f"{m.value:.4g} {m.unit}", str(m.n), m.terms)
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)
    if options.out is not None:
        path = options.out / "report.json"
        content = {
            "model": options.model,
            "dataset": str(options.dataset),
            "split": options.split,
            "measures": [m.to_json() for m in measures],
        }
        write_text_atomically(path, json.dumps(content, indent=2))
        print(f"report: {path}")


@torch.no_grad()
def measure(system: Reader, data: HandData) -> tuple[Measure, ...]:
    """Pose error of a model on a data set's crops; of one that makes pictures also own-appearance reconstruction."""
    batches = [_read(system, data, rows) for rows in torch.arange(len(data)).split(BATCH)]
    truth = torch.cat([batch.truth for batch in batches])
    predicted = torch.cat([batch.predicted for batch in batches])
    spread = torch.cat([batch.spread for batch in batches])
    valid = torch.cat([batch.valid for batch in batches])
    size = system.crop.size_px
    if system.pose == "2d":
        px = [to_crop_px(joints, size) for joints in (predicted, truth)]
        poses = pose_measures_2d(px[0], px[1], valid, f"{size} px crop")
    else:
        poses = bone_measures_3d(predicted, truth, valid)
    measures = (*poses, spread_coverage(predicted - truth, spread, valid))
    if not isinstance(system, Generator):
        return measures
    squared = torch.cat([batch.squared_error for batch in batches])
    psnr = float((-10 * squared.log10()).mean())
    protocol = Stated(f"peak signal-to-noise ratio, {size} px crop in [0, 1], own appearance (posterior mean), true pose")
    return (*measures, Measure("psnr", psnr, "dB", len(truth), protocol, "mean over pictures"))


@dataclass(frozen=True)
class _Read:
    truth: torch.Tensor
    predicted: torch.Tensor
    spread: torch.Tensor
    valid: torch.Tensor
    squared_error: torch.Tensor
    """Of each picture made again; empty where the system makes none."""


def _read(system: Reader, data: HandData, rows: torch.Tensor) -> _Read:
    hands: Hands = cut(data, rows, system.crop)
    image, valid = hands.need("image", "joint_valid")
    joints = system.joints_of(hands)
    prediction = system.predict(image)
    squared_error = torch.empty(0)
    if isinstance(system, Generator):
        again = system.synthesize(joints, system.appearance_of(image))
        squared_error = (again - image).square().flatten(1).mean(1)
    return _Read(joints, prediction.joints, prediction.spread, valid, squared_error)
