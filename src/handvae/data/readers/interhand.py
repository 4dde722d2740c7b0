"""InterHand2.6M (Moon et al., ECCV 2020): one and two hands, 512 x 334 px or upright, from many cameras.

    ROOT/images/{train,val,test}/Capture0/SEQUENCE/cam400002/image1234.jpg
    ROOT/annotations/{train,val,test}/InterHand2.6M_{train,val,test}_{data,camera,joint_3d}.json

or the three JSON files beside the pictures, as mmpose keeps its samples. A row is one hand, so a picture of
two hands gives two rows.
Protocols: `all` hands, those of pictures with one hand (`right`, `left`, `single`), or those of pictures with
two (`interacting`).
Joints count as valid where both the picture and the frame say so; without its wrist a hand has no valid joint
and is left out.
"""

from dataclasses import dataclass
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
from handvae.data.hands import DataSpec, Hands
from handvae.errors import UserError
from handvae.geometry import project
from handvae.hand import LEFT, RIGHT, to_internal

AUTHORS = "https://mks0601.github.io/InterHand2.6M"
SPLITS = ("train", "val", "test")
PROTOCOLS = ("all", "right", "left", "single", "interacting")
_KEPT = {
    "all": {"right", "left", "interacting"},
    "right": {"right"},
    "left": {"left"},
    "single": {"right", "left"},
    "interacting": {"interacting"},
}
_WRIST = 20
_SIDES = torch.tensor([RIGHT, LEFT])  # the first 21 joints are the right hand's
_CAMERA_SHAPES = {"campos": (3,), "camrot": (3, 3), "focal": (2,), "princpt": (2,)}
_Key = tuple[str, str]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Picture(_Strict):
    id: int
    file_name: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    capture: int | str
    camera: int | str
    frame_idx: int | str
    subject: Annotated[int, Field(ge=-(2**31), lt=2**31)] = -1


class _Annotation(_Strict):
    id: int
    image_id: int
    joint_valid: list[float] | list[Annotated[list[float], Field(min_length=1, max_length=1)]]
    hand_type: Literal["right", "left", "interacting"]


@dataclass(frozen=True)
class _Files:
    """The data file of a split, and where its pictures lie."""

    split: str
    data: Path
    pictures: Path

    def part(self, name: str) -> Path:
        """The camera's or the joints' file that belongs to the data file."""
        return require_file(
            self.data.with_name(self.data.name.removesuffix("_data.json") + f"_{name}.json"), AUTHORS
        )


@dataclass(frozen=True)
class _Frames:
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

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """From world coordinates to the camera's and its pixels."""
        camera, hand = self.camera[rows], self.hand[rows]
        relative = self.frames.world_mm[self.frame[rows], hand] - self.cameras.positions_mm[camera][:, None]
        joints = to_internal(relative @ self.cameras.rotations[camera].mT, "interhand")
        intrinsics = self.cameras.intrinsics[camera]
        valid = to_internal(self.valid[rows][..., None], "interhand")[..., 0] & (joints[..., 2] > 0)
        return Hands(
            joints_2d=torch.where(valid[..., None], project(joints, intrinsics), 0.0),
            joints_3d=torch.where(valid[..., None], joints, 0.0),
            joint_valid=valid,
            intrinsics=intrinsics,
            side=_SIDES[hand],
            subject=self.subject[rows],
        )


