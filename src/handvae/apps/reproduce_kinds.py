"""The options of each kind of table, and the reproduction that they ask for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from handvae.apps.options import parse
from handvae.choices import PoseKind
from handvae.data.dataset import HandData
from handvae.data.open import open_data, recognise
from handvae.data.subset import Subset
from handvae.errors import UserError
from handvae.evaluation.detection import ModelDetector
from handvae.evaluation.features import SHIPPED, Extractor, HandFeatures, InceptionFeatures
from handvae.reproduction.detector_table import LAPTOP, PAPER, Augmentation, DetectorTable
from handvae.reproduction.experiment import Job, Reproduction
from handvae.reproduction.factors_table import FactorsTable
from handvae.reproduction.picture_table import PictureTable, PoseSplit, hold_out
from handvae.reproduction.pose_table import PoseTable, trainable
from handvae.reproduction.table import DataNeed, Kind, Recipe, Scale, Table, TableRow
from handvae.training.checkpoint import load_model
from handvae.training.distributed import Ranks


@dataclass(frozen=True)
class Options:
    """A paper's table again: each row is trained with each seed, measured, and set beside the published
    numbers.

    It may be stopped and run again: what is trained is not trained twice. Tables share the trainings that
    they have in common.
    """

    data: Path
    """The data set. At laptop scale any labelled set; at full scale the paper's own."""
    scale: Scale = "laptop"
    """`laptop`: short trainings on your data. `full`: the paper's preset and data set."""
    steps: int | None = None
    """Steps of each training: the table's laptop steps at laptop scale, the preset's length at full scale
    unless given."""
    seeds: int = 3
    """Trainings of each row."""
    rows: tuple[str, ...] = ()
    """Names of rows; only these are trained, and those that they begin with."""
    out: Path = Path("out/reproduce")
    """Folder of the runs and of the tables."""
    jobs: int = 1
    """Trainings at a time, each in a process of its own that takes its share of the cores."""


@dataclass(frozen=True)
class PictureOptions(Options):
    """A paper's table of generators again: each row is trained with each seed, measured, and set beside the
    published numbers.

    It may be stopped and run again: what is trained is not trained twice. Tables share the trainings that
    they have in common.
    """

    hold_out: tuple[str, ...] = ()
    """Gestures that training does not see, where the data name gestures: unseen poses are then theirs, else
    those of split test."""
    inception_weights: Path | None = None
    """File of the FID's Inception-v3 (pt_inception-2015-12-05-6726825d.pth): adds fid; needed at full
    scale."""


@dataclass(frozen=True)
class DetectorOptions(Options):
    """Table 4 again: detectors trained on few real pictures, and on the same and new ones, each with each
    seed, in as many steps.

    It may be stopped and run again: what is trained is not trained twice.
    """

    real: int | None = None
    """Real training pictures, drawn by the seed: 300 at laptop scale, the paper's number at full scale unless
    given."""
    test: int | None = None
    """Test hands, evenly over split test: all at laptop scale, the paper's number at full scale unless
    given."""
    times: int = 2
    """New pictures for each real one (paper: 2)."""
    poses: tuple[PoseKind, ...] = ("same",)
    """Poses of the new pictures, as of `handvae upsample`."""
    appearance: Literal["dataset", "random"] = "dataset"
    """Looks of the new pictures: another real picture's (paper; another person's where people are known), or
    random."""
    generator: str = "own"
    """`own`: trained on the very same real pictures. Or a shipped model, a file or a run folder, which may
    have seen more people."""
    generator_steps: int | None = None
    """Steps of an own generator: 1000 at laptop scale, the preset's length at full scale unless given."""


@dataclass(frozen=True)
class PoseOptions(Options):
    """A paper's table of 3D errors again: each row is trained with each seed, measured on split test, and set
    beside the published numbers.

    It may be stopped and run again: what is trained is not trained twice. Tables share the trainings that
    they have in common. Rows whose
    system needs what the data do not have (pictures, depth, contents) are left out.
    """

    seeds: int = 1
    """Trainings of each row; the intervals are over test hands."""
    protocol: str | None = None
    """Which hands, where a data set has several protocols: `lifting` reads RHD's annotation alone, for the
    rows from 2D to 3D. At full
    scale the paper's others: `P1` to `P8` leave out another of MSRA's people than `P0`; give each an --out of
    its own."""
    render: int = 0
    """Draw so many hands into the folder --data first, a tenth of them for testing, where they are not there
    yet."""


@dataclass(frozen=True)
class FactorsOptions(PoseOptions):
    """A table of da-VAE again: each row is trained with each seed, measured on split test, and set beside the
    published numbers.

    It may be stopped and run again: what is trained is not trained twice. Tables share the trainings that
    they have in common.
    """

    mask: str | None = None
    """A mask network that is trained, for data without masks: run folder or file; else one is trained
    first."""


KINDS: dict[Kind, type[Options]] = {
    "pictures": PictureOptions,
    "detectors": DetectorOptions,
    "poses": PoseOptions,
    "factors": FactorsOptions,
}


def options_of(table: Table, words: Sequence[str]) -> Options:
    """What the command line asks for; hands that are to be drawn first are drawn.

    Raises:
        UserError: it makes no sense.
    """
    options = parse(KINDS[table.kind], words, f"handvae reproduce {table.name}")
    for name, value in (("--steps", options.steps), ("--seeds", options.seeds), ("--jobs", options.jobs)):
        if value is not None and value < 1:
            raise UserError(name, f"is {value}", "give at least 1")
    if isinstance(options, PoseOptions) and options.render:
        _render(options)
        options = replace(options, render=0)
    return options


