"""InterHand2.6M (Moon et al., ECCV 2020): one and two hands from many cameras, 512 x 334 px or upright.

    ROOT/images/{train,val,test}/Capture0/SEQUENCE/cam400002/image1234.jpg
    ROOT/annotations/{train,val,test}/InterHand2.6M_{train,val,test}_{data,camera,joint_3d}.json

or the three JSON files in the folder of the pictures, as mmpose keeps its samples. A row is one hand, so a
picture of two hands gives two rows.

Protocols: `all` hands; those of pictures with one hand (`right`, `left`, `single`); or those of pictures with
two (`interacting`). Joints are valid where both the picture and the frame say so; a hand without its wrist
has no valid joint and is left out.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from handvae.data.dataset import GIVE_ORIGINAL, HandData, require_choice, require_file, require_numbers
from handvae.data.files.json import members
from handvae.data.files.pictures import inside, read_picture
from handvae.data.hands import DataSpec, Hands, sides_shown
from handvae.data.left_out import LeftOut
from handvae.data.visibility import with_visibility
from handvae.errors import UserError
from handvae.geometry import project
from handvae.hand import LEFT, RIGHT, to_internal

AUTHORS = "https://mks0601.github.io/InterHand2.6M"
SPLITS = ("train", "val", "test")
PROTOCOLS = ("all", "right", "left", "single", "interacting")

_HAND_TYPES = {
    "all": {"right", "left", "interacting"},
    "right": {"right"},
    "left": {"left"},
    "single": {"right", "left"},
    "interacting": {"interacting"},
}
"""Types of annotations that each protocol keeps."""
_WRIST = 20
_SIDES = torch.tensor([RIGHT, LEFT])
"""Sides in the file's order: the first 21 joints are the right hand's."""
_LABELS = ("joints_2d", "joints_3d", "joint_valid", "joint_visible", "intrinsics", "side", "subject")
_CAMERA_SHAPES = {"campos": (3,), "camrot": (3, 3), "focal": (2,), "princpt": (2,)}
_Key = tuple[str, str]


# ------------------------------------------------------------------------------------------- the files' form


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Picture(_Strict):
    id: int
    file_name: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    capture: int | str
    camera: int | str
    frame_idx: int | str
    subject: Annotated[int, Field(ge=-(2**31), lt=2**31)] = -1
    width: Annotated[float, Field(gt=0)] = math.inf
    height: Annotated[float, Field(gt=0)] = math.inf


class _Annotation(_Strict):
    id: int
    image_id: int
    joint_valid: list[float] | list[Annotated[list[float], Field(min_length=1, max_length=1)]]
    hand_type: Literal["right", "left", "interacting"]


@dataclass(frozen=True)
class _Files:
    """The data file of a split, and the folder of its pictures."""

    split: str
    data: Path
    pictures: Path

    def part(self, name: str) -> Path:
        """The file of cameras or joints that belongs to the data file."""
        stem = self.data.name.removesuffix("_data.json")
        return require_file(self.data.with_name(f"{stem}_{name}.json"), AUTHORS)


# ------------------------------------------------------------------------------------------- what is kept


@dataclass(frozen=True)
class _Frames:
    """Moments of a capture: both hands in world coordinates."""

    numbers: dict[_Key, int]
    """From (capture, frame)."""
    world_mm: Float[Tensor, "frame 2 21 3"]
    valid: Bool[np.ndarray, "frame 2 21"]


@dataclass(frozen=True)
class _Cameras:
    numbers: dict[_Key, int]
    """From (capture, camera)."""
    rotations: Float[Tensor, "camera 3 3"]
    positions_mm: Float[Tensor, "camera 3"]
    intrinsics: Float[Tensor, "camera 3 3"]


@dataclass
class _Content:
    """Pictures and hands of a data file; plain tuples, for there are 1.4 million pictures."""

    pictures: dict[int, tuple[str, int, int, int, float, float]] = field(default_factory=dict)
    """From the picture's id: its name, the numbers of its frame, camera and subject, its width and height."""
    hands: list[tuple[int, Bool[np.ndarray, "2 21"]]] = field(default_factory=list)
    """Of each annotation that the protocol keeps: its picture's id, and which joints are labelled."""


