"""The JSON form in which open-mmlab/mmpose keeps hand data sets, written.

RHD's form where there is a camera, OneHand10K's where there is none.
"""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import torch

from handvae.data.export.json_file import Spool, rounded, write_json
from handvae.data.export.labels import annotation, keypoints, picture_of, side_field, write_pixels
from handvae.data.export.pictures import Picture
from handvae.data.hands import DataSpec
from handvae.hand import JOINT_NAMES, from_internal


def write(folder: Path, spec: DataSpec, pictures: Iterable[Picture], description: str) -> int:
    """Write `annotations/FORM_SPLIT.json` and `images/*.png`; returns the number of hands."""
    camera = spec.has_camera
    kind = "rhd" if camera else "onehand10k"
    order = "rhd" if camera else "coco"
    hands_written = 0

    with ExitStack() as stack:
        splits: dict[str, tuple[Spool, Spool]] = {}
        for number, hands in enumerate(pictures, 1):
            split = hands[0].split or "train"
            if split not in splits:
                splits[split] = (stack.enter_context(Spool()), stack.enter_context(Spool()))

            images, annotations = splits[split]

            pixels = picture_of(hands[0])
            height, width = pixels.shape[:2]
            name = f"{number:06d}.png"
            write_pixels(folder / "images" / name, pixels)

            image: dict[str, object] = {"id": number, "file_name": name, "width": width, "height": height}
            if camera:
                k = hands[0].intrinsics
                assert k is not None
                image["cam_param"] = {"focal": rounded(k[[0, 1], [0, 1]], 6), "princpt": rounded(k[:2, 2], 6)}
            images.item(image)

            for sample in hands:
                hands_written += 1
                hand = annotation(hands_written, number, sample) | side_field("hand_type", sample)
                points = from_internal(torch.from_numpy(keypoints(sample)), order).numpy()
                # RHD's form has 21 triples, OneHand10K's 63 numbers
                hand["keypoints"] = rounded(points if camera else points.reshape(-1), 3)
                if camera:
                    assert sample.joints_3d is not None
                    solid = from_internal(torch.from_numpy(sample.joints_3d), order).numpy()
                    hand["joint_cam"] = rounded(solid, 4)
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

    return hands_written
