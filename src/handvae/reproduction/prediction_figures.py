"""Figures of hands with the poses that are read from them beside the true ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.data.subset import Subset
from handvae.errors import UserError
from handvae.evaluation.model_predictions import predict_hands
from handvae.hand import scale_bone
from handvae.reproduction.figure import PredictionFigure, Side
from handvae.reproduction.figure_hands import input_cells, input_name, random_rows
from handvae.reproduction.figure_models import shown
from handvae.reproduction.options import PredictionOptions
from handvae.reproduction.sheets import DrawnFigure, Sheet, check_least, labelled_grid, stacked, title_of
from handvae.reproduction.skeletons import BAR_MM, BLUE, RED, Colour, View, middle_of, reach_of, skeleton_cell
from handvae.systems.dvae_pose import DvaePose
from handvae.systems.system import PoseEstimator
from handvae.training.checkpoint import Model

VIEWS: tuple[View, View] = ("camera", "side")
WORDS: dict[Side, str] = {"truth": "true", "prediction": "read"}
SIDES: tuple[tuple[Side], tuple[Side]] = (("truth",), ("prediction",))


@dataclass(frozen=True)
class PosePair:
    """Poses of some hands, true and read, mm relative to the same root."""

    name: str
    """`pose`, or `canonical`."""
    truth: Float[np.ndarray, "hand joint 3"]
    prediction: Float[np.ndarray, "hand joint 3"]

    @property
    def errors(self) -> Float[np.ndarray, " hand"]:
        """Mean error over a hand's joints, mm."""
        return np.linalg.norm(self.prediction - self.truth, axis=2).mean(1)

    def of(self, side: Side) -> Float[np.ndarray, "hand joint 3"]:
        """The poses of one side."""
        return self.truth if side == "truth" else self.prediction


def draw_prediction_figure(figure: PredictionFigure, options: PredictionOptions) -> DrawnFigure:
    """A sheet for each model; a row for each hand, with its error.

    Raises:
        UserError: an option is out of range, there is no model, or a model or the data do not fit.
    """
    check_least(("--hands", options.hands, 1), ("--seed", options.seed, 0))
    found = shown(figure.rows, options, figure.fallback)
    rows = random_rows(found.data, options.hands, options.seed)

    blue, red = figure.colours
    colours = "" if figure.layout == "side by side" else f"{WORDS[blue]} blue, {WORDS[red]} red, "
    legend = f"{colours}bars {BAR_MM:.0f} mm"

    sheets, notes = [], list(found.notes)
    errors: dict[str, list[float]] = {}
    for model in found.models:
        pairs = read_poses(model, found.data, rows, canonical=figure.layout == "canonical")
        title = f"{title_of(model)}; {legend}"
        sheets.append((title, _sheet(figure, model.pose_estimator, found.data, rows, pairs)))
        errors[title_of(model)] = pairs[-1].errors.tolist()

    notes.append(f"{figure.about}; hands of {found.data.spec.name}, {options.split or 'all'}")
    notes.append(f"{legend}; rows name a hand's mean error over its joints")
    return DrawnFigure(stacked(sheets), tuple(notes), {"epe_mm": errors})


def read_poses(model: Model, data: HandData, rows: Tensor, *, canonical: bool) -> tuple[PosePair, ...]:
    """The poses of these hands, true and read; before them the canonical ones, if asked for.

    Raises:
        UserError: the model reads 2D poses, or no canonical ones.
    """
    system = model.pose_estimator
    if system.pose != "3d":
        raise UserError(model.path, "reads 2D poses, and the figure shows 3D ones", "give a 3D model")

    predictions = predict_hands(system, Subset(data, rows.tolist()))
    assert predictions.scale_mm is not None
    unit_mm = predictions.scale_mm[:, None, None]
    truth, prediction = predictions.target * unit_mm, predictions.prediction * unit_mm
    pose = PosePair("pose", truth.numpy(), prediction.numpy())
    if not canonical:
        return (pose,)

    if not isinstance(system, DvaePose):
        fault = f"is a {model.header.system}, which reads no canonical poses"
        raise UserError(model.path, fault, "give a dvae_pose")
    return (_canonical(system, data, rows), pose)


@torch.no_grad()
def _canonical(system: DvaePose, data: HandData, rows: Tensor) -> PosePair:
    """Canonical poses as of left hands."""
    hands = cut(data, rows, system.crop)
    bone_mm = scale_bone(hands.require("joints_3d"))[:, None, None]
    _, truth = system.targets(hands)
    read = system.factors_of(hands.require("image"))
    return PosePair("canonical", (truth.pose * bone_mm).numpy(), (read.canonical * bone_mm).numpy())


def _sheet(
    figure: PredictionFigure,
    system: PoseEstimator,
    data: HandData,
    rows: Tensor,
    pairs: Sequence[PosePair],
) -> Sheet:
    """What is read, then the poses from the camera, then the same from the side."""
    hands = cut(data, rows, system.crop, fields=system.reads)
    colour = {figure.colours[0]: BLUE, figure.colours[1]: RED}
    reach = reach_of(np.concatenate([pair.truth for pair in pairs]))

    columns, names = [input_cells(system, hands)], [input_name(system)]
    over = figure.layout == "one over the other"
    for view in VIEWS:
        for pair in pairs:
            named = f"{pair.name} " if len(pairs) > 1 else ""
            for sides in SIDES if not over else (SIDES[0] + SIDES[1],):
                shapes = [
                    (pair.of(side), None if figure.layout == "side by side" else colour[side])
                    for side in sides
                ]
                columns.append(_column(pair, shapes, view, reach))
                words = "both" if over else WORDS[sides[0]]
                names.append(f"{named}{words}, from the {view}")

    labels = [f"error {error:.1f} mm" for error in pairs[-1].errors]
    return labelled_grid([list(row) for row in zip(*columns, strict=True)], labels, names)


def _column(
    pair: PosePair,
    shapes: Sequence[tuple[Float[np.ndarray, "hand joint 3"], Colour | None]],
    view: View,
    reach: float,
) -> list[Sheet]:
    """A cell for each hand, the true hand's middle in its middle."""
    column = []
    for hand, truth in enumerate(pair.truth):
        poses = [(joints[hand], colour) for joints, colour in shapes]
        column.append(skeleton_cell(poses, view, middle_of(truth), reach))
    return column
