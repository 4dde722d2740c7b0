"""The whole of an upsampling: what it needs is opened, its shards are made, the data set is put together."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from handvae.data.dataset import HandData
from handvae.data.export.folder import check_free
from handvae.data.export.formats import check_spec, warning, write_data
from handvae.data.export.stream import samples_of
from handvae.data.hands import DataSpec
from handvae.data.open import open_data
from handvae.data.sample import Sample
from handvae.data.subset import Subset, taken_for, with_known_sides
from handvae.errors import UserError
from handvae.evaluation.detection import CommandDetector, HandDetector, ModelDetector
from handvae.evaluation.features import HandFeatures
from handvae.evaluation.measure import Measure
from handvae.files import add_to_manifest, check_space, file_digest, write_text_atomically
from handvae.inference.appearance import read_appearance
from handvae.training.checkpoint import Model, find_model, load_model
from handvae.upsampling.appearances import (
    Appearances,
    AppearancesOfOthers,
    FixedAppearance,
    RandomAppearances,
)
from handvae.upsampling.options import UpsamplingOptions
from handvae.upsampling.page import upsample_page
from handvae.upsampling.plan import WRITING, UpsamplePlan, begin, shards_folder
from handvae.upsampling.report import UpsamplingSummary, summarise
from handvae.upsampling.shards import GeneratedSet
from handvae.upsampling.upsample import Upsampler, usable_rows

# ---------------------------------------------------------------------------------------------- what it needs


def open_split(root: Path, split: str | None) -> tuple[HandData, str]:
    """The hands to upsample, and the name of their split.

    Raises:
        UserError: they are of several splits.
    """
    data = with_known_sides(open_data(root, split), root)
    splits = sorted({data.split_of(row) for row in range(len(data))})
    if len(splits) > 1:
        fault = f"None would mix {', '.join(filter(None, splits))}"
        raise UserError("--split", fault, "name one: new pictures of test hands give the test away")

    return data, splits[0] or split or ""


def open_detector(name: str, command: str | None, generator: Model) -> tuple[HandDetector, str]:
    """The detector that checks the pictures, and its name with a digest.

    Raises:
        UserError: it is the generator itself.
    """
    if command is not None:
        program = CommandDetector(command)
        return program, program.name

    if find_model(name) == generator.path:
        fault = f"{name} makes the pictures itself"
        raise UserError("--detector", fault, "give another model: it would check its own work")

    model = load_model(name)
    return ModelDetector.of(model), digest_of(model)


def open_appearances(text: str, model: Model, data: HandData) -> Appearances:
    """The source of appearances that --appearance names."""
    if text == "random":
        return RandomAppearances(model.generator)
    if text == "dataset":
        return AppearancesOfOthers(model.generator, data)

    appearance, name = read_appearance(text, model)
    digest = hashlib.sha256(appearance.numpy().tobytes()).hexdigest()[:8]
    return FixedAppearance(appearance, f"{name} ({digest})")


def digest_of(model: Model) -> str:
    """The model's name, and enough of its digest to tell other weights of that name."""
    return f"{model.name} ({file_digest(model.path)[:8]})"


@dataclass(frozen=True)
class UpsamplingJob:
    """Everything opened: the maker of the pictures, and what is written of them."""

    maker: Upsampler
    spec: DataSpec
    """Of the data set that is written."""
    delivered: dict[str, Any]
    """What decides the folder's content besides the plan; for report.json."""
    lost: str | None
    """What the format cannot hold, in words; None where it holds all."""


def open_job(options: UpsamplingOptions) -> UpsamplingJob:
    """Open the data, the generator and the detector that the options name.

    Raises:
        UserError: one of them is missing or does not fit the others.
    """
    model = load_model(options.model)
    data, split = open_split(options.dataset, options.split)
    shown = model.generator.crop.sides
    if shown != "keep":
        data = taken_for(data, options.dataset, shown, "handvae data convert --side")
    hands = len(usable_rows(data, model.generator))
    detector, detector_name = open_detector(options.detector, options.detector_command, model)
    appearances = open_appearances(options.appearance, model, data)

    count = options.times * hands
    plan = UpsamplePlan(
        dataset=data.spec.name,
        split=split,
        hands=hands,
        count=min(count, options.limit or count),
        poses=options.poses,
        appearances=appearances.name,
        model=digest_of(model),
        detector=detector_name,
        max_error=options.max_error,
        seed=options.seed,
    )
    check_space(options.out, plan.count, model.generator.crop.size_px)
    maker = Upsampler.of(plan, model.generator, detector, appearances, data)
    spec = _written_spec(maker.spec, data.spec) if options.include_real else maker.spec
    lost = warning(options.format, spec)
    check_spec(options.format, spec, options.dataset)

    delivered = {
        "format": options.format,
        "include_real": options.include_real,
        "downstream": options.downstream and options.downstream_steps,
        "schedule": options.schedule,
    }

    return UpsamplingJob(maker, spec, delivered, lost)