class InterhandHands(HandData):
    """InterHand2.6M in its own layout; the annotation is read member by member, so that memory holds only the
    labels.

    Args:
        root: the folder that holds `annotations` and `images`.
        split: `train`, `val`, `test`, or None for what is there.
        protocol: which pictures, see above.

    Raises:
        UserError: something is missing or damaged.
    """

    def __init__(self, root: Path, split: str | None = None, protocol: str | None = None) -> None:
        protocol = require_choice(root, "protocol", protocol, PROTOCOLS)
        found = find_files(root, None if split is None else require_choice(root, "split", split, SPLITS))
        if not found:
            name = split or "train"
            require_file(root / "annotations" / name / f"InterHand2.6M_{name}_data.json", AUTHORS)
        self._splits = [_read_split(files, protocol) for files in found]
        self._starts = torch.tensor([len(part.names) for part in self._splits]).cumsum(0)
        count = int(self._starts[-1])
        if not count:
            raise UserError(
                root, f"holds no hand of protocol {protocol!r}", f"try another of {', '.join(PROTOCOLS)}"
            )
        sides = {int(_SIDES[hand]) for part in self._splits for hand in part.hand.unique()}
        self.spec = DataSpec(
            name="interhand",
            count=count,
            size_px=0,
            modalities=("image", "joints_2d", "joints_3d", "joint_valid", "intrinsics", "side", "subject"),
            sides="both" if len(sides) == 2 else "right" if RIGHT in sides else "left",
            root="camera",
            licence="CC-BY-NC 4.0",
        )

    def __len__(self) -> int:
        return self.spec.count

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows; joints that are not valid are zero."""
        numbers = torch.bucketize(rows, self._starts, right=True)
        parts = [(numbers == number).nonzero()[:, 0] for number in range(len(self._splits))]
        begin = [0, *self._starts.tolist()]
        read = [
            part.labels(rows[chosen] - begin[i])
            for i, (part, chosen) in enumerate(zip(self._splits, parts, strict=True))
        ]
        return Hands.cat(read)[torch.cat(parts).argsort()]

    def name(self, row: int) -> str:
        """The picture's file name."""
        part, place = self._at(row)
        return part.names[place]

    def split_of(self, row: int) -> str:
        """`train`, `val` or `test`."""
        return self._at(row)[0].name

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        part, place = self._at(row)
        return read_picture(inside(part.folder, part.names[place]))

    def _at(self, row: int) -> tuple[_Split, int]:
        number = int(torch.bucketize(torch.tensor(row), self._starts, right=True))
        return self._splits[number], row - ([0, *self._starts.tolist()])[number]


def find_files(root: Path, split: str | None) -> list[_Files]:
    """The data files of a split, or of all splits that are there."""
    splits = SPLITS if split is None else (split,)
    official = [
        _Files(name, path, root / "images" / name)
        for name in splits
        for path in sorted((root / "annotations" / name).glob("*_data.json"))
    ]
    beside = [
        path for path in sorted(root.glob("*_data.json")) if split is None or split in path.stem.split("_")
    ]
    beside = [
        path for path in beside if path.with_name(path.name.replace("_data.json", "_joint_3d.json")).is_file()
    ]
    named = [next((name for name in SPLITS if name in path.stem.split("_")), "") for path in beside]
    return official or [_Files(name, path, root) for name, path in zip(named, beside, strict=True)]


def _read_split(files: _Files, protocol: str) -> _Split:
    frames, cameras = _read_frames(files.part("joint_3d")), _read_cameras(files.part("camera"))
    pictures: dict[int, tuple[str, int, int, int]] = {}  # plain tuples: there are 1.4 million
    hands: list[tuple[int, Bool[np.ndarray, "2 21"]]] = []
    seen: set[int] = set()
    for kind, key, value in members(files.data):
        try:
            if kind == "images":
                picture = _Picture.model_validate(value)
                frame = frames.numbers.get((str(picture.capture), str(picture.frame_idx)))
                camera = cameras.numbers.get((str(picture.capture), str(picture.camera)))
                if frame is None or camera is None:
                    what = "frame" if frame is None else "camera"
                    raise UserError(
                        files.data,
                        f"images.{key}: its capture and {what} are not in the {what}s' file",
                        GIVE_ORIGINAL,
                    )
                if picture.id in pictures:
                    raise UserError(files.data, f"two images have the id {picture.id}", GIVE_ORIGINAL)
                pictures[picture.id] = (picture.file_name, frame, camera, picture.subject)
            elif kind == "annotations":
                annotation = _Annotation.model_validate(value)
                if annotation.id in seen:
                    raise UserError(files.data, f"two annotations have the id {annotation.id}", GIVE_ORIGINAL)
                seen.add(annotation.id)
                flags = require_numbers(
                    files.data, f"annotations.{key}.joint_valid", np.ravel(annotation.joint_valid), (42,)
                )
                if annotation.hand_type in _KEPT[protocol]:
                    hands.append((annotation.image_id, flags.reshape(2, 21) > 0))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(step) for step in (kind, key, *first["loc"]))
            raise UserError(files.data, f"{field}: {first['msg']}", GIVE_ORIGINAL) from error
    return _rows(files, frames, cameras, pictures, hands)


