"""A paper's table made again: each row trained with each seed, measured, set beside what was published.

Every training is an ordinary run folder that is gone on with where it stopped; what was measured is kept in it. So a killed
reproduction goes on where it was, and a finished one only prints.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from handvae.data.reader import HandData
from handvae.data.subset import Subset
from handvae.errors import UserError
from handvae.evaluation.consistency import pose_consistency
from handvae.evaluation.features import Extractor
from handvae.evaluation.finding import ModelFinder
from handvae.evaluation.generated import FEWEST, MOST, Poses, picture_measures, whole
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.paper_tables import Recipe, Row, Scale, Table
from handvae.evaluation.reading import Asked, read
from handvae.files import write_text_atomically
from handvae.systems.build import build_system
from handvae.training.checkpoint import Model, load_model
from handvae.training.distributed import Ranks
from handvae.training.loop import fit
from handvae.training.run_folder import Run

KEPT = "measures.json"
"""In a run folder: what was measured of its model."""


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
        UserError: the data set names no gestures, or not these, or too few hands would be left on either side.
    """
    known = train.spec.gestures
    if not known:
        raise UserError(train.spec.name, "names no gestures", "leave out --hold-out: unseen poses are then those of split test")
    for gesture in gestures:
        if gesture not in known:
            raise UserError("--hold-out", f"{train.spec.name} has no gesture {gesture!r}", f"there are {', '.join(known)}")
    (labels,) = train.labels(torch.arange(len(train))).need("gesture")
    held = torch.isin(labels, torch.tensor([known.index(gesture) for gesture in gestures]))
    seen, unseen = (Subset(train, rows.nonzero()[:, 0].tolist()) for rows in (~held, held))
    return PoseSplit(seen, unseen, f"gestures {', '.join(gestures)} of the training split, held out of training")


@dataclass(frozen=True)
class Reproduction:
    """A table to be made."""

    table: Table
    scale: Scale
    poses: PoseSplit
    extractors: tuple[Extractor, ...]
    finder: ModelFinder
    """Reads generated pictures again."""
    seeds: tuple[int, ...]
    steps: int | None
    """Of each training; None for the preset's own length."""
    out: Path
    """Runs are below `runs/`, whichever table they belong to."""
    ranks: Ranks
    """Where trainings run; measuring is done on the processor."""

    def folder(self, row: Row, seed: int) -> Path:
        """A training's run folder."""
        name = "".join(letter if letter.isalnum() else "-" for letter in row.name.lower())
        return self.out / "runs" / f"{'-'.join(filter(None, name.split('-')))}-{seed}"

    def cells(self) -> Iterator["Cell"]:
        """Train and measure what is not there yet, seed by seed; yields each row with each seed when it is done.

        Raises:
            UserError: a run folder holds a run of other options, or the data lack what a row needs.
        """
        _ = self.compared  # too small a set is refused before anything is trained
        for seed in self.seeds:
            for row, recipe in self.table.rows_at(self.scale):
                folder = self.folder(row, seed)
                first = next((other for other in self.table.rows if other.name == row.after), None)
                init = None if first is None else load_model(self.folder(first, seed))
                model = trained(recipe, self.poses.seen, folder, seed, self.steps, self.ranks, init)
                yield Cell(row, recipe, seed, self._measured(model, seed, folder / KEPT))

    @cached_property
    def compared(self) -> int:
        """Pictures of each set that are compared: as many of seen as of unseen poses, for a Frechet distance depends on N.

        Raises:
            UserError: there are too few to compare.
        """
        counts = [len(whole(data)) for data in (self.poses.seen, self.poses.unseen)]
        if min(counts) < FEWEST:
            fault = f"{counts[0]} seen and {counts[1]} unseen hands have all their joints labelled, and distances need {FEWEST} of each"
            raise UserError(self.poses.seen.spec.name, fault, "give a larger set")
        return min(MOST, *counts)

    def _measured(self, model: Model, seed: int, path: Path) -> tuple[Measure, ...]:
        """What is kept beside the run, if it was measured just so, else measured and kept."""
        asked = {
            "model": hashlib.sha256(model.path.read_bytes()).hexdigest(),
            "data": [asdict(data.spec) for data in (self.poses.seen, self.poses.unseen)],
            "unseen": self.poses.about,
            "extractors": [extractor.name for extractor in self.extractors],
            "detector": self.finder.relation(model.reader),
            "compared": self.compared,
        }
        asked = json.loads(json.dumps(asked))
        if path.is_file() and (kept := json.loads(path.read_text()))["asked"] == asked:
            return tuple(_from_json(values) for values in kept["measures"])
        found = [_from_json(measure.to_json()) for measure in self._measure(model, seed)]
        text = json.dumps({"asked": asked, "measures": [measure.to_json() for measure in found]}, indent=1)
        write_text_atomically(path, text + "\n")
        return tuple(found)

    def _measure(self, model: Model, seed: int) -> Iterator[Measure]:
        system, most = model.generator, self.compared
        for extractor in self.extractors:
            sets: tuple[tuple[Poses, HandData], ...] = (("seen", self.poses.seen), ("unseen", self.poses.unseen))
            for poses, data in sets:
                yield from picture_measures(system, data, extractor, poses, most=most, seed=seed, cache=self.out / "features")
        asked = Asked.of(system, read(system, self.poses.unseen), seed)
        yield from pose_consistency(asked, (), self.finder, "random", seed).measures()


@dataclass(frozen=True)
class Cell:
    """A row with one seed."""

    row: Row
    recipe: Recipe
    seed: int
    measures: tuple[Measure, ...]


def trained(recipe: Recipe, data: HandData, folder: Path, seed: int, steps: int | None, ranks: Ranks, init: Model | None = None) -> Model:
    """The model of a run folder, trained as far as it is not trained yet.

    Args:
        recipe: preset and changes.
        data: to train on.
        folder: of the run; what is there is gone on with.
        seed: of everything drawn.
        steps: of the run; None for the preset's own length.
        ranks: the device.
        init: a model whose weights the run begins with.

    Raises:
        UserError: the folder holds a run of other options, or the data lack what the preset needs.
    """
    preset = recipe.settled(seed, steps)
    sides = preset.crop.sides if preset.crop.sides != "keep" else data.spec.sides
    spec = replace(data.spec, size_px=preset.crop.size_px, sides=sides)
    torch.manual_seed(seed)  # only the weights' initial values draw from it
    try:
        system = build_system(preset.system, spec, preset.crop)
    except ValueError as error:
        raise UserError(data.spec.name, f"does not do for {recipe.words}: {error}", "give a data set that has it") from error
    resume = (folder / "state.pt").is_file()
    return load_model(fit(Run(system, data, preset.augment, preset.train, folder, recipe.preset, resume, init), ranks))


def _from_json(values: dict[str, Any]) -> Measure:
    """A kept number; its protocol in words."""
    value = float("nan") if values["value"] is None else values["value"]
    return Measure(values["name"], value, values["unit"], values["n"], Stated(values["protocol_text"]), values["definition"])
