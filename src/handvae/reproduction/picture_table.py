"""Tables of generators: distances from real pictures for seen and unseen poses, and pose errors."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from handvae.data.dataset import HandData
from handvae.data.subset import split_by_gesture
from handvae.errors import UserError
from handvae.evaluation.consistency import pose_consistency
from handvae.evaluation.detection import ModelDetector
from handvae.evaluation.features import Extractor
from handvae.evaluation.generation_inputs import GenerationInputs, fully_labelled_rows
from handvae.evaluation.measure import Measure
from handvae.evaluation.model_predictions import predict_hands
from handvae.evaluation.picture_distances import FEWEST, MOST, Poses, picture_measures
from handvae.reproduction.experiment import Reproduction, trained
from handvae.reproduction.table import Recipe, TableColumn, TableRow
from handvae.training.checkpoint import Model


@dataclass(frozen=True)
class PoseSplit:
    """The training hands, and hands whose poses training does not see."""

    seen: HandData
    unseen: HandData
    about: str
    """What the unseen poses are."""


def hold_out(train: HandData, gestures: Sequence[str]) -> PoseSplit:
    """Training hands without some gestures, and those of these gestures.

    Raises:
        UserError: the data set names no gestures, or not these, or too few hands would remain on either side.
    """
    seen, unseen = split_by_gesture(train, gestures, "--hold-out")
    about = f"gestures {', '.join(gestures)} of the training split, held out of training"
    return PoseSplit(seen, unseen, about)


@dataclass(frozen=True)
class PictureTable(Reproduction):
    """Tables 1 to 3 of SRV-VAE's paper."""

    poses: PoseSplit
    extractors: tuple[Extractor, ...]
    detector: ModelDetector
    """Reads the generated pictures."""

    @property
    def columns(self) -> Sequence[TableColumn]:
        """Distances in each feature space for seen and unseen poses, then the pose error of unseen poses."""
        spaces = [extractor.distances[0] for extractor in self.extractors]

        # the paper's numbers are FID; without its network they are printed next to the first distance
        comparable = "fid" if "fid" in spaces else spaces[0]

        columns = []

        for space in spaces:
            for poses in ("seen", "unseen"):
                has_published = space == comparable and poses in self.plan.table.columns
                published = poses if has_published else ""
                columns.append(TableColumn(f"{space}, {poses}", f"{space}_{poses}", published))

        columns.append(TableColumn("pose error, % of hand", "consistency_random_error_median"))
        return columns

    @property
    def data(self) -> Sequence[str]:
        """Hands of both sides of the split."""
        seen, unseen = self.poses.seen, self.poses.unseen
        trained_on = f"trained on {len(seen)} hands of {seen.spec.name}"
        return [f"{trained_on}; unseen poses: {len(unseen)} hands, {self.poses.about}"]

    def check(self) -> None:
        """Refuse sets that are too small to compare."""
        _ = self.compared

    @cached_property
    def compared(self) -> int:
        """Pictures of each compared set: equal for seen and unseen poses, as a Frechet distance depends on N.

        Raises:
            UserError: there are too few to compare.
        """
        seen, unseen = len(fully_labelled_rows(self.poses.seen)), len(fully_labelled_rows(self.poses.unseen))
        if min(seen, unseen) < FEWEST:
            fault = (
                f"{seen} seen and {unseen} unseen hands have all their joints labelled, "
                f"and distances need {FEWEST} of each"
            )
            raise UserError(self.poses.seen.spec.name, fault, "give a larger set")

        return min(MOST, seen, unseen)

    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """One training on the seen hands, initialised by that of another row if the row says so."""
        plan = self.plan

        init = None
        if row.after:
            (first,) = [pair for pair in plan.rows if pair[0].name == row.after]
            init = self.model(*first, seed)

        folder = plan.folder(row.name, seed)
        return trained(recipe, self.poses.seen, folder, seed, plan.steps, plan.ranks, init)

    def depends_on(self, model: Model) -> dict[str, Any]:
        """Data, feature spaces, and the detector."""
        return {
            "data": [asdict(data.spec) for data in (self.poses.seen, self.poses.unseen)],
            "unseen": self.poses.about,
            "extractors": [extractor.name for extractor in self.extractors],
            "detector": self.detector.relation(model.pose_estimator),
            "compared": self.compared,
        }

    def measure(self, model: Model, seed: int) -> Iterator[Measure]:
        """Distances in each feature space, then pose consistency of random appearances."""
        system = model.generator
        sets: tuple[tuple[Poses, HandData], ...] = (("seen", self.poses.seen), ("unseen", self.poses.unseen))
        for extractor in self.extractors:
            for poses, data in sets:
                yield from picture_measures(
                    system,
                    data,
                    extractor,
                    poses,
                    most=self.compared,
                    seed=seed,
                    cache=self.plan.out / "features",
                )

        inputs = GenerationInputs.of(system, predict_hands(system, self.poses.unseen), seed)
        yield from pose_consistency(inputs, (), self.detector, "random", seed).measures()
