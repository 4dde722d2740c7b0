"""What a paper's table is, as data: rows with the trainings behind them, and what the paper published for
each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from handvae.training.presets import Preset, find_preset

Scale = Literal["laptop", "full"]
Kind = Literal["pictures", "detectors", "poses", "factors"]
"""Which `Reproduction` makes a table; how a new kind is added is told there."""

COMPILES_FROM = 4000
"""Steps from which compiling pays: it takes a sixth off a step here, and a minute (Soft-Intro: several)
once."""
SAVED_EVERY = 500
"""Steps between saves, at most: what a killed reproduction loses."""


@dataclass(frozen=True)
class Recipe:
    """A training: a preset and the options changed in it."""

    preset: str
    system: Mapping[str, Any] = field(default_factory=dict)
    crop: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)

    def settled(self, seed: int, steps: int | None) -> Preset:
        """All options of one run.

        Args:
            seed: of weights, order, augmentation and sampling.
            steps: of the run; None for the preset's own length.
        """
        preset = find_preset(self.preset)
        train = replace(preset.train, **self.train, seed=seed)
        if steps is not None:
            warm, compiled = min(train.warmup_steps, steps // 5), train.compile and steps >= COMPILES_FROM
            train = replace(
                train, steps=steps, epochs=None, stop_at=None, warmup_steps=warm, compile=compiled
            )
        train = replace(train, save_every=min(train.save_every, SAVED_EVERY))
        return replace(
            preset,
            system=replace(preset.system, **self.system),
            crop=replace(preset.crop, **self.crop),
            train=train,
        )

    @property
    def words(self) -> str:
        """The preset's name and what is changed in it."""
        parts = (("system", self.system), ("crop", self.crop), ("train", self.train))
        changed = [f"{part}.{name} = {value}" for part, values in parts for name, value in values.items()]
        return f"preset {self.preset}" + (f" with {', '.join(changed)}" if changed else "")


@dataclass(frozen=True)
class DataNeed:
    """The data set that a paper's numbers were measured on."""

    title: str
    layout: str
    """As `handvae.data.open.recognise` calls it."""
    protocol: str
    others: tuple[str, ...] = ()
    """Protocols that the paper has beside it, such as other people left out; asked for by --protocol."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table."""

    name: str
    """Also of its run folders: rows of one name in several tables are one training."""
    laptop: Recipe | None = None
    """None: at laptop scale only the paper's numbers are shown."""
    full: Recipe | None = None
    """None: the paper has no such row, and it is not trained at full scale."""
    need: DataNeed | None = None
    """For full scale."""
    published: Mapping[str, float] = field(default_factory=dict)
    """The paper's numbers by column."""
    after: str = ""
    """Name of the row whose model, of the same seed, the training begins with."""
    pictures: str = ""
    """What it is trained on, where rows of a table differ in that."""
    labelled: float = 1.0
    """Share of the training hands, the first in file order, whose poses are known."""
    places: Mapping[str, float] = field(default_factory=dict)
    """Where it lies on the curves of a figure: x, above 0, by the curve's name."""
    on_request: bool = False
    """At laptop scale it is trained only where it is named."""

    def recipe(self, scale: Scale) -> Recipe | None:
        """The training at this scale."""
        return self.laptop if scale == "laptop" else self.full


@dataclass(frozen=True)
class Table:
    """A table of a paper."""

    name: str
    about: str
    kind: Kind
    published: str
    """What the paper's numbers are."""
    columns: tuple[str, ...]
    """Keys of `TableRow.published` that this table shows."""
    rows: tuple[TableRow, ...]
    laptop_steps: int
    """Of each training at laptop scale, unless the user says otherwise."""

    @property
    def needs(self) -> tuple[DataNeed, ...]:
        """The data sets of full scale."""
        return tuple(dict.fromkeys(row.need for row in self.rows if row.need is not None))

    def rows_at(self, scale: Scale, need: DataNeed | None = None) -> list[tuple[TableRow, Recipe]]:
        """The rows that are trained at a scale (at full scale: on that data set), each with its training."""
        found = [(row, recipe) for row in self.rows if (recipe := row.recipe(scale)) is not None]
        return [(row, recipe) for row, recipe in found if need is None or row.need == need]


@dataclass(frozen=True)
class TableColumn:
    """A number of ours, and the published one that stands beside it."""

    heading: str
    measure: str
    published: str = ""
    """Key of `TableRow.published`; empty where the paper has no such number."""
