"""The JSON form in which open-mmlab/mmpose keeps hand data sets.

Read are COCO-WholeBody, OneHand10K, Panoptic, FreiHAND and RHD: one JSON file with `images` and
`annotations`, in the folder of the pictures or in its `annotations/`. COCO-WholeBody's is the file that its
authors publish: a person has `lefthand_kpts` and `righthand_kpts`, and each valid hand is a row. `interhand`
reads InterHand2.6M's three files.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor

from handvae.data.dataset import GIVE_ORIGINAL, InMemoryData, pinhole, require_few
from handvae.data.files.json import first_fault, members
from handvae.data.files.pictures import inside, read_picture
from handvae.data.hands import DataSpec, Hands, sides_shown
from handvae.data.readers.coco import Number
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, to_internal

UNKNOWN = -1
"""The side of a hand that neither its annotation nor its data set gives."""
SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "validation"),
    "test": ("test", "evaluation", "eval"),
}
"""Words in a file's name that name its split."""
PICTURE_FOLDERS = ("images", "train2017", "val2017", "training/rgb", "evaluation/rgb")
TRIED = 100
"""Pictures that are looked for in each of these folders."""


# ------------------------------------------------------------------------------------------- the data sets


@dataclass(frozen=True)
class _Kind:
    """Facts of a data set that its file does not give."""

    authors: str
    licence: str
    side: Callable[[str], int]
    """From a picture's name to the hand's side."""


def _unknown_side(name: str) -> int:
    return UNKNOWN


def _panoptic_side(name: str) -> int:
    """Panoptic's names end in _l or _r."""
    return {"l": LEFT, "r": RIGHT}.get(Path(name).stem.rpartition("_")[2], UNKNOWN)


_KINDS = {
    "freihand": _Kind(
        authors="https://lmb.informatik.uni-freiburg.de/projects/freihand",
        licence="research only",
        side=lambda name: RIGHT,
    ),
    "onehand10k": _Kind(
        authors="https://www.yangangwang.com/papers/WANG-MCC-2018-10.html",
        licence="research only",
        side=_unknown_side,
    ),
    "panoptic": _Kind(
        authors="http://domedb.perception.cs.cmu.edu/handdb.html",
        licence="non-commercial research",
        side=_panoptic_side,
    ),
    "rhd": _Kind(
        authors="https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html",
        licence="research only, no commercial use",
        side=_unknown_side,
    ),
    "coco-wholebody": _Kind(
        authors="https://github.com/jin-s13/COCO-WholeBody",
        licence="labels non-commercial; pictures as COCO's",
        side=_unknown_side,
    ),
}


# ------------------------------------------------------------------------------------------- the file's form


def _flatten(values: Any) -> Any:
    """21 triples as 63 numbers; anything else as it is."""
    if isinstance(values, list) and all(isinstance(value, list) and len(value) == 3 for value in values):
        return [number for triple in values for number in triple]
    return values


_Flat = Annotated[list[Number], Field(min_length=63, max_length=63), BeforeValidator(_flatten)]
_Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
_Id = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Camera(_Strict):
    focal: _Pair
    princpt: _Pair


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


