"""Pictures per second of one core, for both qualities, and how alike the two are.

    python benchmarks/render.py [--sizes 64 128 256] [--pictures 40] [--alike 200] [--sheet out/qualities.png]

Processor time, one thread; drawing a scene and drawing its picture have a column each. `alike` draws the
same scenes in both qualities at 64 px: mean absolute difference of the pixels, intersection over union of
the masks, and the Frechet distance between the two sets in the shipped model's features (`fd_hand`, not
FID), next to that between two different sets of the same quality.
"""

import argparse
import resource
import time
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import torch

from handvae.data.files.pictures import write_picture
from handvae.evaluation.features import HandFeatures, features_of
from handvae.evaluation.frechet import Gaussian, frechet_distance, gaussian_of
from handvae.inference.drawing import grid
from handvae.render.picture import Picture, Quality, draw
from handvae.render.scene import sample_scene

QUALITIES: tuple[Quality, ...] = ("fast", "reference")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--alike", type=int, default=200)
    parser.add_argument("--sheet", type=Path, default=Path("out/qualities.png"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    # the first pictures compile the renderer and bake both meshes
    for quality in QUALITIES:
        draw(sample_scene(1, 0), 64, quality)
    draw(sample_scene(1, 0), 256, "fast")

    print(f"{date.today()}; one thread, processor time, N = {options.pictures} scenes a row (seed 0)")
    print("| size | quality | scene ms | picture ms | pictures per core-second | reference / fast |")
    print("|---|---|---|---|---|---|")
    for size in options.sizes:
        rows = {quality: timed(size, quality, options.pictures) for quality in QUALITIES}
        totals = {quality: sum(row) for quality, row in rows.items()}
        for quality, (scene, picture) in rows.items():
            ratio = f"{totals['reference'] / totals['fast']:.1f}" if quality == "fast" else ""
            speed = 1000 / totals[quality]
            print(f"| {size} | {quality} | {scene:.2f} | {picture:.2f} | {speed:.1f} | {ratio} |", flush=True)

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB, the libraries included")
    alike(options.alike, options.sheet)


def timed(size: int, quality: Quality, count: int) -> tuple[float, float]:
    """Processor ms a scene and a picture."""
    start = time.process_time()
    scenes = [sample_scene(0, index) for index in range(count)]
    between = time.process_time()
    for scene in scenes:
        draw(scene, size, quality)
    end = time.process_time()
    return 1000 * (between - start) / count, 1000 * (end - between) / count


def alike(count: int, sheet: Path) -> None:
    """Compare the same scenes in both qualities, and write a sheet of them."""
    fast = [draw(sample_scene(5, index), 64, "fast") for index in range(count)]
    exact = [draw(sample_scene(5, index), 64, "reference") for index in range(count)]
    others = [draw(sample_scene(6, index), 64, "fast") for index in range(count)]

    differences, overlaps = [], []
    for one, two in zip(fast, exact, strict=True):
        differences.append(np.abs(one.image.astype(int) - two.image).mean())
        first_mask, second_mask = one.segmentation > 0, two.segmentation > 0
        overlaps.append((first_mask & second_mask).sum() / (first_mask | second_mask).sum())
    difference, overlap = np.mean(differences), 100 * np.mean(overlaps)
    print(
        f"the same {count} scenes at 64 px: pixels differ by {difference:.2f} of 255, "
        f"masks overlap {overlap:.1f} %"
    )

    # the distance between two sets of other scenes is the noise of this measure
    same = frechet_distance(gaussian(fast), gaussian(exact))
    floor = frechet_distance(gaussian(fast), gaussian(others))
    print(f"fd_hand fast to reference {same:.4f}; fast to other fast scenes {floor:.4f} (N = {count} each)")

    rows = []
    for first in range(0, min(count, 32), 8):
        for group in (fast, exact):
            rows.append([picture.image for picture in group[first : first + 8]])
    write_picture(sheet, grid(rows))
    print(f"{sheet}: rows alternate, fast and reference")


def gaussian(pictures: list[Picture]) -> Gaussian:
    """Moments of the shipped model's features."""
    stacked = np.stack([picture.image for picture in pictures])
    images = torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255
    return gaussian_of(features_of(images.split(64), HandFeatures()))


if __name__ == "__main__":
    main()