def _written_spec(new: DataSpec, real: DataSpec) -> DataSpec:
    """Of new and real pictures together: the labels that both have."""
    shared = {*real.modalities, "joint_valid"}
    modalities = tuple(name for name in new.modalities if name in shared)
    return replace(new, modalities=modalities, size_px=0, name=f"{real.name} and upsampled")


# ----------------------------------------------------------------------------------- the data set it delivers

MeasureGains = Callable[[HandData, HandData, Path], Sequence[Measure]]
"""Trains with real and with new pictures, in a folder for its runs."""


@dataclass(frozen=True)
class Delivered:
    """A finished data set."""

    count: int
    """Pictures with labels that were written."""
    summary: UpsamplingSummary
    gains: tuple[Measure, ...]
    """Of detectors trained with the new pictures, if asked for."""


def is_delivered(job: UpsamplingJob, out: Path) -> bool:
    """Whether the folder holds this very set, its report included."""
    try:
        content = json.loads((out / "report.json").read_text())
        return content["plan"] == job.maker.plan.to_json() and content["delivered"] == job.delivered
    except (OSError, ValueError, LookupError, TypeError):
        return False


def begin_shards(plan: UpsamplePlan, out: Path, overwrite: bool) -> Path:
    """The folder of the shards, with its plan.

    Raises:
        UserError: OUT holds something else, or the folder holds the shards of another plan.
    """
    folder = shards_folder(out, plan)
    if not (folder / WRITING).is_file():
        check_free(out, overwrite)
    begin(folder, plan)
    return folder


def deliver(
    job: UpsamplingJob, folder: Path, options: UpsamplingOptions, measure_gains: MeasureGains | None
) -> Delivered:
    """Write the data set, then its report, and delete the shards last: a killed job continues.

    Args:
        job: what was opened.
        folder: of the shards, all of them finished.
        options: where and how to write.
        measure_gains: trainings with the kept pictures, if there are to be any.

    Raises:
        UserError: no picture passed the check.
    """
    maker, out = job.maker, options.out
    plan, generated = maker.plan, GeneratedSet.of(folder)
    if not len(generated.kept):
        remedy = f"look at those in {folder}; delete it to try another --max-error"
        raise UserError(out, "no picture passed the check", remedy)

    summary = summarise(maker, generated, HandFeatures())

    # from here on the folder OUT may be half written
    write_text_atomically(folder / WRITING, "")
    name = maker.appearances.name
    description = f"{maker.spec.name}: model {plan.model}, appearances {name}, seed {plan.seed}"
    samples = _samples(generated, maker.data if options.include_real else None, plan.split)
    written = write_data(out, options.format, job.spec, samples, description, overwrite=True)

    # noted first: a killed job leaves nothing that the next one would take for somebody else's
    add_to_manifest(out, "provenance.jsonl", "report.html", "report.json")
    provenances = [generated.data.provenance_of(row) for row in generated.kept.tolist()]
    write_text_atomically(out / "provenance.jsonl", "".join(f"{line}\n" for line in provenances))

    gains: tuple[Measure, ...] = ()

    if measure_gains is not None:
        kept = Subset(generated.data, generated.kept.tolist())
        gains = tuple(measure_gains(maker.data, kept, folder / "downstream"))

    write_text_atomically(out / "report.html", upsample_page(plan, generated, summary, gains))

    # the last file: it marks the folder as complete
    content = {
        "plan": plan.to_json(),
        "delivered": job.delivered,
        "measures": [measure.to_json() for measure in (*summary.measures, *gains)],
    }
    write_text_atomically(out / "report.json", json.dumps(content, indent=1) + "\n")
    shutil.rmtree(folder)

    return Delivered(written.count, summary, gains)


def _samples(generated: GeneratedSet, real: HandData | None, split: str) -> Iterator[Sample]:
    """The kept pictures, then the real ones of the split."""
    yield from samples_of(generated.data, generated.kept.tolist())
    if real is not None:
        yield from samples_of(real, range(len(real)), split=split)
