"""COCO-keypoints data sets: a folder of pictures and one JSON file, of ours or of any tool (docs/data.md)."""

import difflib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.data.files.pictures import (
    declared_factor,
    inside,
    picture_size,
    read_picture,
    require_declared_size,
)
from handvae.data.hands import DataSpec, Hands, sides_shown
from handvae.data.joint_order import shuffled_share
from handvae.data.left_out import LeftOut
from handvae.data.readers.coco_file import (
    OUTSIDE_SHARE,
    CocoFile,
    HandEntry,
    Number,
    PictureEntry,
    Problem,
    outside_problems,
)
from handvae.errors import UserError
from handvae.hand import JOINT_NAMES, UNKNOWN

__all__ = ["OUTSIDE_SHARE", "CocoHands", "Number", "Problem", "check_coco"]

KEPT_BYTES = 2**28
"""Decoded pictures that a reader keeps in memory."""
MEASURED = 20_000
"""Pictures whose files are measured at opening; of a larger set this many, evenly spread."""
SHUFFLED = 0.1
"""Share of hands with bones that no pose shows, from which on their joints seem to stand in another order."""
PICTURE_FOLDERS = ("", "images", "train", "val", "test", "train2017", "val2017", "data")
"""Where pictures lie, below the data set's folder, whose names do not say it."""

_COLUMNS = {"keypoints": 63, "keypoints_3d": 63, "root_mm": 3, "camera": 9, "keypoints_spread": 21}
"""Labels that are kept as flat arrays, and how many numbers each has for one hand."""


# ------------------------------------------------------------------------------------------- what is kept


@dataclass
class _Table:
    """What is kept of an annotation file: flat arrays, for there may be millions of hands."""

    pictures: list[PictureEntry] = field(default_factory=list)
    """Of each row."""
    names: list[str] = field(default_factory=list)
    """Of each row's annotation."""
    people: list[int | None] = field(default_factory=list)
    gestures: list[str] = field(default_factory=list)
    provenance: list[str] = field(default_factory=list)
    columns: dict[str, array] = field(default_factory=lambda: {name: array("f") for name in _COLUMNS})
    sides: array = field(default_factory=lambda: array("b"))
    joint_names: tuple[str, ...] = JOINT_NAMES

    def add(self, hand: HandEntry) -> None:
        """Append a row."""
        self.pictures.append(hand.picture)
        self.names.append(hand.name)
        self.people.append(hand.person)
        self.gestures.append(hand.gesture)
        self.provenance.append(hand.provenance)
        self.sides.append(hand.side)
        self.joint_names = hand.joint_names

        values = {
            "keypoints": hand.joints,
            "keypoints_3d": hand.joints_3d,
            "root_mm": hand.root_mm,
            "camera": hand.camera,
            "keypoints_spread": hand.spread,
        }
        for name, value in values.items():
            if value is not None:
                self.columns[name].extend(np.ravel(np.asarray(value, np.float32)).tolist())

    def column(self, name: str) -> Float[Tensor, "row number"] | None:
        """One label of all hands, or None where a hand lacks it."""
        # a label that only some hands have would leave holes: all or none
        values = self.columns[name]
        width = _COLUMNS[name]
        if len(values) != width * len(self.pictures):
            return None
        return torch.from_numpy(np.array(values, np.float32)).reshape(-1, width)

    def labels(self, all_gestures: Sequence[str]) -> tuple[Hands, Literal["camera", "wrist"]]:
        """The labels of all rows, and where the origin of the 3D joints lies.

        Args:
            all_gestures: names of the gestures of all splits, in order.
        """
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

        people_known = all(person is not None for person in self.people)
        gestures = None
        if all_gestures:
            # counted over all splits, so that a gesture has one number in train and test
            numbers = {"": -1} | {name: number for number, name in enumerate(all_gestures)}
            gestures = torch.tensor([numbers[name] for name in self.gestures])

        sides = torch.from_numpy(np.array(self.sides, np.int64))
        labels = Hands(
            joints_2d=keypoints[..., :2].contiguous(),
            joint_valid=flags > 0,
            joint_visible=flags > 1 if tells_visible else None,
            joint_spread=self.column("keypoints_spread"),
            joints_3d=joints_3d,
            intrinsics=None if cameras is None else cameras.unflatten(1, (3, 3)),
            side=sides if (sides != UNKNOWN).any() else None,
            subject=torch.tensor(self.people) if people_known else None,
            gesture=gestures,
        )
        return labels, "camera" if in_camera_frame else "wrist"


