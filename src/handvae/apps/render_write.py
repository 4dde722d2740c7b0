"""What `handvae render` writes: a data set, or a sheet of one pose."""

from dataclasses import dataclass, field, replace

from handvae.apps.options import Rare, parse_shard
from handvae.apps.progress import progress
from handvae.apps.render_options import Options, check_size
from handvae.data.files.pictures import write_picture
from handvae.data.readers.rendered import PLANS, RenderPlan, shard_files, write_plan, write_rendered
from handvae.errors import UserError
from handvae.files import check_space
from handvae.hand import LEFT, RIGHT
from handvae.inference.drawing import grid
from handvae.render.picture import draw
from handvae.render.scene import SceneRanges, posed_scene
from handvae.words import plural

SHEET_HANDS, SHEET_COLUMNS = 48, 8
"""Hands on the sheet of a data set, and hands in a row."""
VIEWS_IN_A_ROW = 6


@dataclass(frozen=True)
class WholeOptions(Options):
    """Draw hands from nothing but a seed: a data set of them with every label, or a sheet of one pose.

    A data set: `handvae render -n 20000 --size 64 --out DIR`. It may be stopped and run again, and several
    machines may share the work with `--shard`. A sheet: `handvae render --pose victory --view 6 --out
    sheet.png`.
    """

    ranges: Rare[SceneRanges] = field(default_factory=SceneRanges)
    """What is drawn at random, and how widely."""


def write_pose_sheet(options: WholeOptions) -> dict[str, object]:
    """Draw one pose from all round; gives the file.

    Raises:
        UserError: an option is out of range, or no sheet's.
    """
    if options.ranges != SceneRanges():
        raise UserError("--ranges", "is for a data set, and --pose draws a sheet", "leave it out")
    if options.out.suffix.lower() != ".png":
        remedy = "a sheet of one pose is a picture: name it something.png"
        raise UserError(f"--out {options.out}", "is no .png file", remedy)
    if not 1 <= options.view <= 64:
        raise UserError("--view", f"is {options.view}", "give 1 to 64 views")

    size = check_size(options.size or 192)
    side = LEFT if options.side == "left" else RIGHT
    pictures = []
    for view in range(options.view):
        scene = posed_scene(str(options.pose), 360 * view / options.view, side, options.seed)
        pictures.append(draw(scene, size, options.quality).image)

    rows = [pictures[at : at + VIEWS_IN_A_ROW] for at in range(0, len(pictures), VIEWS_IN_A_ROW)]
    write_picture(options.out, grid(rows))
    print(f"{options.out}: {options.pose}, {options.view} views")
    return {"out": options.out, "pose": options.pose, "views": options.view}


def write_data_set(options: WholeOptions) -> dict[str, object]:
    """Draw what is missing of a data set; gives its folder and counts.

    Raises:
        UserError: an option is out of range, or the folder holds another data set.
    """
    part, parts = parse_shard(options.shard)
    if options.workers < 1:
        raise UserError("--workers", f"is {options.workers}", "give at least 1")

    plan = _plan(options)
    if not options.plan_only:
        check_space(options.out, plan.count // parts, plan.size_px)
    write_plan(options.out, plan)
    if options.plan_only:
        print(f"{options.out}: a plan of {plural(plan.count, 'hand')}, drawn when they are read")
        return {"out": options.out, "hands": plan.count, "drawn": 0}

    shards = shard_files(options.out, plan)[part::parts]
    total = sum(len(rows) for _, rows in shards)
    with progress("hands", total) as report:
        drawn = write_rendered(options.out, plan, part, parts, options.workers, report)

    # The first job alone writes the sheet
    if part == 0:
        pictures = [plan.picture(row).image for row in range(min(SHEET_HANDS, plan.count))]
        rows = [pictures[at : at + SHEET_COLUMNS] for at in range(0, len(pictures), SHEET_COLUMNS)]
        write_picture(options.out / "sheet.png", grid(rows))

    print(f"{options.out}: {plural(drawn, 'hand')} drawn, {total - drawn} existed; see sheet.png")
    return {"out": options.out, "hands": plan.count, "drawn": drawn}


def _plan(options: WholeOptions) -> RenderPlan:
    """The data set that the options ask for, as a few numbers."""
    if options.preset is not None:
        if options.n is not None or options.seed is not None or options.test:
            fault = "has its own -n, --seed and --test"
            raise UserError(f"--preset {options.preset}", fault, "leave those out")

        preset = PLANS[options.preset]
        size = preset.size_px if options.size is None else check_size(options.size)
        return replace(
            preset, size_px=size, quality=options.quality, cloud=options.cloud, ranges=options.ranges
        )

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
        count=count,
        seed=options.seed or 0,
        size_px=check_size(options.size or 64),
        test=options.test,
        quality=options.quality,
        cloud=options.cloud,
        ranges=options.ranges,
    )
