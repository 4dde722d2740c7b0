"""COCO keypoints: the format of `photos` and of anybody's own pictures.

A folder holds `annotations.json` and the pictures that it names. One annotation is one hand: 21 triples
(x px, y px, visibility) in `keypoints`. Visibility is 0 for an unlabelled joint, 1 for a hidden one, 2 for
a visible one. Optional fields:

    of an annotation
        keypoints_3d         21 x 3 mm, relative to the wrist
        root_mm, camera      the wrist in the camera frame, and nine intrinsics; with both, `keypoints_3d` is
                             moved into the camera frame
        hand_side            `left` or `right`
        keypoints_spread     21 standard deviations, px
    of a picture
        split, person        a word; a number
        gesture              a word; or `digit`, a number, as of sign language
        provenance           any object
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
from handvae.data.files.json import first_fault, members
from handvae.data.files.pictures import inside, read_picture
from handvae.data.hands import DataSpec, Hands, sides_shown
from handvae.errors import UserError
from handvae.hand import BONES, JOINT_NAMES, LEFT, RIGHT

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Side = Annotated[int, Field(gt=0, le=1_000_000)]
KEPT_BYTES = 2**28
"""Decoded pictures that a reader keeps in memory."""
OUTSIDE_SHARE = 0.1
"""A labelled joint may lie outside its picture by this share of the picture's larger side; farther out it is
an error."""
LONGEST_BONE = 0.85
"""Length of a bone over the diagonal of the hand's box, above which a label has slipped."""

_COLUMNS = {"keypoints": 63, "keypoints_3d": 63, "root_mm": 3, "camera": 9, "keypoints_spread": 21}
"""Labels that are kept as flat arrays, and how many numbers each has for one hand."""


# ------------------------------------------------------------------------------------------- the file's form


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
    def gesture_name(self) -> str:
        """The name of the gesture; empty where it has none."""
        if self.gesture:
            return self.gesture
        return "" if self.digit is None else str(self.digit)


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


_LISTS: dict[str, type[BaseModel]] = {"licenses": _Licence, "images": _Picture, "annotations": _Annotation}


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


# ------------------------------------------------------------------------------------------- what is kept


class _PictureRecord(NamedTuple):
    """What is kept of a picture."""

    name: str
    width: int
    height: int
    split: str
    person: int | None
    gesture: str
    provenance: str


@dataclass
class _Table:
    """What is kept of an annotation file: flat arrays, for there may be millions of hands."""

    pictures: dict[int, _PictureRecord] = field(default_factory=dict)
    """By the picture's id."""
    licences: list[str] = field(default_factory=list)
    picture_of_row: list[_PictureRecord] = field(default_factory=list)
    columns: dict[str, array] = field(default_factory=lambda: {name: array("f") for name in _COLUMNS})
    sides: array = field(default_factory=lambda: array("b"))

    def add(self, annotation: _Annotation) -> None:
        """Append a row for one hand."""
        self.picture_of_row.append(self.pictures[annotation.image_id])
        self.sides.append(RIGHT if annotation.hand_side == "right" else LEFT)
        for name, column in self.columns.items():
            values = getattr(annotation, name) or ()
            column.extend(chain.from_iterable(values) if name == "keypoints_3d" else values)

    @property
    def gestures(self) -> tuple[str, ...]:
        """Names of the gestures of all pictures, whatever their split."""
        return tuple(sorted({picture.gesture for picture in self.pictures.values() if picture.gesture}))

    def column(self, name: str) -> Float[Tensor, "row number"] | None:
        """One label of all hands, or None where a hand lacks it."""
        # a label that only some hands have would leave holes: all or none
        values = self.columns[name]
        width = _COLUMNS[name]
        if len(values) != width * len(self.picture_of_row):
            return None
        return torch.from_numpy(np.array(values, np.float32)).reshape(-1, width)

    def labels(self) -> tuple[Hands, Literal["camera", "wrist"]]:
        """The labels of all rows, and where the origin of the 3D joints lies."""
        keypoints = self.column("keypoints")
        assert keypoints is not None, "every row has keypoints"
        keypoints = keypoints.unflatten(1, (21, 3))
        flags = keypoints[..., 2]
        # some tools write 1, others 2 for every labelled joint: only a file with both tells hidden joints
        tells_visible = bool((flags == 1).any()) and bool((flags == 2).any())

        joints_3d = self.column("keypoints_3d")
        roots = self.column("root_mm")
        cameras = self.column("camera")
        in_camera_frame = joints_3d is not None and roots is not None and cameras is not None

        if joints_3d is not None:
            joints_3d = joints_3d.unflatten(1, (21, 3))
            if roots is not None and in_camera_frame:
                # X_camera = X_wrist + root
                joints_3d = joints_3d + roots[:, None]

        people = [picture.person for picture in self.picture_of_row]
        people_known = all(person is not None for person in people)
        gestures = None
        if self.gestures:
            # counted over all splits, so that a gesture has one number in train and test
            numbers = {"": -1} | {name: number for number, name in enumerate(self.gestures)}
            gestures = torch.tensor([numbers[picture.gesture] for picture in self.picture_of_row])

        labels = Hands(
            joints_2d=keypoints[..., :2].contiguous(),
            joint_valid=flags > 0,
            joint_visible=flags > 1 if tells_visible else None,
            joint_spread=self.column("keypoints_spread"),
            joints_3d=joints_3d,
            intrinsics=None if cameras is None else cameras.unflatten(1, (3, 3)),
            side=torch.from_numpy(np.array(self.sides, np.int64)),
            subject=torch.tensor(people) if people_known else None,
            gesture=gestures,
        )
        return labels, "camera" if in_camera_frame else "wrist"


