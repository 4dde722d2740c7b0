"""FreiHAND's layout, written: right hands in the camera frame, in metres.

The split `test` is its evaluation set, all others its training set.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from handvae.data.export.json_file import Spool, rounded, write_json
from handvae.data.export.labels import picture_of, write_pixels
from handvae.data.export.pictures import Picture
from handvae.data.hands import DataSpec
from handvae.hand import SEGMENTATION_CLASSES

FILES = ("K", "xyz", "scale")


def write(folder: Path, spec: DataSpec, pictures: Iterable[Picture], description: str) -> int:
    """Write `training/rgb/*.jpg` and `training_{K,xyz,scale}.json`, and so for `evaluation`.

    Args:
        folder: to fill.
        spec: of the samples.
        pictures: of one right hand each, with all joints in the camera frame and intrinsics.
        description: has no place in the format.
    """
    with ExitStack() as stack:
        spools: dict[str, dict[str, Spool]] = {}
        for (sample,) in pictures:
            assert sample.joints_3d is not None
            assert sample.intrinsics is not None
            part = "evaluation" if sample.split == "test" else "training"
            if part not in spools:
                spools[part] = {name: stack.enter_context(Spool()) for name in FILES}

            # pictures are counted within each part, as the entries of its JSON files
            number = spools[part]["K"].count
            write_pixels(folder / part / "rgb" / f"{number:08d}.jpg", picture_of(sample))
            if sample.segmentation is not None:
                hand = (sample.segmentation >= SEGMENTATION_CLASSES.index("palm")).astype(np.uint8) * 255
                write_pixels(folder / part / "mask" / f"{number:08d}.jpg", hand)

            metres = sample.joints_3d.astype(np.float64) / 1000
            spools[part]["K"].item(rounded(sample.intrinsics, 6))
            spools[part]["xyz"].item(rounded(metres, 8))
            # the scale is the length of the middle finger's proximal phalanx
            spools[part]["scale"].item(round(float(np.linalg.norm(metres[10] - metres[9])), 8))

        for part, files in spools.items():
            for name, spool in files.items():
                write_json(folder / f"{part}_{name}.json", "[", spool, "]\n")

        return sum(files["K"].count for files in spools.values())
