"""A paper's table made again: each row trained with each seed, measured, set beside what was published.

Every training is an ordinary run folder that is gone on with where it stopped; what was measured is kept in
it. So a killed
reproduction goes on where it was, and a finished one only prints.

To add a table of a kind that is there: rows in a `*_tables.py`, its name in `paper_tables.py`. To add a kind
(other measures, or other
ways to come by a model): a subclass of `Reproduction` in a file of its own (`picture_table.py` is the
shortest example), its name in
`table.Kind`, and its command-line options, with the function that builds it from them, in
`apps/reproduce_kinds.py`.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from handvae.data.dataset import HandData
from handvae.errors import UserError
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.plots import Plot
from handvae.files import alone_in, file_digest, write_text_atomically
from handvae.reproduction.table import Recipe, Scale, Table, TableColumn, TableRow
from handvae.systems.build import build_system
from handvae.training.attach import attach_pretrained
from handvae.training.checkpoint import Model, load_model
from handvae.training.distributed import Ranks
from handvae.training.loop import fit
from handvae.training.run_folder import Run

KEPT = "measures.json"
"""In a run folder: what was measured of its model."""


def run_folder(out: Path, name: str, seed: int) -> Path:
    """Where the training of that name is kept below a reproduction's folder."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
    return out / "runs" / f"{'-'.join(filter(None, plain.split('-')))}-{seed}"


@dataclass(frozen=True)
class Job:
    """What is to be trained, whatever kind of table it is for."""

    table: Table
    scale: Scale
    rows: tuple[tuple[TableRow, Recipe], ...]
    """Those that are trained, in the table's order."""
    seeds: tuple[int, ...]
    steps: int | None
    """Of each training; None for the preset's own length."""
    out: Path
    """Runs are below `runs/`, whichever table they belong to."""
    ranks: Ranks
    """Where trainings run; measuring is done on the processor."""

    @property
    def cells(self) -> list[tuple[TableRow, Recipe, int]]:
        """Each row with each seed; rows that others begin with come first, as in the table."""
        return [(row, recipe, seed) for row, recipe in self.rows for seed in self.seeds]

    def folder(self, name: str, seed: int) -> Path:
        """A training's run folder."""
        return run_folder(self.out, name, seed)


@dataclass(frozen=True)
class Cell:
    """A row with one seed."""

    row: TableRow
    recipe: Recipe
    seed: int
    steps: int
    """Of the whole training."""
    model: Path
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class Reproduction(ABC):
    """A table to be made."""

    job: Job

    # ---------------------------------------------------------------- what a kind of table says

    @property
    @abstractmethod
    def columns(self) -> Sequence[TableColumn]:
        """The numbers that the table shows."""

    @property
    @abstractmethod
    def data(self) -> Sequence[str]:
        """What was trained on and what was measured on, in words."""

    @abstractmethod
    def check(self) -> None:
        """Find out before anything is trained whether the data will do.

        Raises:
            UserError: they will not.
        """

    @abstractmethod
    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """The model behind a row with one seed, trained as far as it is not trained yet: `trained`, or
        several of it.

        Raises:
            UserError: a run folder holds a run of other options, or the data lack what the row needs.
        """

    @abstractmethod
    def depends_on(self, model: Model) -> dict[str, Any]:
        """What the measures depend on beside the model's weights and the code, for JSON: kept measures of
        anything else are not taken."""

    @abstractmethod
    def measure(self, model: Model, seed: int) -> Iterable[Measure]:
        """The numbers of a cell: those of `columns`, and any others worth keeping."""

    def steps_of(self, recipe: Recipe, model: Model) -> int:
        """Optimiser steps behind a cell's model."""
        return model.header.steps

    def findings(self, cells: Sequence[Cell]) -> Sequence[str]:
        """What the finished cells say together, a line each; by default the table speaks for itself."""
        return ()

    def figures(self, cells: Sequence[Cell]) -> Sequence[Plot]:
        """What the finished cells show as curves; by default nothing."""
        return ()

    # ---------------------------------------------------------------- what all do

    def cells(self) -> Iterator[Cell]:
        """Train and measure what is not there yet, row by row; yields each row with each seed when it is
        done.

        Raises:
            UserError: as `check` and `model`.
        """
        self.check()
        for row, recipe, seed in self.job.cells:
            yield self.cell(row, recipe, seed)

    def cell(self, row: TableRow, recipe: Recipe, seed: int) -> Cell:
        """One row with one seed. Processes may each make another one: a training that two need is done once.

        Raises:
            UserError: as `model`.
        """
        model = self.model(row, recipe, seed)
        return Cell(row, recipe, seed, self.steps_of(recipe, model), model.path, self._measured(model, seed))

    def _measured(self, model: Model, seed: int) -> tuple[Measure, ...]:
        """What is kept beside the model, if it was measured just so, else measured and kept."""
        path = model.path.with_name(KEPT)
        weights = file_digest(model.path)
        asked = {"model": weights, "measured_by": measuring_code(), **self.depends_on(model)}
        asked = json.loads(json.dumps(asked))
        if path.is_file() and (kept := json.loads(path.read_text()))["asked"] == asked:
            return tuple(_from_json(values) for values in kept["measures"])
        found = [_from_json(measure.to_json()) for measure in self.measure(model, seed)]
        text = json.dumps({"asked": asked, "measures": [measure.to_json() for measure in found]}, indent=1)
        write_text_atomically(path, text + "\n")
        return tuple(found)


def trained(
    recipe: Recipe,
    data: HandData,
    folder: Path,
    seed: int,
    steps: int | None,
    ranks: Ranks,
    init: Model | None = None,
) -> Model:
    """The model of a run folder, trained as far as it is not trained yet; where another process is at it,
    that is waited for.

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
        attach_pretrained(system)
    except ValueError as error:
        raise UserError(
            data.spec.name, f"does not do for {recipe.words}: {error}", "give a data set that has it"
        ) from error
    with alone_in(folder):
        resume = (folder / "state.pt").is_file()
        return load_model(
            fit(Run(system, data, preset.augment, preset.train, folder, recipe.preset, resume, init), ranks)
        )


PACKAGE = Path(__file__).parents[1]

NOT_MEASURING = frozenset({"apps", "studio"})
"""Rooms that cannot change a number: they parse, draw and print."""


@cache
def measuring_code(package: Path = PACKAGE) -> str:
    """A digest of every file that can change a number: code, and the shipped models that measure.

    Measures that were kept under another digest are measured again.
    """
    digest = hashlib.sha256()
    for path in sorted(path for pattern in ("*.py", "*.safetensors") for path in package.rglob(pattern)):
        name = path.relative_to(package)
        if name.parts[0] in NOT_MEASURING:
            continue

        # the name too: a file that is moved may be imported by others instead
        digest.update(f"{name.as_posix()}\0".encode())
        digest.update(bytes.fromhex(file_digest(path)))
    return digest.hexdigest()[:12]


def _from_json(values: dict[str, Any]) -> Measure:
    """A kept number; its protocol in words."""
    value = float("nan") if values["value"] is None else values["value"]
    return Measure(
        values["name"],
        value,
        values["unit"],
        values["n"],
        Stated(values["protocol_text"]),
        values["definition"],
    )
