"""InterHand2.6M's layout, written: one capture, the world its camera's frame.

A picture holds a left hand, a right hand, or one of each.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from handvae.data.export.json_file import Spool, rounded, write_json
from handvae.data.export.labels import box, picture_of, side_name, valid_joints, write_pixels
from handvae.data.export.pictures import Picture
from handvae.data.hands import DataSpec
from handvae.hand import RIGHT, from_internal

CAPTURE = "0"
CAMERA_FIELDS = ("campos", "camrot", "focal", "princpt")


class _Split:
    """The three annotation files of a split, as they grow."""

    def __init__(self, stack: ExitStack) -> None:
        self.images = stack.enter_context(Spool())
        self.annotations = stack.enter_context(Spool())
        self.joints = stack.enter_context(Spool())
        self.camera_fields = {field: stack.enter_context(Spool()) for field in CAMERA_FIELDS}
        self.cameras: dict[tuple[float, ...], str] = {}
        """From focal lengths and centre to the camera's name."""

    def camera(self, intrinsics: np.ndarray) -> str:
        """The name of the camera with these intrinsics."""
        # rounded first: cameras equal but for float noise are one
        focal = rounded(intrinsics[[0, 1], [0, 1]], 6)
        centre = rounded(intrinsics[:2, 2], 6)
        key = (*focal, *centre)

        if key not in self.cameras:
            name = str(len(self.cameras))
            self.cameras[key] = name

            # the world is the camera's frame
            values = ([0.0] * 3, np.eye(3).tolist(), focal, centre)
            for field, value in zip(CAMERA_FIELDS, values, strict=True):
                self.camera_fields[field].member(name, value)

        return self.cameras[key]

    def write(self, folder: Path, split: str) -> None:
        """Write the files."""
        stem = folder / "annotations" / split / f"InterHand2.6M_{split}"
        data = ('{"images": [\n', self.images, '\n],\n"annotations": [\n', self.annotations, "\n]}\n")
        write_json(stem.with_name(f"{stem.name}_data.json"), *data)
        write_json(stem.with_name(f"{stem.name}_joint_3d.json"), f'{{"{CAPTURE}": {{', self.joints, "}}\n")

        cameras: list[str | Spool] = [f'{{"{CAPTURE}": ']
        for number, field in enumerate(CAMERA_FIELDS):
            cameras += [f'{", " if number else "{"}"{field}": {{', self.camera_fields[field], "}"]
        write_json(stem.with_name(f"{stem.name}_camera.json"), *cameras, "}}\n")


def write(folder: Path, spec: DataSpec, pictures: Iterable[Picture], description: str) -> int:
    """Write `images/SPLIT/...` and `annotations/SPLIT/InterHand2.6M_SPLIT_{data,camera,joint_3d}.json`.

    Args:
        folder: to fill.
        spec: of the samples.
        pictures: of hands in the camera frame of intrinsics without skew, the wrist labelled; of each side
            at most one.
        description: has no place in the format.
    """
    count = 0
    with ExitStack() as stack:
        splits: dict[str, _Split] = {}
        for number, hands in enumerate(pictures, 1):
            first = hands[0]
            assert first.intrinsics is not None
            count += len(hands)
            split = first.split or "train"
            if split not in splits:
                splits[split] = _Split(stack)

            files = splits[split]
            camera = files.camera(first.intrinsics)
            pixels = picture_of(first)
            height, width = pixels.shape[:2]
            name = f"Capture{CAPTURE}/all/cam{camera}/image{number}.png"
            write_pixels(folder / "images" / split / name, pixels)

            image = {"id": number, "file_name": name, "width": width, "height": height}
            # a frame for each picture: ours are no moments that several cameras share
            capture = {"capture": int(CAPTURE), "subject": first.subject or 0, "seq_name": "all"}
            files.images.item(image | capture | {"camera": camera, "frame_idx": number})

            world, valid = _both_hands(hands)
            flags = valid[:, None].astype(int).tolist()
            hand_type = side_name(first) if len(hands) == 1 else "interacting"
            kind: dict[str, object] = {"hand_type": hand_type, "hand_type_valid": 1}
            around = rounded(_box_of_all(hands), 3)
            hand = {"id": number, "image_id": number, "bbox": around, "joint_valid": flags}
            files.annotations.item(hand | kind)
            files.joints.member(str(number), {"world_coord": rounded(world, 4), "joint_valid": flags} | kind)

        for split, files in splits.items():
            files.write(folder, split)

    return count


def _both_hands(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Joints (42, 3) mm and which of them are labelled, in the data set's order; an absent hand has none."""
    world = np.zeros((42, 3))
    valid = np.zeros(42, bool)
    for sample in picture:
        assert sample.joints_3d is not None
        joints = torch.from_numpy(sample.joints_3d.astype(np.float64))
        labelled = torch.from_numpy(valid_joints(sample))[:, None]

        # the first 21 joints are the right hand's
        rows = slice(0, 21) if sample.side == RIGHT else slice(21, 42)
        world[rows] = from_internal(joints, "interhand").numpy()
        valid[rows] = from_internal(labelled, "interhand")[:, 0].numpy()

    return world * valid[:, None], valid


def _box_of_all(picture: Picture) -> np.ndarray:
    """Left, top, width and height (px) of the box round all hands of a picture."""
    boxes = np.stack([box(sample) for sample in picture])
    low = boxes[:, :2].min(0)
    return np.concatenate([low, (boxes[:, :2] + boxes[:, 2:]).max(0) - low])
