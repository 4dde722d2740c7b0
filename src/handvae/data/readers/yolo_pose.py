"""Hands in the layout of YOLO's pose models: `data.yaml`, pictures, and a text file of labels for each.

    ROOT/data.yaml                                      kpt_shape: [21, 3] or [21, 2]; names; train, val, test
    ROOT/images/train/NAME.jpg  ROOT/labels/train/NAME.txt    or train/images and train/labels

A line of a text file is a hand: its class, a box, and 21 times x, y and, with kpt_shape [21, 3], a flag: 0
for an unlabelled joint, 1 for a hidden one, 2 for a visible one. All places are shares of the picture's
sides. A picture may have several lines; one without a text file, or with an empty one, shows no hand.

Classes whose names hold `left` or `right` give the side; of other classes the side is not known, and those
that do not mean a hand either, such as `fist`, are gestures. Joints are in MediaPipe's order, which is ours,
unless `kpt_names` lists them in another.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from handvae.data.dataset import HandData, require_few, require_size
from handvae.data.files.pictures import PICTURE_SUFFIXES, inside, picture_size, read_picture
from handvae.data.hands import DataSpec, Hands, sides_shown
from handvae.data.joint_order import OURS, order_by_names
from handvae.data.missing import missing_parts
from handvae.errors import UserError
from handvae.hand import JOINT_NAMES, UNKNOWN, side_in

SPLITS = ("train", "val", "test")
MOST_BYTES = 2**20
"""Of `data.yaml`, and of one picture's labels."""
TOLERANCE = 0.01
"""How far outside 0 to 1 a share may lie, as for YOLO's own tools."""
JOINTS = len(JOINT_NAMES)
_ORIENTATION = 0x0112
"""EXIF's tag; from 5 on, width and height are exchanged."""


# ------------------------------------------------------------------------------------------- data.yaml


@dataclass(frozen=True)
class _About:
    """What `data.yaml` says."""

    path: Path
    folder: Path
    numbers: int
    """For each joint: 3, or 2 without flags."""
    classes: tuple[str, ...]
    order: tuple[int, ...]
    """Of our joints: where each stands in a line."""
    joint_names: tuple[str, ...]
    places: dict[str, tuple[str, ...]]
    """From a split to the folders, or files of names, of its pictures."""
    licence: str


def find_about(root: Path) -> Path | None:
    """The YAML file of a folder that describes poses, or None."""
    if root.is_file():
        return root if root.suffix.lower() in (".yaml", ".yml") and _tells_poses(root) else None
    if not root.is_dir():
        return None

    others = sorted(path for path in root.glob("*.y*ml") if path.suffix in (".yaml", ".yml"))
    candidates = sorted(others, key=lambda path: path.stem != "data")
    return next((path for path in candidates if path.is_file() and _tells_poses(path)), None)


