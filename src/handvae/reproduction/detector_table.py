"""Table 4 of SRV-VAE's paper: a keypoint detector trained on few real pictures, and on the same and generated
ones, in as many steps."""

import hashlib
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handvae.choices import PoseKind
from handvae.data.crop import Crop, crop_affines, move_labels
from handvae.data.dataset import HandData
from handvae.data.subset import Subset
from handvae.evaluation.detection import ModelDetector
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.pose import hand_size
from handvae.evaluation.resampling import Draws, PerHand, bootstrap, difference, interval
from handvae.files import alone_in, file_digest
from handvae.noise import Noise, Stream
from handvae.reproduction.downstream import WORDS, Schedule, hand_errors, trained_on_both
from handvae.reproduction.experiment import Cell, Reproduction, trained
from handvae.reproduction.table import Recipe, TableColumn, TableRow
from handvae.training.checkpoint import Model, load_model
from handvae.upsampling.appearances import AppearancesOfOthers, RandomAppearances
from handvae.upsampling.upsample import GeneratedSet, UpsamplePlan, Upsampler, begin, whole_rows, write_shards

REAL, MIX, MIX_THEN_REAL = "real pictures", WORDS["mix"], WORDS["mix-then-real"]
"""What a row is trained on: `TableRow.pictures`."""
KEEP_ALL = 10.0
"""Error, over hand size, up to which new pictures are kept: all. A check by a detector that has seen more
people would tell of them."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything, and which generator is trained, unless the user says otherwise."""

    real: int
    test: int | None
    generator: Recipe
    generator_steps: int | None = None


LAPTOP = Sizes(300, None, Recipe("photos-base-64"), 1000)
PAPER = {
    "stb": Sizes(1800, 1800, Recipe("soft-intro-2d-128")),
    "interhand": Sizes(4000, 4100, Recipe("soft-intro-3d-128")),
}
"""By layout of the data set; which of its generators the paper took is not said."""


@dataclass(frozen=True)
class Augmentation:
    """The real pictures that the rows begin with, and how new ones come from them."""

    real: int
    """Real pictures, drawn anew for each seed; all rows of a seed have the same."""
    times: int
    """New pictures a real one."""
    poses: tuple[PoseKind, ...]
    appearances: Literal["dataset", "random"]
    """Of another hand of the real pictures, of another person where people are known; or drawn at random."""
    generator: Model | Recipe
    """Makes the new pictures: a model that is there, or one trained on the very same real pictures."""
    generator_steps: int | None
    """Of that training; None for the preset's own length."""