# ------------------------------------------------------------------------------------------- the reader


class CocoHands(HandData):
    """A COCO-keypoints folder; annotations are read once, hand by hand, pictures on demand.

    Annotations that cannot be used are left out and counted (`check_coco` lists them). Where pictures are
    larger or smaller than the file declares, their labels follow.

    Args:
        root: the folder, or its annotation file.
        split: keep only pictures whose `split` field is this; None keeps all.

    Raises:
        UserError: no hand can be used.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        folder, self.annotation_path = _locate(root)
        self.split = split
        file = CocoFile(self.annotation_path)
        table, left_out, first = _Table(), LeftOut(), None
        gestures: set[str] = set()
        considered = 0

        for item in file.hands():
            if isinstance(item, HandEntry):
                gestures.add(item.gesture)
                if split is None or item.picture.split == split:
                    considered += 1
                    table.add(item)
            elif item.fatal and (split is None or item.split in (None, split)):
                first = first or item
                if item.reason:
                    considered += 1
                    left_out.add(item.reason, item.name)

        if not table.pictures:
            raise first.error() if first is not None else _no_hand(self.annotation_path, split, file)

        self._finder = _PictureFinder(folder, self.annotation_path, table.pictures)
        self.root = self._finder.folder
        notes = [left_out.line("annotations", considered)] if left_out else []

        labels, root_kind = table.labels(sorted(gestures - {""}))
        labels, rows, sized = self._sized(table, labels)
        notes += sized

        pictures = [table.pictures[row] for row in rows]
        self._labels = labels[torch.tensor(rows)]
        self._splits = tuple(picture.split for picture in pictures)
        self._provenance = tuple(table.provenance[row] for row in rows)
        self.file_names = tuple(picture.file_name for picture in pictures)
        self._sizes = tuple(self._known_sizes.get(name) for name in self.file_names)
        self.left_out = (*notes, *_order_remarks(self._labels))
        self.remarks = self.left_out

        # a small set is decoded once; a large one keeps its first pictures, which serve shuffled reading
        # as well as any others
        self._kept: dict[str, UInt8[np.ndarray, "height width 3"]] = {}
        self._kept_bytes = 0

        self.spec = DataSpec(
            name=self.root.name,
            count=len(pictures),
            size_px=0,  # whole pictures: the crop sets the size
            modalities=("image", *(name for name, _ in self._labels.items())),
            sides=sides_shown(self._labels.side),
            root=root_kind,
            joint_names=table.joint_names,
            gestures=tuple(sorted(gestures - {""})),
            licence=", ".join(file.licences[:3]),
        )

    def __len__(self) -> int:
        return len(self.file_names)

    def files(self) -> Iterator[tuple[str, ...]]:
        """Of each row its picture."""
        paths = {name: str(self._finder.path(name)) for name in dict.fromkeys(self.file_names)}
        return ((paths[name],) for name in self.file_names)

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
        """The whole picture of one row, RGB.

        Raises:
            UserError: it cannot be read, or is not of the size that its labels are for.
        """
        name = self.file_names[row]
        pixels = self._kept.get(name)
        if pixels is None:
            path = self._finder.path(name)
            pixels = read_picture(path)
            require_declared_size(path, self._sizes[row], (pixels.shape[1], pixels.shape[0]))
            if self._kept_bytes + pixels.nbytes <= KEPT_BYTES:
                self._kept[name] = pixels
                self._kept_bytes += pixels.nbytes
        return pixels

    def _sized(self, table: _Table, labels: Hands) -> tuple[Hands, list[int], list[str]]:
        """Labels in pixels of the files as they are, the rows that can be used, and what there is to say."""
        declared = {picture.file_name: picture.size for picture in table.pictures}
        names = list(declared)

        # a large set is measured here and there; every picture is compared when it is read
        step = max(1, -(-len(names) // MEASURED))
        measured = [name for place, name in enumerate(names) if not place % step or declared[name] is None]
        actual = self._measured(measured)
        if any(declared[name] not in (None, size) for name, size in actual.items()):
            actual = self._measured(names)

        self._known_sizes = {**declared, **actual}
        factors = {name: declared_factor(declared[name], size) for name, size in actual.items()}
        scales = torch.ones(len(table.pictures))
        left_out, usable = LeftOut(), []

        for row, picture in enumerate(table.pictures):
            factor = factors.get(picture.file_name, 1.0)
            if factor is None:
                sizes = f"{_by(actual[picture.file_name])} px and declared as {_by(picture.size)}"
                left_out.add("in pictures of another size than declared", f"{picture.file_name} is {sizes}")
            elif picture.size is None and self._far_outside(table, labels, row):
                left_out.add("with a joint far outside the picture", table.names[row])
            else:
                scales[row] = factor
                usable.append(row)

        notes = [left_out.line("hands", len(table.pictures))] if left_out else []
        if not usable:
            raise UserError(self.annotation_path, notes[0], "mend width and height, or the keypoints")

        resized = int((scales != 1).sum())
        if resized:
            name = next(name for name, factor in factors.items() if factor not in (None, 1.0))
            example = f"{name} is {_by(actual[name])} px and declared as {_by(declared[name])}"
            of = f"{resized:,} of {len(table.pictures):,} hands"
            notes.append(f"the labels of {of} are scaled to their files: {example}")
            labels = _scaled(labels, scales)

        return labels, usable, notes

    def _measured(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Sizes of the pictures that are there and whole; others are named when they are missed or read."""
        sizes = {}
        for name in names:
            with suppress(UserError):
                sizes[name] = picture_size(self._finder.path(name))
        return sizes

    def _far_outside(self, table: _Table, labels: Hands, row: int) -> bool:
        """Whether a joint lies far outside of a picture whose size only its file tells."""
        picture = table.pictures[row]
        size = self._known_sizes[picture.file_name]
        # its file is missing or damaged
        if size is None:
            return False

        joints, valid = labels.require_all("joints_2d", "joint_valid")
        points = joints[row][valid[row]]
        beyond = torch.maximum(-points, points - torch.tensor(size)).max()
        return float(beyond) > OUTSIDE_SHARE * max(size)


