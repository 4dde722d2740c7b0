"""From options to the `Reproduction` of a table."""

from dataclasses import replace

import torch

from handvae.data.dataset import HandData
from handvae.data.open import recognise
from handvae.data.subset import Subset
from handvae.errors import UserError
from handvae.evaluation.detection import ModelDetector
from handvae.evaluation.features import SHIPPED, Extractor, HandFeatures, InceptionFeatures
from handvae.reproduction.detector_table import LAPTOP, PAPER, Augmentation, DetectorTable
from handvae.reproduction.experiment import Reproduction, TrainingPlan, scale_folder
from handvae.reproduction.factors_table import FactorsTable
from handvae.reproduction.leave_one_out import LeaveOneOut
from handvae.reproduction.options import (
    DetectorOptions,
    FactorsOptions,
    PictureOptions,
    PoseOptions,
    TableOptions,
)
from handvae.reproduction.picture_table import PictureTable, PoseSplit, hold_out
from handvae.reproduction.pose_table import PoseTable, trainable
from handvae.reproduction.protocol import need_of, protocol_of
from handvae.reproduction.table import DataNeed, Recipe, Table, TableRow
from handvae.training.checkpoint import load_model
from handvae.training.distributed import Ranks


def build_reproduction(table: Table, options: TableOptions, ranks: Ranks) -> Reproduction:
    """The work that these options ask for.

    Raises:
        UserError: the options or the data do not allow it.
    """
    match options:
        case PictureOptions():
            return _picture_table(table, options, ranks)
        case DetectorOptions():
            return _detector_table(table, options, ranks)
        case FactorsOptions():
            return _factors_table(table, options, ranks)
        case PoseOptions():
            return _pose_table(table, options, ranks)
        case _:
            raise TypeError(f"options of no kind of table: {options}")


def check_options(options: TableOptions) -> None:
    """Refuse numbers below one and a missing network of the FID, before anything is drawn or opened."""
    if isinstance(options, PictureOptions) and options.scale == "full" and options.inception_weights is None:
        fault = "is not given, and the paper's numbers are FID"
        raise UserError("--inception-weights", fault, "name the file (docs/metrics.md)")

    _at_least_one("--steps", options.steps)
    _at_least_one("--seeds", options.seeds)
    _at_least_one("--jobs", options.jobs)


