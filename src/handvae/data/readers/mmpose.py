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
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor

from handvae.data.dataset import GIVE_ORIGINAL, InMemoryData, pinhole, require_few
from handvae.data.files.json import first_fault, members
from handvae.data.files.lenient import flat, identity, labelled, size, yes_or_no
from handvae.data.files.pictures import inside, read_picture, require_declared_size
from handvae.data.hands import DataSpec, Hands, sides_shown
from handvae.data.left_out import LeftOut
from handvae.data.readers.coco import Number
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, UNKNOWN, to_internal

SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "validation"),
    "test": ("test", "evaluation", "eval"),
}
"""Words in a file's name that name its split."""
PICTURE_FOLDERS = ("images", "train2017", "val2017", "training/rgb", "evaluation/rgb")
FIRST_WORD = 2**62
"""Ids that are texts are numbered from here on; ids that are numbers lie below."""
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


_Flat = Annotated[list[Number], Field(min_length=63, max_length=63), BeforeValidator(flat)]
_Labelled = Annotated[list[Number], Field(min_length=63, max_length=63), BeforeValidator(labelled)]
_Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
_Number = Annotated[int, Field(ge=-FIRST_WORD, lt=FIRST_WORD)]
_Word = Annotated[str, Field(min_length=1, max_length=1000)]
_Id = Annotated[_Number | _Word, BeforeValidator(identity)]
_Size = Annotated[int | None, Field(le=1_000_000), BeforeValidator(size)]
_Valid = Annotated[bool, BeforeValidator(yes_or_no)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Camera(_Strict):
    focal: _Pair
    princpt: _Pair


class _Picture(_Strict):
    id: _Id
    file_name: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    width: _Size = None
    height: _Size = None
    cam_param: _Camera | None = None


class _Hand(_Strict):
    id: _Id
    image_id: _Id
    keypoints: _Labelled
    joint_cam: _Flat | None = None
    hand_type: Literal["left", "right"] | None = None


class _Person(_Strict):
    """COCO-WholeBody's annotation."""

    id: _Id
    image_id: _Id
    lefthand_kpts: _Labelled
    righthand_kpts: _Labelled
    lefthand_valid: _Valid
    righthand_valid: _Valid


# ------------------------------------------------------------------------------------------- what is kept


@dataclass
class _Table:
    """What is kept of a file while it is read: flat arrays, for there may be millions of rows."""

    kind: str = ""
    pictures: dict[int, tuple[str, tuple[float, ...] | None]] = field(default_factory=dict)
    """Name and camera (focal x and y, centre x and y) by the picture's id."""
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Width and height that the labels are for, by the picture's name, where the file tells."""
    ids: array = field(default_factory=lambda: array("q"))
    """Of the annotations."""
    image_ids: array = field(default_factory=lambda: array("q"))
    sides: array = field(default_factory=lambda: array("b"))
    keypoints: array = field(default_factory=lambda: array("f"))
    """63 numbers a row: x px, y px, labelled if above 0."""
    joints_3d: array = field(default_factory=lambda: array("f"))
    """63 numbers a row, mm; fewer where a row has none."""
    known_sizes: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """Each size that occurs."""
    words: dict[str, int] = field(default_factory=dict)
    """Numbers in place of the ids that are texts."""
    entries: int = 0
    """Annotations of the file, the unusable ones too."""
    left_out: LeftOut = field(default_factory=LeftOut)
    first_fault: str = ""
    """Of the entries that cannot be used, pictures too."""
    repeated: set[int] = field(default_factory=set)
    """Ids that several pictures have: which of them an annotation means cannot be told."""
    same_ids: int = 0
    """Annotations whose id an earlier one has."""

    def number(self, identity: int | str) -> int:
        """An id as a number."""
        if isinstance(identity, int):
            return identity
        return self.words.setdefault(identity, FIRST_WORD + len(self.words))

    def leave_out(self, reason: str, name: str, fault: str) -> None:
        """Count an annotation that cannot be used."""
        self.left_out.add(reason, name)
        self.first_fault = self.first_fault or fault

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
        self.pictures[self.number(picture.id)] = (picture.file_name, intrinsics)
        if picture.width is not None and picture.height is not None:
            # one tuple for all pictures of a size: there may be a million of them
            size = (picture.width, picture.height)
            self.sizes[picture.file_name] = self.known_sizes.setdefault(size, size)

    def add_annotation(self, annotation: _Hand | _Person) -> None:
        """Append the hands of one annotation."""
        self.ids.append(self.number(annotation.id))
        image_id = self.number(annotation.image_id)
        if isinstance(annotation, _Person):
            if annotation.lefthand_valid:
                self.add(image_id, LEFT, annotation.lefthand_kpts)
            if annotation.righthand_valid:
                self.add(image_id, RIGHT, annotation.righthand_kpts)
            return

        sides = {None: UNKNOWN, "left": LEFT, "right": RIGHT}
        side = sides[annotation.hand_type]
        self.add(image_id, side, annotation.keypoints, annotation.joint_cam)

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
            side=torch.tensor(sides) if set(sides) != {UNKNOWN} else None,
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
        rows = _with_pictures(path, table, np.flatnonzero(usable))
        image_ids = np.frombuffer(table.image_ids, np.int64)[rows].tolist()
        if table.left_out:
            self.left_out = (*self.left_out, table.left_out.line("annotations", table.entries))
        if table.same_ids:
            self.remarks = (*self.remarks, f"{table.same_ids:,} annotations have the id of another one")

        names = tuple(table.pictures[image_id][0] for image_id in image_ids)

        kind = _KINDS[table.kind]
        folder = _picture_folder(path, names, kind.authors)
        self.authors = kind.authors
        self._sizes = table.sizes
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
        """The whole picture of one row, RGB.

        Raises:
            UserError: it cannot be read, or is not of the size that its labels are for.
        """
        path = inside(self.root, self.names[row])
        pixels = read_picture(path)
        require_declared_size(path, self._sizes.get(self.names[row]), (pixels.shape[1], pixels.shape[0]))
        return pixels

    def _usable(self, path: Path, table: _Table) -> Bool[np.ndarray, " row"]:
        """Which hands have two labelled joints; a remark counts the others."""
        keypoints = np.frombuffer(table.keypoints, np.float32).reshape(-1, 21, 3)
        usable = (keypoints[..., 2] > 0).sum(1) >= 2
        if not usable.any():
            raise UserError(path, "holds no hand with two labelled joints", GIVE_ORIGINAL)
        if not usable.all():
            count = f"{(~usable).sum():,} of {len(usable):,}"
            self.remarks = self.left_out = (
                f"{count} hands have fewer than two labelled joints and are left out",
            )
        return usable


# ------------------------------------------------------------------------------------------- reading


def _read(path: Path) -> _Table:
    """The entries of a file that can be used; `left_out` of the table counts the others."""
    table = _Table()
    description = ""
    for part, key, value in members(path):
        if (part, key) == ("info", "description"):
            description = str(value)
        if part not in ("images", "annotations"):
            continue

        table.entries += part == "annotations"
        try:
            if part == "images":
                picture = _Picture.model_validate(value)
                if table.number(picture.id) in table.pictures:
                    table.repeated.add(table.number(picture.id))
                require_few(path, "pictures", len(table.pictures) + 1)
                table.add_picture(picture)
            else:
                is_person = isinstance(value, dict) and "lefthand_kpts" in value
                annotation = (_Person if is_person else _Hand).model_validate(value)
                # the first annotation decides, with the description if `info` came before it
                table.kind = table.kind or _kind_of(path, description, annotation)
                require_few(path, "hands", len(table.ids) + 1)
                table.add_annotation(annotation)
        except ValidationError as error:
            fault = first_fault(error, part, key)
            if part == "annotations":
                table.leave_out("with a faulty field", f"{part}.{key}", fault)
            # a picture's annotations are counted later, as those of any picture that is not there
            table.first_fault = table.first_fault or fault

    if not table.image_ids:
        if table.first_fault:
            raise UserError(path, table.first_fault, "mend that field")
        kinds = ", ".join(_KINDS)
        raise UserError(path, "holds no annotation of a hand", f"give a file of one of {kinds}")

    table.same_ids = len(table.ids) - len(np.unique(np.frombuffer(table.ids, np.int64)))
    return table


def _with_pictures(path: Path, table: _Table, rows: Int[np.ndarray, " row"]) -> Int[np.ndarray, " kept"]:
    """The rows whose pictures the file lists; the others are left out.

    Raises:
        UserError: there is none.
    """
    words = {number: word for word, number in table.words.items()}
    usable = np.zeros(len(rows), bool)
    for place, image_id in enumerate(np.frombuffer(table.image_ids, np.int64)[rows].tolist()):
        name = words.get(image_id, image_id)
        if image_id not in table.pictures:
            fault = f"image_id {name} is not in images"
            table.leave_out("without their picture", fault, fault)
        elif image_id in table.repeated:
            fault = f"two images have the id {name}"
            table.leave_out("of pictures that share an id", fault, fault)
        else:
            usable[place] = True

    if not usable.any():
        raise UserError(path, table.first_fault, GIVE_ORIGINAL)
    return rows[usable]


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