# ------------------------------------------------------------------------------------------- the reader


class CocoHands(HandData):
    """A COCO-keypoints folder; annotations are read once, hand by hand, pictures on demand.

    Args:
        root: the folder, or its annotation file.
        split: keep only pictures whose `split` field is this; None keeps all.

    Raises:
        UserError: on the first fault (`check_coco` lists them all).
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        self.root, self.annotation_path = _locate(root)
        self.split = split
        table = _Table()

        for item in _annotations(self.annotation_path, table):
            if isinstance(item, _Annotation):
                if split is None or table.pictures[item.image_id].split == split:
                    table.add(item)
            elif item.fatal:
                raise item.error()

        pictures = table.picture_of_row
        if not pictures:
            raise _no_hand(self.annotation_path, split, table)

        self._splits = tuple(picture.split for picture in pictures)
        self._provenance = tuple(picture.provenance for picture in pictures)
        self.file_names = tuple(picture.name for picture in pictures)
        # a missing picture is reported now, not after an hour of training
        for name in self.file_names:
            if not inside(self.root, name).is_file():
                raise UserError(self.root / name, "no such picture", "add it, or remove its annotations")

        # a small set is decoded once; a large one keeps its first pictures, which serve shuffled reading
        # as well as any others
        self._kept: dict[str, UInt8[np.ndarray, "height width 3"]] = {}
        self._kept_bytes = 0

        self._labels, root_kind = table.labels()
        self.spec = DataSpec(
            name=self.root.name,
            count=len(pictures),
            size_px=0,  # whole pictures: the crop sets the size
            modalities=("image", *(name for name, _ in self._labels.items())),
            sides=sides_shown(self._labels.side),
            root=root_kind,
            gestures=table.gestures,
            licence=", ".join(table.licences[:3]),
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
        return self._provenance[row]

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
    table = _Table()
    problems: list[Problem] = []
    hands = 0

    for item in _annotations(path, table):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            hands += 1

    if not hands and not problems:
        problems.append(Problem(str(path), "holds no hand", "add annotations"))

    for number, picture in table.pictures.items():
        try:
            height, width = read_picture(inside(folder, picture.name)).shape[:2]
        except UserError as error:
            problems.append(Problem(error.where, error.fault, error.remedy))
            continue

        if (width, height) != (picture.width, picture.height):
            fault = f"is {width} x {height} px, image {number} says {picture.width} x {picture.height}"
            remedy = "mend width and height, and with them the keypoints"
            problems.append(Problem(picture.name, fault, remedy))

    return problems


def _locate(root: Path) -> tuple[Path, Path]:
    """The data set's folder and its annotation file."""
    if root.is_file():
        return root.parent, root

    path = root / "annotations.json"
    if path.is_file():
        return root, path

    names = [other.name for other in root.glob("*.json") if other.is_file()]
    similar = difflib.get_close_matches("annotations.json", names, cutoff=0)
    remedy = (
        "give a folder with annotations.json and the pictures it names, "
        "or a data set of docs/data.md in its own layout"
    )
    if similar:
        remedy = f"did you mean {root / similar[0]}?"

    raise UserError(root, "has no annotations.json" if root.is_dir() else "no such folder", remedy)


def _no_hand(path: Path, split: str | None, table: _Table) -> UserError:
    if not split:
        return UserError(path, "holds no hand", "add annotations")
    splits = sorted({picture.split for picture in table.pictures.values() if picture.split})
    available = f"it has {', '.join(splits)}" if splits else "its pictures have no `split` field"
    return UserError(path, f"holds no hand of split {split!r}", f"{available}; `split None` reads all")


# ------------------------------------------------------------------------------------------- faults


