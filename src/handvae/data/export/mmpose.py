"""The JSON form in which open-mmlab/mmpose keeps hand data sets, written.

RHD's form where there is a camera, OneHand10K's where there is none.
"""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import torch

from handvae.data.export.json_file import Spool, rounded, write_json
from handvae.data.export.labels import annotation, keypoints, picture_of, side_name, write_pixels
from handvae.data.hands import DataSpec
from handvae.data.sample import Sample
from handvae.hand import JOINT_NAMES, from_internal


def write(folder: Path, spec: DataSpec, samples: Iterable[Sample], description: str) -> int:
    """Write `annotations/FORM_SPLIT.json` and `images/*.png`; returns the number of hands."""
    camera = spec.has_camera
    kind = "rhd" if camera else "onehand10k"
    order = "rhd" if camera else "coco"
    number = 0

    with ExitStack() as stack:
        splits: dict[str, tuple[Spool, Spool]] = {}
        for number, sample in enumerate(samples, 1):
            split = sample.split or "train"
            if split not in splits:
                splits[split] = (stack.enter_context(Spool()), stack.enter_context(Spool()))

            images, annotations = splits[split]

            pixels = picture_of(sample)
            height, width = pixels.shape[:2]
            name = f"{number:06d}.png"
            write_pixels(folder / "images" / name, pixels)

            points = from_internal(torch.from_numpy(keypoints(sample)), order).numpy()
            image: dict[str, object] = {"id": number, "file_name": name, "width": width, "height": height}
            hand = annotation(number, sample) | {"hand_type": side_name(sample)}

            if camera:
                assert sample.joints_3d is not None
                assert sample.intrinsics is not None
                k = sample.intrinsics
                image["cam_param"] = {"focal": rounded(k[[0, 1], [0, 1]], 6), "princpt": rounded(k[:2, 2], 6)}
                hand["joint_cam"] = rounded(
                    from_internal(torch.from_numpy(sample.joints_3d), order).numpy(), 4
                )

            # RHD's form has 21 triples, OneHand10K's 63 numbers
            hand["keypoints"] = rounded(points, 3) if camera else rounded(points.reshape(-1), 3)
            images.item(image)
            annotations.item(hand)

        # names in the order in which the joints are written
        names = from_internal(torch.arange(21)[:, None], order)[:, 0].tolist()
        categories = [
            {
                "id": 1,
                "name": "hand",
                "supercategory": "hand",
                "keypoints": [JOINT_NAMES[joint] for joint in names],
            }
        ]
        info = {"description": f"hands in the form of {kind}", "source": description}
        licence = {"id": 1, "name": spec.licence or "not known"}
        head = f'{{"info": {json.dumps(info)},\n"licenses": [{json.dumps(licence)}]'
        middle = f',\n"categories": {json.dumps(categories)},\n"images": [\n'

        for split, (images, annotations) in splits.items():
            # the name tells readers the form
            path = folder / "annotations" / f"{kind}_{split}.json"
            write_json(path, head, middle, images, '\n],\n"annotations": [\n', annotations, "\n]}\n")

    return number
