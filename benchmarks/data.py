"""Data sets in and out: pictures per second of converting and of random reading, and peak memory as a set
grows.

    python benchmarks/data.py                      # drawn hands: a minute on an idle machine
    python benchmarks/data.py ../shared/data/rhd   # also converts that data set

Speeds differ between machines and minutes: the ratios are of cases that took turns in one run. Each peak is
that of a process of its own.
"""

import argparse
import contextlib
import io
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from handvae.apps import data_convert
from handvae.data.crop import Crop
from handvae.data.dataset import HandData
from handvae.data.export.formats import FormatName, write_data
from handvae.data.export.stream import samples_of
from handvae.data.hands import DataSpec
from handvae.data.loader import Loader
from handvae.data.open import open_data
from handvae.data.readers.shards import ShardHands
from handvae.data.sample import Sample
from handvae.hand import RIGHT

SIDE_PX, BATCH, ROUNDS = 64, 64, 3
SPEC = DataSpec(
    "drawn", 0, SIDE_PX, ("image", "depth", "segmentation", "joints_2d", "joints_3d", "side"), "right"
)
READ, SMALL, LARGE = 1_000, 5_000, 50_000
"""Hands."""
FORMATS: tuple[FormatName, ...] = ("parquet", "webdataset", "coco", "yolo-pose")


def drawn(count: int) -> Iterator[Sample]:
    """Hands that cost next to nothing to make: a gradient with noise, as large on disk as a rendered picture
    of 64 px."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    for number in range(count):
        ground = (rows + columns + number) % 200
        image = (ground[..., None] + rng.integers(0, 6, (SIDE_PX, SIDE_PX, 3))).astype(np.uint8)
        joints = rng.uniform(4, 60, (21, 2)).astype(np.float32)
        solid = rng.normal(0, 60, (21, 3)).astype(np.float32)
        segmentation = (columns // 9).astype(np.uint8)
        yield Sample(
            joints,
            RIGHT,
            image=image,
            depth=(400 + ground).astype(np.float32),
            segmentation=segmentation,
            joints_3d=solid,
            split="train",
        )


def loading(data: HandData, first: int) -> float:
    """Hands per second of shuffled batches of pictures."""
    loader = Loader(data, Crop(SIDE_PX), None, BATCH)
    started, count = time.perf_counter(), 0
    for batch in loader.batches(first, first + 20):
        count += len(batch)
    return count / (time.perf_counter() - started)


def alone(*words: object) -> list[float]:
    """The numbers that this program prints, run with other words in a process of its own."""
    run = subprocess.run(
        [sys.executable, __file__, *map(str, words)], capture_output=True, text=True, check=True
    )
    return [float(word) for word in run.stdout.split()]


def peak_mib() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_alone(count: int) -> None:
    """Write so many drawn hands as parquet, read batches of them, and print this process's peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder) / "set", "parquet", SPEC, drawn(count), "drawn")
        loading(ShardHands(Path(folder) / "set", kept_bytes=2**24), 0)
    print(peak_mib())


def convert_alone(root: Path) -> None:
    """Convert a data set to parquet with the command; print hands, seconds and this process's peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            data_convert.main([str(root), f"{folder}/set", "--format", "parquet"])
        seconds = time.perf_counter() - started
        print(len(ShardHands(Path(folder) / "set")), seconds, peak_mib())


def report_converting(root: Path) -> None:
    """`handvae data convert ROOT OUT --format parquet`, loading of libraries not counted."""
    runs = [alone("--convert", root) for _ in range(ROUNDS)]
    speed = statistics.median(count / seconds for count, seconds, _ in runs)
    print(
        f"{root.name} to parquet: {int(runs[0][0])} hands, {speed:.0f} hands/s, peak memory "
        f"{max(run[2] for run in runs):.0f} MiB"
    )


def report_writing(source: HandData, folder: Path) -> None:
    """Hands per second from parquet into each format, in turns."""
    speeds: dict[str, list[float]] = {name: [] for name in FORMATS}
    for _ in range(ROUNDS):
        for name in FORMATS:
            started = time.perf_counter()
            written = write_data(
                folder / name,
                name,
                source.spec,
                samples_of(source, range(len(source))),
                "benchmark",
                overwrite=True,
            )
            speeds[name].append(written.count / (time.perf_counter() - started))
    report("parquet to", speeds, "parquet")


def report_reading(folder: Path) -> None:
    """Shuffled batches from parquet in and out of memory, and from a folder of PNG files, in turns."""
    spec = replace(SPEC, modalities=("image", "joints_2d", "joints_3d", "side"))
    for name in ("parquet", "coco"):
        write_data(folder / name, name, spec, drawn(READ), "drawn")
    cases = {
        "parquet, kept in memory": ShardHands(folder / "parquet"),
        "parquet, 1 MiB kept": ShardHands(folder / "parquet", kept_bytes=2**20),
        "folder of PNG, kept decoded": open_data(folder / "coco"),
    }
    turns = [{name: loading(data, 20 * turn) for name, data in cases.items()} for turn in range(ROUNDS + 1)]
    report(
        "batches from",
        {name: [turn[name] for turn in turns[1:]] for name in cases},
        "folder of PNG, kept decoded",
    )


def report(what: str, speeds: dict[str, list[float]], base: str) -> None:
    """The median speed of each case, and the median over turns of its ratio to the base's."""
    for name, values in speeds.items():
        ratio = statistics.median(value / other for value, other in zip(values, speeds[base], strict=True))
        print(f"{what} {name:<28}{statistics.median(values):7.0f} hands/s   {ratio:.2f}")


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("root", nargs="?", type=Path, help="a data set to convert as well")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--convert", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.alone:
        return write_alone(options.alone)
    if options.convert:
        return convert_alone(options.convert)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report_reading(folder / "read")
        report_writing(ShardHands(folder / "read" / "parquet"), folder / "written")
    if options.root:
        report_converting(options.root)
    (small,), (large,) = alone("--alone", SMALL), alone("--alone", LARGE)
    print(
        f"peak memory, {SMALL:,} and {LARGE:,} hands to parquet and read: {small:.0f} and {large:.0f} MiB, "
        f"ratio {large / small:.2f}"
    )


if __name__ == "__main__":
    main()