@dataclass(frozen=True)
class DetectorTable(Reproduction):
    """Trains the detectors of a table and compares their errors on real pictures of the test split."""

    train: HandData
    """What real pictures are drawn from."""
    test: HandData
    augmentation: Augmentation
    checker: ModelDetector
    """Says how well new pictures show their poses; drops none."""

    # ---------------------------------------------------------------- what is shown

    @property
    def flat(self) -> bool:
        """Whether the detectors read 2D joints."""
        return getattr(self.job.rows[0][1].settled(0, None).system, "pose", "2d") == "2d"

    @property
    def columns(self) -> Sequence[TableColumn]:
        """Error in % of hand size and in pixels, or in mm; beside it the paper's."""
        if not self.flat:
            return [TableColumn("error, mm", "mpjpe_mm", "MPJPE")]
        return [
            TableColumn("error, px", "mpjpe_px", "MPJPE"),
            TableColumn("error, px of the crop", "mpjpe_crop_px"),
            TableColumn("error, % of hand", "mpjpe_percent"),
        ]

    @property
    def data(self) -> Sequence[str]:
        """Real pictures, new ones and who made them, test pictures."""
        plan, name = self.augmentation, self.train.spec.name
        if isinstance(plan.generator, Model):
            maker = f"{plan.generator.name}, which may have seen other people than the detectors have"
        else:
            length = "its own length" if plan.generator_steps is None else f"{plan.generator_steps} steps"
            maker = f"a generator trained on these real pictures alone ({plan.generator.words}, {length})"
        appearances = (
            "another real picture's (another person's where people are known)"
            if plan.appearances == "dataset"
            else "drawn at random"
        )
        return [
            f"real: {self.count} of the {len(self.train)} training hands of {name}, drawn anew for each seed, the same for all rows",
            f"new: {plan.times} a real one, poses {' and '.join(plan.poses)}, appearance {appearances}, by {maker}; none dropped",
            f"test: {len(self.test)} hands; all rows of a table take equally many steps, and a batch of a mixture is drawn from all of it",
        ]

    @property
    def count(self) -> int:
        """Real pictures a seed."""
        return min(self.augmentation.real, len(self.train))

    def check(self) -> None:
        """Refuse data that no picture can be asked of before anything is trained."""
        if isinstance(self.augmentation.generator, Model):
            whole_rows(self.real(self.job.seeds[0]), self.augmentation.generator.generator)

    def findings(self, cells: Sequence[Cell]) -> Sequence[str]:
        """What new pictures gain over real ones alone: seed by seed, and over other test people."""
        errors = {
            name: np.stack([self._errors(cell) for cell in cells if cell.row.name == name])
            for name in self._names(cells)
        }
        (first, alone), *others = errors.items()
        unit = "% of hand size" if self.flat else "mm"
        subject = self.test.labels(torch.arange(len(self.test))).subject
        draws = Draws.of(len(self.test), None if subject is None else subject.numpy())
        lines = []
        for name, mixed in others:
            gains = [100 * (1 - np.nanmean(b) / np.nanmean(a)) for a, b in zip(alone, mixed, strict=True)]
            per_hand = [
                PerHand("error", unit, "mean", error.mean(0), np.ones(len(self.test)))
                for error in (mixed, alone)
            ]
            apart = difference((name, per_hand[0]), (first, per_hand[1]), draws)
            mean, each = statistics.fmean(gains), ", ".join(f"{gain:.1f}" for gain in gains)
            said = f"{abs(mean):.1f} % {'less' if mean >= 0 else 'more'} error (gain by seed {each})"
            lines.append(
                f"{name} against {first}: {said}; errors differ by {apart.value:.2f} {unit}, 95 % interval {apart.interval.low:.2f} to "
                f"{apart.interval.high:.2f}, p = {apart.p_value:.2g} (mean over seeds; test {draws.unit} drawn again)"
            )
        return lines

    def _names(self, cells: Sequence[Cell]) -> list[str]:
        """Rows in the order of the table, that of real pictures first."""
        rows = dict.fromkeys((cell.row.pictures != REAL, cell.row.name) for cell in cells)
        return [name for _, name in sorted(rows, key=lambda row: row[0])]

    def _errors(self, cell: Cell) -> Float[np.ndarray, " hand"]:
        return hand_errors(load_model(cell.model).reader, self.test).double().numpy()

    # ---------------------------------------------------------------- what is trained

    def real(self, seed: int) -> Subset:
        """The real pictures of a seed."""
        order = torch.randperm(len(self.train), generator=Noise(seed, stream=Stream.DETECTOR_ROWS).generator)
        return Subset(self.train, order[: self.count].sort().values.tolist())

    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """A detector trained on real pictures, on real and new ones, or on these and then on real ones
        alone."""
        job, real = self.job, self.real(seed)
        if row.pictures == REAL:
            return trained(recipe, real, job.folder(row.name, seed), seed, job.steps, job.ranks)
        tag, new = self._new(real, seed)
        folder = job.folder(f"{row.name} {tag}", seed)
        schedule: Schedule = "mix" if row.pictures == MIX else "mix-then-real"
        return trained_on_both(recipe, real, new, folder, seed, job.steps, job.ranks, schedule)

    def steps_of(self, recipe: Recipe, model: Model) -> int:
        """Of both halves, where there are two."""
        return self._total(recipe, 0)

    def _total(self, recipe: Recipe, seed: int) -> int:
        return recipe.settled(seed, self.job.steps).train.total_steps(self.count)

    def _new(self, real: Subset, seed: int) -> tuple[str, HandData]:
        """The new pictures of a seed, made as far as they are not made yet, and a short name of all that they
        depend on."""
        plan, job = self.augmentation, self.job
        maker = plan.generator
        if isinstance(maker, Recipe):
            folder = job.folder(f"generator {self.count} {plan.generator_steps or 'whole'}", seed)
            maker = trained(maker, real, folder, seed, plan.generator_steps, job.ranks)
        system, detector = maker.generator, self.checker
        appearances = (
            AppearancesOfOthers(system, real) if plan.appearances == "dataset" else RandomAppearances(system)
        )
        rows = whole_rows(real, system)
        digest = file_digest(maker.path)[:8]
        count = plan.times * len(rows)
        parts = UpsamplePlan(
            real.spec.name,
            "train",
            len(rows),
            count,
            plan.poses,
            appearances.name,
            digest,
            detector.name,
            KEEP_ALL,
            seed,
        )
        tag = hashlib.sha256(json.dumps(parts.to_json()).encode()).hexdigest()[:8]
        folder = job.folder(f"new pictures {tag}", seed)
        with alone_in(folder):
            begin(folder, parts)
            write_shards(
                folder, Upsampler.of(parts, system, detector, appearances, real), 0, 1, lambda _: None
            )
        return tag, GeneratedSet.of(folder).data

    # ---------------------------------------------------------------- what is measured

    def depends_on(self, model: Model) -> dict[str, Any]:
        """The test pictures."""
        return {"test": [self.test.spec.name, len(self.test)]}

    def measure(self, model: Model, seed: int) -> Iterator[Measure]:
        """Mean error of the joints over test hands, and where it would lie with other people."""
        reader, hands = model.reader, torch.arange(len(self.test))
        errors = hand_errors(reader, self.test)
        labels = self.test.labels(hands)
        draws = Draws.of(len(hands), None if labels.subject is None else labels.subject.numpy())
        name, unit = ("mpjpe_percent", "%") if self.flat else ("mpjpe_mm", "mm")
        units = {name: (errors, unit, "of hand size" if self.flat else "root-relative, true scale")}
        if self.flat:
            size, scale = _sizes_and_scales(self.test, reader.crop)
            crop_px = errors / 100 * size
            picture_px = crop_px / scale
            units["mpjpe_crop_px"] = (crop_px, "px", f"pixels of the {reader.crop.size_px} px crop")
            units["mpjpe_px"] = (picture_px, "px", "pixels of the whole picture")
        for name, (values, unit, words) in units.items():
            metric = PerHand(name, unit, "mean", values.double().numpy(), np.ones(len(hands)))
            likely = interval(bootstrap(metric, draws))
            protocol = Stated(f"{len(hands)} real test hands, no alignment, all labelled joints, {words}")
            counted = int(values.isfinite().sum())
            yield Measure(
                name,
                metric.value(),
                unit,
                counted,
                protocol,
                "mean over hands of the mean error of their joints",
            )
            for end, value in (("low", likely.low), ("high", likely.high)):
                yield Measure(
                    f"{name}_{end}",
                    value,
                    unit,
                    counted,
                    protocol,
                    f"95 % bootstrap interval over test {draws.unit}, {end} end",
                )


def _sizes_and_scales(data: HandData, crop: Crop) -> tuple[Float[Tensor, " hand"], Float[Tensor, " hand"]]:
    """Sizes of hands in pixels of their crops, and pixels of the crop over pixels of the picture."""
    labels = data.labels(torch.arange(len(data)))
    affine = crop_affines(labels, crop, None, Noise(0))
    joints, valid = move_labels(labels, affine).require_all("joints_2d", "joint_valid")
    return hand_size(joints, valid), torch.linalg.det(affine[:, :, :2]).abs().sqrt()
