"""The papers' tables as data: which training stands behind each row, and what the paper published for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from handvae.errors import UserError
from handvae.systems.srv_vae import SrvVaeConfig
from handvae.training.presets import Preset, find_preset

Scale = Literal["laptop", "full"]

LAPTOP_STEPS = 1000
"""Steps of each training at laptop scale, unless the user says otherwise."""
COMPILES_FROM = 200
"""Steps from which compiling, 20 to 45 s, pays."""
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
            train = replace(train, steps=steps, epochs=None, stop_at=None, warmup_steps=warm, compile=compiled)
        train = replace(train, save_every=min(train.save_every, SAVED_EVERY))
        return replace(preset, system=replace(preset.system, **self.system), crop=replace(preset.crop, **self.crop), train=train)

    @property
    def words(self) -> str:
        """The preset's name and what is changed in it."""
        parts = (("system", self.system), ("crop", self.crop), ("train", self.train))
        changed = [f"{part}.{name} = {value}" for part, values in parts for name, value in values.items()]
        return f"preset {self.preset}" + (f" with {', '.join(changed)}" if changed else "")


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    name: str
    """Also of its run folders: rows of one name in several tables are one training."""
    laptop: Recipe
    full: Recipe | None = None
    """None: the paper has no such row, and it is not trained at full scale."""
    published: Mapping[str, float] = field(default_factory=dict)
    """The paper's numbers by column: `seen` and `unseen` poses."""
    after: str = ""
    """Name of the row whose model, of the same seed, the training begins with."""

    def recipe(self, scale: Scale) -> Recipe | None:
        """The training at this scale."""
        return self.laptop if scale == "laptop" else self.full


@dataclass(frozen=True)
class DataNeed:
    """The data set that a paper's numbers were measured on."""

    title: str
    layout: str
    """As `handvae.data.source.recognise` calls it."""
    protocol: str


@dataclass(frozen=True)
class Table:
    """A table of a paper."""

    name: str
    about: str
    published: str
    """What the paper's numbers are."""
    need: DataNeed
    """For full scale."""
    rows: tuple[Row, ...]

    def rows_at(self, scale: Scale) -> list[tuple[Row, Recipe]]:
        """The rows that are trained at a scale, each with its training."""
        return [(row, recipe) for row in self.rows if (recipe := row.recipe(scale)) is not None]


# A laptop run sees 32 hands a step in bfloat16; the networks and the objective stay the paper's
_QUICK = {"batch": 32, "precision": "bf16"}
# The game costs six steps of SRV-VAE in the same networks, and eighty in the paper's residual ones: at laptop scale it plays in SRV-VAE's
_SAME_NETWORKS = ("appearance_dims", "encoder_widths", "encoder_slope", "decoder_widths")
_QUICK_GAME = {"blocks": "strided"} | {name: getattr(SrvVaeConfig(), name) for name in _SAME_NETWORKS}

_S_VAE = Row(
    "S-VAE",
    laptop=Recipe("s-vae-2d", train=_QUICK),
    full=Recipe("s-vae-2d"),
    published={"seen": 26.41, "unseen": 29.72},
)
_SRV_VAE = Row(
    "SRV-VAE",
    laptop=Recipe("srv-vae-2d", train=_QUICK),
    full=Recipe("srv-vae-2d"),
    published={"seen": 25.27, "unseen": 26.84},
)
_OUR_S_VAE = Row("S-VAE, our networks and weights", laptop=Recipe("photos-base-64"))
_OUR_SRV_VAE = Row("SRV-VAE, our networks and weights", laptop=Recipe("photos-base-64", system={"latent": "rv"}))

_SOFT_INTRO = Row(
    "Soft-Intro-SRV-VAE",
    laptop=Recipe("soft-intro-2d-64", system=_QUICK_GAME, train={"batch": 16, "precision": "bf16"}),
    full=Recipe("soft-intro-2d-128"),
    published={"seen": 11.07, "unseen": 14.62},
)
_OUR_SOFT_INTRO = Row("Soft-Intro, ours", laptop=Recipe("photos-soft-64"), after=_OUR_S_VAE.name)
_SRV_VAE_3D = Row(
    "SRV-VAE, 3D",
    laptop=Recipe("srv-vae-3d", train=_QUICK),
    full=Recipe("srv-vae-3d"),
    published={"seen": 16.30, "unseen": 16.13},
)
_SOFT_INTRO_3D = Row(
    "Soft-Intro-SRV-VAE, 3D",
    laptop=Recipe(
        "soft-intro-2d-64", system={**_QUICK_GAME, "pose": "3d"}, crop={"sides": "right"}, train={"batch": 16, "precision": "bf16"}
    ),
    full=Recipe("soft-intro-3d-128"),
    published={"seen": 10.59, "unseen": 9.27},
)

STB = DataNeed("STB (Stereo Hand Pose Benchmark)", "stb", "srv/bb-left")
INTERHAND = DataNeed("InterHand2.6M", "interhand", "right")

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "srv-vae-table1",
            "SRV-VAE and Soft-Intro-SRV-VAE, 2D poses, seen and unseen",
            "FID on STB, single runs",
            STB,
            (_SRV_VAE, _SOFT_INTRO, _OUR_S_VAE, _OUR_SOFT_INTRO),
        ),
        Table(
            "srv-vae-table2",
            "SRV-VAE and Soft-Intro-SRV-VAE, 3D poses, seen and unseen",
            "FID on InterHand2.6M, single runs",
            INTERHAND,
            (_SRV_VAE_3D, _SOFT_INTRO_3D),
        ),
        Table(
            "srv-vae-table3",
            "S-VAE, which samples, against SRV-VAE, whose decoder passes random variables",
            "FID on STB, single runs",
            STB,
            (_S_VAE, _SRV_VAE, _OUR_S_VAE, _OUR_SRV_VAE),
        ),
    )
}


def find_table(name: str) -> Table:
    """The table of that name.

    Raises:
        UserError: there is none.
    """
    if name not in TABLES:
        raise UserError(name, "no such table", "there are " + ", ".join(TABLES))
    return TABLES[name]
