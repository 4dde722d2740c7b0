"""Tables of systems that read 3D poses: errors, their intervals, and what the latent spaces hold."""

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
from handvae.reproduction.experiment import Reproduction, RowResult, trained
from handvae.reproduction.recipe import resolve
from handvae.reproduction.table import LABELLED_ALONE, Recipe, TableColumn, TableRow
from handvae.systems.build import build_system
from handvae.training.checkpoint import Model

LABELLED_OF_BATCH = 0.5
"""Share of labelled hands in a batch at laptop scale; in file proportions, short runs would see hardly a
pose."""

WRIST_AND_SCALE_BONE = [0, 9, 10]
"""Joints without which a 3D error has no root or no scale."""


@dataclass(frozen=True)
class PoseTable(Reproduction):
    """Tables of cm-VAE's and dVAE's papers."""

    train: HandData
    test: HandData

    # ------------------------------------------------------------------------------------------ what is shown

    @property
    def columns(self) -> Sequence[TableColumn]:
        """Errors in mm next to the paper's, then what the latent space holds if the table is about that."""
        published = self.plan.table.columns
        errors = (
            TableColumn("mean EPE, mm", "epe", "mean EPE"),
            TableColumn("95 % from", "epe_low"),
            TableColumn("to", "epe_high"),
            TableColumn("median EPE, mm", "epe_median", "median EPE"),
            TableColumn("AUC 20-50", "auc_20_50", "AUC"),
        )
        columns = [
            column if column.published in published else replace(column, published="") for column in errors
        ]

        if "canonical EPE" in published:
            columns.append(TableColumn("canonical EPE, mm", "canonical_epe", "canonical EPE"))
            columns.append(TableColumn("pose moved by another content, mm", "content_swap"))
        else:
            columns.append(TableColumn("silhouette of modalities", "modality_silhouette"))

        return columns

    @property
    def data(self) -> Sequence[str]:
        """Hands of both splits, and the rows that these data cannot train."""
        plan = self.plan
        trained_on = f"trained on {len(self.train)} hands of {self.train.spec.name}"
        lines = [f"{trained_on}; measured on {len(self.test)} of its test split"]

        mine = {row.name for row, _ in plan.rows}
        others = [row.name for row, _ in plan.table.rows_at(plan.scale) if row.name not in mine]

        if others:
            reason = "as these data lack what they need, or others were asked for"
            lines.append(f"not trained here, {reason}: {'; '.join(others)}")

        return lines

    def check(self) -> None:
        """Refuse a test split in which no hand can be measured, before anything is trained."""
        valid = self.test.labels(torch.arange(len(self.test))).require("joint_valid")
        if self.test.spec.joints == len(PARENTS):
            valid = valid[:, WRIST_AND_SCALE_BONE]

        if not valid.all(1).any():
            fault = "no test hand has its wrist and scale bone labelled"
            raise UserError(self.test.spec.name, fault, "give a set with 3D joints")

    # --------------------------------------------------------------------------- what is trained and measured

    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """One training; the row's share of the hands, the first, is labelled."""
        plan = self.plan
        data = self.train
        if row.labelled < 1 and row.pictures == LABELLED_ALONE:
            data = Subset(data, range(FewLabels(data, row.labelled).known))
        elif row.labelled < 1:
            data = FewLabels(data, row.labelled, LABELLED_OF_BATCH if plan.scale == "laptop" else None)
        return trained(recipe, data, plan.folder(row.name, seed), seed, plan.steps, plan.ranks)

    def depends_on(self, model: Model) -> dict[str, Any]:
        """The test hands."""
        return {"test": [self.test.spec.name, len(self.test)]}

    def measure(self, model: Model, seed: int) -> Iterator[Measure]:
        """All errors of 3D poses, the interval of their mean over test hands, and what the latent holds."""
        system, test = model.pose_estimator, self.test
        predictions = predict_hands(system, test)
        errors = pose_metric(Study(model.name, system, test, predictions, seed=seed))
        yield from errors.measures

        # bootstrap over people where they are known, else over hands
        (per_hand,) = [metric for metric in errors.per_hand if metric.name == "epe"]
        (epe,) = [measure for measure in errors.measures if measure.name == "epe"]
        subject = None if predictions.subject is None else predictions.subject.numpy()
        draws = Draws.of(len(predictions.target), subject, seed)
        likely = interval(bootstrap(per_hand, draws))

        for end, value in (("low", likely.low), ("high", likely.high)):
            definition = f"95 % bootstrap interval over test {draws.unit}, {end} end"
            yield replace(epe, name=f"epe_{end}", value=value, definition=definition)

        # a column needs a number of every row: NaN where this kind of system has none
        nothing = Stated("not of this kind of system")
        for name, unit, measures in (
            ("modality_silhouette", "", modality_silhouette(system, test)),
            ("canonical_epe", "mm", canonical_errors(system, test)),
            ("content_swap", "mm", content_swap(system, test, seed)),
        ):
            yield from measures or (Measure(name, float("nan"), unit, 0, nothing),)

        yield from fused(system, test, seed)
        yield from layers_swap(system, test, seed)

    # ----------------------------------------------------------------------------------------------- findings

    def findings(self, results: Sequence[RowResult]) -> Sequence[str]:
        """The gain of fused modalities, how hand and ground separate, the gain of hands without poses."""
        lines = []
        for result in results:
            row = f"{result.row.name}, seed {result.seed}"
            fusions = [
                f"{measure.definition} {measure.value:.1f} mm"
                for measure in result.measures
                if measure.name.startswith("fused_")
            ]
            if fusions:
                lines.append(f"{row}, mean EPE by what is read: {'; '.join(fusions)}")

            swaps = swaps_said(result.measures)
            if swaps:
                lines.append(f"{row}: {swaps}")

        return lines + _gains_of_unlabelled(results)


def _gains_of_unlabelled(results: Sequence[RowResult]) -> list[str]:
    """Each training with hands whose poses are held back against the one on its labelled hands alone."""
    alone = {}
    for result in results:
        if result.row.pictures == LABELLED_ALONE:
            alone[result.row.labelled, result.seed] = result

    lines = []
    for result in results:
        base = alone.get((result.row.labelled, result.seed))
        if base is None or base is result:
            continue

        changes = []
        for name in ("epe", "epe_median"):
            change = 100 * (result.value(name) / base.value(name) - 1)
            changes.append(f"{name} {change:+.1f} %")

        pair = f"{result.row.name} against {base.row.name}, seed {result.seed}"
        lines.append(f"{pair}: error {', '.join(changes)}")

    return lines


def trainable(rows: Sequence[tuple[TableRow, Recipe]], data: HandData) -> tuple[tuple[TableRow, Recipe], ...]:
    """The rows whose systems can be built for the data.

    Raises:
        UserError: there is none; the message names what the first lacks.
    """
    kept, lacking = [], ""
    for row, recipe in rows:
        preset = resolve(recipe, 0, None)
        sides = data.spec.sides if preset.crop.sides == "keep" else preset.crop.sides
        spec = replace(data.spec, size_px=preset.crop.size_px, sides=sides)

        try:
            build_system(preset.system, spec, preset.crop)
        except ValueError as error:
            lacking = lacking or f"{row.name}: {error}"
        else:
            kept.append((row, recipe))

    if not kept:
        fault = f"does for no row of the table ({lacking})"
        raise UserError(data.spec.name, fault, "give a data set that has it")

    return tuple(kept)
