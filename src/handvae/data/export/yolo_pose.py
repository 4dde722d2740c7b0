"""The layout of YOLO's pose models: one text file for each picture, all in shares of the picture's sides."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from handvae.data.export.labels import box, keypoints, picture_of, write_pixels
from handvae.data.hands import DataSpec
from handvae.data.sample import Sample


def write(folder: Path, spec: DataSpec, samples: Iterable[Sample], description: str) -> int:
    """Write `images/SPLIT/*.png`, `labels/SPLIT/*.txt` and `data.yaml`; returns the number of hands."""
    number = 0
    splits: set[str] = set()
    for number, sample in enumerate(samples, 1):
        split = sample.split or "train"
        splits.add(split)
        pixels = picture_of(sample)
        write_pixels(folder / "images" / split / f"{number:06d}.png", pixels)

        # class 0, the box's centre and extent, then x, y and flag of each joint
        size = np.array(pixels.shape[1::-1], np.float64)
        left_top, extent = box(sample).reshape(2, 2)
        points = keypoints(sample)
        numbers = [*((left_top + extent / 2) / size), *(extent / size)]
        joints = [
            # eight decimals: 1e-4 px of a 10,000 px picture
            f"{x:.8f} {y:.8f} {int(flag)}"
            for (x, y), flag in zip(points[:, :2] / size, points[:, 2], strict=True)
        ]
        line = " ".join(["0", *(f"{value:.8f}" for value in numbers), *joints])
        path = folder / "labels" / split / f"{number:06d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line + "\n")

    joints = len(spec.joint_names)
    rows = [f"# {json.dumps(description)}", *(f"{split}: images/{split}" for split in sorted(splits))]
    # the tools refuse a set without `val`
    if "val" not in splits:
        rows.append(f"val: images/{'test' if 'test' in splits else sorted(splits)[0]}")

    # a mirrored hand keeps its joints' names
    flips = ", ".join(str(joint) for joint in range(joints))
    rows += [f"kpt_shape: [{joints}, 3]", f"flip_idx: [{flips}]", "names:", "  0: hand"]
    (folder / "data.yaml").write_text("\n".join(rows) + "\n")
    return number
