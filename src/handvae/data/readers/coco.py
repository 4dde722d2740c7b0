"""COCO keypoints: the format of `photos` and of anybody's own pictures.

A folder holds `annotations.json` and the pictures it names. One annotation is one hand: 21 triples (x px, y
px, visibility) in `keypoints`;
visibility is 0 for an unlabelled joint, 1 for a hidden one, 2 for one that is seen. Optional and understood:
`keypoints_3d` (21 x 3 mm,
root-relative), `hand_side`, `keypoints_spread` (21 px), `root_mm` and `camera` (the wrist in the camera frame
and nine intrinsics: together
they put `keypoints_3d` before the camera), and on the picture `split`, `person`, `gesture` (a word; or
`digit`, a number, as of sign
language) and `provenance` (any object).
"""

import difflib
import json
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from handvae.data.dataset import HandData, require_few
from handvae.data.files.json import members
from handvae.data.files.pictures import inside, read_picture
from handvae.data.hands import DataSpec, Hands, Sides
from handvae.errors import UserError
from handvae.hand import BONES, JOINT_NAMES, LEFT, RIGHT

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Side = Annotated[int, Field(gt=0, le=1_000_000)]
KEPT_BYTES = 2**28
"""Decoded pictures that a reader keeps in memory."""
OUTSIDE_SHARE = 0.1
"""A labelled joint may lie outside its picture by this share of the picture's larger side; farther out it is
an error."""


