"""`handvae upsample DATASET`: new labelled pictures of a set, checked by a detector, with a report."""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro

from handvae.apps.options import GENERATOR, parse, parse_shard
from handvae.apps.progress import progress
from handvae.apps.upsample_page import upsample_page
from handvae.choices import PoseKind
from handvae.data.dataset import HandData
from handvae.data.export.folder import check_free
from handvae.data.export.formats import MARKERS, FormatName, check_spec, warning, write_data
from handvae.data.export.stream import samples_of
from handvae.data.hands import DataSpec
from handvae.data.open import open_data
from handvae.data.sample import Sample
from handvae.data.subset import Subset
from handvae.errors import UserError
from handvae.evaluation.detection import CommandDetector, HandDetector, ModelDetector
from handvae.evaluation.features import HandFeatures
from handvae.evaluation.measure import Measure
from handvae.files import file_digest, write_text_atomically
from handvae.inference.appearance import read_appearance
from handvae.reproduction.downstream import PRESET, Schedule, downstream
from handvae.training.checkpoint import Model, find_model, load_model
from handvae.upsampling.appearances import (
    Appearances,
    AppearancesOfOthers,
    FixedAppearance,
    RandomAppearances,
)
from handvae.upsampling.report import outcome
from handvae.upsampling.upsample import (
    GeneratedSet,
    UpsamplePlan,
    Upsampler,
    begin,
    missing_shards,
    whole_rows,
    write_shards,
)

READABLE = ("coco", "parquet")
"""Formats written that can be trained on without being converted."""
WRITING = "writing"
"""A file among the parts: the data set is being put together."""
SHOWN = (
    "pictures_kept",
    "share_kept",
    "consistency_kept_error_median",
    "consistency_real_error_median",
    "real_over_limit",
    "fd_hand_kept",
)


@dataclass(frozen=True)
class Options:
    """More labelled pictures of a set: its poses with other looks, each read again by a detector and dropped
    where that disagrees.

    It may be stopped and run again, and several jobs may share the work: `--shard 0/4` to `3/4`, then once
    without `--shard`, which puts
    the set together. Only the chosen split is used, for poses and for looks.
    """

    dataset: tyro.conf.Positional[Path]
    """The data set."""
    out: Path
    """Folder to write; unfinished work is kept beside it, in OUT.parts."""
    times: int = 1
    """New pictures for each hand of the split whose joints are all labelled."""
    model: str = GENERATOR
    """Makes the pictures: a shipped model, a .safetensors file or a run folder."""
    format: FormatName = "coco"
    """Layout of the folder."""
    poses: tuple[PoseKind, ...] = ("same",)
    """The set's own poses, perturbed ones, or ones between near neighbours; with several, the copies of the
    set take them in turn."""
    appearance: str = "random"
    """`random`; `dataset` (of another hand of the split: another person's where people are known); a named
    appearance of the model; a
    photo; or a folder of photos (their mean)."""
    detector: str = "detector-64"
    """Model that reads the pictures again; not the one that makes them."""
    detector_command: str | None = None
    """The same by a program: called with a folder of PNG files, it prints JSON, for each file's name 21 pairs
    [x, y] in px, or null."""
    max_error: float = 0.08
    """Drop a picture that is read with a larger mean error, as a share of hand size."""
    split: str | None = "train"
    """The split to upsample; None for a set without splits."""
    limit: int | None = None
    """Make at most so many pictures, for a quick look."""
    shard: str = "0/1"
    """i/n: make every n-th part only, beginning with number i."""
    include_real: bool = False
    """Write the real pictures of the split behind the new ones."""
    downstream: int = 0
    """Also train the small detector with and without the new pictures, with so many seeds, and test it on
    split test; takes minutes."""
    downstream_steps: int = 1500
    """Steps of each of those trainings."""
    schedule: Schedule = "mix"
    """How to train on both, there and in the commands told at the end: mixed, or mixed first and then on the
    real pictures alone."""
    seed: int = 0
    """Same seed, same bytes."""
    overwrite: bool = False
    """Replace the data set if it is there."""