def _annotations(path: Path, table: _Table) -> Iterator[_Annotation | Problem]:
    """The sound annotations of a file and its faults, one at a time.

    Pictures and licences go into `table` on the way.
    """
    where = str(path)
    ids: set[int] = set()
    # annotations that stand before their pictures: in most files, none
    waiting: list[_Annotation] = []

    for part, key, value in members(path):
        if part not in _LISTS or not isinstance(key, int):
            continue

        try:
            entry = _LISTS[part].model_validate(value)
        except ValidationError as error:
            raise UserError(path, first_fault(error, part, key), "mend that field") from error

        match entry:
            case _Licence():
                if entry.name:
                    table.licences.append(entry.name)
            case _Picture():
                if entry.id in table.pictures:
                    yield Problem(where, f"two images have the id {entry.id}", "give each image its own id")
                require_few(path, "pictures", len(table.pictures) + 1)
                table.pictures[entry.id] = _record(entry)
            case _Annotation():
                if entry.id in ids:
                    fault = f"two annotations have the id {entry.id}"
                    yield Problem(where, fault, "give each annotation its own id")

                ids.add(entry.id)
                require_few(path, "hands", len(ids))
                if entry.image_id in table.pictures:
                    yield from _checked(where, entry, table)
                else:
                    waiting.append(entry)

    if not table.pictures:
        fault = "images: at least one picture is required"
        raise UserError(path, fault, "give COCO keypoints: lists `images` and `annotations`")

    # now that all pictures are read
    for entry in waiting:
        yield from _checked(where, entry, table)


def _record(picture: _Picture) -> _PictureRecord:
    return _PictureRecord(
        name=picture.file_name,
        width=picture.width,
        height=picture.height,
        split=picture.split or "",
        person=picture.person,
        gesture=picture.gesture_name,
        provenance="" if picture.provenance is None else json.dumps(picture.provenance),
    )


def _checked(where: str, annotation: _Annotation, table: _Table) -> Iterator[_Annotation | Problem]:
    """The faults of an annotation, and itself unless one is fatal."""
    problems = list(_problems(where, annotation, table.pictures.get(annotation.image_id)))
    yield from problems
    if not any(problem.fatal for problem in problems):
        yield annotation


def _problems(where: str, annotation: _Annotation, picture: _PictureRecord | None) -> Iterator[Problem]:
    """Faults of one annotation: first of its form, then of its joints."""
    name = f"annotation {annotation.id}"
    joints = len(JOINT_NAMES)
    solid = annotation.keypoints_3d
    spread = annotation.keypoints_spread

    if picture is None:
        fault = f"{name}: image_id {annotation.image_id} is not in images"
        yield Problem(where, fault, "add the image or remove the annotation")
    elif len(annotation.keypoints) != 3 * joints:
        fault = f"{name}: keypoints has {len(annotation.keypoints)} numbers"
        yield Problem(where, fault, "give 21 triples x, y, visibility")
    elif solid is not None and len(solid) != joints:
        fault = f"{name}: keypoints_3d has {len(solid)} joints"
        yield Problem(where, fault, "give 21 triples in mm, or leave the field out")
    elif spread is not None and len(spread) != joints:
        fault = f"{name}: keypoints_spread has {len(spread)} numbers"
        yield Problem(where, fault, "give 21 in px, or leave the field out")
    else:
        yield from _joint_problems(where, f"{name} ({picture.name})", annotation, picture)


def _joint_problems(
    where: str, name: str, annotation: _Annotation, picture: _PictureRecord
) -> Iterator[Problem]:
    """Faults of one hand's keypoints."""
    joints = np.array(annotation.keypoints).reshape(-1, 3)
    labelled = joints[:, 2] > 0
    if labelled.sum() < 2:
        fault = f"{name}: keypoints has {labelled.sum()} labelled joints"
        yield Problem(where, fault, "label at least two, or remove the annotation")
        return

    # labelled joints outside the picture: a little is drawn too far, a lot is wrong
    size = np.array([picture.width, picture.height])
    # px beyond the nearest edge; negative inside, 0 where not labelled
    outside = np.maximum(-joints[:, :2], joints[:, :2] - size).max(axis=1) * labelled
    worst = int(outside.argmax())
    if outside[worst] > 0:
        x, y = joints[worst, :2]
        place = f"at ({x:g}, {y:g}) lies outside the {size[0]} x {size[1]} px picture"
        fault = f"{name}: keypoint {JOINT_NAMES[worst]} {place}"
        fatal = bool(outside[worst] > OUTSIDE_SHARE * size.max())
        yield Problem(where, fault, "mend it or set its visibility to 0", fatal)

    extent = np.ptp(joints[labelled, :2], axis=0)
    if extent.max() < 1:
        fault = f"{name}: all keypoints lie on one point (to a pixel)"
        yield Problem(where, fault, "mend them or remove the annotation")
        return

    # a bone nearly as long as a fully labelled hand is a slipped label, not a pose
    lengths = {
        child: math.dist(joints[parent, :2], joints[child, :2])
        for parent, child in BONES
        if labelled[parent] and labelled[child]
    }
    longest = max(lengths, key=lambda child: lengths[child], default=0)
    if labelled.all() and lengths[longest] > LONGEST_BONE * math.hypot(*extent):
        fault = f"{name}: the bone to {JOINT_NAMES[longest]} is as long as the hand"
        yield Problem(where, fault, "look at its keypoints", fatal=False)