def _by(size: tuple[int, int] | None) -> str:
    return "unknown" if size is None else f"{size[0]} x {size[1]}"


def _scaled(labels: Hands, factors: Float[Tensor, " row"]) -> Hands:
    """Labels in pixels that are `factors` times as small."""
    changes: dict[str, Tensor] = {"joints_2d": labels.require("joints_2d") * factors[:, None, None]}
    if labels.joint_spread is not None:
        changes["joint_spread"] = labels.joint_spread * factors[:, None]
    if labels.intrinsics is not None:
        per_row = torch.stack([factors, factors, torch.ones_like(factors)], 1)
        changes["intrinsics"] = labels.intrinsics * per_row[:, :, None]
    return replace(labels, **changes)


def _order_remarks(labels: Hands) -> tuple[str, ...]:
    """A line if the joints seem to stand in another order than ours."""
    joints, valid = labels.require_all("joints_2d", "joint_valid")
    share = float(shuffled_share(joints, valid))
    if share < SHUFFLED:
        return ()
    return (
        f"{share:.0%} of the hands have bones that no hand has: the joints seem to stand in another order "
        f"than {', '.join(JOINT_NAMES[:6])} ...; name them in categories[].keypoints",
    )


# ------------------------------------------------------------------------------------------- where things are


class _PictureFinder:
    """Where the pictures that a file names lie: beside it, or in one of the usual folders.

    Args:
        folder: the data set's.
        path: the annotation file.
        pictures: that it names.
    """

    def __init__(self, folder: Path, path: Path, pictures: Sequence[PictureEntry]) -> None:
        self._base = folder
        # of the first pictures, one may be missing
        names = list(dict.fromkeys(picture.file_name for picture in pictures[:20]))
        # a whole path says where its picture lies
        is_whole = any(Path(name).is_absolute() for name in names)
        usual = ("",) if is_whole else (*PICTURE_FOLDERS, path.stem, f"images/{path.stem}")
        below = dict.fromkeys(usual)
        counts = {
            candidate: sum(_file(folder / candidate, name).is_file() for name in names) for candidate in below
        }
        best = max(counts, key=lambda candidate: counts[candidate])
        self.folder = folder / best if counts[best] else folder

    def path(self, name: str) -> Path:
        """The file of a picture.

        Raises:
            UserError: the name leaves the data set's folder.
        """
        return _file(self.folder, name)