def main(arguments: Sequence[str]) -> None:
    """Parse, check, make, put together, report."""
    options = parse(Options, arguments, "handvae upsample")
    part, parts = _checked(options)
    torch.set_num_threads(1)  # so that sums have one order on every machine
    model = load_model(options.model)
    data, split = _opened(options.dataset, options.split)
    test = open_data(options.dataset, "test") if options.downstream else None
    rows = whole_rows(data, model.generator)
    detector, digest = _detector(options, model)
    appearances = _appearances(options.appearance, model, data)
    count = min(options.times * len(rows), options.limit or options.times * len(rows))
    plan = UpsamplePlan(
        data.spec.name,
        split,
        len(rows),
        count,
        options.poses,
        appearances.name,
        _digest(model),
        digest,
        options.max_error,
        options.seed,
    )
    maker = Upsampler.of(plan, model.generator, detector, appearances, data)
    spec = _spec(options, maker.spec, data)
    check_spec(options.format, spec, options.dataset)
    delivered = {
        "format": options.format,
        "include_real": options.include_real,
        "downstream": options.downstream and options.downstream_steps,
        "schedule": options.schedule,
    }
    if _is_there(options.out, plan, delivered):
        print(f"{options.out}: is there already")
        return
    work = options.out.resolve().with_name(f"{options.out.resolve().name}.parts")
    if not (work / WRITING).is_file():
        check_free(options.out, MARKERS, options.overwrite)
    begin(work, plan)
    _make(work, maker, part, parts)
    if parts > 1:
        left = missing_shards(work, plan)
        print(
            f"{left} parts are still to be made"
            if left
            else "all parts are made: run the same command without --shard to put them together"
        )
        return
    _put_together(options, work, maker, spec, delivered, test)


def _checked(options: Options) -> tuple[int, int]:
    """The shard, if all else can be followed too."""
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
        raise UserError(
            "--downstream",
            "asks for fewer than 0 seeds or 10 steps",
            "give a number of seeds, and at least 10 steps",
        )
    if not options.poses:
        raise UserError("--poses", "names none", "give same, perturbed, interpolated, or several of them")
    if options.out.resolve() == options.dataset.resolve():
        raise UserError(options.out, "is the data set itself", "write to another folder")
    return parse_shard(options.shard)


def _opened(root: Path, split: str | None) -> tuple[HandData, str]:
    """The hands to upsample, and what their split is called."""
    data = open_data(root, split)
    splits = sorted({data.split_of(row) for row in range(len(data))})
    if len(splits) > 1:
        raise UserError(
            "--split",
            f"None would mix {', '.join(filter(None, splits))}",
            "name one: new pictures of test hands give the test away",
        )
    return data, splits[0] or split or ""


def _detector(options: Options, model: Model) -> tuple[HandDetector, str]:
    """What reads the pictures again, and its name."""
    if options.detector_command is not None:
        command = CommandDetector(options.detector_command)
        return command, command.name
    if find_model(options.detector) == model.path:
        raise UserError(
            "--detector",
            f"{options.detector} makes the pictures itself",
            "give another model: it would check its own work",
        )
    detector = load_model(options.detector)
    return ModelDetector.of(detector), _digest(detector)


def _digest(model: Model) -> str:
    return f"{model.name} ({file_digest(model.path)[:8]})"


def _appearances(text: str, model: Model, data: HandData) -> Appearances:
    if text == "random":
        return RandomAppearances(model.generator)
    if text == "dataset":
        return AppearancesOfOthers(model.generator, data)
    appearance, said = read_appearance(text, model)
    return FixedAppearance(
        appearance, f"{said} ({hashlib.sha256(appearance.numpy().tobytes()).hexdigest()[:8]})"
    )


