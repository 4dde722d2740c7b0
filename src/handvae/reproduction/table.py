"""A paper's table as data: its rows, the trainings behind them, and the numbers that the paper published.

Nothing here imports torch, so that the command line lists tables at once. `recipe.py` resolves a `Recipe`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from handvae.choices import Schedule

Scale = Literal["laptop", "full"]

Kind = Literal["pictures", "detectors", "poses", "factors"]
"""Which `Reproduction` makes a table; `experiment.py` describes how to add a kind."""

# ----------------------------------------------------------------------------------- what a row is trained on

SCHEDULES: dict[Schedule, str] = {
    "mix": "real and new pictures",
    "mix-then-real": "real and new pictures, then real ones alone for the second half",
}
"""Each schedule in words, as reports print it."""

REAL_ALONE = "real pictures"
MIX = SCHEDULES["mix"]
MIX_THEN_REAL = SCHEDULES["mix-then-real"]
LABELLED_ALONE = "labelled hands alone"
"""Values of `TableRow.pictures`."""

# ----------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Recipe:
    """A training: a preset and the options changed in it; nested options as nested mappings."""

    preset: str
    system: Mapping[str, Any] = field(default_factory=dict)
    crop: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The preset's name and what is changed in it."""
        changes = []
        for section, values in (("system", self.system), ("crop", self.crop), ("train", self.train)):
            changes += [f"{section}.{name} = {value}" for name, value in _flat(values)]

        if not changes:
            return f"preset {self.preset}"
        return f"preset {self.preset} with {', '.join(changes)}"


def _flat(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Options with dotted names for nested ones."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", option) for inner, option in _flat(value))
        else:
            yield name, value


@dataclass(frozen=True)
class DataNeed:
    """The data set that a paper's numbers were measured on."""

    title: str
    layout: str
    """As `handvae.data.open.recognise` names it."""
    protocol: str
    others: tuple[str, ...] = ()
    """The paper's further protocols, such as other people left out; chosen with --protocol."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table."""

    name: str
    """Also names its run folders: rows of one name in several tables are one training."""
    laptop: Recipe | None = None
    """None: at laptop scale the table only prints the paper's numbers."""
    full: Recipe | None = None
    """None: the paper has no such row, and full scale does not train it."""
    need: DataNeed | None = None
    """The data set of full scale."""
    published: Mapping[str, float] = field(default_factory=dict)
    """The paper's numbers by column."""
    after: str = ""
    """Name of the row whose model, of the same seed, initialises the training."""
    pictures: str = ""
    """What it is trained on, where rows of a table differ in that."""
    labelled: float = 1.0
    """Share of the training hands, the first in file order, whose poses are known."""
    places: Mapping[str, float] = field(default_factory=dict)
    """Where it lies on the curves of a figure: x, above 0, by the curve's name."""
    on_request: bool = False
    """At laptop scale it is trained only if --rows names it."""

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
    """Steps of each training at laptop scale, unless --steps is given."""

    @property
    def needs(self) -> tuple[DataNeed, ...]:
        """The data sets of full scale."""
        return tuple(dict.fromkeys(row.need for row in self.rows if row.need is not None))

    def rows_at(self, scale: Scale, need: DataNeed | None = None) -> list[tuple[TableRow, Recipe]]:
        """The rows that are trained at a scale (at full scale: on that data set), each with its training."""
        pairs = []
        for row in self.rows:
            recipe = row.recipe(scale)
            if recipe is not None and (need is None or row.need == need):
                pairs.append((row, recipe))
        return pairs


@dataclass(frozen=True)
class TableColumn:
    """A number of ours, and the published number that it is printed next to."""

    heading: str
    measure: str
    published: str = ""
    """Key of `TableRow.published`; empty where the paper has no such number."""
