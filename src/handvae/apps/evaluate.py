"""`handvae evaluate MODEL [MODEL ...] DATASET`: numbers that name their protocol, and a page of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from handvae.apps import evaluate_predictions
from handvae.apps.options import JsonOption, QuietOption, Rare, SeedOption, parse
from handvae.apps.output import output, result_text
from handvae.apps.progress import EVERY, progress
from handvae.choices import Between, Folder, Side
from handvae.errors import UserError


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
    side: Side | None = None
    """Side of the hands whose side the data set does not tell."""
    metrics: str = "all"
    """Comma-separated, out of: pose, picture, spread, pixels, sets, consistency, leakage, factors,
    latent_factors; or all that the data allow."""
    detector: str | None = None
    """Model that reads joints from generated pictures, for consistency and leakage: detector-64 unless given;
    `own`: each model its own."""
    detector_command: Rare[str | None] = None
    """A program instead of a model: called with a folder of PNG files, it prints JSON, for each file's name
    21 pairs [x, y] in px, or null."""
    report: Annotated[Path | None, Folder()] = None
    """Folder for report.json and report.html."""
    curves: Rare[Path | None] = None
    """Published PCK curves to draw with those of 3D models: JSON, {name: {"x": [errors in mm], "y": [shares
    of joints]}, ...}."""
    keep_spread: bool = False
    """Fit the scale of the model's spread on these hands and keep it in the model's file, so that its spread
    is calibrated wherever it is used. Give hands that it was not trained on and that nothing else is measured
    on. The numbers printed are those from before."""
    inception_weights: Rare[Path | None] = None
    """File of the FID's Inception-v3 (pt_inception-2015-12-05-6726825d.pth): adds fid and kid to `sets`."""
    renew_statistics: Rare[Annotated[int, Between(0, 10**6)]] = 0
    """Batches of generated pictures on which the statistics of a generator's batch normalisation are measured
    again before anything else (a thousand are usual); 0 keeps those of training. A Frechet distance may
    depend on it much, and names it."""
    seed: SeedOption = 0
    quiet: QuietOption = False
    json: JsonOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, measure, print, write."""
    if any(word.split("=")[0] == "--predictions" for word in arguments):
        return evaluate_predictions.main(arguments)

    options = parse(Options, arguments, "handvae evaluate")
    if len(options.what) < 2:
        raise UserError("command line", "a model and a data set are needed", "see handvae evaluate --help")
    with output(options.quiet, options.json, options.report) as publish:
        publish(_evaluate(options))


def _evaluate(options: Options) -> dict[str, Any]:
    """Measure, print and write; returns the content of report.json."""
    from handvae.data.open import open_data
    from handvae.evaluation import model_predictions, spread_scales, study_setup
    from handvae.evaluation.curves import read_curves, with_curves
    from handvae.evaluation.features import InceptionFeatures, cache_folder
    from handvae.evaluation.study import Study
    from handvae.evaluation.study_page import study_page
    from handvae.evaluation.study_report import report_studies
    from handvae.evaluation.study_table import print_report, report_json, summary
    from handvae.files import write_text_atomically
    from handvae.training.checkpoint import load_model

    # everything that can be refused is read before anything is predicted
    *model_names, dataset = options.what
    metrics = study_setup.metric_names(options.metrics)
    published_curves = () if options.curves is None else read_curves(options.curves)
    models = [load_model(name) for name in model_names]
    data = open_data(Path(dataset), options.split, options.protocol)
    data = study_setup.with_sides(data, models, dataset, options.side)

    for model in models:
        study_setup.check_data_fits(model, data, dataset)
        study_setup.renew_normalisation(model, data, options.renew_statistics, options.seed)

    scales = {}
    if options.keep_spread:
        scales = spread_scales.fit_kept_scales(models, data, Path(dataset).resolve().name)

    names = study_setup.column_names(models)
    extractors = ()
    if options.inception_weights is not None:
        extractors = (InceptionFeatures(options.inception_weights),)

    studies = []
    for name, model in zip(names, models, strict=True):
        detector = study_setup.choose_detector(model, options.detector, options.detector_command)
        with progress(f"hands read by {name}", len(data), EVERY) as advance:
            predictions = model_predictions.predict_hands(model.pose_estimator, data, advance)

        study = Study(
            name=name,
            system=model.pose_estimator,
            data=data,
            predictions=predictions,
            detector=detector,
            seed=options.seed,
            poses="seen" if options.split == "train" else "unseen",
            extractors=extractors,
            cache=cache_folder() if extractors else None,
        )
        studies.append(study)

    report = with_curves(report_studies(studies, metrics), published_curves)

    title = f"{', '.join(names)} on {dataset}, split {options.split}"
    print(summary(studies, report, Path(dataset).resolve().name, options.split))
    with result_text():
        print_report(report, title)

    content = {"dataset": dataset, "split": options.split, "seed": options.seed, **report_json(report)}

    if options.report is not None:
        page = study_page(title, studies, report)
        write_text_atomically(options.report / "report.json", json.dumps(content, indent=2))
        write_text_atomically(options.report / "report.html", page)
        print(f"report: {options.report / 'report.html'}")

    if scales:
        print(spread_scales.keep_scales(models[0], scales))

    return content
