"""A paper's table, trained and measured again: each row with each seed.

Every training is an ordinary run folder that resumes where it stopped, and keeps the measures of its model.
So a killed reproduction continues, and a finished one only prints.

To add a table of an existing kind: rows in the paper's file, such as `cm_vae.py`.
To add a kind (other measures, or other ways to get a model): a subclass of `Reproduction` in a file of its
own (`picture_table.py` is the shortest example), its name in `table.Kind`, its options in `options.py`, and
the function that builds it from them in `build.py`.
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
from handvae.reproduction.recipe import resolve
from handvae.reproduction.table import DataNeed, Recipe, Scale, Table, TableColumn, TableRow
from handvae.systems.build import build_system
from handvae.training.attach import attach_pretrained
from handvae.training.checkpoint import Model, load_model
from handvae.training.distributed import Ranks
from handvae.training.loop import fit
from handvae.training.run_folder import Run

KEPT = "measures.json"
"""In a run folder: the measures of its model."""


def run_folder(out: Path, name: str, seed: int) -> Path:
    """The folder of the training of that name, below a reproduction's folder."""
    letters = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
    words = [word for word in letters.split("-") if word]
    return out / "runs" / f"{'-'.join(words)}-{seed}"


def scale_folder(out: Path, scale: Scale, need: DataNeed | None, protocol: str | None) -> Path:
    """The folder of a scale's runs and tables; trainings that leave another person out lie apart."""
    if need is None or not need.others:
        return out / scale
    return out / scale / (protocol or need.protocol)


@dataclass(frozen=True)
class TrainingPlan:
    """What is trained, for any kind of table."""

    table: Table
    scale: Scale
    rows: tuple[tuple[TableRow, Recipe], ...]
    """The rows that are trained, in the table's order."""
    seeds: tuple[int, ...]
    steps: int | None
    """Of each training; None for the preset's own length."""
    out: Path
    """All tables keep their runs below `runs/`."""
    ranks: Ranks
    """Where trainings run; measuring uses the CPU."""

    @property
    def trainings(self) -> list[tuple[TableRow, Recipe, int]]:
        """Each row with each seed; a row comes after the row that initialises it, as in the table."""
        return [(row, recipe, seed) for row, recipe in self.rows for seed in self.seeds]

    def folder(self, name: str, seed: int) -> Path:
        """A training's run folder."""
        return run_folder(self.out, name, seed)


@dataclass(frozen=True)
class RowResult:
    """A row with one seed, trained and measured."""

    row: TableRow
    recipe: Recipe
    seed: int
    steps: int
    """Of the whole training."""
    model: Path
    measures: tuple[Measure, ...]

    def value(self, name: str) -> float:
        """The measure of that name."""
        return next(measure.value for measure in self.measures if measure.name == name)


