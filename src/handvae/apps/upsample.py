"""`handvae upsample DATASET`: new labelled pictures of a set, checked by a detector, with a report."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from handvae.apps.options import GENERATOR, JsonOption, QuietOption, parse, parse_shard
from handvae.apps.output import output
from handvae.apps.progress import progress
from handvae.errors import UserError
from handvae.upsampling.options import UpsamplingOptions
from handvae.words import plural

if TYPE_CHECKING:
    from handvae.upsampling.job import Delivered
    from handvae.upsampling.upsample import Upsampler

TRAINABLE = ("coco", "parquet")
"""Formats that `handvae train` reads as they are."""

SUMMARY = (
    "pictures_kept",
    "share_kept",
    "consistency_kept_error_median",
    "consistency_real_error_median",
    "real_over_limit",
    "fd_hand_kept",
)
"""Measures of report.json that are also printed."""


@dataclass(frozen=True)
class Options(UpsamplingOptions):
    """More labelled pictures of a set: its poses with other appearances, each checked by a detector.

    Stop it and run it again at any time. Several jobs may share the work: `--shard 0/4` to `3/4`, then once
    without `--shard`, which puts the set together. Poses and appearances come only from the chosen split.
    """

    dataset: tyro.conf.Positional[Path]
    """The data set."""
    model: str = GENERATOR
    """Makes the pictures: a shipped model, a .safetensors file or a run folder."""
    quiet: QuietOption = False
    json: JsonOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, check, make the shards, put them together, report."""
    options = parse(Options, arguments, "handvae upsample")
    first, jobs = _check(options)

    import torch

    from handvae.data.open import open_data
    from handvae.reproduction.downstream import gains_on
    from handvae.upsampling.job import begin_shards, deliver, is_delivered, open_job
    from handvae.upsampling.plan import missing_shards

    # so that sums have one order on every machine
    torch.set_num_threads(1)
    job = open_job(options)
    plan = job.maker.plan
    gains = None
    if options.downstream:
        test, seeds = open_data(options.dataset, "test"), range(options.downstream)
        gains = gains_on(test, seeds, options.downstream_steps, options.schedule)

    out = options.out if jobs == 1 else options.out / options.shard.replace("/", " of ")
    with output(options.quiet, options.json, out) as give:
        give({"out": options.out, "plan": plan.to_json()})
        if job.lost:
            print(f"warning: {job.lost}", file=sys.stderr)
        if is_delivered(job, options.out):
            print(f"{options.out}: is there already")
            return

        folder = begin_shards(plan, options.out, options.overwrite)
        _make_shards(job.maker, folder, first, jobs)
        if jobs > 1:
            missing = missing_shards(folder, plan)
            give({"missing_shards": missing})
            complete = "all shards are made: run the same command without --shard to put them together"
            print(f"{missing} shards are still to be made" if missing else complete)
            return

        delivered = deliver(job, folder, options, gains)
        _print_summary(options, delivered)
        measures = (*delivered.summary.measures, *delivered.gains)
        give({"pictures": delivered.count, "measures": [measure.to_json() for measure in measures]})


def _check(options: Options) -> tuple[int, int]:
    """The number of this job and of all jobs, if every option is in range."""
    for name, value, least in (
        ("--times", options.times, 1),
        ("--limit", options.limit, 1),
        ("--seed", options.seed, 0),
    ):
        if value is not None and value < least:
            raise UserError(name, f"is {value}", f"give at least {least}")

    if not 0 < options.max_error <= 10:
        raise UserError("--max-error", f"is {options.max_error}", "give a share of hand size, such as 0.08")
    if options.downstream < 0 or options.downstream_steps < 10:
        fault = "asks for fewer than 0 seeds or 10 steps"
        raise UserError("--downstream", fault, "give a number of seeds, and at least 10 steps")
    if not options.poses:
        raise UserError("--poses", "names none", "give same, perturbed, interpolated, or several of them")
    if options.out.resolve() == options.dataset.resolve():
        raise UserError(options.out, "is the data set itself", "write to another folder")

    return parse_shard(options.shard)


def _make_shards(maker: "Upsampler", folder: Path, first: int, jobs: int) -> None:
    """Make this job's missing shards, with progress."""
    from handvae.upsampling.shards import write_shards

    plan = maker.plan
    total = sum(len(plan.numbers(number)) for number in plan.shards[first::jobs])
    started = time.monotonic()
    with progress("pictures", total) as report:
        made = write_shards(folder, maker, first, jobs, report)
    print(f"{plural(made, 'picture')} made in {time.monotonic() - started:.1f} s, {total - made} were there")


def _print_summary(options: Options, delivered: "Delivered") -> None:
    """The most telling measures, where the files are, and how to train on them."""
    from handvae.reproduction.downstream import training_commands

    for measure in delivered.summary.measures:
        if measure.name in SUMMARY:
            print(measure)

    for measure in delivered.gains:
        print(measure)
    print(f"{plural(delivered.count, 'picture')} with labels: {options.out}")
    print(f"report: {options.out / 'report.html'}")

    if options.format in TRAINABLE:
        print("train on them, for example:")
        source = options.dataset, options.out, options.include_real
        for command in training_commands(*source, options.schedule):
            print(f"  {command}")
