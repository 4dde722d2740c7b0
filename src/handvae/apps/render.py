"""`handvae render`: procedural hands with every label, as a data set or as a sheet for people."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from handvae.apps.options import parse, parse_shard
from handvae.apps.progress import progress
from handvae.data.files.pictures import write_picture
from handvae.data.readers.rendered import PLANS, RenderPlan, shard_files, write_plan, write_rendered
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT
from handvae.inference.drawing import grid
from handvae.render.picture import Quality, draw
from handvae.render.scene import SceneRanges, posed_scene

SHEET_HANDS, SHEET_COLUMNS = 48, 8
OF_DATA, OF_SHEET = ("n", "preset", "test", "cloud", "shard", "plan_only"), ("view", "side")
"""Options that the other kind of output has no use for."""


@dataclass(frozen=True)
class Options:
    """Hands from nothing but a seed: a data set of them with every label, or a sheet of one pose.

    A data set: `handvae render -n 20000 --size 64 --out DIR`. It may be stopped and run again, and several
    machines may share the work
    with `--shard`. A sheet: `handvae render --pose victory --view 6 --out sheet.png`.
    """

    out: Path
    """Folder of the data set, or a .png file for a sheet."""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """Number of hands in the data set; 48 if nothing is said."""
    size: int | None = None
    """Side of the pictures in pixels; 64 in a data set, 192 on a sheet."""
    seed: int | None = None
    """Same seed, same hands. On a sheet: draws another person."""
    preset: Literal["rendered-20k"] | None = None
    """A data set that has a name: its number of hands, seed, size and test split."""
    test: int = 0
    """How many of the hands, the last ones, are the test split: of other persons in other poses."""
    quality: Quality = "fast"
    """`reference` traces the exact surface with four rays a pixel; `fast` draws a baked mesh."""
    cloud: int = 256
    """Points of the visible surface to keep with each picture."""
    shard: str = "0/1"
    """i/n: write every n-th shard, beginning with number i."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes; the pictures do not depend on it."""
    plan_only: bool = False
    """Write the plan alone: the folder then opens as a data set whose hands are drawn when they are read."""
    pose: str | None = None
    """A pose's name, for a sheet."""
    view: int = 6
    """Number of views on a sheet, all round the hand."""
    side: Literal["left", "right"] = "right"
    """Which hand a sheet shows."""
    ranges: SceneRanges = field(default_factory=SceneRanges)
    """What is drawn at random, and how widely."""


def main(arguments: Sequence[str]) -> None:
    """Parse, draw, write."""
    options = parse(Options, arguments, "handvae render")
    _only_what_is_used(options)
    if options.pose is not None:
        _write_sheet_of_pose(options)
    else:
        _write_data(options)


def _only_what_is_used(options: Options) -> None:
    """Refuse options of a data set where a sheet is asked for, and the other way round."""
    sheet = options.pose is not None
    for name, usual in ((option.name, option.default) for option in fields(Options)):
        if name in (OF_DATA if sheet else OF_SHEET) and getattr(options, name) != usual:
            flag = "-n" if name == "n" else f"--{name.replace('_', '-')}"
            raise UserError(
                flag,
                f"is of a {'data set, and --pose draws a sheet' if sheet else 'sheet, and no --pose is given'}",
                "leave it out",
            )
    if sheet and options.ranges != SceneRanges():
        raise UserError("--ranges", "is of a data set, and --pose draws a sheet", "leave it out")


def _write_sheet_of_pose(options: Options) -> None:
    if options.out.suffix.lower() != ".png":
        raise UserError(
            f"--out {options.out}",
            "is no .png file",
            "a sheet of one pose is a picture: name it something.png",
        )
    if not 1 <= options.view <= 64:
        raise UserError("--view", f"is {options.view}", "give 1 to 64 views")
    size = _checked_size(options.size or 192)
    side = LEFT if options.side == "left" else RIGHT
    turns = [360 * view / options.view for view in range(options.view)]
    scenes = [posed_scene(str(options.pose), turn, side, options.seed) for turn in turns]
    pictures = [draw(scene, size, options.quality).image for scene in scenes]
    write_picture(options.out, grid([pictures[first : first + 6] for first in range(0, len(pictures), 6)]))
    print(f"{options.out}: {options.pose}, {options.view} views")


def _write_data(options: Options) -> None:
    part, parts = parse_shard(options.shard)
    if options.workers < 1:
        raise UserError("--workers", f"is {options.workers}", "give at least 1")
    plan = _plan(options)
    write_plan(options.out, plan)
    if options.plan_only:
        print(f"{options.out}: a plan of {plan.count} hands, drawn when they are read")
        return
    mine = shard_files(options.out, plan)[part::parts]
    total = sum(len(rows) for _, rows in mine)
    with progress("hands", total) as report:
        drawn = write_rendered(options.out, plan, part, parts, options.workers, report)
    if part == 0:
        pictures = [plan.picture(row).image for row in range(min(SHEET_HANDS, plan.count))]
        write_picture(
            options.out / "sheet.png",
            grid([pictures[at : at + SHEET_COLUMNS] for at in range(0, len(pictures), SHEET_COLUMNS)]),
        )
    print(f"{options.out}: {drawn} hands drawn, {total - drawn} were there; see sheet.png")


def _plan(options: Options) -> RenderPlan:
    if options.preset is not None:
        if options.n is not None or options.seed is not None or options.test:
            raise UserError(
                f"--preset {options.preset}", "has its own -n, --seed and --test", "leave those out"
            )
        plan = replace(
            PLANS[options.preset], quality=options.quality, cloud=options.cloud, ranges=options.ranges
        )
        return replace(plan, size_px=_checked_size(options.size)) if options.size is not None else plan
    count = SHEET_HANDS if options.n is None else options.n
    if count < 1:
        raise UserError("-n", f"is {count}", "give at least 1")
    if not 0 <= options.test <= count:
        raise UserError("--test", f"is {options.test}", f"give 0 to {count}")
    if options.seed is not None and options.seed < 0:
        raise UserError("--seed", f"is {options.seed}", "give 0 or more")
    if options.cloud < 0:
        raise UserError("--cloud", f"is {options.cloud}", "give 0 or more")
    return RenderPlan(
        count,
        options.seed or 0,
        _checked_size(options.size or 64),
        options.test,
        options.quality,
        options.cloud,
        options.ranges,
    )


def _checked_size(size: int) -> int:
    if not 16 <= size <= 1024:
        raise UserError("--size", f"is {size}", "give 16 to 1024 px")
    return size
