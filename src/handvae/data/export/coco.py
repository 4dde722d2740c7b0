"""COCO keypoints with our additions: joints in space, side, camera and label spread.

`data/readers/coco.py` reads them.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from handvae import __version__
from handvae.data.export.json_file import Spool, rounded, write_json
from handvae.data.export.labels import annotation, keypoints, picture_of, side_field, write_pixels
from handvae.data.export.pictures import Picture
from handvae.data.hands import DataSpec
from handvae.data.sample import Sample
from handvae.hand import BONES

_OF_PICTURES = ("person", "gesture", "provenance")
"""Fields that stand with the picture, unless its hands differ in them."""


def write(folder: Path, spec: DataSpec, pictures: Iterable[Picture], description: str) -> int:
    """Write `annotations.json` and `images/*.png`; returns the number of hands."""
    with Spool() as images, Spool() as annotations:
        for number, hands in enumerate(pictures, 1):
            name = f"images/{number:06d}.png"
            pixels = picture_of(hands[0])
            write_pixels(folder / name, pixels)

            # what all hands of the picture agree in is said once
            sources = [_source(sample, spec) for sample in hands]
            shared = {
                field: sources[0][field]
                for field in _OF_PICTURES
                if all(source.get(field) == sources[0].get(field) for source in sources)
                and field in sources[0]
            }
            images.item(_image(number, name, pixels, hands[0]) | shared)

            for sample, source in zip(hands, sources, strict=True):
                own = {field: value for field, value in source.items() if field not in shared}
                entry = annotation(annotations.count + 1, number, sample)
                annotations.item(entry | _labels(sample, spec) | own)

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

        return annotations.count


def _image(number: int, name: str, pixels: np.ndarray, sample: Sample) -> dict[str, object]:
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

    return image


def _source(sample: Sample, spec: DataSpec) -> dict[str, object]:
    """Whose hand it is, what it shows, where it comes from."""
    source: dict[str, object] = {}
    if sample.subject is not None:
        source["person"] = sample.subject
    if sample.gesture is not None and sample.gesture >= 0:
        source["gesture"] = spec.gestures[sample.gesture]
    if sample.provenance:
        source["provenance"] = json.loads(sample.provenance)

    return source


def _labels(sample: Sample, spec: DataSpec) -> dict[str, object]:
    labels: dict[str, object] = {
        "keypoints": rounded(keypoints(sample).reshape(-1), 3),
    } | side_field("hand_side", sample)
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
