"""Table 4 of SRV-VAE's paper: a keypoint detector trained on few real pictures, with and without new ones.

All rows of a table take equally many steps.
"""

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

from handvae.choices import PoseKind, Schedule
from handvae.data.crop import Crop, crop_affines, move_labels
from handvae.data.dataset import HandData
from handvae.data.subset import Subset
from handvae.evaluation.detection import ModelDetector
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.pose import hand_size
from handvae.evaluation.resampling import Draws, PerHand, bootstrap, difference, interval
from handvae.files import alone_in, file_digest
from handvae.noise import Noise, Stream
from handvae.reproduction.downstream import hand_errors, trained_on_both
from handvae.reproduction.experiment import Reproduction, RowResult, trained
from handvae.reproduction.recipe import resolve
from handvae.reproduction.report import by_row
from handvae.reproduction.table import MIX, REAL_ALONE, Recipe, TableColumn, TableRow
from handvae.systems.keypoint_regression import KeypointRegressionConfig
from handvae.training.checkpoint import Model, load_model
from handvae.upsampling.appearances import Appearances, AppearancesOfOthers, RandomAppearances
from handvae.upsampling.plan import UpsamplePlan, begin
from handvae.upsampling.shards import GeneratedSet, write_shards
from handvae.upsampling.upsample import Upsampler, usable_rows

KEEP_ALL = 10.0
"""Error over hand size up to which new pictures are kept: all. A check by a detector that has seen more
people would leak what it knows of them."""


@dataclass(frozen=True)
class Sizes:
    """Numbers of pictures, and the trained generator, where options do not set them."""

    real: int
    test: int | None
    generator: Recipe
    generator_steps: int | None = None


LAPTOP = Sizes(300, None, Recipe("photos-base-64"), 1000)
PAPER = {
    "stb": Sizes(1800, 1800, Recipe("soft-intro-2d-128")),
    "interhand": Sizes(4000, 4100, Recipe("soft-intro-3d-128")),
}
"""By layout of the data set; the paper does not say which of its generators it used."""


@dataclass(frozen=True)
class Augmentation:
    """The real pictures that all rows share, and how new ones come from them."""

    real: int
    """Real pictures, another choice for each seed; all rows of a seed have the same."""
    times: int
    """New pictures for each real one."""
    poses: tuple[PoseKind, ...]
    appearances: Literal["dataset", "random"]
    """Of another hand of the real pictures, of another person where people are known; or random."""
    generator: Model | Recipe
    """Makes the new pictures: a finished model, or one trained on the same real pictures."""
    generator_steps: int | None
    """Of that training; None for the preset's own length."""


