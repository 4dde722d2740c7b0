"""The options of each kind of table, and the reproduction that they ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handvae.apps.options import parse
from handvae.data.source import open_data, recognise
from handvae.errors import UserError
from handvae.evaluation.features import SHIPPED, Extractor, HandFeatures, InceptionFeatures
from handvae.evaluation.finding import ModelFinder
from handvae.evaluation.picture_table import PictureTable, PoseSplit, hold_out
from handvae.evaluation.reproduction import Job, Reproduction
from handvae.evaluation.table import DataNeed, Recipe, Row, Scale, Table
from handvae.training.checkpoint import load_model
from handvae.training.distributed import Ranks


@dataclass(frozen=True)
class Options:
    """A paper's table again: each row is trained with each seed, measured, and set beside the published numbers.

    It may be stopped and run again: what is trained is not trained twice. Tables share the trainings that they have in common.
    """

    data: Path
    """The data set. At laptop scale any labelled set; at full scale the paper's own."""
    scale: Scale = "laptop"
    """`laptop`: short trainings on your data. `full`: the paper's preset and data set."""
    steps: int | None = None
    """Steps of each training: the table's laptop steps at laptop scale, the preset's length at full scale unless given."""
    seeds: int = 3
    """Trainings of each row."""
    rows: tuple[str, ...] = ()
    """Names of rows; only these are trained, and those that they begin with."""
    out: Path = Path("out/reproduce")
    """Folder of the runs and of the tables."""


@dataclass(frozen=True)
class PictureOptions(Options):
    """A paper's table of generators again: each row is trained with each seed, measured, and set beside the published numbers.

    It may be stopped and run again: what is trained is not trained twice. Tables share the trainings that they have in common.
    """

    hold_out: tuple[str, ...] = ()
    """Gestures that training does not see, where the data name gestures: unseen poses are then theirs, else those of split test."""
    inception_weights: Path | None = None
    """File of the FID's Inception-v3 (pt_inception-2015-12-05-6726825d.pth): adds fid; needed at full scale."""


def reproductions(table: Table, words: Sequence[str], ranks: Ranks) -> Reproduction:
    """What the command line asks for.

    Raises:
        UserError: it cannot be done.
    """
    prog = f"handvae reproduce {table.name}"
    match table.kind:
        case "pictures":
            return _pictures(table, parse(PictureOptions, words, prog), ranks)


def _pictures(table: Table, options: PictureOptions, ranks: Ranks) -> Reproduction:
    if options.scale == "full" and options.inception_weights is None:
        raise UserError("--inception-weights", "is not given, and the paper's numbers are FID", "name the file (docs/evaluation.md)")
    need = _need(table, options)
    job = _job(table, options, need, ranks)
    protocol = None if need is None else need.protocol
    train = open_data(options.data, "train", protocol)
    if options.hold_out:
        poses = hold_out(train, options.hold_out)
    else:
        poses = PoseSplit(train, open_data(options.data, "test", protocol), "split test")
    extractors: list[Extractor] = [HandFeatures()]
    if options.inception_weights is not None:
        extractors.append(InceptionFeatures(options.inception_weights))
    return PictureTable(job, poses, tuple(extractors), ModelFinder.of(load_model(SHIPPED)))


# -------------------------------------------------------------------------------------------------------- what all kinds ask


def _need(table: Table, options: Options) -> DataNeed | None:
    """Which of the paper's data sets the data are; None at laptop scale, where any will do."""
    if options.scale == "laptop":
        return None
    layout = recognise(options.data)
    for need in table.needs:
        if need.layout == layout:
            return need
    titles = " or ".join(need.title for need in table.needs)
    fault = f"is no {titles}, which {table.name} needs at full scale"
    raise UserError(options.data, fault, "give its folder as its authors publish it (docs/data.md), or use --scale laptop")


def _job(table: Table, options: Options, need: DataNeed | None, ranks: Ranks) -> Job:
    for name, value in (("--steps", options.steps), ("--seeds", options.seeds)):
        if value is not None and value < 1:
            raise UserError(name, f"is {value}", "give at least 1")
    steps = options.steps or (table.laptop_steps if options.scale == "laptop" else None)
    rows = _rows(table, options, need)
    return Job(table, options.scale, rows, tuple(range(options.seeds)), steps, options.out / options.scale, ranks)


def _rows(table: Table, options: Options, need: DataNeed | None) -> tuple[tuple[Row, Recipe], ...]:
    """The rows asked for, and those that their models begin with."""
    trained = table.rows_at(options.scale, need)
    if not options.rows:
        return tuple((row, recipe) for row, recipe in trained if options.scale == "full" or not row.on_request)
    known, wanted = {row.name: row for row, _ in trained}, set()
    for name in options.rows:
        if name not in known:
            raise UserError("--rows", f"no row {name!r} at {options.scale} scale", "there are " + "; ".join(known))
        wanted |= {name, known[name].after}
    return tuple((row, recipe) for row, recipe in trained if row.name in wanted)