class _Picture(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    id: int
    file_name: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    width: Side
    height: Side
    split: str | None = None
    person: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    gesture: str | None = None
    digit: Annotated[int, Field(ge=0, le=99)] | None = None
    provenance: dict[str, Any] | None = None

    @property
    def posed(self) -> str:
        """The name of the gesture; empty where it has none."""
        return self.gesture or ("" if self.digit is None else str(self.digit))


class _Licence(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    name: str = ""


class _Annotation(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    id: int
    image_id: int
    keypoints: list[Number]
    keypoints_3d: list[Annotated[list[Number], Field(min_length=3, max_length=3)]] | None = None
    hand_side: Literal["left", "right"] = "right"
    root_mm: Annotated[list[Number], Field(min_length=3, max_length=3)] | None = None
    camera: Annotated[list[Number], Field(min_length=9, max_length=9)] | None = None
    keypoints_spread: list[Annotated[Number, Field(ge=0)]] | None = None


@dataclass(frozen=True)
class Problem:
    """One fault in a data set."""

    where: str
    fault: str
    remedy: str
    fatal: bool = True
    """False for a label that is unusual but can be used."""

    def error(self) -> UserError:
        """The same as an exception."""
        return UserError(self.where, self.fault, self.remedy)


class _Frame(NamedTuple):
    """What is kept of a picture."""

    name: str
    width: int
    height: int
    split: str
    person: int | None
    gesture: str
    provenance: str


@dataclass
class _Content:
    """What is kept of an annotation file: flat arrays, for there may be millions of hands."""

    pictures: dict[int, _Frame] = field(default_factory=dict)
    licences: list[str] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=list)
    """Of the rows."""
    columns: dict[str, array] = field(default_factory=lambda: {name: array("f") for name in _WIDTHS})
    sides: array = field(default_factory=lambda: array("b"))

    def add(self, row: _Annotation) -> None:
        """A row for one hand."""
        self.frames.append(self.pictures[row.image_id])
        self.sides.append(RIGHT if row.hand_side == "right" else LEFT)
        for name, column in self.columns.items():
            values = getattr(row, name) or ()
            column.extend(chain.from_iterable(values) if name == "keypoints_3d" else values)

    @property
    def gestures(self) -> tuple[str, ...]:
        """Names of the gestures of all pictures, whatever their split."""
        return tuple(sorted({picture.gesture for picture in self.pictures.values() if picture.gesture}))

    def column(self, name: str) -> Float[Tensor, "row number"] | None:
        """One label of all hands, or None where a hand lacks it."""
        values, width = self.columns[name], _WIDTHS[name]
        return (
            torch.from_numpy(np.array(values, np.float32)).reshape(-1, width)
            if len(values) == width * len(self.frames)
            else None
        )


_WIDTHS = {"keypoints": 63, "keypoints_3d": 63, "root_mm": 3, "camera": 9, "keypoints_spread": 21}
"""Numbers a hand."""


class CocoHands(HandData):
    """A COCO-keypoints folder; the annotation is read once, hand by hand, pictures when they are asked for.

    Args:
        root: the folder, or its annotation file.
        split: keep only pictures whose `split` field is this; None keeps all.

    Raises:
        UserError: on the first fault (`check_coco` lists them all).
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        self.root, self.annotation_path = _locate(root)
        self.split = split
        content = _Content()
        for found in _annotations(self.annotation_path, content):
            if isinstance(found, _Annotation):
                if split is None or content.pictures[found.image_id].split == split:
                    content.add(found)
            elif found.fatal:
                raise found.error()
        frames = content.frames
        if not frames:
            splits = sorted({picture.split for picture in content.pictures.values() if picture.split})
            known = f"it has {', '.join(splits)}" if splits else "its pictures have no `split` field"
            fault = f"holds no hand of split {split!r}" if split else "holds no hand"
            remedy = f"{known}; `split None` reads all" if split else "add annotations"
            raise UserError(self.annotation_path, fault, remedy)
        self._splits = tuple(frame.split for frame in frames)
        self._origins = tuple(frame.provenance for frame in frames)
        self.file_names = tuple(frame.name for frame in frames)
        for name in self.file_names:  # found now, not after an hour of training
            if not inside(self.root, name).is_file():
                raise UserError(self.root / name, "no such picture", "add it, or remove its annotations")
        self._labels, root_kind = _labels(content)
        # a small set is decoded once; a large one keeps its first pictures, which shuffled reading uses as
        # well as any others
        self._kept: dict[str, UInt8[np.ndarray, "height width 3"]] = {}
        self._kept_bytes = 0
        sides: set[Sides] = {"right" if side == RIGHT else "left" for side in content.sides}
        self.spec = DataSpec(
            name=self.root.name,
            count=len(frames),
            size_px=0,  # pictures as they are; a view sets the crop's size
            modalities=("image", *(name for name, _ in self._labels.items())),
            sides="both" if len(sides) > 1 else sides.pop(),
            root=root_kind,
            gestures=content.gestures,
            licence=", ".join(content.licences[:3]),
        )

    def __len__(self) -> int:
        return len(self.file_names)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels without pixels; `joints_2d` in pixels of the whole picture."""
        return self._labels[rows]

    def name(self, row: int) -> str:
        """The picture's file name."""
        return self.file_names[row]

    def split_of(self, row: int) -> str:
        """The picture's `split` field."""
        return self._splits[row]

    def provenance_of(self, row: int) -> str:
        """The picture's `provenance` field, as JSON."""
        return self._origins[row]

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        name = self.file_names[row]
        pixels = self._kept.get(name)
        if pixels is None:
            pixels = read_picture(inside(self.root, name))
            if self._kept_bytes + pixels.nbytes <= KEPT_BYTES:
                self._kept[name] = pixels
                self._kept_bytes += pixels.nbytes
        return pixels


def check_coco(root: Path) -> list[Problem]:
    """Every fault of a COCO-keypoints folder, pictures included."""
    folder, path = _locate(root)
    content = _Content()
    problems: list[Problem] = []
    hands = 0
    for found in _annotations(path, content):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            hands += 1
    if not hands and not problems:
        problems.append(Problem(str(path), "holds no hand", "add annotations"))
    for number, picture in content.pictures.items():
        try:
            height, width = read_picture(inside(folder, picture.name)).shape[:2]
        except UserError as error:
            problems.append(Problem(error.where, error.fault, error.remedy))
            continue
        if (width, height) != (picture.width, picture.height):
            fault = f"is {width} x {height} px, image {number} says {picture.width} x {picture.height}"
            problems.append(
                Problem(picture.name, fault, "mend width and height, and with them the keypoints")
            )
    return problems


def _locate(root: Path) -> tuple[Path, Path]:
    if root.is_file():
        return root.parent, root
    path = root / "annotations.json"
    if not path.is_file():
        there = [other.name for other in root.glob("*.json") if other.is_file()]
        found = difflib.get_close_matches("annotations.json", there, cutoff=0)
        give = "give a folder with annotations.json and the pictures it names, or a data set of docs/data.md in its own layout"
        hint = f"did you mean {root / found[0]}?" if found else give
        raise UserError(root, "no annotations.json there" if root.is_dir() else "no such folder", hint)
    return root, path


def _annotations(path: Path, content: _Content) -> Iterator[_Annotation | Problem]:
    """The sound annotations of a file and the faults of it, one at a time; pictures and licences go into
    `content` on the way."""
    where = str(path)
    waiting: list[_Annotation] = []  # those that stand before their pictures: in most files, none
    seen: set[int] = set()
    for part, key, value in members(path):
        if part not in _PARTS or not isinstance(key, int):
            continue
        try:
            entry = _PARTS[part].model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            named = ".".join(str(step) for step in (part, key, *first["loc"]))
            raise UserError(path, f"{named}: {first['msg']}", "mend that field") from error
        match entry:
            case _Licence():
                content.licences += [entry.name] if entry.name else []
            case _Picture():
                if entry.id in content.pictures:
                    yield Problem(where, f"two images have the id {entry.id}", "give each image its own id")
                require_few(path, "pictures", len(content.pictures) + 1)
                origin = "" if entry.provenance is None else json.dumps(entry.provenance)
                frame = _Frame(
                    entry.file_name,
                    entry.width,
                    entry.height,
                    entry.split or "",
                    entry.person,
                    entry.posed,
                    origin,
                )
                content.pictures[entry.id] = frame
            case _Annotation():
                if entry.id in seen:
                    yield Problem(
                        where, f"two annotations have the id {entry.id}", "give each annotation its own id"
                    )
                seen.add(entry.id)
                require_few(path, "hands", len(seen))
                if entry.image_id in content.pictures:
                    yield from _checked(where, entry, content)
                else:
                    waiting.append(entry)
    if not content.pictures:
        raise UserError(
            path,
            "images: at least one picture is required",
            "give COCO keypoints: lists `images` and `annotations`",
        )
    for entry in waiting:
        yield from _checked(where, entry, content)


_PARTS: dict[str, type[BaseModel]] = {"licenses": _Licence, "images": _Picture, "annotations": _Annotation}


def _checked(where: str, row: _Annotation, content: _Content) -> Iterator[_Annotation | Problem]:
    """The faults of an annotation, and itself unless one is fatal."""
    problems = list(_problems(where, row, content.pictures.get(row.image_id)))
    yield from problems
    if not any(problem.fatal for problem in problems):
        yield row


def _problems(where: str, row: _Annotation, picture: _Frame | None) -> Iterator[Problem]:
    name = f"annotation {row.id}"
    if picture is None:
        yield Problem(
            where,
            f"{name}: image_id {row.image_id} is not in images",
            "add the image or remove the annotation",
        )
    elif len(row.keypoints) != 3 * len(JOINT_NAMES):
        yield Problem(
            where, f"{name}: keypoints has {len(row.keypoints)} numbers", "give 21 triples x, y, visibility"
        )
    elif row.keypoints_3d is not None and len(row.keypoints_3d) != len(JOINT_NAMES):
        fault = f"{name}: keypoints_3d has {len(row.keypoints_3d)} joints"
        yield Problem(where, fault, "give 21 triples in mm, or leave the field out")
    elif row.keypoints_spread is not None and len(row.keypoints_spread) != len(JOINT_NAMES):
        fault = f"{name}: keypoints_spread has {len(row.keypoints_spread)} numbers"
        yield Problem(where, fault, "give 21 in px, or leave the field out")
    else:
        yield from _joint_problems(where, name, row, picture)


def _joint_problems(where: str, name: str, row: _Annotation, picture: _Frame) -> Iterator[Problem]:
    """Faults of one hand's keypoints."""
    joints = np.array(row.keypoints).reshape(-1, 3)
    labelled = joints[:, 2] > 0
    name = f"{name} ({picture.name})"
    if labelled.sum() < 2:
        yield Problem(
            where,
            f"{name}: keypoints has {labelled.sum()} labelled joints",
            "label at least two, or remove the annotation",
        )
        return
    size = np.array([picture.width, picture.height])
    beyond = np.maximum(-joints[:, :2], joints[:, :2] - size).max(axis=1) * labelled
    worst = int(beyond.argmax())
    if beyond[worst] > 0:
        x, y = joints[worst, :2]
        fault = f"{name}: keypoint {JOINT_NAMES[worst]} at ({x:g}, {y:g}) lies outside the {size[0]} x {size[1]} px picture"
        yield Problem(
            where,
            fault,
            "mend it or set its visibility to 0",
            fatal=bool(beyond[worst] > OUTSIDE_SHARE * size.max()),
        )
    extent = np.ptp(joints[labelled, :2], axis=0)
    if extent.max() < 1:
        yield Problem(
            where,
            f"{name}: all keypoints lie on one point (to a pixel)",
            "mend them or remove the annotation",
        )
        return
    lengths = {
        child: math.dist(joints[parent, :2], joints[child, :2])
        for parent, child in BONES
        if labelled[parent] and labelled[child]
    }
    longest = max(lengths, key=lambda child: lengths[child], default=0)
    # a bone that spans nearly the whole hand while the hand has many joints labelled is a slipped label, not
    # a pose
    if labelled.all() and lengths[longest] > 0.85 * math.hypot(*extent):
        yield Problem(
            where,
            f"{name}: the bone to {JOINT_NAMES[longest]} is as long as the hand",
            "look at its keypoints",
            fatal=False,
        )


def _tells_visible(flags: Float[Tensor, "row joint"]) -> bool:
    """Whether the flags tell hidden joints from seen ones; some tools write 1, others 2 for every labelled
    joint."""
    return bool((flags == 1).any()) and bool((flags == 2).any())


def _labels(content: _Content) -> tuple[Hands, Literal["camera", "wrist"]]:
    """The labels, and where the origin of the joints in space lies."""
    joints = content.column("keypoints")
    assert joints is not None  # every row has them
    joints = joints.unflatten(1, (21, 3))
    solid, roots, cameras = (content.column(name) for name in ("keypoints_3d", "root_mm", "camera"))
    solid = None if solid is None else solid.unflatten(1, (21, 3))
    in_camera_frame = False
    if solid is not None and roots is not None and cameras is not None:
        solid, in_camera_frame = solid + roots[:, None], True
    people = [frame.person for frame in content.frames]
    places = {"": -1} | {name: place for place, name in enumerate(content.gestures)}
    hands = Hands(
        joints_2d=joints[..., :2].contiguous(),
        joint_valid=joints[..., 2] > 0,
        joint_visible=joints[..., 2] > 1 if _tells_visible(joints[..., 2]) else None,
        joint_spread=content.column("keypoints_spread"),
        joints_3d=solid,
        intrinsics=None if cameras is None else cameras.unflatten(1, (3, 3)),
        side=torch.from_numpy(np.array(content.sides, np.int64)),
        subject=torch.tensor(people) if all(person is not None for person in people) else None,
        gesture=torch.tensor([places[frame.gesture] for frame in content.frames])
        if len(places) > 1
        else None,
    )
    return hands, "camera" if in_camera_frame else "wrist"