@dataclass(frozen=True)
class _Split:
    """One data file: its frames, its cameras, and a row for each hand."""

    name: str
    folder: Path
    frames: _Frames
    cameras: _Cameras
    names: tuple[str, ...]
    """Of the rows' pictures."""
    frame: Int[Tensor, " row"]
    camera: Int[Tensor, " row"]
    hand: Int[Tensor, " row"]
    valid: Bool[Tensor, "row 21"]
    subject: Int[Tensor, " row"]
    size_px: Float[Tensor, "row 2"]
    """Width and height of the pictures, infinite where the file does not say."""

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """From world coordinates to the camera's frame and its pixels."""
        camera = self.camera[rows]
        hand = self.hand[rows]

        # X_camera = R (X_world - position)
        relative = self.frames.world_mm[self.frame[rows], hand] - self.cameras.positions_mm[camera][:, None]
        joints = to_internal(relative @ self.cameras.rotations[camera].mT, "interhand")
        intrinsics = self.cameras.intrinsics[camera]
        labelled = to_internal(self.valid[rows][..., None], "interhand")[..., 0]
        valid = labelled & (joints[..., 2] > 0)

        labels = Hands(
            # zeros: behind the camera a projection is a large number that means nothing
            joints_2d=torch.where(valid[..., None], project(joints, intrinsics), 0.0),
            joints_3d=torch.where(valid[..., None], joints, 0.0),
            joint_valid=valid,
            intrinsics=intrinsics,
            side=_SIDES[hand],
            subject=self.subject[rows],
        )
        return with_visibility(labels, self.size_px[rows])


# ------------------------------------------------------------------------------------------- the reader


class InterhandHands(HandData):
    """InterHand2.6M in its own layout; read member by member, so that memory holds only the labels.

    Args:
        root: the folder that holds `annotations` and `images`.
        split: `train`, `val`, `test`, or None for every split on disk.
        protocol: which pictures; see the top of this file.

    Raises:
        UserError: something is missing or damaged.
    """

    def __init__(self, root: Path, split: str | None = None, protocol: str | None = None) -> None:
        protocol = require_choice(root, "protocol", protocol, PROTOCOLS)
        split = None if split is None else require_choice(root, "split", split, SPLITS)
        splits = find_files(root, split)

        if not splits:
            name = split or "train"
            require_file(root / "annotations" / name / f"InterHand2.6M_{name}_data.json", AUTHORS)

        self.authors = AUTHORS
        left_out = LeftOut()
        self._splits = [_read_split(files, protocol, left_out) for files in splits]
        counts = [len(part.names) for part in self._splits]
        self._ends = torch.tensor(counts).cumsum(0)
        self._starts = [0, *self._ends.tolist()]

        # a line for the frames, cameras, pictures and annotations of the files together
        lines = (left_out.line("entries", len(left_out) + sum(counts)),) if left_out else ()
        if not sum(counts):
            others = ", ".join(PROTOCOLS)
            reason = f" ({lines[0]})" if lines else ""
            fault = f"holds no hand of protocol {protocol!r}{reason}"
            raise UserError(root, fault, f"try another of {others}")

        self.remarks = self.left_out = lines

        side = _SIDES[torch.cat([part.hand for part in self._splits])]
        self.spec = DataSpec(
            name="interhand",
            count=sum(counts),
            size_px=0,
            modalities=("image", *_LABELS),
            sides=sides_shown(side),
            root="camera",
            licence="CC-BY-NC 4.0",
        )

    def __len__(self) -> int:
        return self.spec.count

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows; joints that are not valid are zero."""
        numbers = torch.bucketize(rows, self._ends, right=True)
        batches = []
        positions = []
        for number, part in enumerate(self._splits):
            chosen = (numbers == number).nonzero()[:, 0]
            batches.append(part.labels(rows[chosen] - self._starts[number]))
            positions.append(chosen)
        return Hands.cat(batches)[torch.cat(positions).argsort()]

    def name(self, row: int) -> str:
        """The picture's file name."""
        part, place = self._at(row)
        return part.names[place]

    def split_of(self, row: int) -> str:
        """`train`, `val` or `test`."""
        return self._at(row)[0].name

    def files(self) -> Iterator[tuple[str, ...]]:
        """Of each row its picture."""
        return ((f"{part.folder}/{name}",) for part in self._splits for name in part.names)

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        part, place = self._at(row)
        return read_picture(inside(part.folder, part.names[place]))

    def _at(self, row: int) -> tuple[_Split, int]:
        """The split of a row, and the row's number within it."""
        number = int(torch.bucketize(torch.tensor(row), self._ends, right=True))
        return self._splits[number], row - self._starts[number]