def _rows(files: _Files, frames: _Frames, cameras: _Cameras, pictures: dict, hands: list) -> _Split:
    """A row for each hand that has its wrist and another joint."""
    names, rows, valids = [], [], []
    for image_id, flags in hands:
        if image_id not in pictures:
            raise UserError(files.data, f"image_id {image_id} is not in images", GIVE_ORIGINAL)
        name, frame, camera, subject = pictures[image_id]
        valid = flags & frames.valid[frame]
        for hand in (0, 1):
            if valid[hand, _WRIST] and valid[hand].sum() >= 2:
                names.append(name)
                rows.append((frame, camera, hand, subject))
                valids.append(valid[hand])
    table = torch.tensor(rows).reshape(-1, 4)
    frame, camera, hand, subject = table.unbind(1)
    valid = torch.from_numpy(np.array(valids, bool).reshape(-1, 21))
    return _Split(
        files.split, files.pictures, frames, cameras, tuple(names), frame, camera, hand, valid, subject
    )


def _read_frames(path: Path) -> _Frames:
    numbers: dict[_Key, int] = {}
    joints, valid = [], []
    for capture, frame, value in members(path):
        if not isinstance(value, dict) or not {"world_coord", "joint_valid"} <= value.keys():
            raise UserError(
                path,
                f"capture {capture} frame {frame} does not have world_coord and joint_valid",
                GIVE_ORIGINAL,
            )
        where = f"{capture}.{frame}"
        numbers[capture, str(frame)] = len(joints)
        joints.append(require_numbers(path, f"{where}.world_coord", value["world_coord"], (42, 3)))
        flags = require_numbers(path, f"{where}.joint_valid", value["joint_valid"], None).ravel()
        valid.append(require_numbers(path, f"{where}.joint_valid", flags, (42,)).reshape(2, 21) > 0)
    if not joints:
        raise UserError(path, "holds no frame", GIVE_ORIGINAL)
    return _Frames(numbers, torch.from_numpy(np.stack(joints)).unflatten(1, (2, 21)), np.stack(valid))


def _read_cameras(path: Path) -> _Cameras:
    found: dict[_Key, dict[str, np.ndarray]] = {}
    for capture, kind, values in members(path):
        if kind not in _CAMERA_SHAPES or not isinstance(values, dict):
            raise UserError(
                path, f"capture {capture}: {kind!r} is not one of {', '.join(_CAMERA_SHAPES)}", GIVE_ORIGINAL
            )
        for camera, value in values.items():
            name = f"{capture}.{kind}.{camera}"
            found.setdefault((capture, camera), {})[kind] = require_numbers(
                path, name, value, _CAMERA_SHAPES[kind]
            )
    for (capture, camera), parts in found.items():
        if parts.keys() != _CAMERA_SHAPES.keys():
            missing = ", ".join(_CAMERA_SHAPES.keys() - parts.keys())
            raise UserError(path, f"capture {capture}: camera {camera} has no {missing}", GIVE_ORIGINAL)
    if not found:
        raise UserError(path, "holds no camera", GIVE_ORIGINAL)
    stacked = {
        kind: torch.from_numpy(np.stack([parts[kind] for parts in found.values()])) for kind in _CAMERA_SHAPES
    }
    intrinsics = torch.diag_embed(torch.cat([stacked["focal"], torch.ones(len(found), 1)], 1))
    intrinsics[:, :2, 2] = stacked["princpt"]
    return _Cameras(
        {key: number for number, key in enumerate(found)}, stacked["camrot"], stacked["campos"], intrinsics
    )
