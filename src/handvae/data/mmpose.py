"""The JSON form in which open-mmlab/mmpose keeps hand data sets: COCO-WholeBody, OneHand10K, Panoptic, FreiHAND and RHD.

One JSON file with `images` and `annotations`, in the folder of the pictures or in its `annotations/`. COCO-WholeBody is the same file that
its authors publish: a person has `lefthand_kpts` and `righthand_kpts`, and each valid hand is a row. (InterHand2.6M's three files: see
`interhand`.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from handvae.data.coco import Number
from handvae.data.hands import DataSpec, Hands, Sides
from handvae.data.jsonfiles import members
from handvae.data.pictures import inside, read_picture
from handvae.data.reader import GIVE_ORIGINAL, HandData, pinhole
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, to_internal

UNKNOWN = -1
SPLIT_WORDS = {"train": ("train", "training"), "val": ("val", "validation"), "test": ("test", "evaluation", "eval")}
_Flat = Annotated[list[Number], Field(min_length=63, max_length=63)]
_Point = Annotated[list[Number], Field(min_length=3, max_length=3)]
_Points = Annotated[list[_Point], Field(min_length=21, max_length=21)]
_Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]


@dataclass(frozen=True)
class _Kind:
    """What is known of a data set whatever its file says."""

    authors: str
    licence: str
    side: Callable[[str], int]
    """From a picture's name to the hand's side."""


def _panoptic_side(name: str) -> int:
    return {"l": LEFT, "r": RIGHT}.get(Path(name).stem.rpartition("_")[2], UNKNOWN)


_KINDS = {
    "freihand": _Kind("https://lmb.informatik.uni-freiburg.de/projects/freihand", "research only", lambda name: RIGHT),
    "onehand10k": _Kind("https://www.yangangwang.com/papers/WANG-MCC-2018-10.html", "research only", lambda name: UNKNOWN),
    "panoptic": _Kind("http://domedb.perception.cs.cmu.edu/handdb.html", "non-commercial research", _panoptic_side),
    "rhd": _Kind(
        "https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html",
        "research only, no commercial use",
        lambda name: UNKNOWN,
    ),
    "coco-wholebody": _Kind("https://github.com/jin-s13/COCO-WholeBody", "labels non-commercial; pictures as COCO's", lambda name: UNKNOWN),
}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Camera(_Strict):
    focal: _Pair
    princpt: _Pair


class _Picture(_Strict):
    id: int
    file_name: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    cam_param: _Camera | None = None


class _Annotation(_Strict):
    id: int
    image_id: int
    keypoints: _Flat | _Points | list[Any] = []
    joint_cam: _Points | None = None
    hand_type: Literal["left", "right"] | None = None
    lefthand_kpts: _Flat | None = None
    righthand_kpts: _Flat | None = None
    lefthand_valid: bool = False
    righthand_valid: bool = False


@dataclass(frozen=True)
class _Row:
    image_id: int
    points: np.ndarray
    """(21, 3): x, y, labelled above 0."""
    side: int
    solid: np.ndarray | None = None
    """(21, 3) mm."""


def kind_named(text: str) -> str | None:
    """The data set that a text names, such as a file's name."""
    plain = text.lower().replace("_", "-")
    return next((kind for kind in _KINDS if kind in plain), None)


def find_annotation(root: Path, split: str | None) -> Path | None:
    """The one JSON file, of a split if one is given, that is named for its data set; in a folder or its `annotations/`."""
    if root.is_file():
        return root if kind_named(root.stem) else None
    found = sorted(path for folder in (root, root / "annotations") if folder.is_dir() for path in folder.glob("*.json"))
    found = [path for path in found if path.is_file() and kind_named(path.stem) and split in (None, _split_named(path.stem))]
    return found[0] if len(found) == 1 else None


def _split_named(text: str) -> str:
    words = set(text.lower().replace("-", "_").split("_"))
    return next((split for split, known in SPLIT_WORDS.items() if words & set(known)), "")


class MmposeHands(HandData):
    """One file of mmpose's form; read row by row, so that memory holds only the labels.

    Args:
        root: the folder, or the JSON file.
        split: a word in the file's name where a folder has several: `train`, `val` or `test`.

    Raises:
        UserError: the file is missing, ambiguous or faulty, or its pictures are not there.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        path = find_annotation(root, split)
        if path is None:
            which = f" of split {split!r}" if split else ""
            raise UserError(root, f"holds no single annotation file{which}", "name the file itself, or a split that its name says")
        pictures, rows, self._kind = _read(path)
        usable = [row for row in rows if (row.points[:, 2] > 0).sum() >= 2]
        if not usable:
            raise UserError(path, "holds no hand with two labelled joints", GIVE_ORIGINAL)
        if len(usable) < len(rows):
            self.remarks = (f"{len(rows) - len(usable):,} of {len(rows):,} hands have fewer than two labelled joints and are left out",)
        for row in usable:
            if row.image_id not in pictures:
                raise UserError(path, f"image_id {row.image_id} is not in images", GIVE_ORIGINAL)
        self._split = _split_named(path.stem)
        self._names = tuple(pictures[row.image_id].file_name for row in usable)
        self.root = _picture_folder(path, self._names[0], _KINDS[self._kind].authors)
        self._labels = _labels(usable, pictures, self._names, self._kind)
        side = self._labels.side
        sides: set[Sides] = set() if side is None else {"left" if value == LEFT else "right" for value in side.unique().tolist()}
        self.spec = DataSpec(
            name=self._kind,
            count=len(usable),
            size_px=0,
            modalities=("image", *(name for name, _ in self._labels.items())),
            sides=sides.pop() if len(sides) == 1 else "both",
            root="camera",
            licence=_KINDS[self._kind].licence,
        )

    def __len__(self) -> int:
        return len(self._names)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels without pixels; `side` is None where the data set does not tell it."""
        return self._labels[rows]

    def name(self, row: int) -> str:
        """The picture's file name."""
        return self._names[row]

    def split_of(self, row: int) -> str:
        """What the file's name says."""
        return self._split

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return read_picture(inside(self.root, self._names[row]))


