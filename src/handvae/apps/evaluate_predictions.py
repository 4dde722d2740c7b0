"""`handvae evaluate --predictions FILE --truth FILE`: other people's predictions, measured by a named
protocol."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from handvae.apps.options import parse
from handvae.errors import UserError
from handvae.evaluation.comparison import Comparison, Scale
from handvae.evaluation.external_predictions import (
    INTRINSICS,
    JOINT_COUNTS,
    Dataset,
    Format,
    JointFile,
    back_projected,
    check_pair,
    read_joints,
)
from handvae.evaluation.measure import Measure
from handvae.evaluation.pose import pose_measures_2d, pose_measures_3d
from handvae.files import write_text_atomically
from handvae.hand import ORDERS, Root, to_internal

UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
LONGEST_THRESHOLD_MM = 80
SCALES: dict[str, Scale] = {"given": "as given", "bone-units": "bone units", "true-bone": "true bone"}


@dataclass(frozen=True)
class Options:
    """Measure predictions that are already in a file: npz, json, or text with a line a frame."""

    predictions: Path
    """File of predicted joints."""
    truth: Path
    """File of true joints: the same frames and joints in the same order."""
    format: Format | None = None
    """Format of both files; by default that of their suffixes."""
    prediction_array: str = ""
    """Array of an npz or a JSON object, where it holds several."""
    truth_array: str = ""
    """The same of the truth."""
    axes: Literal[2, 3] = 3
    """Numbers a joint, in files of flat lines."""
    dataset: Dataset | None = None
    """Files hold u, v (px) and depth (mm) of this data set's camera, as public result files do."""
    camera: tuple[float, float, float, float] | None = None
    """The same of another camera: fx fy cx cy in px."""
    unit: Literal["mm", "cm", "m"] = "mm"
    """Unit of both files' 3D joints (FreiHAND's are m)."""
    order: str = "openpose"
    """Joint order of both files, where there are 21: openpose, freihand, rhd, stb, interhand, msra, ho3d,
    fpha ..."""
    root: Root | Literal["given"] = "given"
    """Point that is subtracted from every joint before comparing."""
    reroot: Literal["both", "truth"] = "both"
    """`truth` leaves the predictions as they are, for those that are root-relative already (hand3d's
    protocol)."""
    scale: Literal["given", "bone-units", "true-bone"] = "given"
    """`bone-units`: predictions are in these and get the true bone's length; `true-bone`: their own bone 9-10
    is made as long."""
    within: tuple[int, ...] = (10, 20, 30, 40)
    """Thresholds of PCK and success rates, whole mm up to 80."""
    picture: str = "picture as given"
    """Whose pixels 2D joints are in, such as `320 px crop`; part of the protocol."""
    report: Path | None = None
    """Folder for report.json."""

    def __post_init__(self) -> None:
        if self.dataset and self.camera:
            raise UserError("--camera", "is given together with --dataset", "give one of them")
        if not self.within or not all(0 < mm <= LONGEST_THRESHOLD_MM for mm in self.within):
            raise UserError(
                "--within",
                f"{self.within} are not whole mm from 1 to {LONGEST_THRESHOLD_MM}",
                "give some, such as 20 30 40",
            )
        if self.order not in ORDERS:
            raise UserError(
                "--order", f"there is no joint order {self.order!r}", f"use one of {', '.join(ORDERS)}"
            )


def main(arguments: Sequence[str]) -> None:
    """Parse, read, measure, print."""
    options = parse(Options, arguments, "handvae evaluate")
    prediction = read_joints(
        options.predictions, options.format, array=options.prediction_array, axes=options.axes
    )
    truth = read_joints(options.truth, options.format, array=options.truth_array, axes=options.axes)
    check_pair(options.predictions, prediction, options.truth, truth)
    measures = measure(options, prediction, truth)
    table = Table(
        "metric", "value", "N", "definition", title=escape(f"{options.predictions} against {options.truth}")
    )
    for m in measures:
        table.add_row(m.name, f"{m.value:.5g} {m.unit}", str(m.n), m.definition)
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)
    for protocol in dict.fromkeys(m.protocol for m in measures):
        names = ", ".join(m.name for m in measures if m.protocol == protocol)
        console.print(f"[bold]{escape(str(protocol))}[/bold]: {names}", highlight=False)
    if options.report is not None:
        path = options.report / "report.json"
        files = {"predictions": str(options.predictions), "truth": str(options.truth)}
        content = {**files, "measures": [m.to_json() for m in measures]}
        write_text_atomically(path, json.dumps(content, indent=2, allow_nan=False))
        print(f"report: {path}")


def measure(options: Options, prediction: JointFile, truth: JointFile) -> tuple[Measure, ...]:
    """Metrics of two files of the same frames and joints, over the joints that the truth labels.

    Raises:
        UserError: the prediction leaves a labelled joint out, or the joints do not fit the data set, the
            camera, the root or the scale.
    """
    joints, axes = truth.joints.shape[1:]
    camera = INTRINSICS[options.dataset] if options.dataset else options.camera
    if options.dataset and joints != JOINT_COUNTS[options.dataset]:
        fault = f"{joints} joints a frame, and {options.dataset} has {JOINT_COUNTS[options.dataset]}"
        raise UserError(options.truth, fault, "give another --dataset, or --camera")
    valid, visible = truth.valid, truth.visible
    if missing := int((valid & ~prediction.valid).sum()):
        raise UserError(
            options.predictions,
            f"leaves out {missing} joints that are labelled",
            "predict all, or mark them in the truth's `valid`",
        )
    if axes == 2:
        if camera:
            raise UserError(
                options.truth, "its joints have two axes and no depth", "leave out --camera and --dataset"
            )
        return pose_measures_2d(prediction.joints, truth.joints, valid, options.picture)
    comparison = Comparison(
        "as given" if options.root == "given" else options.root, options.reroot, SCALES[options.scale]
    )
    comparison.check(joints)
    if camera is not None:
        pair = [back_projected(file.joints, camera) for file in (prediction, truth)]
    else:
        to_mm = UNITS_MM[options.unit]
        pair = [prediction.joints * (1.0 if options.scale == "bone-units" else to_mm), truth.joints * to_mm]
    if joints == 21 and options.order != "openpose":
        pair = [to_internal(part, options.order) for part in pair]
        valid = to_internal(valid[..., None], options.order)[..., 0]
        visible = None if visible is None else to_internal(visible[..., None], options.order)[..., 0]
    return pose_measures_3d(pair[0], pair[1], valid, visible, comparison, options.within)
