"""The table of formats: what each holds, what it requires of hands, who writes it."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from handvae.choices import FormatName
from handvae.data.export import coco, freihand, interhand, mmpose, webdataset, yolo_pose
from handvae.data.export.camera import as_right_hands, before_far_camera
from handvae.data.export.folder import complete_folder
from handvae.data.export.labels import picture_of, valid_joints
from handvae.data.export.pictures import Capacity, Picture, by_picture, divided
from handvae.data.files.shards import write_shards
from handvae.data.hands import DataSpec
from handvae.data.readers.coco import OUTSIDE_SHARE
from handvae.data.sample import Sample
from handvae.errors import UserError
from handvae.hand import JOINT_NAMES, UNKNOWN

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

    write: Callable[[Path, DataSpec, Iterable[Picture], str], int]
    holds: frozenset[str]
    """Fields of `Hands` that it holds."""
    whole: Literal["any", "wrist", "all"] = "any"
    """Joints that must be labelled; hands without them are left out."""
    needs_camera: bool = False
    """Whether it holds joints only in the frame of a camera; 2D joints are their projections."""
    capacity: Capacity = "any"
    """How many hands a picture holds; further ones get a copy of it."""
    one_camera: bool = False
    """Whether a picture has one camera for all its hands."""
    needs_side: bool = False
    """Whether each hand is a left or a right one; hands of unknown side are left out."""
    right_only: bool = False
    own_joint_names: bool = False
    """Whether it says what its joints are; else joint 0 is the wrist."""
    splits: tuple[str, ...] = ()
    """Splits that it knows, the first one for hands of others; empty: any name."""
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
_KNOWN_SPLITS = ("train", "val", "test")
_IN_SPACE = frozenset({"image", "joints_2d", "joints_3d", "intrinsics", "joint_valid"})
_FREIHAND = _IN_SPACE | {"mask", "scale_mm", "side"}
_INTERHAND = _IN_SPACE | {"side", "subject"}
_MMPOSE = frozenset({"image", "joints_2d", "joint_valid", "side"})
_YOLO = frozenset({"image", "joints_2d", "joint_valid", "joint_visible", "side"})


def _write_parquet(folder: Path, spec: DataSpec, pictures: Iterable[Picture], description: str) -> int:
    """A row for each hand: hands of one picture each hold its pixels, and name it in `picture`."""
    return write_shards(folder, spec, chain.from_iterable(pictures), description)


FORMATS: dict[FormatName, Format] = {
    "coco": Format(coco.write, _COCO, own_joint_names=True, beyond=OUTSIDE_SHARE),
    "freihand": Format(
        freihand.write,
        _FREIHAND,
        whole="all",
        needs_camera=True,
        capacity="one",
        needs_side=True,
        right_only=True,
        splits=("train", "test"),
    ),
    "interhand": Format(
        interhand.write,
        _INTERHAND,
        whole="wrist",
        needs_camera=True,
        capacity="pair",
        one_camera=True,
        needs_side=True,
        splits=_KNOWN_SPLITS,
    ),
    "mmpose": Format(mmpose.write, _MMPOSE, one_camera=True, splits=_KNOWN_SPLITS),
    "parquet": Format(_write_parquet, _EVERYTHING, own_joint_names=True),
    "webdataset": Format(webdataset.write, _EVERYTHING, own_joint_names=True),
    "yolo-pose": Format(yolo_pose.write, _YOLO, own_joint_names=True, beyond=0.0),
}
ANY_HANDS = ("parquet", "webdataset")
"""Formats for hands of any number of joints, with or without pictures."""
assert set(FORMATS) == set(get_args(FormatName))


@dataclass(frozen=True)
class Written:
    """How many hands of a stream were written, and what the format could not keep of them."""

    name: FormatName
    count: int
    left_out: int
    """Hands without the joints that the format needs."""
    sideless: int = 0
    """Hands of unknown side, left out of a format in which each hand has one."""
    copies: int = 0
    """Copies of pictures that were written because one cannot hold all its hands."""
    renamed: dict[str, int] = field(default_factory=dict)
    """Hands of splits that the format does not know, by the split."""

    def remarks(self) -> list[str]:
        """What a user should know, a line each."""
        lines = []
        if self.left_out:
            hands = "hand lacks" if self.left_out == 1 else "hands lack"
            lines.append(f"{self.left_out} {hands} joints that {self.name} needs and are left out")
        if self.sideless:
            hands = "hand is" if self.sideless == 1 else "hands are"
            fault = f"{self.sideless} {hands} of unknown side, which {self.name} cannot hold, and left out"
            lines.append(f"{fault}; --side left or --side right says which they are")
        if self.copies:
            pictures = "picture was" if self.copies == 1 else "pictures were"
            fault = f"{self.copies} {pictures} written again for a further hand that it shows"
            lines.append(f"{fault}: {self.name} holds {_HOLDS[FORMATS[self.name].capacity]} a picture")
        for split, count in sorted(self.renamed.items()):
            hands = "hand" if count == 1 else "hands"
            split_written = FORMATS[self.name].splits[0]
            lines.append(f"{count} {hands} of split {split!r} are written as {split_written}")

        return lines


_HOLDS: dict[Capacity, str] = {
    "any": "hands of one camera",
    "pair": "one left and one right hand",
    "one": "one hand",
}


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

    if not chosen.own_joint_names and spec.joints == 21 and spec.joint_names != JOINT_NAMES:
        others = zip(spec.joint_names, JOINT_NAMES, strict=True)
        unlike = ", ".join(f"{theirs} as {ours}" for theirs, ours in others if theirs != ours)
        lost.append(f"what its joints are ({unlike})")

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
    if chosen.needs_side and "side" not in spec.modalities:
        fault = f"does not tell left hands from right ones, and {name} needs to know"
        raise UserError(where, fault, "say which they are: --side left or --side right, or use coco")


def write_data(
    folder: Path,
    name: FormatName,
    spec: DataSpec,
    samples: Iterable[Sample],
    description: str,
    overwrite: bool = False,
    sources: Sequence[Path] = (),
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
        sources: files and folders that the hands are read from.

    Raises:
        UserError: the folder may not be written, the format cannot take such hands, or no hand is left to
            write.
    """
    chosen = FORMATS[name]
    check_spec(name, spec, folder)
    left_out = sideless = copies = 0
    renamed: Counter[str] = Counter()

    def kept() -> Iterator[Sample]:
        nonlocal left_out, sideless
        for sample in samples:
            if sample.split and not SPLIT.fullmatch(sample.split):
                # a split becomes a folder's name: nothing that leads out of the data set
                fault = f"{sample.split!r} is no name for a split"
                raise UserError(folder, fault, "use letters, digits, - and _")

            hand = sample if chosen.beyond is None else _unlabelled_outside(sample, chosen.beyond)
            if name not in ANY_HANDS and not _usable(hand, chosen.whole):
                left_out += 1
            elif chosen.needs_side and hand.side == UNKNOWN:
                sideless += 1
            elif hand.split and chosen.splits and hand.split not in chosen.splits:
                renamed[hand.split] += 1
                yield replace(hand, split=chosen.splits[0])
            else:
                yield hand

    def parts(pictures: Iterable[Picture]) -> Iterator[Picture]:
        nonlocal copies
        for picture in pictures:
            held = divided(picture, chosen.capacity, chosen.one_camera)
            copies += len(held) - 1
            yield from held

    # the camera first: mirroring moves it with the picture
    pictures: Iterable[Picture] = by_picture(kept())
    if chosen.needs_camera and not spec.has_camera:
        pictures = before_far_camera(pictures)
    pictures = parts(pictures)
    if chosen.right_only:
        pictures = as_right_hands(pictures)
    if chosen.needs_camera or name == "mmpose":
        pictures = _without_skew(folder, name, pictures)

    with complete_folder(folder, overwrite, sources) as partial:
        count = chosen.write(partial, spec, pictures, description)
        if not count:
            reasons = [f"{left_out} lack joints that {name} needs"] if left_out else []
            reasons += [f"{sideless} are of unknown side"] if sideless else []
            reason = f": {', '.join(reasons)}" if reasons else ""
            remedy = "say which they are: --side left or --side right" if sideless else "give other hands"
            raise UserError(folder, f"no hand to write{reason}", remedy)

    return Written(name, count, left_out, sideless, copies, dict(renamed))


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


def _without_skew(folder: Path, name: FormatName, pictures: Iterable[Picture]) -> Iterator[Picture]:
    """The same hands, checked: these formats hold two focal lengths and a centre, no more."""
    for picture in pictures:
        for sample in picture:
            k = sample.intrinsics
            if k is not None and not np.allclose([k[0, 1], k[1, 0], *k[2]], [0, 0, 0, 0, 1], atol=1e-6):
                fault = f"a camera is turned or skewed, which {name} cannot hold"
                raise UserError(folder, fault, "use coco, parquet or webdataset")
        yield picture
