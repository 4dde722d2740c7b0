"""Labels that several formats write alike: keypoints with their flags, the box round them, the picture."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from handvae.data.export.json_file import rounded
from handvae.data.sample import Sample
from handvae.hand import LEFT, RIGHT

UNLABELLED, HIDDEN, VISIBLE = 0, 1, 2
"""COCO's flags of a keypoint."""


def side_name(sample: Sample) -> str | None:
    """`left` or `right`; None where the side is not known."""
    return {LEFT: "left", RIGHT: "right"}.get(sample.side)


def side_field(name: str, sample: Sample) -> dict[str, object]:
    """The side under a format's name for it; nothing where the side is not known."""
    side = side_name(sample)
    return {} if side is None else {name: side}


def valid_joints(sample: Sample) -> Bool[np.ndarray, " joint"]:
    """Which joints are labelled."""
    if sample.joint_valid is None:
        return np.ones(len(sample.joints_2d), bool)
    return sample.joint_valid


def keypoints(sample: Sample) -> Float[np.ndarray, "joint 3"]:
    """X px, y px and COCO's flag of each joint; an unlabelled joint is 0, 0, 0."""
    valid = valid_joints(sample)
    visible = np.ones_like(valid) if sample.joint_visible is None else sample.joint_visible
    flags = np.where(visible, VISIBLE, HIDDEN)
    return np.where(valid[:, None], np.column_stack([sample.joints_2d, flags]), 0.0).astype(np.float64)


def box(sample: Sample) -> Float[np.ndarray, "4"]:
    """Left, top, width and height (px) of the labelled joints' box."""
    joints = sample.joints_2d[valid_joints(sample)].astype(np.float64)
    low, high = joints.min(0), joints.max(0)
    return np.concatenate([low, high - low])


def annotation(number: int, image_id: int, sample: Sample) -> dict[str, object]:
    """The fields that COCO requires of every annotation."""
    around = box(sample)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": int(valid_joints(sample).sum()),
        "bbox": rounded(around, 3),
        "area": round(float(around[2] * around[3]), 3),
    }


def picture_of(sample: Sample) -> UInt8[np.ndarray, "height width 3"]:
    """The sample's picture.

    Raises:
        ValueError: it has none.
    """
    if sample.image is None:
        raise ValueError("a hand without a picture")
    return sample.image


def write_pixels(
    path: Path, pixels: UInt8[np.ndarray, "height width 3"] | UInt8[np.ndarray, "height width"]
) -> None:
    """Write RGB or one channel as PNG or JPEG (by the suffix) into a folder that is not yet a data set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    options = (cv2.IMWRITE_JPEG_QUALITY, 95) if path.suffix == ".jpg" else (cv2.IMWRITE_PNG_COMPRESSION, 4)
    done, content = cv2.imencode(path.suffix, channels, options)
    if not done:
        raise ValueError(f"a picture of shape {pixels.shape} cannot be written as {path.suffix}")
    path.write_bytes(content.tobytes())