def _spec(options: Options, new: DataSpec, real: HandData) -> DataSpec:
    """What is written, said in a warning line where it is less than what there is."""
    spec = new
    if options.include_real:
        common = tuple(name for name in new.modalities if name in {*real.spec.modalities, "joint_valid"})
        spec = replace(new, modalities=common, size_px=0, name=f"{real.spec.name} and upsampled")
    if lost := warning(options.format, spec):
        print(f"warning: {lost}", file=sys.stderr)
    return spec


def _is_there(out: Path, plan: UpsamplePlan, delivered: dict[str, Any]) -> bool:
    """Whether the folder holds this very set, its report included."""
    try:
        content = json.loads((out / "report.json").read_text())
        return content["plan"] == plan.to_json() and content["delivered"] == delivered
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _make(work: Path, maker: Upsampler, part: int, parts: int) -> None:
    total = sum(len(maker.plan.numbers(number)) for number in maker.plan.shards[part::parts])
    started = time.monotonic()
    with progress("pictures", total) as report:
        made = write_shards(work, maker, part, parts, report)
    print(f"{made} pictures made in {time.monotonic() - started:.1f} s, {total - made} were there")


def _put_together(
    options: Options,
    work: Path,
    maker: Upsampler,
    spec: DataSpec,
    delivered: dict[str, Any],
    test: HandData | None,
) -> None:
    """The data set, then its report; the parts go last, so that a killed job is gone on with."""
    made, real, out = GeneratedSet.of(work), maker.data, options.out
    if not len(made.kept):
        raise UserError(
            options.out,
            "no picture passed the check",
            f"look at those in {work}; delete it to try another --max-error",
        )
    found = outcome(maker, made, HandFeatures())
    write_text_atomically(work / WRITING, "")
    description = (
        f"{maker.spec.name}: model {maker.plan.model}, looks {maker.appearances.name}, seed {maker.plan.seed}"
    )
    hands = _hands(made, real if options.include_real else None, maker.plan.split)
    written = write_data(out, options.format, spec, hands, description, overwrite=True)
    stories = [made.data.provenance_of(row) for row in made.kept.tolist()]
    write_text_atomically(out / "provenance.jsonl", "".join(f"{story}\n" for story in stories))
    gains: list[Measure] = []
    if test is not None:
        new = Subset(made.data, made.kept.tolist())
        gains = list(
            downstream(
                real,
                new,
                test,
                work / "downstream",
                range(options.downstream),
                options.downstream_steps,
                options.schedule,
            )
        )
    write_text_atomically(out / "report.html", upsample_page(maker.plan, made, found, gains))
    content = {
        "plan": maker.plan.to_json(),
        "delivered": delivered,
        "measures": [m.to_json() for m in (*found.measures, *gains)],
    }
    write_text_atomically(
        out / "report.json", json.dumps(content, indent=1) + "\n"
    )  # last: it says that all is there
    shutil.rmtree(work)
    for measure in found.measures:
        if measure.name in SHOWN:
            print(measure)
    for measure in gains:
        print(measure)
    print(f"{written.count} pictures with labels: {out}\nreport: {out / 'report.html'}")
    if options.format in READABLE:
        print("\n".join(["train on them, for example:", *_commands(options)]))


def _commands(options: Options) -> list[str]:
    """How to train on what was made, by the schedule."""
    mixed, both = Path("runs/mixed"), "" if options.include_real else f" --data.also {options.out}"
    first = options.out if options.include_real else options.dataset
    lines = [f"  handvae train {PRESET} --data.root {first}{both} --out {mixed}"]
    if options.schedule == "mix-then-real":
        lines.append(
            f"  handvae train {PRESET} --data.root {options.dataset} --init {mixed} --out runs/then_real"
        )
    return lines


def _hands(made: GeneratedSet, real: HandData | None, split: str) -> Iterator[Sample]:
    yield from samples_of(made.data, made.kept.tolist())
    if real is not None:
        yield from samples_of(real, range(len(real)), split=split)
