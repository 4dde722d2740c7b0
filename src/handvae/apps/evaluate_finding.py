"""`handvae evaluate FINDER [READER] DATASET`: hands found in whole pictures, or where there are none."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handvae.apps.output import result_text
from handvae.apps.progress import EVERY, progress
from handvae.errors import UserError

if TYPE_CHECKING:
    from handvae.apps.evaluate_options import Options
    from handvae.training.checkpoint import Model


def evaluate_finding(options: "Options", models: list["Model"]) -> dict[str, Any]:
    """Measure, print and write; returns the content of report.json.

    Args:
        options: of the command.
        models: a finder, and a reader where it is not the shipped one.
    """
    from handvae.data.open import is_data_set, open_data
    from handvae.data.over_photos import Photos
    from handvae.evaluation.finding import measure_false, measure_found
    from handvae.evaluation.study_table import print_measures, summary_of_measures
    from handvae.files import write_text_atomically
    from handvae.inference.finding import HandSearch
    from handvae.inference.shipped import READER

    if len(models) > 2:
        fault = f"the first model finds hands, and {len(models) - 1} others follow"
        raise UserError("command line", fault, "give a finder, or a finder and a reader")
    search = HandSearch.open(models[0], models[1] if len(models) == 2 else READER)
    dataset = Path(options.what[-1])
    is_labelled = dataset.is_file() or is_data_set(dataset)
    if is_labelled:
        data = open_data(dataset, options.split, options.protocol)
        with progress("pictures searched", None, EVERY) as advance:
            measures = measure_found(search, data, options.min_score, advance)
    else:
        photos = Photos(dataset)
        with progress("photos searched", len(photos), EVERY) as advance:
            measures = measure_false(search, photos, options.min_score, advance)

    names = " and ".join(model.name for model in models)
    place = f"{dataset.name}, {f'split {options.split}' if is_labelled else 'photos without hands'}"
    print(f"{names} on {place}: {summary_of_measures(measures)}")
    with result_text():
        print_measures(f"{names} on {place}", measures)

    content = {
        "dataset": str(dataset),
        "split": options.split if is_labelled else None,
        "models": [{"name": names, "measures": [measure.to_json() for measure in measures]}],
    }
    if options.report is not None:
        path = options.report / "report.json"
        write_text_atomically(path, json.dumps(content, indent=2))
        print(f"report: {path}")
    return content