def _read(path: Path) -> tuple[dict[int, _Picture], list[_Row], str]:
    pictures: dict[int, _Picture] = {}
    rows: list[_Row] = []
    seen: set[int] = set()
    described = kind = ""
    for part, key, value in members(path):
        try:
            if part == "images":
                picture = _Picture.model_validate(value)
                if picture.id in pictures:
                    raise UserError(path, f"two images have the id {picture.id}", GIVE_ORIGINAL)
                pictures[picture.id] = picture
            elif part == "annotations":
                annotation = _Annotation.model_validate(value)
                if annotation.id in seen:
                    raise UserError(path, f"two annotations have the id {annotation.id}", GIVE_ORIGINAL)
                seen.add(annotation.id)
                kind = kind or _kind_of(path, described, annotation)
                rows += _rows(path, annotation, kind)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(step) for step in (part, key, *first["loc"]))
            raise UserError(path, f"{field}: {first['msg']}", "mend that field") from error
        if (part, key) == ("info", "description"):
            described = str(value)
    if not rows:
        raise UserError(path, "holds no annotation of a hand", "give a file of one of " + ", ".join(_KINDS))
    return pictures, rows, kind


def _kind_of(path: Path, described: str, first: _Annotation) -> str:
    """Which data set a file holds: by its first annotation, by its description, by its name."""
    if "lefthand_kpts" in first.model_fields_set:
        return "coco-wholebody"
    if first.joint_cam is not None:
        return "rhd"
    kind = kind_named(described) or kind_named(path.stem)
    if kind is not None:
        return kind
    raise UserError(path, "does not say which data set it holds", f"put one of {', '.join(_KINDS)} into info.description or its name")


def _rows(path: Path, annotation: _Annotation, kind: str) -> list[_Row]:
    """The hands of one annotation."""
    if kind == "coco-wholebody":
        hands = (
            (annotation.lefthand_kpts, annotation.lefthand_valid, LEFT),
            (annotation.righthand_kpts, annotation.righthand_valid, RIGHT),
        )
        return [_Row(annotation.image_id, _points(flat), side) for flat, valid, side in hands if valid and flat is not None]
    points = _points(annotation.keypoints) if annotation.keypoints else np.zeros((0, 3), np.float32)
    if points.shape != (21, 3):
        raise UserError(path, f"annotation {annotation.id}: keypoints are not 21 triples", GIVE_ORIGINAL)
    side = UNKNOWN if annotation.hand_type is None else LEFT if annotation.hand_type == "left" else RIGHT
    solid = None if annotation.joint_cam is None else np.array(annotation.joint_cam, np.float32)
    return [_Row(annotation.image_id, points, side, solid)]


def _points(values: list[Any]) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 3)


def _picture_folder(path: Path, name: str, authors: str) -> Path:
    """Where the pictures lie that a file names."""
    base = path.parent.parent if path.parent.name == "annotations" else path.parent
    folders = [base, *(base / below for below in ("images", "train2017", "val2017", "training/rgb", "evaluation/rgb"))]
    for folder in folders:
        if inside(folder, name).is_file():
            return folder
    raise UserError(base / name, "is missing", f"its authors publish it at {authors}")


def _labels(rows: list[_Row], pictures: dict[int, _Picture], names: tuple[str, ...], kind: str) -> Hands:
    order = "rhd" if kind == "rhd" else "coco"
    points = to_internal(torch.from_numpy(np.stack([row.points for row in rows])), order)
    sides = torch.tensor([_KINDS[kind].side(name) if row.side == UNKNOWN else row.side for row, name in zip(rows, names, strict=True)])
    solid = [row.solid for row in rows if row.solid is not None]
    cameras = [camera for row in rows if (camera := pictures[row.image_id].cam_param) is not None]
    has_camera = len(solid) == len(cameras) == len(rows)
    return Hands(
        joints_2d=points[..., :2].contiguous(),
        joint_valid=points[..., 2] > 0,
        joints_3d=to_internal(torch.from_numpy(np.stack(solid)), order) if has_camera else None,
        intrinsics=torch.stack([pinhole(*camera.focal, *camera.princpt) for camera in cameras]) if has_camera else None,
        side=None if (sides == UNKNOWN).any() else sides,
    )
