"""`handvae evaluate --predictions FILE --truth FILE`: predictions in a file, by a named protocol."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from handvae.apps.options import JsonOption, QuietOption, parse
from handvae.apps.output import output
from handvae.choices import CameraName, Folder, JointFileFormat, RootOption, ScaleOption
from handvae.errors import UserError

LONGEST_THRESHOLD_MM = 80


@dataclass(frozen=True)
class Options:
    """Measure predictions that are already in a file: npz, json, or text with a line a frame."""

    predictions: Path
    """File of predicted joints."""
    truth: Path
    """File of true joints: the same frames and joints in the same order."""
    format: JointFileFormat | None = None
    """Format of both files; by default that of their suffixes."""
    prediction_array: str = ""
    """Array of an npz or a JSON object, where it holds several."""
    truth_array: str = ""
    """The same of the truth."""
    axes: Literal[2, 3] = 3
    """Numbers a joint, in files of flat lines."""
    dataset: CameraName | None = None
    """Files hold u, v (px) and depth (mm) of this data set's camera, as public result files do."""
    camera: tuple[float, float, float, float] | None = None
    """The same of another camera: fx fy cx cy in px."""
    unit: Literal["mm", "cm", "m"] = "mm"
    """Unit of both files' 3D joints (FreiHAND's are m)."""
    order: str = "openpose"
    """Joint order of both files, where there are 21: openpose, freihand, rhd, stb, interhand, msra, ho3d,
    fpha ..."""
    root: RootOption = "given"
    """Point that is subtracted from every joint before comparing."""
    reroot: Literal["both", "truth"] = "both"
    """`truth` keeps the predictions as they are, for those that are root-relative already (hand3d's
    protocol)."""
    scale: ScaleOption = "given"
    """`bone-units`: predictions are in these and get the true bone's length; `true-bone`: their own bone 9-10
    is made as long; `true-size`: the joints' mean square distance from the root is made the true one."""
    within: tuple[int, ...] = (10, 20, 30, 40)
    """Thresholds of PCK and success rates, whole mm up to 80."""
    picture: str = "picture as given"
    """The picture whose pixels 2D joints are in, such as `320 px crop`; part of the protocol."""
    report: Annotated[Path | None, Folder()] = None
    """Folder for report.json."""
    quiet: QuietOption = False
    json: JsonOption = False

    def __post_init__(self) -> None:
        if self.dataset and self.camera:
            raise UserError("--camera", "is given together with --dataset", "give one of them")
        if not self.within or not all(0 < mm <= LONGEST_THRESHOLD_MM for mm in self.within):
            fault = f"{self.within} are not whole mm from 1 to {LONGEST_THRESHOLD_MM}"
            raise UserError("--within", fault, "give some, such as 20 30 40")


def main(arguments: Sequence[str]) -> None:
    """Parse, read, measure, print."""
    options = parse(Options, arguments, "handvae evaluate")
    with output(options.quiet, options.json, options.report) as publish:
        publish(_evaluate(options))


def _evaluate(options: Options) -> dict[str, object]:
    """Measure and print; returns the content of report.json."""
    from handvae.evaluation.external_measures import FileProtocol, measure_files
    from handvae.evaluation.external_predictions import check_pair, read_joints
    from handvae.evaluation.study_table import print_measures, summary_of_measures
    from handvae.files import write_text_atomically

    protocol = FileProtocol(
        dataset=options.dataset,
        camera=options.camera,
        unit=options.unit,
        order=options.order,
        root=options.root,
        reroot=options.reroot,
        scale=options.scale,
        within=options.within,
        picture=options.picture,
    )
    prediction = read_joints(
        options.predictions, options.format, array=options.prediction_array, axes=options.axes
    )
    truth = read_joints(options.truth, options.format, array=options.truth_array, axes=options.axes)
    check_pair(options.predictions, prediction, options.truth, truth)
    measures = measure_files(options.predictions, prediction, options.truth, truth, protocol)

    names = f"{options.predictions.name} against {options.truth.name}"
    print(f"{names} (N = {len(truth.joints)}): {summary_of_measures(measures)}")
    print_measures(f"{options.predictions} against {options.truth}", measures)

    content = {
        "predictions": str(options.predictions),
        "truth": str(options.truth),
        "measures": [measure.to_json() for measure in measures],
    }

    if options.report is not None:
        path = options.report / "report.json"
        write_text_atomically(path, json.dumps(content, indent=2, allow_nan=False))
        print(f"report: {path}")

    return content