def _file(folder: Path, name: str) -> Path:
    """A file below a folder; names of Windows have backslashes."""
    path = inside(folder, name)
    if "\\" in name and not path.is_file():
        return inside(folder, name.replace("\\", "/"))
    return path


def _locate(root: Path) -> tuple[Path, Path]:
    """The data set's folder and its annotation file."""
    if root.is_file():
        in_annotations = root.parent.name == "annotations"
        return (root.parent.parent if in_annotations else root.parent), root

    path = root / "annotations.json"
    if path.is_file():
        return root, path

    # annotations/NAME.json beside images/, where there is one
    files = sorted(path for path in (root / "annotations").glob("*.json") if path.is_file())
    if len(files) == 1:
        return root, files[0]
    if files:
        names = ", ".join(str(file) for file in files[:5])
        raise UserError(root, f"has {len(files)} annotation files", f"give one of them: {names}")

    names = [other.name for other in root.glob("*.json") if other.is_file()]
    # a file of quite another name is somebody else's
    similar = difflib.get_close_matches("annotations.json", names, n=1, cutoff=0.6)
    remedy = (
        "give a folder with annotations.json and the pictures it names, "
        "or a data set of docs/data.md in its own layout"
    )
    if similar:
        remedy = f"did you mean {root / similar[0]}?"

    raise UserError(root, "has no annotations.json" if root.is_dir() else "no such folder", remedy)


def _no_hand(path: Path, split: str | None, file: CocoFile) -> UserError:
    if not split:
        return UserError(path, "holds no hand", "add annotations")
    splits = sorted({picture.split for picture in file.pictures.values() if picture.split})
    available = f"it has {', '.join(splits)}" if splits else "its pictures have no `split` field"
    return UserError(path, f"holds no hand of split {split!r}", f"{available}; `split None` reads all")


# ------------------------------------------------------------------------------------------- check


def check_coco(root: Path) -> list[Problem]:
    """Every fault of a COCO-keypoints folder, pictures included."""
    folder, path = _locate(root)
    file = CocoFile(path)
    problems: list[Problem] = []
    hands: list[HandEntry] = []

    for item in file.hands():
        if isinstance(item, Problem):
            problems.append(item)
        else:
            hands.append(item)

    if not hands and not problems:
        problems.append(Problem(str(path), "holds no hand", "add annotations"))

    finder = _PictureFinder(folder, path, list(file.pictures.values()))
    sizes: dict[str, tuple[int, int]] = {}
    for number, picture in file.pictures.items():
        try:
            height, width = read_picture(finder.path(picture.file_name)).shape[:2]
        except UserError as error:
            problems.append(Problem(error.where, error.fault, error.remedy))
            continue

        sizes[picture.file_name] = (width, height)
        if picture.size not in (None, (width, height)):
            fault = f"is {width} x {height} px, image {number} says {_by(picture.size)}"
            remedy = "mend width and height, and with them the keypoints"
            problems.append(Problem(picture.file_name, fault, remedy))

    for hand in hands:
        size = sizes.get(hand.picture.file_name)
        if hand.picture.size is None and size is not None:
            problems += outside_problems(str(path), hand, size)

    return problems