@dataclass(frozen=True)
class Reproduction(ABC):
    """A table to train and measure."""

    plan: TrainingPlan

    # ------------------------------------------------------------------------ what each kind of table defines

    @property
    @abstractmethod
    def columns(self) -> Sequence[TableColumn]:
        """The numbers that the table shows."""

    @property
    @abstractmethod
    def data(self) -> Sequence[str]:
        """The training and test data in words."""

    @abstractmethod
    def check(self) -> None:
        """Check the data before anything is trained.

        Raises:
            UserError: the table cannot be made from them.
        """

    @abstractmethod
    def model(self, row: TableRow, recipe: Recipe, seed: int) -> Model:
        """The model behind a row with one seed, trained unless it is finished: by `trained`, once or more.

        Raises:
            UserError: a run folder holds a run of other options, or the data lack what the row needs.
        """

    @abstractmethod
    def depends_on(self, model: Model) -> dict[str, Any]:
        """What the measures depend on besides the model's weights and the code, for JSON.

        Kept measures of anything else are discarded.
        """

    @abstractmethod
    def measure(self, model: Model, seed: int) -> Iterable[Measure]:
        """The numbers of a row with one seed: those of `columns`, and any others worth keeping."""

    def steps_of(self, recipe: Recipe, model: Model) -> int:
        """Optimiser steps behind a model."""
        return model.header.steps

    def findings(self, results: Sequence[RowResult]) -> Sequence[str]:
        """Conclusions from all finished rows, one line each; none by default."""
        return ()

    def figures(self, results: Sequence[RowResult]) -> Sequence[Plot]:
        """Curves over the finished rows; none by default."""
        return ()

    # ----------------------------------------------------------------------------------- what all kinds share

    def results(self) -> Iterator[RowResult]:
        """Train and measure what is missing; yields each row with each seed when it is done.

        Raises:
            UserError: as `check` and `model`.
        """
        self.check()
        for row, recipe, seed in self.plan.trainings:
            yield self.result(row, recipe, seed)

    def result(self, row: TableRow, recipe: Recipe, seed: int) -> RowResult:
        """Train and measure one row with one seed.

        Several processes may do so at once: a training that two of them need is done once.

        Raises:
            UserError: as `model`.
        """
        model = self.model(row, recipe, seed)
        steps = self.steps_of(recipe, model)
        return RowResult(row, recipe, seed, steps, model.path, self._measures(model, seed))

    def _measures(self, model: Model, seed: int) -> tuple[Measure, ...]:
        """The measures kept with the model if their key is the same; otherwise measured, and kept."""
        path = model.path.with_name(KEPT)
        key = {
            "model": file_digest(model.path),
            "measured_by": measuring_code(),
            **self.depends_on(model),
        }
        # through JSON and back, so that tuples compare equal to lists
        key = json.loads(json.dumps(key))

        if path.is_file():
            kept = json.loads(path.read_text())
            if kept["asked"] == key:
                return tuple(_from_json(values) for values in kept["measures"])

        # through JSON and back, so that a fresh number prints like a kept one
        measures = tuple(_from_json(measure.to_json()) for measure in self.measure(model, seed))
        content = {"asked": key, "measures": [measure.to_json() for measure in measures]}
        write_text_atomically(path, json.dumps(content, indent=1) + "\n")
        return measures


def trained(
    recipe: Recipe,
    data: HandData,
    folder: Path,
    seed: int,
    steps: int | None,
    ranks: Ranks,
    init: Model | None = None,
) -> Model:
    """The model of a run folder, trained unless it is finished; waits while another process trains it.

    Args:
        recipe: preset and changes.
        data: to train on.
        folder: of the run; an unfinished run in it is resumed.
        seed: of everything drawn.
        steps: of the run; None for the preset's own length.
        ranks: the device.
        init: a model whose weights initialise the run.

    Raises:
        UserError: the folder holds a run of other options, or the data lack what the preset needs.
    """
    preset = resolve(recipe, seed, steps)
    sides = data.spec.sides if preset.crop.sides == "keep" else preset.crop.sides
    spec = replace(data.spec, size_px=preset.crop.size_px, sides=sides)

    # only the initial weights draw from torch's global generator
    torch.manual_seed(seed)

    try:
        system = build_system(preset.system, spec, preset.crop)
        attach_pretrained(system)
    except ValueError as error:
        fault = f"does not do for {recipe.words}: {error}"
        raise UserError(data.spec.name, fault, "give a data set that has it") from error

    with alone_in(folder):
        resume = (folder / "state.pt").is_file()
        run = Run(system, data, preset.augment, preset.train, folder, recipe.preset, resume, init)
        return load_model(fit(run, ranks))


# ----------------------------------------------------------------------------------- the key of kept measures

PACKAGE = Path(__file__).parents[1]

NOT_MEASURING = frozenset({"apps", "studio"})
"""Rooms that cannot change a number: they parse, draw and print."""


@cache
def measuring_code(package: Path = PACKAGE) -> str:
    """A digest of every file that can change a number: code, and the shipped models that measure.

    Measures that were kept under another digest are measured again.
    """
    paths = sorted([*package.rglob("*.py"), *package.rglob("*.safetensors")])
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(package)
        if name.parts[0] in NOT_MEASURING:
            continue

        # the name too: a file that is moved may be imported by others instead
        digest.update(f"{name.as_posix()}\0".encode())
        digest.update(bytes.fromhex(file_digest(path)))

    return digest.hexdigest()[:12]


def _from_json(values: dict[str, Any]) -> Measure:
    """A kept number; its protocol in words."""
    value = values["value"]
    return Measure(
        name=values["name"],
        value=float("nan") if value is None else value,
        unit=values["unit"],
        n=values["n"],
        protocol=Stated(values["protocol_text"]),
        definition=values["definition"],
    )