# ------------------------------------------------------------------------------------------- what is kept


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
    keypoints: array = field(default_factory=lambda: array("f"))
    """63 numbers a row: x px, y px, labelled if above 0."""
    joints_3d: array = field(default_factory=lambda: array("f"))
    """63 numbers a row, mm; fewer where a row has none."""

    def add(
        self, image_id: int, side: int, keypoints: list[float], joints_3d: list[float] | None = None
    ) -> None:
        """Append a row for one hand."""
        self.image_ids.append(image_id)
        self.sides.append(side)
        self.keypoints.extend(keypoints)
        self.joints_3d.extend(joints_3d or ())

    def add_picture(self, picture: _Picture) -> None:
        """Keep a picture's name and camera."""
        camera = picture.cam_param
        intrinsics = None if camera is None else (*camera.focal, *camera.princpt)
        self.pictures[picture.id] = (picture.file_name, intrinsics)

    def add_annotation(self, annotation: _Hand | _Person) -> None:
        """Append the hands of one annotation."""
        self.ids.append(annotation.id)
        if isinstance(annotation, _Person):
            if annotation.lefthand_valid:
                self.add(annotation.image_id, LEFT, annotation.lefthand_kpts)
            if annotation.righthand_valid:
                self.add(annotation.image_id, RIGHT, annotation.righthand_kpts)
            return

        sides = {None: UNKNOWN, "left": LEFT, "right": RIGHT}
        side = sides[annotation.hand_type]
        self.add(annotation.image_id, side, annotation.keypoints, annotation.joint_cam)

    def labels(self, rows: Int[np.ndarray, " row"], names: tuple[str, ...]) -> Hands:
        """Labels of the rows, whose pictures have these names."""
        keypoints = self._in_order(self.keypoints, rows)

        side_of = _KINDS[self.kind].side
        # the file's own side comes first, then what the picture's name tells
        listed = np.frombuffer(self.sides, np.int8)[rows].tolist()
        sides = [side_of(name) if side == UNKNOWN else side for side, name in zip(listed, names, strict=True)]

        # 3D joints are used only where every hand has them and every picture its camera
        image_ids = np.frombuffer(self.image_ids, np.int64)[rows].tolist()
        cameras = [self.pictures[image_id][1] for image_id in image_ids]
        intrinsics = [pinhole(*camera) for camera in cameras if camera is not None]
        has_3d = len(intrinsics) == len(names) and len(self.joints_3d) == len(self.keypoints)

        return Hands(
            joints_2d=keypoints[..., :2].contiguous(),
            joint_valid=keypoints[..., 2] > 0,
            joints_3d=self._in_order(self.joints_3d, rows) if has_3d else None,
            intrinsics=torch.stack(intrinsics) if has_3d else None,
            side=None if UNKNOWN in sides else torch.tensor(sides),
        )

    def _in_order(self, values: array, rows: Int[np.ndarray, " row"]) -> Float[Tensor, "row 21 3"]:
        """Triples of the rows' joints in the internal order."""
        # mmpose keeps RHD's own order, tip to base; all others are in COCO's
        joints = np.frombuffer(values, np.float32).reshape(-1, 21, 3)[rows]
        return to_internal(torch.from_numpy(joints), "rhd" if self.kind == "rhd" else "coco")


# ------------------------------------------------------------------------------------------- the reader


def kind_named(text: str) -> str | None:
    """The data set that a text names, such as a file's name."""
    # file names write coco_wholebody, the data set calls itself COCO-WholeBody
    plain = text.lower().replace("_", "-")
    return next((kind for kind in _KINDS if kind in plain), None)


def _split_named(text: str) -> str:
    """The split that a file's name names; empty where it names none."""
    words = set(text.lower().replace("-", "_").split("_"))
    return next((split for split, names in SPLIT_WORDS.items() if words & set(names)), "")


