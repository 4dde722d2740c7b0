"""COCO keypoints: the format of `photos` and of anybody's own pictures.

A folder holds `annotations.json` and the pictures it names. One annotation is one hand: 21 triples (x px, y px, visibility) in `keypoints`;
visibility is 0 for an unlabelled joint, 1 for a hidden one, 2 for one that is seen. Optional and understood: `keypoints_3d` (21 x 3 mm,
root-relative), `hand_side`, `keypoints_spread` (21 px), `root_mm` and `camera` (the wrist in the camera frame and nine intrinsics: together
they put `keypoints_3d` before the camera), and on the picture `split`, `person` and `provenance` (any object).
"""

import difflib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from handvae.data.hands import DataSpec, Hands, Sides
from handvae.data.pictures import inside, read_picture
from handvae.data.reader import HandData
from handvae.errors import UserError
from handvae.hand import BONES, JOINT_NAMES, LEFT, RIGHT

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Side = Annotated[int, Field(gt=0, le=1_000_000)]
KEPT_BYTES = 2**28
"""Decoded pictures that a reader keeps in memory."""
OUTSIDE_SHARE = 0.1
"""A labelled joint may lie outside its picture by this share of the picture's larger side; farther out it is an error."""


class _Picture(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    id: int
    file_name: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    width: Side
    height: Side
    split: str | None = None
    person: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    provenance: dict[str, Any] | None = None


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


class _File(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    images: list[_Picture]
    annotations: list[_Annotation]


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


class CocoHands(HandData):
    """A COCO-keypoints folder; the annotation is read once, pictures when they are asked for.

    Args:
        root: the folder, or its annotation file.
        split: keep only pictures whose `split` field is this; None keeps all.

    Raises:
        UserError: on the first fault (`check_coco` lists them all).
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        self.root, self.annotation_path = _locate(root)
        self.split = split
        content = _parse(self.annotation_path)
        for problem in _problems(self.annotation_path, content):
            if problem.fatal:
                raise problem.error()
        pictures = {picture.id: picture for picture in content.images}
        splits = sorted({picture.split for picture in content.images if picture.split})
        rows = [a for a in content.annotations if split is None or pictures[a.image_id].split == split]
        if not rows:
            known = f"it has {', '.join(splits)}" if splits else "its pictures have no `split` field"
            fault = f"holds no hand of split {split!r}" if split else "holds no hand"
            remedy = f"{known}; `split None` reads all" if split else "add annotations"
            raise UserError(self.annotation_path, fault, remedy)
        self._splits = tuple(pictures[row.image_id].split or "" for row in rows)
        self._origins = tuple("" if (o := pictures[row.image_id].provenance) is None else json.dumps(o) for row in rows)
        self.file_names = tuple(pictures[row.image_id].file_name for row in rows)
        for name in self.file_names:  # found now, not after an hour of training
            if not inside(self.root, name).is_file():
                raise UserError(self.root / name, "no such picture", "add it, or remove its annotations")
        self._labels = _labels(rows, pictures)
        # a small set is decoded once; a large one keeps its first pictures, which shuffled reading uses as well as any others
        self._kept: dict[str, UInt8[np.ndarray, "height width 3"]] = {}
        self._kept_bytes = 0
        sides: set[Sides] = {row.hand_side for row in rows}
        self.spec = DataSpec(
            name=self.root.name,
            count=len(rows),
            size_px=0,  # pictures as they are; a view sets the crop's size
            modalities=("image", *(name for name, _ in self._labels.items())),
            sides="both" if len(sides) > 1 else sides.pop(),
            root="camera" if _before_camera(rows) else "wrist",
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
    content = _parse(path)
    problems = list(_problems(path, content))
    if not content.annotations:
        problems.append(Problem(str(path), "holds no hand", "add annotations"))
    for picture in content.images:
        try:
            height, width = read_picture(inside(folder, picture.file_name)).shape[:2]
        except UserError as error:
            problems.append(Problem(error.where, error.fault, error.remedy))
            continue
        if (width, height) != (picture.width, picture.height):
            fault = f"is {width} x {height} px, image {picture.id} says {picture.width} x {picture.height}"
            problems.append(Problem(picture.file_name, fault, "mend width and height, and with them the keypoints"))
    return problems


def _locate(root: Path) -> tuple[Path, Path]:
    if root.is_file():
        return root.parent, root
    path = root / "annotations.json"
    if not path.is_file():
        there = [other.name for other in root.glob("*.json") if other.is_file()]
        found = difflib.get_close_matches("annotations.json", there, cutoff=0)
        hint = (
            f"did you mean {root / found[0]}?"
            if found
            else "give a folder with annotations.json and the pictures it names, or a data set of docs/data.md in its own layout"
        )
        raise UserError(root, "no annotations.json there" if root.is_dir() else "no such folder", hint)
    return root, path


def _parse(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the file") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UserError(path, f"{field}: {first['msg']}{more}", "mend that field") from error


def _problems(path: Path, content: _File) -> Iterator[Problem]:
    """Faults of the annotation file itself."""
    where = str(path)
    pictures: dict[int, _Picture] = {}
    for picture in content.images:
        if picture.id in pictures:
            yield Problem(where, f"two images have the id {picture.id}", "give each image its own id")
        pictures[picture.id] = picture
    seen: set[int] = set()
    for row in content.annotations:
        name = f"annotation {row.id}"
        if row.id in seen:
            yield Problem(where, f"two annotations have the id {row.id}", "give each annotation its own id")
        seen.add(row.id)
        if row.image_id not in pictures:
            yield Problem(where, f"{name}: image_id {row.image_id} is not in images", "add the image or remove the annotation")
        elif len(row.keypoints) != 3 * len(JOINT_NAMES):
            yield Problem(where, f"{name}: keypoints has {len(row.keypoints)} numbers", "give 21 triples x, y, visibility")
        elif row.keypoints_3d is not None and len(row.keypoints_3d) != len(JOINT_NAMES):
            yield Problem(
                where, f"{name}: keypoints_3d has {len(row.keypoints_3d)} joints", "give 21 triples in mm, or leave the field out"
            )
        elif row.keypoints_spread is not None and len(row.keypoints_spread) != len(JOINT_NAMES):
            yield Problem(
                where, f"{name}: keypoints_spread has {len(row.keypoints_spread)} numbers", "give 21 in px, or leave the field out"
            )
        else:
            yield from _joint_problems(where, name, row, pictures[row.image_id])


def _joint_problems(where: str, name: str, row: _Annotation, picture: _Picture) -> Iterator[Problem]:
    """Faults of one hand's keypoints."""
    joints = np.array(row.keypoints).reshape(-1, 3)
    labelled = joints[:, 2] > 0
    name = f"{name} ({picture.file_name})"
    if labelled.sum() < 2:
        yield Problem(where, f"{name}: keypoints has {labelled.sum()} labelled joints", "label at least two, or remove the annotation")
        return
    size = np.array([picture.width, picture.height])
    beyond = np.maximum(-joints[:, :2], joints[:, :2] - size).max(axis=1) * labelled
    worst = int(beyond.argmax())
    if beyond[worst] > 0:
        x, y = joints[worst, :2]
        fault = f"{name}: keypoint {JOINT_NAMES[worst]} at ({x:g}, {y:g}) lies outside the {size[0]} x {size[1]} px picture"
        yield Problem(where, fault, "mend it or set its visibility to 0", fatal=bool(beyond[worst] > OUTSIDE_SHARE * size.max()))
    extent = np.ptp(joints[labelled, :2], axis=0)
    if extent.max() < 1:
        yield Problem(where, f"{name}: all keypoints lie on one point (to a pixel)", "mend them or remove the annotation")
        return
    lengths = {child: math.dist(joints[parent, :2], joints[child, :2]) for parent, child in BONES if labelled[parent] and labelled[child]}
    longest = max(lengths, key=lambda child: lengths[child], default=0)
    # a bone that spans nearly the whole hand while the hand has many joints labelled is a slipped label, not a pose
    if labelled.all() and lengths[longest] > 0.85 * math.hypot(*extent):
        yield Problem(where, f"{name}: the bone to {JOINT_NAMES[longest]} is as long as the hand", "look at its keypoints", fatal=False)


def _before_camera(rows: list[_Annotation]) -> bool:
    """Whether every hand says where it is before which camera."""
    return all(row.keypoints_3d is not None and row.root_mm is not None and row.camera is not None for row in rows)


def _numbers(values: list[Any]) -> Float[Tensor, "row ..."] | None:
    """One label of all hands, or None where a hand lacks it."""
    return None if any(value is None for value in values) else torch.tensor(values, dtype=torch.float32)


def _tells_visible(flags: Float[Tensor, "row joint"]) -> bool:
    """Whether the flags tell hidden joints from seen ones; some tools write 1, others 2 for every labelled joint."""
    return bool((flags == 1).any()) and bool((flags == 2).any())


def _labels(rows: list[_Annotation], pictures: dict[int, _Picture]) -> Hands:
    joints = torch.tensor([row.keypoints for row in rows], dtype=torch.float32).reshape(len(rows), -1, 3)
    solid = _numbers([row.keypoints_3d for row in rows])
    cameras = _numbers([row.camera for row in rows])
    if solid is not None and _before_camera(rows):
        solid = solid + torch.tensor([row.root_mm for row in rows])[:, None]
    people = [pictures[row.image_id].person for row in rows]
    return Hands(
        joints_2d=joints[..., :2].contiguous(),
        joint_valid=joints[..., 2] > 0,
        joint_visible=joints[..., 2] > 1 if _tells_visible(joints[..., 2]) else None,
        joint_spread=_numbers([row.keypoints_spread for row in rows]),
        joints_3d=solid,
        intrinsics=None if cameras is None else cameras.unflatten(1, (3, 3)),
        side=torch.tensor([RIGHT if row.hand_side == "right" else LEFT for row in rows]),
        subject=torch.tensor(people) if all(person is not None for person in people) else None,
    )
