"""The layout of YOLO's pose models: one text file for each picture, all in shares of the picture's sides.

`data/readers/yolo_pose.py` reads it.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from handvae.data.export.labels import box, keypoints, picture_of, side_name, write_pixels
from handvae.data.export.pictures import Picture
from handvae.data.hands import DataSpec
from handvae.data.sample import Sample

UNKNOWN_SIDE = "hand"
"""The class of a hand whose side is not known."""
CLASSES = {"left": ["left"], "right": ["right"], "both": ["left", "right"]}
"""Classes of a data set that knows its sides, by the sides that it shows."""


def write(folder: Path, spec: DataSpec, pictures: Iterable[Picture], description: str) -> int:
    """Write `images/SPLIT/*.png`, `labels/SPLIT/*.txt` and `data.yaml`; returns the number of hands."""
    classes = list(CLASSES[spec.sides]) if "side" in spec.modalities else []
    splits: set[str] = set()
    count = 0
    for number, hands in enumerate(pictures, 1):
        split = hands[0].split or "train"
        splits.add(split)
        pixels = picture_of(hands[0])
        write_pixels(folder / "images" / split / f"{number:06d}.png", pixels)

        # a line for each hand: one without its line would count as background
        size = np.array(pixels.shape[1::-1], np.float64)
        lines = [_line(sample, size, classes) + "\n" for sample in hands]
        path = folder / "labels" / split / f"{number:06d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines))
        count += len(hands)

    if not count:
        return 0
    rows = _about(spec, splits, classes, description)
    (folder / "data.yaml").write_text("\n".join(rows) + "\n")
    return count


def _line(sample: Sample, size: np.ndarray, classes: list[str]) -> str:
    """A hand: its class, the box's centre and extent, then x, y and flag of each joint."""
    name = side_name(sample) or UNKNOWN_SIDE
    if name not in classes:
        classes.append(name)

    left_top, extent = box(sample).reshape(2, 2)
    points = keypoints(sample)
    numbers = [*((left_top + extent / 2) / size), *(extent / size)]
    joints = [
        # eight decimals: 1e-4 px of a 10,000 px picture
        f"{x:.8f} {y:.8f} {int(flag)}"
        for (x, y), flag in zip(points[:, :2] / size, points[:, 2], strict=True)
    ]
    return " ".join([str(classes.index(name)), *(f"{value:.8f}" for value in numbers), *joints])


def _about(spec: DataSpec, splits: set[str], classes: list[str], description: str) -> list[str]:
    """The lines of `data.yaml`; texts are written as JSON, which is YAML."""
    joints = len(spec.joint_names)
    rows = [f"# {json.dumps(description)}", *(f"{split}: images/{split}" for split in sorted(splits))]
    # the tools refuse a set without `train` or `val`
    if "train" not in splits:
        rows.append(f"train: images/{sorted(splits)[0]}")
    if "val" not in splits:
        rows.append(f"val: images/{'test' if 'test' in splits else sorted(splits)[0]}")

    rows.append(f"kpt_shape: [{joints}, 3]")
    if classes == [UNKNOWN_SIDE]:
        # a mirrored hand keeps its joints' names
        rows.append(f"flip_idx: [{', '.join(str(joint) for joint in range(joints))}]")
    else:
        rows.append("# no flip_idx: a mirrored left hand is a right one, so the tools must not mirror")

    rows += ["names:", *(f"  {number}: {name}" for number, name in enumerate(classes))]
    rows += ["kpt_names:", *(f"  {number}: {json.dumps(spec.joint_names)}" for number in range(len(classes)))]
    rows.append(f"license: {json.dumps(spec.licence or 'not known')}")
    return rows
