"""Cost of surroundings: milliseconds a picture on one core, by kind of background and object, and the camera.

    python benchmarks/render_surroundings.py                                  # a minute
    python benchmarks/render_surroundings.py --sheet docs/surroundings.jpg    # the sheet of docs/renderer.md

Processor time of this process, mean over pictures of different seeds, after compilation; the "mix" rows have
the default ranges.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from handvae.render.surroundings import background, objects
from handvae.render.surroundings.background import BackgroundRanges, paint
from handvae.render.surroundings.objects import OccluderRanges, occluder
from handvae.render.surroundings.sensor import CLEAN, SensorRanges, expose


def milliseconds(make: Callable[[int], object], count: int) -> float:
    """Mean over seeds 0 to count - 1, after a warm-up on the first ones, which may compile."""
    for seed in range(min(count, 30)):
        make(seed)
    start = time.process_time()
    for seed in range(count):
        make(seed)
    return (time.process_time() - start) / count * 1e3


def background_cost(kind: str, size: int, count: int) -> float:
    ranges = BackgroundRanges()
    if kind != "mix":
        ranges = replace(ranges, **{name: float(name == kind) for name in background.KINDS})
    return milliseconds(lambda seed: paint(np.random.default_rng([1, seed]), size, ranges), count)


def box_of_hand(size: int) -> tuple[float, float, float, float]:
    return (0.15 * size, 0.15 * size, 0.85 * size, 0.85 * size)


def object_cost(kind: str, size: int, count: int) -> float:
    ranges = OccluderRanges()
    if kind != "mix":
        ranges = replace(ranges, **{name: float(name == kind) for name in objects.KINDS})
    box = box_of_hand(size)
    return milliseconds(lambda seed: occluder(np.random.default_rng([2, seed]), size, box, ranges), count)


def camera_cost(kind: str, size: int, count: int) -> float:
    ranges = CLEAN if kind == "clean" else SensorRanges()
    light = [paint(np.random.default_rng([3, seed]), size, BackgroundRanges()).colour for seed in range(32)]

    def take(seed: int) -> object:
        return expose(light[seed % 32], np.random.default_rng([4, seed]), ranges)

    return milliseconds(take, count)


def sheet(path: Path, size: int = 96) -> None:
    """Three rows of backgrounds by a clean camera, three by the default one, two with things in front."""
    pictures = []
    for index in range(64):
        generator = np.random.default_rng([5, index])
        light = paint(generator, size, BackgroundRanges()).colour
        if index >= 48:
            thing = occluder(generator, size, box_of_hand(size), OccluderRanges())
            shaded = light * ((1 - thing.shadow) * (1 - thing.alpha))[..., None]
            light = shaded + thing.colour * thing.alpha[..., None]
        pictures.append(expose(light, generator, CLEAN if index < 24 else SensorRanges()))

    rows = [np.hstack(pictures[first : first + 8]) for first in range(0, 64, 8)]
    Image.fromarray(np.vstack(rows)).save(path, quality=88)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200, help="pictures a row")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--sheet", type=Path, help="write a sheet of pictures here instead")
    options = parser.parse_args()
    if options.sheet:
        return sheet(options.sheet)

    cv2.setNumThreads(1)
    rows = [("background", kind, background_cost) for kind in ("mix", *background.KINDS)]
    rows += [("in front", kind, object_cost) for kind in ("mix", *objects.KINDS)]
    rows += [("camera", kind, camera_cost) for kind in ("mix", "clean")]

    header = " | ".join(f"{size} px" for size in options.sizes)
    print(f"| what | kind | {header} |")
    print("|---|---|" + "---|" * len(options.sizes))
    for what, kind, cost in rows:
        costs = " | ".join(f"{cost(kind, size, options.count):.2f}" for size in options.sizes)
        print(f"| {what} | {kind} | {costs} |", flush=True)


if __name__ == "__main__":
    main()