def _at_least_one(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise UserError(name, f"is {value}", "give at least 1")


# -------------------------------------------------------------------------------------------- kinds of tables


def _picture_table(table: Table, options: PictureOptions, ranks: Ranks) -> PictureTable:
    need = _data_need(table, options)
    plan = _training_plan(table, options, need, ranks)

    protocol = protocol_of(table.rows, options.data)
    train = protocol.hands("train")

    if options.hold_out:
        poses = hold_out(train, options.hold_out)
    else:
        poses = PoseSplit(train, protocol.hands("test"), "split test")

    extractors: list[Extractor] = [HandFeatures()]
    if options.inception_weights is not None:
        extractors.append(InceptionFeatures(options.inception_weights))

    return PictureTable(plan, poses, tuple(extractors), ModelDetector.of(load_model(SHIPPED)))


def _detector_table(table: Table, options: DetectorOptions, ranks: Ranks) -> DetectorTable:
    for name, value in (
        ("--real", options.real),
        ("--test", options.test),
        ("--times", options.times),
        ("--generator-steps", options.generator_steps),
    ):
        _at_least_one(name, value)

    if not options.poses:
        raise UserError("--poses", "names none", "give same, perturbed, interpolated, or several of them")

    need = _data_need(table, options)
    plan = _training_plan(table, options, need, ranks)
    sizes = LAPTOP if need is None else PAPER[need.layout]

    protocol = protocol_of(table.rows, options.data)
    train, test = protocol.hands("train"), protocol.hands("test")

    # evenly over the split, whose hands often lie person by person
    count = min(len(test), options.test or sizes.test or len(test))
    test = Subset(test, torch.linspace(0, len(test) - 1, count).long().tolist())

    augmentation = Augmentation(
        real=options.real or sizes.real,
        times=options.times,
        poses=options.poses,
        appearances=options.appearance,
        generator=sizes.generator if options.generator == "own" else load_model(options.generator),
        generator_steps=options.generator_steps or sizes.generator_steps,
    )

    return DetectorTable(plan, train, test, augmentation, ModelDetector.of(load_model(SHIPPED)))


def _factors_table(table: Table, options: FactorsOptions, ranks: Ranks) -> FactorsTable:
    # a wrong name is an error now, not after the first training
    if options.mask is not None:
        load_model(options.mask)
    plan, train, test = _plan_and_splits(table, options, ranks)
    return FactorsTable(plan, train, test, options.mask or "")


def _pose_table(table: Table, options: PoseOptions, ranks: Ranks) -> PoseTable | LeaveOneOut:
    need = _data_need(table, options)
    if need is not None and need.others and options.protocol is None:
        people = (need.protocol, *need.others)
        folds = tuple(_one_split(table, replace(options, protocol=name), ranks) for name in people)
        plan = replace(folds[0].plan, out=options.out / options.scale)
        return LeaveOneOut(plan, folds, people)

    return _one_split(table, options, ranks)


def _one_split(table: Table, options: PoseOptions, ranks: Ranks) -> PoseTable:
    plan, train, test = _plan_and_splits(table, options, ranks)
    rows = trainable(plan.rows, train)

    # rows that the user names must be trained; others are left out
    kept = {row.name for row, _ in rows}
    left_out = [row.name for row, _ in plan.rows if row.name not in kept]
    if options.rows and left_out:
        fault = f"{train.spec.name} does not have what {left_out[0]!r} needs"
        raise UserError("--rows", fault, "give other data, or leave that row out")
    return PoseTable(replace(plan, rows=rows), train, test)


def _plan_and_splits(
    table: Table, options: PoseOptions, ranks: Ranks
) -> tuple[TrainingPlan, HandData, HandData]:
    """What is trained, and the training and test split by the protocol."""
    need = _data_need(table, options)
    protocol = protocol_of(table.rows, options.data, options.protocol, options.scale)
    plan = _training_plan(table, options, need, ranks)
    return plan, protocol.hands("train"), protocol.hands("test")


def draw_hands(options: PoseOptions) -> None:
    """Draw the rendered hands that --render asks for, unless they exist.

    The tenth for testing shows other people in other poses.

    Raises:
        UserError: too few or too many, or the folder holds another data set.
    """
    # numba and the whole renderer: half a second
    from handvae.data.readers.rendered import RenderPlan, write_plan, write_rendered

    if not 20 <= options.render <= 10_000_000:
        raise UserError("--render", f"is {options.render}", "give 20 to 10,000,000")

    plan = RenderPlan(options.render, test=options.render // 10, cloud=0)
    write_plan(options.data, plan)
    print(f"drawing {plan.count:,} hands into {options.data}, unless they exist", flush=True)
    write_rendered(options.data, plan)


# --------------------------------------------------------------------------------------- what all kinds share


def _data_need(table: Table, options: TableOptions) -> DataNeed | None:
    """Which of the paper's data sets the data are; None at laptop scale, which takes any."""
    if options.scale == "laptop":
        return None

    need = need_of(table.rows, recognise(options.data))
    if need is not None:
        return need

    titles = " or ".join(need.title for need in table.needs)
    fault = f"is no {titles}, which {table.name} needs at full scale"
    remedy = "give its folder as its authors publish it (docs/data.md), or use --scale laptop"
    raise UserError(options.data, fault, remedy)


def _training_plan(table: Table, options: TableOptions, need: DataNeed | None, ranks: Ranks) -> TrainingPlan:
    """What is trained, from the options that all kinds of tables share."""
    protocol = options.protocol if isinstance(options, PoseOptions) else None
    steps = options.steps
    if steps is None and options.scale == "laptop":
        steps = table.laptop_steps

    return TrainingPlan(
        table=table,
        scale=options.scale,
        rows=_chosen_rows(table, options, need),
        seeds=tuple(range(options.seeds)),
        steps=steps,
        out=scale_folder(options.out, options.scale, need, protocol),
        ranks=ranks,
    )


def _chosen_rows(
    table: Table, options: TableOptions, need: DataNeed | None
) -> tuple[tuple[TableRow, Recipe], ...]:
    """The rows asked for, and those that initialise them."""
    rows = table.rows_at(options.scale, need)
    if not options.rows:
        every = options.scale == "full"
        return tuple((row, recipe) for row, recipe in rows if every or not row.on_request)

    by_name = {row.name: row for row, _ in rows}
    chosen = set()
    for name in options.rows:
        if name not in by_name:
            fault = f"no row {name!r} at {options.scale} scale"
            raise UserError("--rows", fault, "there are " + "; ".join(by_name))
        chosen |= {name, by_name[name].after}

    return tuple((row, recipe) for row, recipe in rows if row.name in chosen)
