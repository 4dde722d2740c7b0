"""Do rendered hands carry over to photos? The detector trained on rendered hands, on photos, and on both.

    python benchmarks/domain_table.py --photos PHOTOS --rendered SHARDS [--steps 3000] [--seeds 3]

Every run takes the same number of optimiser steps, with the same augmentation (preset `detector-64`), on the
train splits; it is measured
on the test splits. A finished run is a line of OUT/cells.jsonl: stop and call again, and only what is missing
is run. `--print` runs
nothing. Pictures rendered anew want another folder: runs are known by it.
"""

import argparse
import datetime
import hashlib
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from handvae.data.crop import cut, to_crop_px
from handvae.data.hands import Hands
from handvae.data.open import open_data
from handvae.evaluation.pose_2d import pose_measures_2d
from handvae.training.checkpoint import load_model

TRAINED_ON = ("rendered", "photos", "both")
SHOWN = {
    "error_over_hand_size_median": "median %",
    "error_over_hand_size_mean": "mean %",
    "pckb@0.05": "PCK 0.05",
    "pckb@0.10": "PCK 0.10",
}
PROTOCOL = (
    "2D error of a hand = mean over labelled joints / sqrt of the area of the joints' box, "
    "median and mean over hands; PCK: share (%) of "
    "joints within that part of hand size; 64 px crops round the labelled joints, no alignment"
)
BATCH = 64
WRITING = Lock()


def main() -> None:
    """Run what is missing, then print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="data set with splits train and test")
    parser.add_argument("--rendered", type=Path, required=True, help="data set with splits train and test")
    parser.add_argument("--out", type=Path, default=Path("runs/domain_table"))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.5, help="of photos in a batch of both, on average")
    parser.add_argument("--rows", nargs="+", choices=TRAINED_ON, default=TRAINED_ON)
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, one thread each")
    parser.add_argument("--print", action="store_true", help="only print what is there")
    options = parser.parse_args()
    if not options.print:
        for folder in (options.photos, options.rendered):
            for split in ("train", "test"):
                open_data(folder, split)  # what is not there is said before an hour of training
        options.out.mkdir(parents=True, exist_ok=True)
        missing = [cell for cell in cells(options) if cell not in [known(line) for line in finished(options)]]
        with ThreadPoolExecutor(options.jobs) as pool:
            for job in [pool.submit(one, options, cell) for cell in missing]:
                job.result()
    show(options)


def cells(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What each run is: everything its numbers depend on, except the code."""
    sets = {"photos": str(options.photos), "rendered": str(options.rendered), "share": options.share}
    asked = {"steps": options.steps, "batch": options.batch, **sets}
    return [
        {"trained_on": row, "seed": seed, **asked} for seed in range(options.seeds) for row in options.rows
    ]


def finished(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Lines of the results file."""
    path = options.out / "cells.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def known(line: dict[str, Any]) -> dict[str, Any]:
    """A line without its results."""
    return {name: value for name, value in line.items() if name not in {"tests", "date"}}


def one(options: argparse.Namespace, cell: dict[str, Any]) -> None:
    """Train one run, measure it, write its line."""
    photos, rendered = ["--data.root", cell["photos"]], ["--data.root", cell["rendered"]]
    both = [
        *photos,
        "--data.also",
        cell["rendered"],
        "--data.shares",
        str(cell["share"]),
        str(1 - cell["share"]),
    ]
    data = {"photos": photos, "rendered": rendered, "both": both}[cell["trained_on"]]
    digest = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:8]
    run = (
        options.out / f"{cell['trained_on']}_{cell['seed']}_{digest}"
    )  # a run is continued by the same cell alone
    length = [
        "--train.steps",
        str(cell["steps"]),
        "--train.batch",
        str(cell["batch"]),
        "--train.seed",
        str(cell["seed"]),
    ]
    command = [
        sys.executable,
        "-m",
        "handvae.apps.cli",
        "train",
        "detector-64",
        *data,
        "--out",
        str(run),
        *length,
        "--resume-or-start",
    ]
    with run.with_suffix(".log").open("a") as log:
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=log, stderr=log)
    tests = {name: measured(run, Path(cell[name])) for name in ("photos", "rendered")}
    line = json.dumps(cell | {"tests": tests, "date": str(datetime.date.today())})
    with WRITING, (options.out / "cells.jsonl").open("a") as file:
        file.write(line + "\n")


@torch.no_grad()
def measured(run: Path, folder: Path) -> dict[str, float]:
    """2D errors of a run's model on the test split of a data set."""
    system, data = load_model(run).pose_estimator, open_data(folder, "test")
    parts = []
    for rows in torch.arange(len(data)).split(BATCH):
        image, joints, valid = cut(data, rows, system.crop).require_all("image", "joints_2d", "joint_valid")
        parts.append(
            (
                to_crop_px(system.predict_uncalibrated(Hands(image=image)).joints, system.crop.size_px),
                joints,
                valid,
            )
        )
    read, truth, valid = (torch.cat(values) for values in zip(*parts, strict=True))
    return {"n": len(data)} | {
        m.name: m.value for m in pose_measures_2d(read, truth, valid, f"{system.crop.size_px} px crop")
    }


def show(options: argparse.Namespace) -> None:
    """Print mean and range over the seeds, as markdown."""
    asked = cells(options)
    lines = [line for line in finished(options) if known(line) in asked]
    if not lines:
        print("no run is finished")
        return
    counts = ", ".join(f"{name} test N = {result['n']}" for name, result in lines[0]["tests"].items())
    print(
        f"{max(line['date'] for line in lines)}; {counts}; {options.steps} steps of {options.batch}, "
        f"`both` has {options.share:g} photos;"
    )
    print(f"{PROTOCOL}. Mean (lowest to highest) of the seeds.\n")
    print(
        "| trained on | seeds | "
        + " | ".join(f"{test}: {column}" for test in lines[0]["tests"] for column in SHOWN.values())
        + " |"
    )
    print("|---" * (2 + len(lines[0]["tests"]) * len(SHOWN)) + "|")
    for row in options.rows:
        tests = [line["tests"] for line in lines if line["trained_on"] == row]
        if tests:
            values = [[test[name][key] for test in tests] for name in tests[0] for key in SHOWN]
            shown = [
                f"{statistics.mean(seeds):.2f} ({min(seeds):.2f} to {max(seeds):.2f})" for seeds in values
            ]
            print(f"| {row} | {len(tests)} | " + " | ".join(shown) + " |")


if __name__ == "__main__":
    main()
