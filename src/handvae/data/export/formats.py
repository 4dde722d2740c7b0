"""The table of formats: what each holds, what it requires of hands, who writes it."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from handvae.choices import FormatName
from handvae.data.export import coco, freihand, interhand, mmpose, webdataset, yolo_pose
from handvae.data.export.camera import as_right_hands, before_far_camera
from handvae.data.export.folder import complete_folder
from handvae.data.export.labels import picture_of, valid_joints
from handvae.data.files.shards import write_shards
from handvae.data.hands import DataSpec
from handvae.data.readers.coco import OUTSIDE_SHARE
from handvae.data.sample import Sample
from handvae.errors import UserError

SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Names of splits become names of folders."""
_WHAT = {
    "joints_3d": "joints in space",
    "intrinsics": "the camera",
    "depth": "depth",
    "segmentation": "segmentation",
    "mask": "the mask",
    "joint_valid": "which joints are labelled",
    "joint_visible": "which joints are visible",
    "joint_spread": "label spread",
    "side": "the side",
    "viewpoint": "the viewpoint",
    "canonical": "the canonical pose",
    "cloud": "the point cloud",
    "content": "content",
    "subject": "people",
    "gesture": "gestures",
    "scale_mm": "the scale",
    "factors": "factors",
}


@dataclass(frozen=True)
class Format:
    """A layout that data sets are written in."""

    write: Callable[[Path, DataSpec, Iterable[Sample], str], int]
    marker: str
    """A file that only a data set of this format has, as a glob pattern."""
    holds: frozenset[str]
    """Fields of `Hands` that it holds."""
    whole: Literal["any", "wrist", "all"] = "any"
    """Joints that must be labelled; hands without them are left out."""
    needs_camera: bool = False
    """Whether it holds joints only in the frame of a camera; 2D joints are their projections."""
    right_only: bool = False
    beyond: float | None = None
    """How far, in shares of the larger side, a joint may lie outside its picture; farther out it counts as
    not labelled."""


_EVERYTHING = frozenset({"image", "joints_2d", *_WHAT}) - {"mask"}
_COCO = frozenset(
    {
        "image",
        "joints_2d",
        "joints_3d",
        "joint_valid",
        "joint_visible",
        "joint_spread",
        "intrinsics",
        "side",
        "subject",
        "gesture",
    }
)
_IN_SPACE = frozenset({"image", "joints_2d", "joints_3d", "intrinsics", "joint_valid"})
_FREIHAND = _IN_SPACE | {"mask", "scale_mm", "side"}
_INTERHAND = _IN_SPACE | {"side", "subject"}
_MMPOSE = frozenset({"image", "joints_2d", "joint_valid", "side"})
_YOLO = frozenset({"image", "joints_2d", "joint_valid", "joint_visible"})

FORMATS: dict[FormatName, Format] = {
    "coco": Format(coco.write, "annotations.json", _COCO, beyond=OUTSIDE_SHARE),
    "freihand": Format(freihand.write, "*_K.json", _FREIHAND, "all", needs_camera=True, right_only=True),
    "interhand": Format(
        interhand.write, "annotations/*/InterHand2.6M_*.json", _INTERHAND, "wrist", needs_camera=True
    ),
    "mmpose": Format(mmpose.write, "annotations/*.json", _MMPOSE),
    "parquet": Format(write_shards, "*.parquet", _EVERYTHING),
    "webdataset": Format(webdataset.write, "data-*.tar", _EVERYTHING),
    "yolo-pose": Format(yolo_pose.write, "data.yaml", _YOLO, beyond=0.0),
}
ANY_HANDS = ("parquet", "webdataset")
"""Formats for hands of any number of joints, with or without pictures."""
MARKERS = tuple(format.marker for format in FORMATS.values())
assert set(FORMATS) == set(get_args(FormatName))


@dataclass(frozen=True)
class Written:
    """How many hands of a stream were written."""

    count: int
    left_out: int
    """Hands without the joints that the format needs."""


def warning(name: FormatName, spec: DataSpec) -> str | None:
    """One line that names what of a data set a format cannot hold; None where it holds all."""
    chosen = FORMATS[name]
    holds = chosen.holds | (
        {"joints_3d", "intrinsics"} if name == "mmpose" and spec.has_camera else frozenset()
    )
    lost = [
        _WHAT[field]
        for field in spec.modalities
        if field in _WHAT and field not in holds and not _derived(field, holds)
    ]
    if chosen.right_only and spec.sides != "right":
        lost.append("left hands (they are mirrored to right ones)")

    if chosen.needs_camera and not spec.has_camera:
        lost.append(
            "hands without a camera (they are put 20 m away from one: 2D joints and depth stay, "
            "3D follows the 2D labels sideways)"
        )

    if chosen.beyond is not None and spec.root == "camera":
        lost.append("joints outside their picture")

    return f"{name} cannot hold {', '.join(lost)}" if lost else None


