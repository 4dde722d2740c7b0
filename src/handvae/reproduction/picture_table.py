"""Tables of generators: how near their pictures of seen and of unseen poses are to real ones, and whether
they show the pose."""

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
    """The hands that are trained on, and those whose poses training does not see."""

    seen: HandData
    unseen: HandData
    about: str
    """What the unseen poses are."""


def hold_out(train: HandData, gestures: Sequence[str]) -> PoseSplit:
    """Training hands without some gestures, and those of these gestures.

    Raises:
        UserError: the data set names no gestures, or not these, or too few hands would be left on either
            side.
    """
    seen, unseen = split_by_gesture(train, gestures, "--hold-out")
    return PoseSplit(
        seen, unseen, f"gestures {', '.join(gestures)} of the training split, held out of training"
    )


@dataclass(frozen=True)
class PictureTable(Reproduction):
    """Tables 1 to 3 of SRV-VAE's paper."""

    poses: PoseSplit
    extractors: tuple[Extractor, ...]
    detector: ModelDetector
    """Reads generated pictures again."""

    @property
    def columns(self) -> Sequence[TableColumn]:
        """Distances of seen and unseen poses in each feature space, then how pictures of unseen poses are
        read again."""
        found = []
        spaces = [extractor.distances[0] for extractor in self.extractors]
        beside = "fid" if "fid" in spaces else spaces[0]
        for space in spaces:
            for poses in ("seen", "unseen"):
                published = poses if space == beside and poses in self.job.table.columns else ""
                found.append(TableColumn(f"{space}, {poses}", f"{space}_{poses}", published))
        return [*found, TableColumn("pose error, % of hand", "consistency_random_error_median")]

    @property
    def data(self) -> Sequence[str]:
        """Hands of both sides of the split."""
        seen, unseen = self.poses.seen, self.poses.unseen
        return [
            f"trained on {len(seen)} hands of {seen.spec.name}; unseen poses: {len(unseen)} hands, {self.poses.about}"
        ]

    def check(self) -> None:
        """Refuse sets that are too small to compare."""
        _ = self.compared

    @cached_property
    def compared(self) -> int:
        """Pictures of each set that are compared: as many of seen as of unseen poses, for a Frechet distance
        depends on N.

        Raises:
            UserError: there are too few to compare.
        """
        counts = [len(fully_labelled_rows(data)) for data in (self.poses.seen, self.poses.unseen)]
        if min(counts) < FEWEST:
            fault = f"{counts[0]} seen and {counts[1]} unseen hands have all their joints labelled, and distances need {FEWEST} of each"
            raise UserError(self.poses.seen.spec.name, fault, "give a larger set")
        return min(MOST, *counts)

    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """One training on the seen hands, after that of another row where the row says so."""
        job = self.job
        init = None
        if row.after:
            (before,) = [(base, its) for base, its in job.rows if base.name == row.after]
            init = self.model(*before, seed)
        return trained(recipe, self.poses.seen, job.folder(row.name, seed), seed, job.steps, job.ranks, init)

    def depends_on(self, model: Model) -> dict[str, Any]:
        """Data, feature spaces, the reading detector."""
        return {
            "data": [asdict(data.spec) for data in (self.poses.seen, self.poses.unseen)],
            "unseen": self.poses.about,
            "extractors": [extractor.name for extractor in self.extractors],
            "detector": self.detector.relation(model.reader),
            "compared": self.compared,
        }

    def measure(self, model: Model, seed: int) -> Iterator[Measure]:
        """Distances in each feature space, then pose consistency of random appearances."""
        system, most = model.generator, self.compared
        for extractor in self.extractors:
            sets: tuple[tuple[Poses, HandData], ...] = (
                ("seen", self.poses.seen),
                ("unseen", self.poses.unseen),
            )
            for poses, data in sets:
                yield from picture_measures(
                    system, data, extractor, poses, most=most, seed=seed, cache=self.job.out / "features"
                )
        inputs = GenerationInputs.of(system, predict_hands(system, self.poses.unseen), seed)
        yield from pose_consistency(inputs, (), self.detector, "random", seed).measures()