@dataclass(frozen=True)
class DetectorTable(Reproduction):
    """Trains the detectors of a table and compares their errors on real pictures of the test split."""

    train: HandData
    """The real pictures are chosen from these."""
    test: HandData
    augmentation: Augmentation
    checker: ModelDetector
    """Measures how well new pictures show their poses; drops none."""

    # ------------------------------------------------------------------------------------------ what is shown

    @property
    def is_2d(self) -> bool:
        """Whether the detectors read 2D joints."""
        system = resolve(self.plan.rows[0][1], 0, None).system
        return not (isinstance(system, KeypointRegressionConfig) and system.pose == "3d")

    @property
    def columns(self) -> Sequence[TableColumn]:
        """Error in % of hand size and in pixels, or in mm; next to it the paper's."""
        if not self.is_2d:
            return [TableColumn("error, mm", "mpjpe_mm", "MPJPE")]
        return [
            TableColumn("error, px", "mpjpe_px", "MPJPE"),
            TableColumn("error, px of the crop", "mpjpe_crop_px"),
            TableColumn("error, % of hand", "mpjpe_percent"),
        ]

    @property
    def data(self) -> Sequence[str]:
        """Real pictures, new ones and their generator, test pictures."""
        augmentation = self.augmentation

        if isinstance(augmentation.generator, Model):
            name = augmentation.generator.name
            maker = f"{name}, which may have seen other people than the detectors have"
        else:
            steps = augmentation.generator_steps
            length = "its own length" if steps is None else f"{steps} steps"
            recipe = augmentation.generator.words
            maker = f"a generator trained on these real pictures alone ({recipe}, {length})"

        if augmentation.appearances == "dataset":
            appearances = "another real picture's (another person's where people are known)"
        else:
            appearances = "random"

        poses = " and ".join(augmentation.poses)
        return [
            f"real: {self.count} of the {len(self.train)} training hands of {self.train.spec.name}, another "
            "choice for each seed, the same for all rows",
            f"new: {augmentation.times} for each real one, poses {poses}, appearance {appearances}, "
            f"by {maker}; none dropped",
            f"test: {len(self.test)} hands; all rows of a table take equally many steps, and a batch of a "
            "mixture is drawn from all of it",
        ]

    @property
    def count(self) -> int:
        """Real pictures of each seed."""
        return min(self.augmentation.real, len(self.train))

    def check(self) -> None:
        """Refuse data that the generator cannot work with before anything is trained."""
        generator = self.augmentation.generator
        if isinstance(generator, Model):
            usable_rows(self.real(self.plan.seeds[0]), generator.generator)

    def findings(self, results: Sequence[RowResult]) -> Sequence[str]:
        """The gain of new pictures over real ones alone: by seed, and its interval over other test people."""
        errors: dict[str, Float[np.ndarray, "seed hand"]] = {}
        for name, mine in self._real_row_first(results).items():
            errors[name] = np.stack([self._errors(result) for result in mine])

        (first, alone), *others = errors.items()

        hands = torch.arange(len(self.test))
        subject = self.test.labels(hands).subject
        draws = Draws.of(len(hands), None if subject is None else subject.numpy())
        unit = "% of hand size" if self.is_2d else "mm"

        def per_hand(error: Float[np.ndarray, "seed hand"]) -> PerHand:
            return PerHand("error", unit, "mean", error.mean(0), np.ones(len(hands)))

        lines = []
        for name, mixed in others:
            # seed by seed: both trainings of a seed have the same real pictures
            gains = [100 * (1 - np.nanmean(b) / np.nanmean(a)) for a, b in zip(alone, mixed, strict=True)]
            gain = statistics.fmean(gains)
            by_seed = ", ".join(f"{gain:.1f}" for gain in gains)
            direction = "less" if gain >= 0 else "more"

            # over test people: errors averaged over seeds first
            gap = difference((name, per_hand(mixed)), (first, per_hand(alone)), draws)
            low, high = gap.interval.low, gap.interval.high
            lines.append(
                f"{name} against {first}: {abs(gain):.1f} % {direction} error (gain by seed {by_seed}); "
                f"errors differ by {gap.value:.2f} {unit}, 95 % interval {low:.2f} to {high:.2f}, "
                f"p = {gap.p_value:.2g} (mean over seeds; test {draws.unit} resampled)"
            )

        return lines

    def _real_row_first(self, results: Sequence[RowResult]) -> dict[str, list[RowResult]]:
        """Rows in the order of the table, that of real pictures first."""
        rows = by_row(results)
        order = sorted(rows, key=lambda name: rows[name][0].row.pictures != REAL_ALONE)
        return {name: rows[name] for name in order}

    def _errors(self, result: RowResult) -> Float[np.ndarray, " hand"]:
        return hand_errors(load_model(result.model).pose_estimator, self.test).double().numpy()

    # ---------------------------------------------------------------------------------------- what is trained

    def real(self, seed: int) -> Subset:
        """The real pictures of a seed."""
        order = torch.randperm(len(self.train), generator=Noise(seed, stream=Stream.DETECTOR_ROWS).generator)
        return Subset(self.train, order[: self.count].sort().values.tolist())

    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """A detector trained on real pictures, or also on new ones throughout or in the first half."""
        plan, real = self.plan, self.real(seed)
        if row.pictures == REAL_ALONE:
            return trained(recipe, real, plan.folder(row.name, seed), seed, plan.steps, plan.ranks)

        tag, new = self._new_pictures(real, seed)
        folder = plan.folder(f"{row.name} {tag}", seed)
        schedule: Schedule = "mix" if row.pictures == MIX else "mix-then-real"
        return trained_on_both(recipe, real, new, folder, seed, plan.steps, plan.ranks, schedule)

    def steps_of(self, recipe: Recipe, model: Model) -> int:
        """Of both halves, where there are two."""
        return resolve(recipe, 0, self.plan.steps).train.total_steps(self.count)

    def _new_pictures(self, real: Subset, seed: int) -> tuple[str, HandData]:
        """The new pictures of a seed, made unless they exist, and a digest of all that they depend on."""
        augmentation, plan = self.augmentation, self.plan

        # the generator, trained on the same real pictures unless it is given
        generator = augmentation.generator
        if isinstance(generator, Recipe):
            steps = augmentation.generator_steps
            folder = plan.folder(f"generator {self.count} {steps or 'whole'}", seed)
            generator = trained(generator, real, folder, seed, steps, plan.ranks)

        system = generator.generator

        appearances: Appearances
        if augmentation.appearances == "dataset":
            appearances = AppearancesOfOthers(system, real)
        else:
            appearances = RandomAppearances(system)

        hands = len(usable_rows(real, system))
        pictures = UpsamplePlan(
            dataset=real.spec.name,
            split="train",
            hands=hands,
            count=augmentation.times * hands,
            poses=augmentation.poses,
            appearances=appearances.name,
            model=file_digest(generator.path)[:8],
            detector=self.checker.name,
            max_error=KEEP_ALL,
            seed=seed,
        )

        # another plan gets another folder
        tag = hashlib.sha256(json.dumps(pictures.to_json()).encode()).hexdigest()[:8]
        folder = plan.folder(f"new pictures {tag}", seed)

        with alone_in(folder):
            begin(folder, pictures)
            maker = Upsampler.of(pictures, system, self.checker, appearances, real)
            write_shards(folder, maker, 0, 1, lambda _: None)

        return tag, GeneratedSet.of(folder).data

    # --------------------------------------------------------------------------------------- what is measured

    def depends_on(self, model: Model) -> dict[str, Any]:
        """The test pictures."""
        return {"test": [self.test.spec.name, len(self.test)]}

    def measure(self, model: Model, seed: int) -> Iterator[Measure]:
        """Mean error of the joints over test hands, and its interval over other people."""
        errors = hand_errors(model.pose_estimator, self.test)
        if not self.is_2d:
            yield from self._error_measures("mpjpe_mm", "mm", errors, "root-relative, true scale")
            return

        yield from self._error_measures("mpjpe_percent", "%", errors, "of hand size")

        # the same errors in pixels, as the paper has them
        crop = model.pose_estimator.crop
        size, scale = _sizes_and_scales(self.test, crop)
        crop_px = errors / 100 * size
        words = f"pixels of the {crop.size_px} px crop"
        yield from self._error_measures("mpjpe_crop_px", "px", crop_px, words)
        yield from self._error_measures("mpjpe_px", "px", crop_px / scale, "pixels of the whole picture")

    def _error_measures(
        self, name: str, unit: str, errors: Float[Tensor, " hand"], words: str
    ) -> Iterator[Measure]:
        """The mean error over hands, and both ends of its interval."""
        count = len(self.test)
        subject = self.test.labels(torch.arange(count)).subject
        draws = Draws.of(count, None if subject is None else subject.numpy())
        per_hand = PerHand(name, unit, "mean", errors.double().numpy(), np.ones(count))
        likely = interval(bootstrap(per_hand, draws))

        protocol = Stated(f"{count} real test hands, no alignment, all labelled joints, {words}")
        measured = int(errors.isfinite().sum())
        mean = "mean over hands of the mean error of their joints"
        yield Measure(name, per_hand.value(), unit, measured, protocol, mean)

        for end, value in (("low", likely.low), ("high", likely.high)):
            definition = f"95 % bootstrap interval over test {draws.unit}, {end} end"
            yield Measure(f"{name}_{end}", value, unit, measured, protocol, definition)


def _sizes_and_scales(data: HandData, crop: Crop) -> tuple[Float[Tensor, " hand"], Float[Tensor, " hand"]]:
    """Sizes of hands in pixels of their crops, and pixels of the crop over pixels of the picture."""
    labels = data.labels(torch.arange(len(data)))
    affines = crop_affines(labels, crop, None, Noise(0))
    joints, valid = move_labels(labels, affines).require_all("joints_2d", "joint_valid")

    # the determinant of the affine map is the ratio of areas
    scales = torch.linalg.det(affines[:, :, :2]).abs().sqrt()
    return hand_size(joints, valid), scales
