"""`handvae evaluate MODEL [MODEL ...] DATASET`: numbers that name their protocol, side by side, with a page
that shows them."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from handvae.apps import evaluate_predictions
from handvae.apps.options import parse
from handvae.apps.progress import EVERY, progress
from handvae.data.crop import check_crop
from handvae.data.dataset import HandData
from handvae.data.open import open_data
from handvae.errors import UserError
from handvae.evaluation.curves import read_curves, with_curves
from handvae.evaluation.detection import CommandDetector, HandDetector, ModelDetector
from handvae.evaluation.features import SHIPPED, InceptionFeatures, cache_folder
from handvae.evaluation.metrics import METRICS
from handvae.evaluation.model_predictions import predict_hands
from handvae.evaluation.picture_distances import batch_norm, renew_statistics
from handvae.evaluation.spread_scales import FittedScale, fit_spread_scales
from handvae.evaluation.study import Study
from handvae.evaluation.study_page import study_page
from handvae.evaluation.study_report import Report, report
from handvae.files import write_text_atomically
from handvae.training.checkpoint import WEIGHTS, Model, find_model, keep_spread_scales, load_model


@dataclass(frozen=True)
class Options:
    """Measure models on labelled pictures they were not trained on; several are compared on the same hands.

    A file of predictions is measured by `handvae evaluate --predictions FILE --truth FILE`, which has options
    of its own.
    """

    what: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL [MODEL ...] DATASET")]
    """Models (a shipped one's name, a .safetensors file or a run folder), then the folder of a data set."""
    split: str | None = "test"
    """Split of the data set; None for all of it."""
    protocol: str | None = None
    """Which hands or which division, for data sets that have several (docs/data.md)."""
    metrics: str = "all"
    """Comma-separated, out of: pose, picture, spread, pixels, sets, consistency, leakage, factors, latent_factors; or
    all that the data allow."""
    detector: str | None = None
    """Model that reads joints from generated pictures, for consistency and leakage: detector-64 unless given;
    `own`: each model its own."""
    detector_command: str | None = None
    """The same by a program: called with a folder of PNG files, it prints JSON, for each file's name 21 pairs
    [x, y] in px, or null."""
    report: Path | None = None
    """Folder for report.json and report.html."""
    curves: Path | None = None
    """Published PCK curves to draw beside those of 3D models: JSON, {name: {"x": [errors in mm], "y": [shares
    of joints]}, ...}."""
    keep_spread: bool = False
    """Fit how large the model's spread is to be on these hands, and keep that in the model's file: wherever
    it is used, its spread is then
    calibrated. Take hands that it was not trained on and that nothing else is measured on. The numbers
    printed are those from before."""
    inception_weights: Path | None = None
    """File of the FID's Inception-v3 (pt_inception-2015-12-05-6726825d.pth): adds fid and kid to `sets`."""
    renew_statistics: int = 0
    """Batches of generated pictures on which the statistics of a generator's batch normalisation are measured
    anew before anything else (a
    thousand are usual); 0 takes those of training. A Frechet distance may depend on it much, and names it."""
    seed: int = 0
    """Of everything drawn: bootstrap, permutations, appearances."""


def main(arguments: Sequence[str]) -> None:
    """Parse, measure, print, write."""
    if any(word.split("=")[0] == "--predictions" for word in arguments):
        return evaluate_predictions.main(arguments)
    options = parse(Options, arguments, "handvae evaluate")
    if len(options.what) < 2:
        raise UserError("command line", "a model and a data set are needed", "see handvae evaluate --help")
    *names, dataset = options.what
    wanted = _metrics(options.metrics)
    published = () if options.curves is None else read_curves(options.curves)
    models = [load_model(name) for name in names]
    data = open_data(Path(dataset), options.split, options.protocol)
    for model in models:
        _fits(model, data, dataset)
        _renew(model, data, options)
    fitted = fit_spread(models, data, Path(dataset)) if options.keep_spread else {}
    labels = _labels(models)
    spaces = () if options.inception_weights is None else (InceptionFeatures(options.inception_weights),)
    cache = cache_folder() if spaces else None
    poses = "seen" if options.split == "train" else "unseen"
    studies = []
    for label, model in zip(labels, models, strict=True):
        detector = _detector(options, model)
        with progress(f"hands read by {label}", len(data), EVERY) as done:
            predictions = predict_hands(model.reader, data, done)
        studies.append(
            Study(label, model.reader, data, predictions, detector, options.seed, poses, spaces, cache)
        )
    found = with_curves(report(studies, wanted), published)
    title = f"{', '.join(labels)} on {dataset}, split {options.split}"
    _print(title, found)
    if options.report is not None:
        content = {"dataset": dataset, "split": options.split, "seed": options.seed, **_as_json(found)}
        page = study_page(title, studies, found)
        write_text_atomically(options.report / "report.json", json.dumps(content, indent=2))
        write_text_atomically(options.report / "report.html", page)
        print(f"report: {options.report / 'report.html'}")
    if fitted:
        keep_spread(models[0], fitted)


def _renew(model: Model, data: HandData, options: Options) -> None:
    """Statistics of batch normalisation anew, where that is asked for."""
    if options.renew_statistics < 0:
        raise UserError("--renew-statistics", f"is {options.renew_statistics}", "give 0 or more")
    if options.renew_statistics:
        if batch_norm(model.generator) == "none":
            raise UserError("--renew-statistics", f"{model.name} has no batch normalisation", "leave it out")
        renew_statistics(model.generator, data, options.renew_statistics, seed=options.seed)


def _metrics(text: str) -> tuple[str, ...] | None:
    """The names asked for; None for all that the data allow."""
    if text == "all":
        return None
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in METRICS:
            raise UserError("--metrics", f"no metric {name!r}", f"there are {', '.join(METRICS)}, or all")
    return names


def fit_spread(models: Sequence[Model], data: HandData, dataset: Path) -> dict[str, FittedScale]:
    """The scales of a model's spread on these hands.

    Raises:
        UserError: several models are given, or one whose file is not to be written, or no scale can be
            fitted.
    """
    if len(models) > 1:
        raise UserError("--keep-spread", f"{len(models)} models are given", "give one model and a data set")
    (model,) = models
    if model.path.resolve().parent == WEIGHTS.resolve():
        raise UserError(
            model.path, "is shipped with the package and stays as it is", "copy the file and name your copy"
        )
    if not os.access(model.path, os.W_OK):
        raise UserError(model.path, "may not be written", "copy the file and name your copy")
    return fit_spread_scales(model.reader, data, dataset.resolve().name)


def keep_spread(model: Model, fitted: Mapping[str, FittedScale]) -> None:
    """Write the scales into the model's file, and say what they do."""
    keep_spread_scales(model, {name: found.scale for name, found in fitted.items()})
    for name, found in fitted.items():
        inside = f"{found.claimed_coverage:.1f} % of coordinates within one deviation as claimed, {found.coverage:.1f} % calibrated"
        print(
            f"spread of {name}: {inside} (68.3 % is right; each half scaled as fits the other, N = {found.hands})"
        )
    print(f"kept in {model.path}")


def _fits(model: Model, data: HandData, dataset: str) -> None:
    joints = model.reader.spec.joints
    if data.spec.joints != joints:
        raise UserError(
            dataset,
            f"has hands of {data.spec.joints} joints, and {model.name} reads {joints}",
            "give a set of the same joints",
        )
    if model.reader.pose == "3d" and "joints_3d" not in data.spec.modalities:
        raise UserError(
            dataset,
            "has no keypoints_3d, and this model reads 3D poses",
            "give a set with them, or a 2D model",
        )
    if data.spec.joints != model.reader.spec.joints:
        fault = f"has {data.spec.joints} joints a hand, and {model.name} reads {model.reader.spec.joints}"
        raise UserError(dataset, fault, "give a set with those joints (--protocol, where it has several)")
    if missing := [name for name in model.reader.reads if name not in data.spec.modalities]:
        raise UserError(
            dataset,
            f"has no {', '.join(missing)}, which {model.name} reads",
            "give a set with it, or a model of what it has",
        )
    check_crop(data, model.reader.crop, dataset)


def _detector(options: Options, model: Model) -> HandDetector | None:
    """What reads the pictures of a model; None for a 3D model that is to read its own."""
    if options.detector is not None and options.detector_command is not None:
        raise UserError("--detector-command", "is given together with --detector", "give one of them")
    if options.detector_command is not None:
        return CommandDetector(options.detector_command)
    detector = options.detector or SHIPPED
    if detector != "own" and find_model(detector) != model.path:
        return ModelDetector.of(load_model(detector))
    return ModelDetector.of(model) if model.reader.pose == "2d" else None


def _labels(models: Sequence[Model]) -> list[str]:
    """A name for each model, numbered where two are the same."""
    names = [model.name for model in models]
    return [f"{name} ({index + 1})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def _print(title: str, found: Report) -> None:
    console = Console()
    console.width = max(console.width, 120)
    values = (Column(column.name, overflow="fold") for column in found.columns)
    table = Table(Column("metric", no_wrap=True), *values, "N", "definition", "protocol", title=title)
    protocols = list(dict.fromkeys(row.protocol for row in found.rows()))
    for row in found.rows():
        table.add_row(
            row.name, *map(escape, row.cells), row.n, row.definition, f"({protocols.index(row.protocol) + 1})"
        )
    console.print(table)
    console.print(f"In brackets: {found.interval_protocol}.", markup=False, highlight=False)
    for number, protocol in enumerate(protocols):
        console.print(f"({number + 1}) {protocol}", markup=False, highlight=False)
    if found.differences:
        compared = Table(
            Column("metric", no_wrap=True),
            Column("models", overflow="fold"),
            "difference",
            "95 % interval",
            "p",
            title="Compared on the same hands",
        )
        for d in found.differences:
            inside = f"{d.interval.low:.3g} to {d.interval.high:.3g}"
            compared.add_row(
                d.name, f"{d.first} - {d.second}", f"{d.value:.3g} {d.unit}", inside, f"{d.p_value:.2g}"
            )
        console.print(compared)
        console.print(found.differences[0].protocol, markup=False)


def _as_json(found: Report) -> dict[str, Any]:
    models = []
    for column in found.columns:
        intervals = {name: [_finite(i.low), _finite(i.high)] for name, i in column.intervals.items()}
        measures = [
            m.to_json() | ({"interval": intervals[m.name]} if m.name in intervals else {})
            for m in column.measures
        ]
        models.append({"name": column.name, "measures": measures})
    differences = [asdict(d) for d in found.differences]
    return {"interval_is": found.interval_protocol, "models": models, "differences": differences}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
