"""`handvae reproduce TABLE`: a paper's table, trained and measured again, beside what was published."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from handvae.apps.options import parse
from handvae.data.source import open_data, recognise
from handvae.errors import UserError
from handvae.evaluation.features import SHIPPED, Extractor, HandFeatures, InceptionFeatures
from handvae.evaluation.finding import ModelFinder
from handvae.evaluation.paper_tables import LAPTOP_STEPS, Scale, Table, find_table
from handvae.evaluation.reproduction import PoseSplit, Reproduction, hold_out
from handvae.evaluation.reproduction_report import as_json, columns_of, markdown
from handvae.files import write_text_atomically
from handvae.training.checkpoint import load_model
from handvae.training.distributed import ranks


@dataclass(frozen=True)
class Options:
    """A paper's table again: each row is trained with each seed, measured, and set beside the published numbers.

    It may be stopped and run again: what is trained is not trained twice. Tables share the trainings that they have in common.
    """

    table: tyro.conf.Positional[str]
    """srv-vae-table1 (SRV-VAE and Soft-Intro, 2D), -table2 (the same, 3D) or -table3 (S-VAE and SRV-VAE)."""
    data: Path
    """The data set. At laptop scale any labelled set; at full scale the paper's own."""
    scale: Scale = "laptop"
    """`laptop`: short trainings on your data. `full`: the paper's preset and data set."""
    steps: int | None = None
    """Steps of each training: 1000 at laptop scale, the preset's length at full scale unless given."""
    seeds: int = 3
    """Trainings of each row."""
    hold_out: tuple[str, ...] = ()
    """Gestures that training does not see, where the data name gestures: unseen poses are then theirs, else those of split test."""
    out: Path = Path("out/reproduce")
    """Folder of the runs and of the tables."""
    inception_weights: Path | None = None
    """File of the FID's Inception-v3 (pt_inception-2015-12-05-6726825d.pth): adds fid; needed at full scale."""


def main(arguments: Sequence[str]) -> None:
    """Parse, check, train and measure what is missing, print, write."""
    options = parse(Options, arguments, "handvae reproduce")
    table = find_table(options.table)
    for name, value in (("--steps", options.steps), ("--seeds", options.seeds)):
        if value is not None and value < 1:
            raise UserError(name, f"is {value}", "give at least 1")
    if options.scale == "full" and options.inception_weights is None:
        raise UserError("--inception-weights", "is not given, and the paper's numbers are FID", "name the file (docs/evaluation.md)")
    poses = _poses(options, table)
    extractors: list[Extractor] = [HandFeatures()]
    if options.inception_weights is not None:
        extractors.append(InceptionFeatures(options.inception_weights))
    finder = ModelFinder.of(load_model(SHIPPED))
    steps = options.steps or (LAPTOP_STEPS if options.scale == "laptop" else None)
    count, cells, out = len(table.rows_at(options.scale)) * options.seeds, [], options.out / options.scale
    with ranks() as here:
        if here.ranks > 1:
            raise UserError("torchrun", f"started {here.ranks} processes, and a reproduction is one", "start it without")
        work = Reproduction(table, options.scale, poses, tuple(extractors), finder, tuple(range(options.seeds)), steps, out, here)
        for cell in work.cells():
            cells.append(cell)
            print(f"{cell.row.name}, seed {cell.seed}: {len(cells)} of {count} done", flush=True)
    columns = columns_of(work)
    text = markdown(work, cells, columns)
    folder = work.out / table.name
    write_text_atomically(folder / "report.json", json.dumps(as_json(work, cells, columns), indent=1) + "\n")
    write_text_atomically(folder / "table.md", text)
    print(f"\n{text}\ntable: {folder / 'table.md'}")


def _poses(options: Options, table: Table) -> PoseSplit:
    """What is trained on, and whose poses are new."""
    protocol = None
    if options.scale == "full":
        need = table.need
        if recognise(options.data) != need.layout:
            fault = f"is no {need.title}, which {table.name} needs at full scale"
            raise UserError(options.data, fault, "give its folder as its authors publish it (docs/data.md), or use --scale laptop")
        protocol = need.protocol
    train = open_data(options.data, "train", protocol)
    if options.hold_out:
        return hold_out(train, options.hold_out)
    test = open_data(options.data, "test", protocol)
    return PoseSplit(train, test, "split test")