def _tells_poses(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return re.search(rb"(?m)^(?:\xef\xbb\xbf)?\s*kpt_shape\s*:", file.read(MOST_BYTES)) is not None
    except OSError:
        return False


def _read_about(path: Path) -> _About:
    require_size(path, MOST_BYTES)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(path, f"is no YAML ({reason[:120]})", "mend the file") from error
    if not isinstance(content, dict):
        raise UserError(path, "is no YAML of names and values", "give kpt_shape, names and train")

    shape = content.get("kpt_shape")
    if shape not in ([JOINTS, 2], [JOINTS, 3]):
        fault = f"kpt_shape is {shape}, hands have [{JOINTS}, 2] or [{JOINTS}, 3]"
        raise UserError(path, fault, "give a data set of hands")

    classes = _classes(path, content)
    order, joint_names = _joints(path, content.get("kpt_names"))
    places = {}
    for split in SPLITS:
        value = content.get(split) or (content.get("validation") if split == "val" else None)
        items = value if isinstance(value, list) else [value]
        if any(not isinstance(item, str) or "\0" in item for item in items if item is not None):
            raise UserError(path, f"{split} is no path or list of paths", "mend that field")
        if value:
            places[split] = tuple(items)
    if not places:
        raise UserError(path, "names no pictures", "give train, val or test")

    licence = content.get("license") or content.get("licence") or ""
    base = content.get("path")
    folder = path.parent
    if isinstance(base, str) and "\0" not in base and (folder / base).is_dir():
        # where it lies elsewhere, on the disk of whoever wrote it, the file's own folder is meant
        resolved = (folder / base).resolve()
        folder = resolved if resolved.is_relative_to(folder.resolve()) else folder

    return _About(path, folder, shape[1], classes, order, joint_names, places, str(licence))


def _classes(path: Path, content: dict[Any, Any]) -> tuple[str, ...]:
    names = content.get("names")
    if names is None and isinstance(content.get("nc"), int) and 0 < content["nc"] < 1000:
        return ("hand",) * content["nc"]
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UserError(path, "names is no list of classes", "give one, such as [hand] or [left, right]")
    return tuple(str(name) for name in names)


def _joints(path: Path, named: Any) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Where each of our joints stands in a line, and the joints' names."""
    lists = list(named.values()) if isinstance(named, dict) else [named]
    if named is None or not lists:
        return OURS.order, OURS.names
    if any(names != lists[0] for names in lists) or not isinstance(lists[0], list):
        raise UserError(path, "kpt_names differ between classes", "give the same list for each class")

    names = tuple(str(name) for name in lists[0])
    # numbers are no names
    if len(names) == JOINTS and all(re.search(r"[A-Za-z]{3}", name) is None for name in names):
        return OURS.order, OURS.names

    try:
        known = order_by_names(names)
    except ValueError as error:
        fault = f"kpt_names cannot be used: {error}"
        remedy = "name the 21 joints as handvae.hand.JOINT_NAMES, or leave kpt_names out"
        raise UserError(path, fault, remedy) from error
    return known.order, known.names


# ------------------------------------------------------------------------------------------- the labels


@dataclass
class _Table:
    """Of each hand its labels: flat arrays, for there may be millions."""

    names: list[str] = field(default_factory=list)
    """Of the pictures, below the root; hands of one picture repeat it."""
    splits: list[str] = field(default_factory=list)
    classes: array = field(default_factory=lambda: array("i"))
    joints: array = field(default_factory=lambda: array("f"))
    """63 numbers a hand: x px, y px and flag."""
    faults: Counter[str] = field(default_factory=Counter)
    """What was left out, and how often."""
    example: dict[str, str] = field(default_factory=dict)
    """Of each fault the first place."""
    pictures: int = 0
    """Labelled ones, missing ones included."""
    missing: list[str] = field(default_factory=list)
    """Names of labelled pictures that are not there."""

    def fault(self, kind: str, where: str) -> None:
        """Count something that is left out."""
        self.faults[kind] += 1
        self.example.setdefault(kind, where)

    def remarks(self) -> tuple[str, ...]:
        """What was left out, a line for each kind."""
        return tuple(
            f"{count:,} {kind} and left out (the first: {self.example[kind]})"
            for kind, count in self.faults.items()
        )


class YoloPoseHands(HandData):
    """Hands in YOLO's layout; labels are read at opening, pictures on demand.

    Args:
        root: the folder of `data.yaml`, or that file.
        split: `train`, `val` or `test`; None reads all.

    Raises:
        UserError: `data.yaml` has a fault, or no hand can be used.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        path = find_about(root)
        if path is None:
            raise UserError(
                root, "has no data.yaml with kpt_shape", "give the folder of a YOLO pose data set"
            )

        self._about = about = _read_about(path)
        self.root = about.folder
        if split is not None and split not in about.places:
            raise UserError(path, f"names no split {split!r}", f"use {' or '.join(about.places)}")

        table = _Table()
        for name, part in _pictures(about, split, table):
            _read_labels(about, name, part, table)
            require_few(path, "hands", len(table.names))
        gone = missing_parts(self.root, "labelled pictures", table.missing, table.pictures)
        if not table.names:
            reasons = "; ".join(table.remarks()) or "no picture has labels"
            raise UserError(path, f"no hand of it can be used: {reasons}", "mend the labels")

        self.remarks = self.left_out = (*gone, *table.remarks())
        self._names = table.names
        self._splits = table.splits
        self._labels = _labels(about, table)
        self.spec = DataSpec(
            name=about.folder.resolve().name,
            count=len(table.names),
            size_px=0,
            modalities=("image", *(name for name, _ in self._labels.items())),
            sides=sides_shown(self._labels.side),
            joint_names=about.joint_names,
            gestures=_gestures(about.classes),
            licence=about.licence,
        )

    def __len__(self) -> int:
        return len(self._names)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows, in pixels of the whole pictures."""
        return self._labels[rows]

    def name(self, row: int) -> str:
        """The picture's name below the root."""
        return self._names[row]

    def split_of(self, row: int) -> str:
        """`train`, `val` or `test`."""
        return self._splits[row]

    def files(self) -> Iterator[tuple[str, ...]]:
        """Of each row its picture."""
        return ((f"{self.root}/{name}",) for name in self._names)

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return read_picture(inside(self.root, self._names[row]))


def _pictures(about: _About, split: str | None, table: _Table) -> Iterator[tuple[str, str]]:
    """Names of pictures below the root, each once, and their splits."""
    parts = {split: about.places[split]} if split else about.places
    # the tools want `train` and `val` even where a set has but one split: the folder's own name comes first
    places = [(part, place) for part, listed in parts.items() for place in listed]
    places.sort(key=lambda pair: pair[0] not in PurePosixPath(pair[1]).parts)

    seen: set[str] = set()
    for part, place in places:
        for name in _listed(about, part, place, table):
            if name not in seen:
                seen.add(name)
                require_few(about.path, "pictures", len(seen))
                yield name, part


def _listed(about: _About, part: str, place: str, table: _Table) -> Iterator[str]:
    """Names of the pictures of a folder, or of a file that lists them, below the root."""
    folder = about.folder
    plain = place.replace("\\", "/")
    # some tools write ../train/images for a folder beside data.yaml
    choices = [plain, re.sub(r"^(\.\./)+", "", plain)]
    found = next((folder / name for name in choices if _is_inside(folder, name)), None)
    if found is None:
        known = "train" if part == "train" else f"{part} or leave it out"
        fault = f"{part}: {place} is no folder or file below {folder}"
        raise UserError(about.path, fault, f"put the pictures beside it, or mend {known}")

    if found.is_dir():
        for path in sorted(found.rglob("*")):
            if path.suffix.lower() in PICTURE_SUFFIXES:
                yield path.relative_to(folder).as_posix()
        yield from _without_picture(folder, found)
        return

    require_size(found, 2**28)
    for line in found.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        text = line.strip().replace("\\", "/")
        # paths of a list are relative to the list where they begin with ./, else to the root
        base = found.parent.relative_to(folder) if text.startswith("./") else PurePosixPath()
        name = (PurePosixPath(base.as_posix()) / text).as_posix()
        if not text:
            continue
        if _is_inside(folder, name):
            yield name
        else:
            # whatever its labels hold: without it they have no size
            table.pictures += 1
            table.missing.append(name)


def _without_picture(folder: Path, found: Path) -> Iterator[str]:
    """Names, with a suffix that is a guess, of pictures that have labels and are not there."""
    below = found.relative_to(folder).as_posix()
    pictures = (path for path in found.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    stems = {path.relative_to(found).with_suffix("") for path in pictures}
    labels = folder / PurePosixPath(_label_name(f"{below}/NAME.jpg")).parent
    # labels may stand among the pictures, which then are not told from others
    for path in sorted(labels.rglob("*.txt")) if labels != found else ():
        stem = path.relative_to(labels).with_suffix("")
        if stem not in stems and path.stat().st_size:
            yield f"{below}/{stem.as_posix()}.jpg"


def _is_inside(folder: Path, name: str) -> bool:
    try:
        return inside(folder, name).exists()
    except UserError:
        return False


def _read_labels(about: _About, name: str, split: str, table: _Table) -> None:
    """Add the hands of one picture."""
    path = about.folder / _label_name(name)
    if not path.is_file():
        # without one a picture shows no hand
        if path.exists():
            table.fault("files of labels are no regular files", _label_name(name))
        return
    require_size(path, MOST_BYTES)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    # the tools drop repeated lines as well
    distinct = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not distinct:
        return

    table.pictures += 1
    picture = about.folder / name
    if not picture.is_file() or not picture.stat().st_size:
        table.missing.append(name)
        return
    try:
        width, height = picture_size(picture)
    except UserError as error:
        table.fault("labelled pictures cannot be read", f"{name}: {error.fault}")
        return

    for line in distinct:
        values = _numbers(line)
        kind = _fault_of(values, about)
        if kind:
            table.fault(kind, f"{_label_name(name)}: {line[:40]}")
            continue

        points = values[5:].reshape(JOINTS, about.numbers)[list(about.order)]
        labelled = _labelled(points)
        flags = points[:, 2] if about.numbers == 3 else np.full(JOINTS, 2.0)
        if labelled.sum() < 2:
            table.fault("hands have fewer than two labelled joints", f"{_label_name(name)}: {line[:40]}")
            continue

        pixels = np.column_stack([points[:, :2] * [width, height], flags])
        table.names.append(name)
        table.splits.append(split)
        table.classes.append(int(values[0]))
        table.joints.extend((pixels * labelled[:, None]).ravel().tolist())


def _labelled(points: Float[np.ndarray, "joint number"]) -> Bool[np.ndarray, " joint"]:
    """Which joints have a label: by the flag, or, without flags, those that are not at 0, 0 or below 0."""
    if points.shape[1] == 3:
        return points[:, 2] > 0
    return np.logical_and((points >= 0).all(1), (points > 0).any(1))


def _label_name(name: str) -> str:
    """The text file of a picture: `images` becomes `labels`, the last where there are several."""
    path = PurePosixPath(name)
    parts = list(path.with_suffix(".txt").parts)
    for place in reversed(range(len(parts) - 1)):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return PurePosixPath(*parts).as_posix()


def _numbers(line: str) -> Float[np.ndarray, " number"]:
    try:
        return np.array([float(word) for word in line.split()])
    except ValueError:
        return np.array([])


def _fault_of(values: Float[np.ndarray, " number"], about: _About) -> str:
    """Why a line cannot be used; empty where it can."""
    if len(values) == 5:
        return "hands have a box and no joints"
    if len(values) != 5 + JOINTS * about.numbers:
        return f"lines are not {5 + JOINTS * about.numbers} numbers"
    if not np.isfinite(values).all() or values[0] not in range(len(about.classes)):
        return "lines have a class that is not in names, or a number that is not finite"

    points = values[5:].reshape(JOINTS, about.numbers)
    shares = points[_labelled(points), :2]
    if len(shares) and (shares.min() < -TOLERANCE or shares.max() > 1 + TOLERANCE):
        return "hands have joints outside 0 to 1, the shares of the picture's sides,"
    if about.numbers == 3 and not np.isin(points[:, 2], (0, 1, 2)).all():
        return "hands have a flag other than 0, 1 and 2"
    return ""


# ------------------------------------------------------------------------------------------- classes


def _gestures(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Classes that mean neither a side nor just a hand."""
    return tuple(name for name in classes if side_in(name) == UNKNOWN and "hand" not in name.lower())


def _labels(about: _About, table: _Table) -> Hands:
    joints = torch.from_numpy(np.array(table.joints, np.float32)).reshape(-1, JOINTS, 3)
    flags = joints[..., 2]
    classes = np.array(table.classes)

    sides = torch.tensor([side_in(name) for name in about.classes])[classes]
    gestures = _gestures(about.classes)
    numbers = {name: number for number, name in enumerate(gestures)}
    shown = torch.tensor([numbers.get(name, -1) for name in about.classes])[classes]
    # some tools write 1, others 2 for every labelled joint: only data with both tell hidden joints
    tells_visible = bool((flags == 1).any()) and bool((flags == 2).any())

    return Hands(
        joints_2d=joints[..., :2].contiguous(),
        joint_valid=flags > 0,
        joint_visible=flags > 1 if tells_visible else None,
        side=sides if (sides != UNKNOWN).any() else None,
        gesture=shown if gestures else None,
    )
