"""What surroundings cost: milliseconds a picture on one core, by kind of background and of thing in front, and for the camera.

    python benchmarks/render_surroundings.py            # half a minute

Processor time of this process, mean over pictures of different seeds, after compilation; the "mix" rows have the default ranges.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from handvae.render import background, objects
from handvae.render.background import BackgroundRanges, paint
from handvae.render.objects import OccluderRanges, occluder
from handvae.render.sensor import CLEAN, SensorRanges, expose


def milliseconds(make: Callable[[int], object], count: int) -> float:
    """Mean over seeds 0 to count - 1; the first, which may compile, is made once more before."""
    make(0)
    start = time.process_time()
    for seed in range(count):
        make(seed)
    return (time.process_time() - start) / count * 1e3


def background_cost(kind: str, size: int, count: int) -> float:
    ranges = BackgroundRanges()
    if kind != "mix":
        ranges = replace(ranges, **{name: float(name == kind) for name in background.KINDS})
    return milliseconds(lambda seed: paint(np.random.default_rng([1, seed]), size, ranges), count)


def thing_cost(kind: str, size: int, count: int) -> float:
    ranges = OccluderRanges()
    if kind != "mix":
        ranges = replace(ranges, **{name: float(name == kind) for name in objects.KINDS})
    box = (0.15 * size, 0.15 * size, 0.85 * size, 0.85 * size)
    return milliseconds(lambda seed: occluder(np.random.default_rng([2, seed]), size, box, ranges), count)


def camera_cost(kind: str, size: int, count: int) -> float:
    ranges = CLEAN if kind == "clean" else SensorRanges()
    light = [paint(np.random.default_rng([3, seed]), size, BackgroundRanges()).colour for seed in range(32)]
    return milliseconds(lambda seed: expose(light[seed % 32], np.random.default_rng([4, seed]), ranges), count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="pictures a row")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = [("background", kind, background_cost) for kind in ("mix", *background.KINDS)]
    rows += [("in front", kind, thing_cost) for kind in ("mix", *objects.KINDS)]
    rows += [("camera", kind, camera_cost) for kind in ("mix", "clean")]
    print("| what | kind | " + " | ".join(f"{size} px" for size in options.sizes) + " |\n|---|---|" + "---|" * len(options.sizes))
    for what, kind, cost in rows:
        print(f"| {what} | {kind} | " + " | ".join(f"{cost(kind, size, options.count):.2f}" for size in options.sizes) + " |", flush=True)


if __name__ == "__main__":
    main()
