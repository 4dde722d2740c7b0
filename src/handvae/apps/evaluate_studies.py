"""Models that read hands in crops, measured side by side for `handvae evaluate`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handvae.apps.output import result_text
from handvae.apps.progress import EVERY, progress
from handvae.files import write_text_atomically

if TYPE_CHECKING:
    from handvae.apps.evaluate_options import Options
    from handvae.training.checkpoint import Model


def evaluate_studies(options: "Options", models: list["Model"]) -> dict[str, Any]:
    """Measure, print and write; returns the content of report.json.

    Args:
        options: of the command.
        models: read hands in crops.
    """
    from handvae.data.open import open_data
    from handvae.evaluation import model_predictions, spread_scales, study_setup
    from handvae.evaluation.curves import read_curves, with_curves
    from handvae.evaluation.features import InceptionFeatures, cache_folder
    from handvae.evaluation.study import Study
    from handvae.evaluation.study_page import study_page
    from handvae.evaluation.study_report import report_studies
    from handvae.evaluation.study_table import print_report, report_json, summary

    # everything that can be refused is read before anything is predicted
    dataset = options.what[-1]
    metrics = study_setup.metric_names(options.metrics)
    published_curves = () if options.curves is None else read_curves(options.curves)
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
