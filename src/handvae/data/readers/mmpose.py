"""The JSON form in which open-mmlab/mmpose keeps hand data sets: COCO-WholeBody, OneHand10K, Panoptic,
FreiHAND and RHD.

One JSON file with `images` and `annotations`, in the folder of the pictures or in its `annotations/`.
COCO-WholeBody is the same file that
its authors publish: a person has `lefthand_kpts` and `righthand_kpts`, and each valid hand is a row.
(InterHand2.6M's three files: see
`interhand`.)
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor

from handvae.data.dataset import GIVE_ORIGINAL, InMemoryData, pinhole, require_few
from handvae.data.files.json import members
from handvae.data.files.pictures import inside, read_picture
from handvae.data.hands import DataSpec, Hands, Sides
from handvae.data.readers.coco import Number
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, to_internal

UNKNOWN = -1
SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "validation"),
    "test": ("test", "evaluation", "eval"),
}


def _flatten(values: Any) -> Any:
    """21 triples as 63 numbers; anything else as it is."""
    if isinstance(values, list) and all(isinstance(value, list) and len(value) == 3 for value in values):
        return [number for triple in values for number in triple]
    return values


_Flat = Annotated[list[Number], Field(min_length=63, max_length=63), BeforeValidator(_flatten)]
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
    "freihand": _Kind(
        "https://lmb.informatik.uni-freiburg.de/projects/freihand", "research only", lambda name: RIGHT
    ),
    "onehand10k": _Kind(
        "https://www.yangangwang.com/papers/WANG-MCC-2018-10.html", "research only", lambda name: UNKNOWN
    ),
    "panoptic": _Kind(
        "http://domedb.perception.cs.cmu.edu/handdb.html", "non-commercial research", _panoptic_side
    ),
    "rhd": _Kind(
        "https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html",
        "research only, no commercial use",
        lambda name: UNKNOWN,
    ),
    "coco-wholebody": _Kind(
        "https://github.com/jin-s13/COCO-WholeBody",
        "labels non-commercial; pictures as COCO's",
        lambda name: UNKNOWN,
    ),
}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Camera(_Strict):
    focal: _Pair
    princpt: _Pair


_Id = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class _Picture(_Strict):
    id: _Id
    file_name: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    cam_param: _Camera | None = None


class _Hand(_Strict):
    id: _Id
    image_id: _Id
    keypoints: _Flat
    joint_cam: _Flat | None = None
    hand_type: Literal["left", "right"] | None = None


class _Person(_Strict):
    """COCO-WholeBody's annotation."""

    id: _Id
    image_id: _Id
    lefthand_kpts: _Flat
    righthand_kpts: _Flat
    lefthand_valid: bool
    righthand_valid: bool


@dataclass
class _Table:
    """What is kept of a file while it is read: flat arrays, for there may be millions of rows."""

    kind: str = ""
    pictures: dict[int, tuple[str, tuple[float, ...] | None]] = field(default_factory=dict)
    """Name and camera (focal x and y, centre x and y) by the picture's id."""
    ids: array = field(default_factory=lambda: array("q"))
    """Of the annotations."""
    image_ids: array = field(default_factory=lambda: array("q"))
    sides: array = field(default_factory=lambda: array("b"))
    points: array = field(default_factory=lambda: array("f"))
    """63 a row: x, y, labelled above 0."""
    solid: array = field(default_factory=lambda: array("f"))
    """63 a row, mm; none where one row has none."""

    def add(self, image_id: int, side: int, points: list[float], solid: list[float] | None = None) -> None:
        """A row for one hand."""
        self.image_ids.append(image_id)
        self.sides.append(side)
        self.points.extend(points)
        self.solid.extend(solid or ())


def kind_named(text: str) -> str | None:
    """The data set that a text names, such as a file's name."""
    plain = text.lower().replace("_", "-")
    return next((kind for kind in _KINDS if kind in plain), None)


def find_annotation(root: Path, split: str | None) -> Path | None:
    """The one JSON file, of a split if one is given, that is named for its data set; in a folder or its
    `annotations/`."""
    if root.is_file():
        return root if kind_named(root.stem) else None
    found = sorted(
        path for folder in (root, root / "annotations") if folder.is_dir() for path in folder.glob("*.json")
    )
    found = [
        path
        for path in found
        if path.is_file() and kind_named(path.stem) and split in (None, _split_named(path.stem))
    ]
    return found[0] if len(found) == 1 else None


def _split_named(text: str) -> str:
    words = set(text.lower().replace("-", "_").split("_"))
    return next((split for split, known in SPLIT_WORDS.items() if words & set(known)), "")