def find_files(root: Path, split: str | None) -> list[_Files]:
    """The data files of a split, or of every split on disk."""
    official = [
        _Files(name, path, root / "images" / name)
        for name in (SPLITS if split is None else (split,))
        for path in sorted((root / "annotations" / name).glob("*_data.json"))
    ]
    if official:
        return official

    # in the folder of the pictures, where file names of any data set may end in _data.json
    files = []
    for path in sorted(root.glob("*_data.json")):
        words = path.stem.split("_")
        # so a file counts only with its joints next to it
        has_joints = path.with_name(path.name.replace("_data.json", "_joint_3d.json")).is_file()
        if has_joints and (split is None or split in words):
            name = next((name for name in SPLITS if name in words), "")
            files.append(_Files(name, path, root))

    return files


# ------------------------------------------------------------------------------------------- reading


def _read_split(files: _Files, protocol: str, left_out: LeftOut) -> _Split:
    frames = _read_frames(files.part("joint_3d"), left_out)
    cameras = _read_cameras(files.part("camera"), left_out)
    content = _read_content(files.data, frames, cameras, _HAND_TYPES[protocol], left_out)
    return _rows(files, frames, cameras, content, left_out)


def _read_content(
    path: Path, frames: _Frames, cameras: _Cameras, hand_types: set[str], left_out: LeftOut
) -> _Content:
    """Pictures and annotations of a data file; those with a fault are left out."""
    content = _Content()
    ids: set[int] = set()
    for kind, key, value in members(path):
        name = f"{path.name} {kind}.{key}"
        try:
            if kind == "images":
                picture = _Picture.model_validate(value)
                frame = frames.numbers.get((str(picture.capture), str(picture.frame_idx)))
                camera = cameras.numbers.get((str(picture.capture), str(picture.camera)))
                if picture.id in content.pictures:
                    left_out.add("with the id of another one", name)
                elif frame is None or camera is None:
                    missing = "frame" if frame is None else "camera"
                    left_out.add(f"whose {missing} is not in the {missing}s' file", name)
                else:
                    place = (frame, camera, picture.subject)
                    size = (picture.width, picture.height)
                    content.pictures[picture.id] = (picture.file_name, *place, *size)
            elif kind == "annotations":
                annotation = _Annotation.model_validate(value)
                if annotation.id in ids:
                    left_out.add("with the id of another one", name)
                    continue

                ids.add(annotation.id)
                flags = np.ravel(annotation.joint_valid)
                flags = require_numbers(path, f"annotations.{key}.joint_valid", flags, (42,))
                if annotation.hand_type in hand_types:
                    # the file lists 21 joints of the right hand, then 21 of the left
                    content.hands.append((annotation.image_id, flags.reshape(2, 21) > 0))
        except ValidationError as error:
            field = next(iter(error.errors()[0]["loc"]), "all of it")
            left_out.add(f"with a fault in {field}", name)
        except UserError:
            left_out.add("with a fault in joint_valid", name)

    return content


