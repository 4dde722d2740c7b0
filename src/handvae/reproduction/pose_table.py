"""Tables of systems that read 3D poses: error, its confidence, and what their latent spaces show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from handvae.data.dataset import HandData
from handvae.data.subset import FewLabels, Subset
from handvae.errors import UserError
from handvae.evaluation.estimate_metrics import pose_metric
from handvae.evaluation.latent import (
    canonical_errors,
    content_swap,
    fused,
    layers_swap,
    modality_silhouette,
    swaps_said,
)
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.model_predictions import predict_hands
from handvae.evaluation.resampling import Draws, bootstrap, interval
from handvae.evaluation.study import Study
from handvae.hand import PARENTS
from handvae.reproduction.experiment import Cell, Reproduction, trained
from handvae.reproduction.table import Recipe, TableColumn, TableRow
from handvae.systems.build import build_system
from handvae.training.checkpoint import Model

LABELLED_ALONE = "labelled hands alone"
"""`TableRow.pictures` of rows that do not see the hands whose poses are held back."""
LABELLED_OF_BATCH = 0.5
"""At laptop scale, of a batch with hands whose poses are held back; drawn as they lie, short runs would meet
hardly a pose."""


@dataclass(frozen=True)
class PoseTable(Reproduction):
    """Tables of cm-VAE's and dVAE's papers."""

    train: HandData
    test: HandData

    # ---------------------------------------------------------------- what is shown

    @property
    def columns(self) -> Sequence[TableColumn]:
        """Errors in mm beside the paper's, then what the latent space shows where the table is about that."""
        table = self.job.table
        errors = [
            TableColumn("mean EPE, mm", "epe", "mean EPE"),
            TableColumn("95 % from", "epe_low"),
            TableColumn("to", "epe_high"),
            TableColumn("median EPE, mm", "epe_median", "median EPE"),
            TableColumn("AUC 20-50", "auc_20_50", "AUC"),
        ]
        shown = [
            replace(column, published=column.published if column.published in table.columns else "")
            for column in errors
        ]
        if "canonical EPE" in table.columns:
            shown.append(TableColumn("canonical EPE, mm", "canonical_epe", "canonical EPE"))
            shown.append(TableColumn("pose moved by another content, mm", "content_swap"))
        else:
            shown.append(TableColumn("silhouette of modalities", "modality_silhouette"))
        return shown

    @property
    def data(self) -> Sequence[str]:
        """Hands of both splits, and the rows that these data cannot train."""
        lines = [
            f"trained on {len(self.train)} hands of {self.train.spec.name}; measured on {len(self.test)} of its test split"
        ]
        mine = {row.name for row, _ in self.job.rows}
        others = [row.name for row, _ in self.job.table.rows_at(self.job.scale) if row.name not in mine]
        if others:
            lines.append(
                f"not trained here, as these data lack what they need, or others were asked for: {'; '.join(others)}"
            )
        return lines

    def check(self) -> None:
        """Refuse a test split in which no hand can be measured, before anything is trained."""
        valid = self.test.labels(torch.arange(len(self.test))).require("joint_valid")
        whole = valid[:, [0, 9, 10]] if self.test.spec.joints == len(PARENTS) else valid
        if not whole.all(1).any():
            raise UserError(
                self.test.spec.name,
                "no test hand has its wrist and scale bone labelled",
                "give a set with 3D joints",
            )

    # ---------------------------------------------------------------- what is trained and measured

    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """One training, on hands of which the first share is labelled."""
        data = self.train
        if row.labelled < 1 and row.pictures == LABELLED_ALONE:
            data = Subset(data, range(FewLabels(data, row.labelled).known))
        elif row.labelled < 1:
            data = FewLabels(data, row.labelled, LABELLED_OF_BATCH if self.job.scale == "laptop" else None)
        return trained(recipe, data, self.job.folder(row.name, seed), seed, self.job.steps, self.job.ranks)

    def depends_on(self, model: Model) -> dict[str, Any]:
        """The test hands."""
        return {"test": [self.test.spec.name, len(self.test)]}

    def measure(self, model: Model, seed: int) -> Iterator[Measure]:
        """All errors of 3D poses, the interval of the mean over test hands, and what the latent space
        shows."""
        system, test = model.reader, self.test
        predictions = predict_hands(system, test)
        found = pose_metric(Study(model.name, system, test, predictions, seed=seed))
        yield from found.measures
        (mean,) = [per_hand for per_hand in found.per_hand if per_hand.name == "epe"]
        (epe,) = [measure for measure in found.measures if measure.name == "epe"]
        subject = None if predictions.subject is None else predictions.subject.numpy()
        draws = Draws.of(len(predictions.target), subject, seed)
        likely = interval(bootstrap(mean, draws))
        for end, value in (("low", likely.low), ("high", likely.high)):
            yield replace(
                epe,
                name=f"epe_{end}",
                value=value,
                definition=f"95 % bootstrap interval over test {draws.unit}, {end} end",
            )
        nothing = Stated("not of this kind of system")
        for name, unit, measures in (
            ("modality_silhouette", "", modality_silhouette(system, test)),
            ("canonical_epe", "mm", canonical_errors(system, test)),
            ("content_swap", "mm", content_swap(system, test, seed)),
        ):
            yield from measures or (Measure(name, float("nan"), unit, 0, nothing),)
        yield from (*fused(system, test, seed), *layers_swap(system, test, seed))

    def findings(self, cells: Sequence[Cell]) -> Sequence[str]:
        """What fusing modalities gains and a missing one costs, how hand and ground come apart, what hands
        without poses bring."""
        lines = []
        for cell in cells:
            said = [
                f"{measure.definition} {measure.value:.1f} mm"
                for measure in cell.measures
                if measure.name.startswith("fused_")
            ]
            if said:
                lines.append(
                    f"{cell.row.name}, seed {cell.seed}, mean EPE by what is read: {'; '.join(said)}"
                )
            swaps = swaps_said(cell.measures)
            if swaps:
                lines.append(f"{cell.row.name}, seed {cell.seed}: {swaps}")
        alone = {
            (cell.row.labelled, cell.seed): cell for cell in cells if cell.row.pictures == LABELLED_ALONE
        }
        for cell in cells:
            other = alone.get((cell.row.labelled, cell.seed))
            if other is None or cell is other:
                continue
            changes = [
                f"{name} {100 * (_value(cell, name) / _value(other, name) - 1):+.1f} %"
                for name in ("epe", "epe_median")
            ]
            lines.append(
                f"{cell.row.name} against {other.row.name}, seed {cell.seed}: error {', '.join(changes)}"
            )
        return lines


def _value(cell: Cell, name: str) -> float:
    return next(measure.value for measure in cell.measures if measure.name == name)


def trainable(rows: Sequence[tuple[TableRow, Recipe]], data: HandData) -> tuple[tuple[TableRow, Recipe], ...]:
    """The rows whose systems can be built for the data.

    Raises:
        UserError: there is none; says what the first lacks.
    """
    kept, lacking = [], ""
    for row, recipe in rows:
        preset = recipe.settled(0, None)
        sides = preset.crop.sides if preset.crop.sides != "keep" else data.spec.sides
        try:
            build_system(
                preset.system, replace(data.spec, size_px=preset.crop.size_px, sides=sides), preset.crop
            )
        except ValueError as error:
            lacking = lacking or f"{row.name}: {error}"
        else:
            kept.append((row, recipe))
    if not kept:
        raise UserError(
            data.spec.name, f"does for no row of the table ({lacking})", "give a data set that has it"
        )
    return tuple(kept)