class MmposeHands(InMemoryData):
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
            raise UserError(
                root,
                f"holds no single annotation file{which}",
                "name the file itself, or a split that its name says",
            )
        table = _read(path)
        image_ids = np.frombuffer(table.image_ids, np.int64)
        points = np.frombuffer(table.points, np.float32).reshape(-1, 21, 3)
        usable = (points[..., 2] > 0).sum(1) >= 2
        if not usable.any():
            raise UserError(path, "holds no hand with two labelled joints", GIVE_ORIGINAL)
        if not usable.all():
            left_out = f"{(~usable).sum():,} of {len(usable):,} hands have fewer than two labelled joints and are left out"
            self.remarks = (left_out,)
        for image_id in image_ids[usable].tolist():
            if image_id not in table.pictures:
                raise UserError(path, f"image_id {image_id} is not in images", GIVE_ORIGINAL)
        self._split = _split_named(path.stem)
        names = tuple(table.pictures[image_id][0] for image_id in image_ids[usable].tolist())
        folder = _picture_folder(path, names[0], _KINDS[table.kind].authors)
        super().__init__(folder, names, _labels(table, usable, names))
        side = self.kept.side
        sides: set[Sides] = (
            set()
            if side is None
            else {"left" if value == LEFT else "right" for value in side.unique().tolist()}
        )
        self.spec = DataSpec(
            name=table.kind,
            count=len(names),
            size_px=0,
            modalities=("image", *(name for name, _ in self.kept.items())),
            sides=sides.pop() if len(sides) == 1 else "both",
            root="camera",
            licence=_KINDS[table.kind].licence,
        )

    def split_of(self, row: int) -> str:
        """What the file's name says."""
        return self._split

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return read_picture(inside(self.root, self.names[row]))


def _read(path: Path) -> _Table:
    table = _Table()
    described = ""
    for part, key, value in members(path):
        try:
            if part == "images":
                picture = _Picture.model_validate(value)
                if picture.id in table.pictures:
                    raise UserError(path, f"two images have the id {picture.id}", GIVE_ORIGINAL)
                camera = picture.cam_param
                require_few(path, "pictures", len(table.pictures) + 1)
                table.pictures[picture.id] = (
                    picture.file_name,
                    None if camera is None else (*camera.focal, *camera.princpt),
                )
            elif part == "annotations":
                is_person = isinstance(value, dict) and "lefthand_kpts" in value
                annotation = (_Person if is_person else _Hand).model_validate(value)
                table.kind = table.kind or _kind_of(path, described, annotation)
                table.ids.append(annotation.id)
                require_few(path, "hands", len(table.ids))
                _add_hands(table, annotation)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            named = ".".join(str(step) for step in (part, key, *first["loc"]))
            raise UserError(path, f"{named}: {first['msg']}", "mend that field") from error
        if (part, key) == ("info", "description"):
            described = str(value)
    if not table.image_ids:
        raise UserError(path, "holds no annotation of a hand", "give a file of one of " + ", ".join(_KINDS))
    ids, counts = np.unique(np.frombuffer(table.ids, np.int64), return_counts=True)
    if len(ids) < len(table.ids):
        raise UserError(path, f"two annotations have the id {ids[counts > 1][0]}", GIVE_ORIGINAL)
    return table


def _kind_of(path: Path, described: str, first: _Hand | _Person) -> str:
    """Which data set a file holds: by its first annotation, by its description, by its name."""
    if isinstance(first, _Person):
        return "coco-wholebody"
    kind = "rhd" if first.joint_cam is not None else kind_named(described) or kind_named(path.stem)
    if kind is None:
        raise UserError(
            path,
            "does not say which data set it holds",
            f"put one of {', '.join(_KINDS)} into info.description or its name",
        )
    return kind


def _add_hands(table: _Table, annotation: _Hand | _Person) -> None:
    """The hands of one annotation."""
    if isinstance(annotation, _Person):
        if annotation.lefthand_valid:
            table.add(annotation.image_id, LEFT, annotation.lefthand_kpts)
        if annotation.righthand_valid:
            table.add(annotation.image_id, RIGHT, annotation.righthand_kpts)
        return
    side = UNKNOWN if annotation.hand_type is None else LEFT if annotation.hand_type == "left" else RIGHT
    table.add(annotation.image_id, side, annotation.keypoints, annotation.joint_cam)


def _picture_folder(path: Path, name: str, authors: str) -> Path:
    """Where the pictures lie that a file names."""
    base = path.parent.parent if path.parent.name == "annotations" else path.parent
    folders = [
        base,
        *(base / below for below in ("images", "train2017", "val2017", "training/rgb", "evaluation/rgb")),
    ]
    for folder in folders:
        if inside(folder, name).is_file():
            return folder
    raise UserError(base / name, "is missing", f"its authors publish it at {authors}")


def _labels(table: _Table, usable: np.ndarray, names: tuple[str, ...]) -> Hands:
    order = "rhd" if table.kind == "rhd" else "coco"

    def joints(values: array) -> Tensor:
        return to_internal(
            torch.from_numpy(np.frombuffer(values, np.float32).reshape(-1, 21, 3)[usable]), order
        )

    points = joints(table.points)
    told = np.frombuffer(table.sides, np.int8)[usable].tolist()
    sides = torch.tensor(
        [
            _KINDS[table.kind].side(name) if side == UNKNOWN else side
            for side, name in zip(told, names, strict=True)
        ]
    )
    cameras = [
        table.pictures[image_id][1] for image_id in np.frombuffer(table.image_ids, np.int64)[usable].tolist()
    ]
    known = [pinhole(*camera) for camera in cameras if camera is not None]
    has_camera = len(known) == len(names) and len(table.solid) == len(table.points)
    return Hands(
        joints_2d=points[..., :2].contiguous(),
        joint_valid=points[..., 2] > 0,
        joints_3d=joints(table.solid) if has_camera else None,
        intrinsics=torch.stack(known) if has_camera else None,
        side=None if (sides == UNKNOWN).any() else sides,
    )