def _rows(files: _Files, frames: _Frames, cameras: _Cameras, content: _Content, left_out: LeftOut) -> _Split:
    """A row for each hand that has its wrist and another joint."""
    names, rows, sizes, valids = [], [], [], []
    for image_id, flags in content.hands:
        if image_id not in content.pictures:
            left_out.add("whose picture is not in images, or left out", f"image_id {image_id}")
            continue

        name, frame, camera, subject, *size = content.pictures[image_id]
        # both files have flags, the picture's and the frame's: a joint needs both
        valid = flags & frames.valid[frame]
        for hand in (0, 1):
            # without its wrist a hand is left out, as the authors' code does
            if valid[hand, _WRIST] and valid[hand].sum() >= 2:
                names.append(name)
                rows.append((frame, camera, hand, subject))
                sizes.append(size)
                valids.append(valid[hand])

    # the reshape keeps four columns where there is no row
    frame, camera, hand, subject = torch.tensor(rows).reshape(-1, 4).unbind(1)
    return _Split(
        name=files.split,
        folder=files.pictures,
        frames=frames,
        cameras=cameras,
        names=tuple(names),
        frame=frame,
        camera=camera,
        hand=hand,
        valid=torch.from_numpy(np.array(valids, bool).reshape(-1, 21)),
        subject=subject,
        size_px=torch.tensor(sizes).reshape(-1, 2),
    )


def _read_frames(path: Path, left_out: LeftOut) -> _Frames:
    numbers: dict[_Key, int] = {}
    joints, valid = [], []
    for capture, frame, value in members(path):
        name = f"{capture}.{frame}"
        given = value if isinstance(value, dict) else {}
        try:
            world = require_numbers(path, f"{name}.world_coord", given.get("world_coord"), (42, 3))
            # 42 flags, or 42 lists of one
            flags = require_numbers(path, f"{name}.joint_valid", given.get("joint_valid"), None).ravel()
            flags = require_numbers(path, f"{name}.joint_valid", flags, (42,))
        except UserError:
            left_out.add("without world_coord and joint_valid in finite numbers", f"frame {name}")
            continue

        numbers[capture, str(frame)] = len(joints)
        joints.append(world)
        valid.append(flags.reshape(2, 21) > 0)

    if not joints:
        raise UserError(path, "holds no frame that can be used", GIVE_ORIGINAL)

    world_mm = torch.from_numpy(np.stack(joints)).unflatten(1, (2, 21))
    return _Frames(numbers, world_mm, np.stack(valid))


def _read_cameras(path: Path, left_out: LeftOut) -> _Cameras:
    cameras: dict[_Key, dict[str, np.ndarray]] = {}
    for capture, kind, values in members(path):
        if kind not in _CAMERA_SHAPES or not isinstance(values, dict):
            fault = f"capture {capture}: {kind!r} is not one of {', '.join(_CAMERA_SHAPES)}"
            raise UserError(path, fault, GIVE_ORIGINAL)
        for camera, value in values.items():
            name = f"{capture}.{kind}.{camera}"
            parts = cameras.setdefault((capture, camera), {})
            with contextlib.suppress(UserError):
                parts[kind] = require_numbers(path, name, value, _CAMERA_SHAPES[kind])

    # one without all its numbers is left out, and the pictures that it took with it
    for (capture, camera), parts in list(cameras.items()):
        missing = ", ".join(kind for kind in _CAMERA_SHAPES if kind not in parts)
        if missing:
            left_out.add(f"without {missing} in finite numbers", f"camera {camera} of capture {capture}")
            del cameras[capture, camera]

    if not cameras:
        raise UserError(path, "holds no camera that can be used", GIVE_ORIGINAL)

    def stacked(kind: str) -> Tensor:
        return torch.from_numpy(np.stack([parts[kind] for parts in cameras.values()]))

    # K from focal lengths and principal point; the data set has no skew
    intrinsics = torch.diag_embed(torch.cat([stacked("focal"), torch.ones(len(cameras), 1)], 1))
    intrinsics[:, :2, 2] = stacked("princpt")
    numbers = {key: number for number, key in enumerate(cameras)}
    return _Cameras(numbers, stacked("camrot"), stacked("campos"), intrinsics)