def find_annotation(root: Path, split: str | None) -> Path | None:
    """The one JSON file that is named for its data set, of a split if one is given.

    Searched are the folder and its `annotations/`; None where there is no such file or several.
    """
    if root.is_file():
        return root if kind_named(root.stem) else None

    files = []
    for folder in (root, root / "annotations"):
        for path in folder.glob("*.json") if folder.is_dir() else ():
            of_split = split is None or split == _split_named(path.stem)
            if path.is_file() and kind_named(path.stem) and of_split:
                files.append(path)

    # several are ambiguous: the user has to name a split or the file
    return files[0] if len(files) == 1 else None


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
            fault = f"holds no single annotation file{f' of split {split!r}' if split else ''}"
            raise UserError(root, fault, "name the file itself, or a split that its name says")

        self._split = _split_named(path.stem)

        table = _read(path)
        usable = self._usable(path, table)
        rows = np.flatnonzero(usable)
        image_ids = np.frombuffer(table.image_ids, np.int64)[rows].tolist()

        for image_id in image_ids:
            if image_id not in table.pictures:
                raise UserError(path, f"image_id {image_id} is not in images", GIVE_ORIGINAL)

        names = tuple(table.pictures[image_id][0] for image_id in image_ids)

        kind = _KINDS[table.kind]
        folder = _picture_folder(path, names, kind.authors)
        self.authors = kind.authors
        super().__init__(folder, names, table.labels(rows, names))
        self.spec = DataSpec(
            name=table.kind,
            count=len(names),
            size_px=0,
            modalities=("image", *(name for name, _ in self.kept.items())),
            sides=sides_shown(self.kept.side),
            root="camera",
            licence=kind.licence,
        )

    def split_of(self, row: int) -> str:
        """The split that the file's name says."""
        return self._split

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return read_picture(inside(self.root, self.names[row]))

    def _usable(self, path: Path, table: _Table) -> Bool[np.ndarray, " row"]:
        """Which hands have two labelled joints; a remark counts the others."""
        keypoints = np.frombuffer(table.keypoints, np.float32).reshape(-1, 21, 3)
        usable = (keypoints[..., 2] > 0).sum(1) >= 2
        if not usable.any():
            raise UserError(path, "holds no hand with two labelled joints", GIVE_ORIGINAL)
        if not usable.all():
            count = f"{(~usable).sum():,} of {len(usable):,}"
            self.remarks = (f"{count} hands have fewer than two labelled joints and are left out",)
        return usable


# ------------------------------------------------------------------------------------------- reading


def _read(path: Path) -> _Table:
    table = _Table()
    description = ""
    for part, key, value in members(path):
        try:
            if part == "images":
                picture = _Picture.model_validate(value)
                if picture.id in table.pictures:
                    raise UserError(path, f"two images have the id {picture.id}", GIVE_ORIGINAL)
                require_few(path, "pictures", len(table.pictures) + 1)
                table.add_picture(picture)
            elif part == "annotations":
                is_person = isinstance(value, dict) and "lefthand_kpts" in value
                annotation = (_Person if is_person else _Hand).model_validate(value)
                # the first annotation decides, with the description if `info` came before it
                table.kind = table.kind or _kind_of(path, description, annotation)
                require_few(path, "hands", len(table.ids) + 1)
                table.add_annotation(annotation)
        except ValidationError as error:
            raise UserError(path, first_fault(error, part, key), "mend that field") from error

        if (part, key) == ("info", "description"):
            description = str(value)

    if not table.image_ids:
        kinds = ", ".join(_KINDS)
        raise UserError(path, "holds no annotation of a hand", f"give a file of one of {kinds}")

    ids, counts = np.unique(np.frombuffer(table.ids, np.int64), return_counts=True)
    if len(ids) < len(table.ids):
        raise UserError(path, f"two annotations have the id {ids[counts > 1][0]}", GIVE_ORIGINAL)

    return table


def _kind_of(path: Path, description: str, first: _Hand | _Person) -> str:
    """Which data set a file holds: by its first annotation, its description or its name."""
    if isinstance(first, _Person):
        return "coco-wholebody"
    if first.joint_cam is not None:
        return "rhd"
    kind = kind_named(description) or kind_named(path.stem)
    if kind is None:
        remedy = f"put one of {', '.join(_KINDS)} into info.description or its name"
        raise UserError(path, "does not say which data set it holds", remedy)
    return kind


def _picture_folder(path: Path, names: Sequence[str], authors: str) -> Path:
    """The folder that holds the pictures a file names; some of them may be missing."""
    # file names are relative to one of several folders, and which one is nowhere written
    base = path.parent.parent if path.parent.name == "annotations" else path.parent
    for folder in (base, *(base / below for below in PICTURE_FOLDERS)):
        if any(inside(folder, name).is_file() for name in names[:: max(1, len(names) // TRIED)]):
            return folder
    raise UserError(base / names[0], "is missing", f"its authors publish it at {authors}")