def _derived(field: str, holds: frozenset[str]) -> bool:
    return field == "mask" and "segmentation" in holds


def check_spec(name: FormatName, spec: DataSpec, where: str | Path) -> None:
    """Whether a format can take such hands at all.

    Raises:
        UserError: it cannot; says why.
    """
    if name in ANY_HANDS:
        return

    chosen = FORMATS[name]
    any_hands = "use " + " or ".join(ANY_HANDS)
    if spec.joints != 21:
        raise UserError(where, f"has {spec.joints} joints a hand, {name} holds 21", any_hands)
    if "image" not in spec.modalities:
        raise UserError(where, f"has no colour pictures, without which {name} is nothing", any_hands)
    if chosen.needs_camera and "joints_3d" not in spec.modalities:
        fault = f"has no joints in space, and {name} holds no others"
        raise UserError(where, fault, "use coco, mmpose, yolo-pose, parquet or webdataset")


def write_data(
    folder: Path,
    name: FormatName,
    spec: DataSpec,
    samples: Iterable[Sample],
    description: str,
    overwrite: bool = False,
) -> Written:
    """Write hands as a data set that appears under its name when it is complete, or not at all.

    Memory does not grow with their number.

    Args:
        folder: the data set.
        name: of the format.
        spec: what the samples are; its modalities say what each has.
        samples: the hands.
        description: what they are, for the formats that keep it.
        overwrite: replace an existing data set.

    Raises:
        UserError: the folder may not be written, the format cannot take such hands, or no hand is left to
            write.
    """
    chosen = FORMATS[name]
    check_spec(name, spec, folder)
    left_out = 0

    def kept() -> Iterator[Sample]:
        nonlocal left_out
        for sample in samples:
            if sample.split and not SPLIT.fullmatch(sample.split):
                # a split becomes a folder's name: nothing that leads out of the data set
                fault = f"{sample.split!r} is no name for a split"
                raise UserError(folder, fault, "use letters, digits, - and _")

            hand = sample if chosen.beyond is None else _unlabelled_outside(sample, chosen.beyond)
            if name in ANY_HANDS or _usable(hand, chosen.whole):
                yield hand
            else:
                left_out += 1

    # the camera first: mirroring moves it with the picture
    hands: Iterable[Sample] = kept()
    if chosen.needs_camera and not spec.has_camera:
        hands = before_far_camera(hands)
    if chosen.right_only:
        hands = as_right_hands(hands)
    if chosen.needs_camera or name == "mmpose":
        hands = _without_skew(folder, name, hands)

    with complete_folder(folder, MARKERS, overwrite) as partial:
        count = chosen.write(partial, spec, hands, description)
        if not count:
            reason = f": {left_out} lack joints that {name} needs" if left_out else ""
            raise UserError(folder, f"no hand to write{reason}", "give other hands")

    return Written(count, left_out)


def _usable(sample: Sample, whole: Literal["any", "wrist", "all"]) -> bool:
    """Whether a hand has the joints that a format needs, and is more than a point."""
    valid = valid_joints(sample)
    if valid.sum() < 2 or np.ptp(sample.joints_2d[valid], axis=0).max() < 1:
        return False
    return {"any": True, "wrist": bool(valid[0]), "all": bool(valid.all())}[whole]


def _unlabelled_outside(sample: Sample, beyond: float) -> Sample:
    size = np.array(picture_of(sample).shape[1::-1])
    outside = np.maximum(-sample.joints_2d, sample.joints_2d - size).max(1)
    return replace(sample, joint_valid=valid_joints(sample) & (outside <= beyond * size.max()))


def _without_skew(folder: Path, name: FormatName, samples: Iterable[Sample]) -> Iterator[Sample]:
    """The same hands, checked: these formats hold two focal lengths and a centre, no more."""
    for sample in samples:
        k = sample.intrinsics
        if k is not None and not np.allclose([k[0, 1], k[1, 0], *k[2]], [0, 0, 0, 0, 1], atol=1e-6):
            fault = f"a camera is turned or skewed, which {name} cannot hold"
            raise UserError(folder, fault, "use coco, parquet or webdataset")
        yield sample