def reproduction(table: Table, options: Options, ranks: Ranks) -> Reproduction:
    """The work that these options ask for.

    Raises:
        UserError: it cannot be done.
    """
    match options:
        case PictureOptions():
            return _pictures(table, options, ranks)
        case DetectorOptions():
            return _detectors(table, options, ranks)
        case FactorsOptions():
            if options.mask is not None:
                load_model(options.mask)  # found now, not after the first training
            return FactorsTable(*_job_and_splits(table, options, ranks), options.mask or "")
        case PoseOptions():
            return _poses(table, options, ranks)
        case _:
            raise TypeError(f"options of no kind of table: {options}")


def _pictures(table: Table, options: PictureOptions, ranks: Ranks) -> Reproduction:
    if options.scale == "full" and options.inception_weights is None:
        raise UserError(
            "--inception-weights",
            "is not given, and the paper's numbers are FID",
            "name the file (docs/metrics.md)",
        )
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
    return PictureTable(job, poses, tuple(extractors), ModelDetector.of(load_model(SHIPPED)))


def _detectors(table: Table, options: DetectorOptions, ranks: Ranks) -> Reproduction:
    for name, value in (
        ("--real", options.real), ("--test", options.test), ("--times", options.times), ("--generator-steps", options.generator_steps)
    ):  # fmt: skip
        if value is not None and value < 1:
            raise UserError(name, f"is {value}", "give at least 1")
    if not options.poses:
        raise UserError("--poses", "names none", "give same, perturbed, interpolated, or several of them")
    need = _need(table, options)
    job = _job(table, options, need, ranks)
    protocol = None if need is None else need.protocol
    sizes = LAPTOP if need is None else PAPER[need.layout]
    test = open_data(options.data, "test", protocol)
    count = min(len(test), options.test or sizes.test or len(test))
    test = Subset(test, torch.linspace(0, len(test) - 1, count).long().tolist())
    generator = sizes.generator if options.generator == "own" else load_model(options.generator)
    steps = options.generator_steps or sizes.generator_steps
    plan = Augmentation(
        options.real or sizes.real, options.times, options.poses, options.appearance, generator, steps
    )
    return DetectorTable(
        job, open_data(options.data, "train", protocol), test, plan, ModelDetector.of(load_model(SHIPPED))
    )


def _poses(table: Table, options: PoseOptions, ranks: Ranks) -> Reproduction:
    job, train, test = _job_and_splits(table, options, ranks)
    rows = trainable(job.rows, train)
    left_out = [row.name for row, _ in job.rows if row not in [kept for kept, _ in rows]]
    if options.rows and left_out:
        raise UserError(
            "--rows",
            f"{train.spec.name} does not have what {left_out[0]!r} needs",
            "give other data, or leave that row out",
        )
    return PoseTable(replace(job, rows=rows), train, test)


def _job_and_splits(table: Table, options: PoseOptions, ranks: Ranks) -> tuple[Job, HandData, HandData]:
    need = _need(table, options)
    if need is not None and options.protocol not in (None, need.protocol, *need.others):
        papers = ", ".join((need.protocol, *need.others))
        raise UserError(
            "--protocol", f"is {options.protocol}, and full scale has the paper's ({papers})", "leave it out"
        )
    protocol = options.protocol if need is None else options.protocol or need.protocol
    train, test = (open_data(options.data, split, protocol) for split in ("train", "test"))
    return _job(table, options, need, ranks), train, test


def _render(options: PoseOptions) -> None:
    """Draw what is not drawn yet; the tenth that is tested on shows other people in other poses."""
    from handvae.data.readers.rendered import (
        RenderPlan,
        write_plan,
        write_rendered,
    )  # numba and all the renderer: half a second

    if not 20 <= options.render <= 10_000_000:
        raise UserError("--render", f"is {options.render}", "give 20 to 10,000,000")
    plan = RenderPlan(options.render, test=options.render // 10, cloud=0)
    write_plan(options.data, plan)
    print(f"drawing {plan.count:,} hands into {options.data}, where they are not there yet", flush=True)
    write_rendered(options.data, plan)


# ----------------------------------------------------------------------------------------- what all kinds ask


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
    raise UserError(
        options.data, fault, "give its folder as its authors publish it (docs/data.md), or use --scale laptop"
    )


def _job(table: Table, options: Options, need: DataNeed | None, ranks: Ranks) -> Job:
    steps = options.steps or (table.laptop_steps if options.scale == "laptop" else None)
    rows = _rows(table, options, need)
    return Job(
        table, options.scale, rows, tuple(range(options.seeds)), steps, options.out / options.scale, ranks
    )


def _rows(table: Table, options: Options, need: DataNeed | None) -> tuple[tuple[TableRow, Recipe], ...]:
    """The rows asked for, and those that their models begin with."""
    trained = table.rows_at(options.scale, need)
    if not options.rows:
        return tuple(
            (row, recipe) for row, recipe in trained if options.scale == "full" or not row.on_request
        )
    known, wanted = {row.name: row for row, _ in trained}, set()
    for name in options.rows:
        if name not in known:
            raise UserError(
                "--rows", f"no row {name!r} at {options.scale} scale", "there are " + "; ".join(known)
            )
        wanted |= {name, known[name].after}
    return tuple((row, recipe) for row, recipe in trained if row.name in wanted)
