"""COCO keypoints with our additions: joints in space, side, camera and label spread.

`data/readers/coco.py` reads them.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from handvae import __version__
from handvae.data.export.json_file import Spool, rounded, write_json
from handvae.data.export.labels import annotation, keypoints, picture_of, side_name, write_pixels
from handvae.data.hands import DataSpec
from handvae.data.sample import Sample
from handvae.hand import BONES


def write(folder: Path, spec: DataSpec, samples: Iterable[Sample], description: str) -> int:
    """Write `annotations.json` and `images/*.png`; returns the number of hands."""
    number = 0
    with Spool() as images, Spool() as annotations:
        for number, sample in enumerate(samples, 1):
            name = f"images/{number:06d}.png"
            pixels = picture_of(sample)
            write_pixels(folder / name, pixels)
            images.item(_image(number, name, pixels, sample, spec))
            annotations.item(annotation(number, sample) | _labels(sample, spec))

        info = {"description": description, "version": f"handvae {__version__}"}
        licences = [{"id": 1, "name": spec.licence or "not known"}]
        categories = [
            {
                "id": 1,
                "name": "hand",
                "keypoints": list(spec.joint_names),
                # COCO counts keypoints from 1
                "skeleton": [[parent + 1, child + 1] for parent, child in BONES],
            }
        ]
        head = (
            f'{{"info": {json.dumps(info)},\n"licenses": {json.dumps(licences)},\n'
            f'"categories": {json.dumps(categories)}'
        )
        write_json(
            folder / "annotations.json",
            head,
            ',\n"images": [\n',
            images,
            '\n],\n"annotations": [\n',
            annotations,
            "\n]}\n",
        )

    return number


def _image(number: int, name: str, pixels: np.ndarray, sample: Sample, spec: DataSpec) -> dict[str, object]:
    height, width = pixels.shape[:2]
    image: dict[str, object] = {
        "id": number,
        "file_name": name,
        "width": width,
        "height": height,
        "license": 1,
    }
    if sample.split:
        image["split"] = sample.split
    if sample.subject is not None:
        image["person"] = sample.subject
    if sample.gesture is not None and sample.gesture >= 0:
        image["gesture"] = spec.gestures[sample.gesture]
    if sample.provenance:
        image["provenance"] = json.loads(sample.provenance)

    return image


def _labels(sample: Sample, spec: DataSpec) -> dict[str, object]:
    labels: dict[str, object] = {
        "keypoints": rounded(keypoints(sample).reshape(-1), 3),
        "hand_side": side_name(sample),
    }
    if sample.joints_3d is not None:
        solid = sample.joints_3d.astype(np.float64)
        # readers of the plain format expect the hand about its wrist
        if spec.root == "camera":
            labels["root_mm"] = rounded(solid[0], 4)
            solid = solid - solid[0]
        labels["keypoints_3d"] = rounded(solid, 4)

    if sample.intrinsics is not None:
        labels["camera"] = rounded(sample.intrinsics.reshape(-1), 6)
    if sample.joint_spread is not None:
        labels["keypoints_spread"] = rounded(sample.joint_spread, 3)

    return labels
