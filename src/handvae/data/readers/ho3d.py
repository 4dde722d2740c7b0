"""HO-3D (Hampali et al., CVPR 2020): right hands that hold objects, 640 x 480 px.

    ROOT/train.txt                                            a line a frame: SEQUENCE/0000
    ROOT/train/SEQUENCE/{rgb,meta}/0000.{png,jpg,pkl}

The evaluation split publishes the root joint only, so it cannot be read. Each frame has its own annotation
file, which is read on demand. Joints that the labellers left out are not valid.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from handvae.data.dataset import (
    GIVE_ORIGINAL,
    HandData,
    require_choice,
    require_file,
    require_numbers,
    require_size,
)
from handvae.data.files.pickle import read_pickle
from handvae.data.files.pictures import inside, read_picture
from handvae.data.hands import DataSpec, Hands
from handvae.data.left_out import warn_of
from handvae.data.visibility import with_visibility
from handvae.errors import UserError
from handvae.geometry import project
from handvae.hand import RIGHT, to_internal

AUTHORS = "https://github.com/shreyashampali/ho3d"
MOST_BYTES = 2**26
SIZE_PX = (640, 480)
_LABELS = ("joints_2d", "joints_3d", "joint_valid", "joint_visible", "intrinsics", "side")
FROM_OPENGL = np.array([1.0, -1.0, -1.0], np.float32)


class Ho3dHands(HandData):
    """The training split of HO-3D in its own layout.

    Args:
        root: the folder that holds `train.txt` and `train`.
        split: `train` or None.

    Raises:
        UserError: something is missing or damaged.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        require_choice(root, "split", split, ("train",))
        self.root = root
        self.slow_labels = True
        self.authors = AUTHORS
        self._frames = _read_frames(require_file(root / "train.txt", AUTHORS))

        # version 2 has PNG files, version 3 JPEG
        sequences = sorted({sequence for sequence, _ in self._frames})
        folders = (inside(root, f"train/{sequence}/rgb") for sequence in sequences)
        has_jpeg = any(next(folder.glob("*.jpg"), None) is not None for folder in folders)
        self._suffix = ".jpg" if has_jpeg else ".png"
        self.spec = DataSpec(
            name="ho3d",
            count=len(self._frames),
            size_px=0,
            modalities=("image", *_LABELS),
            sides="right",
            root="camera",
            licence="academic research, not commercial",
        )

    def __len__(self) -> int:
        return len(self._frames)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows, each from its own file."""
        annotations = [self._read(row) for row in rows.tolist()]
        joints = torch.from_numpy(np.stack([joints for joints, _ in annotations]))
        intrinsics = torch.from_numpy(np.stack([camera for _, camera in annotations]))
        # a frame without labels is all zeros, hence nowhere valid
        valid = joints[..., 2] > 0
        labels = Hands(
            joints_2d=torch.where(valid[..., None], project(joints, intrinsics), 0.0),
            joints_3d=joints,
            joint_valid=valid,
            intrinsics=intrinsics,
            side=torch.full((len(rows),), RIGHT),
        )
        return with_visibility(labels, SIZE_PX)

    def name(self, row: int) -> str:
        """The picture's name below the root."""
        return self._path(row, "rgb", self._suffix).relative_to(self.root.resolve()).as_posix()

    def split_of(self, row: int) -> str:
        """Always `train`."""
        return "train"

    def files(self) -> Iterator[tuple[str, ...]]:
        """Of each row its picture and its labels."""
        for sequence, frame in self._frames:
            folder = f"{self.root}/train/{sequence}"
            yield f"{folder}/rgb/{frame}{self._suffix}", f"{folder}/meta/{frame}.pkl"

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return read_picture(self._path(row, "rgb", self._suffix))

    def _path(self, row: int, kind: str, suffix: str) -> Path:
        sequence, frame = self._frames[row]
        return inside(self.root, f"train/{sequence}/{kind}/{frame}{suffix}")

    def _read(self, row: int) -> tuple[Float[np.ndarray, "21 3"], Float[np.ndarray, "3 3"]]:
        """Joints in mm, internal order, camera frame; and the camera."""
        path = require_file(self._path(row, "meta", ".pkl"), AUTHORS)
        unlabelled = np.zeros((21, 3), np.float32)
        try:
            content: Any = read_pickle(path)
            if not isinstance(content, dict) or not {"handJoints3D", "camMat"} <= content.keys():
                raise UserError(path, "does not have handJoints3D and camMat", GIVE_ORIGINAL)

            camera = require_numbers(path, "camMat", content["camMat"], (3, 3))
            # a frame without labels
            if content["handJoints3D"] is None:
                return unlabelled, camera
            joints = require_numbers(path, "handJoints3D", content["handJoints3D"], (21, 3))
        except UserError as error:
            # met while training: one damaged file of 66 thousand must not end it
            warn_of(path, (f"{error.fault}: its frame is taken for one without labels",))
            return unlabelled, np.eye(3, dtype=np.float32)

        # OpenGL's camera looks along -z with y up; then metres to millimetres
        return to_internal(torch.from_numpy(joints * FROM_OPENGL * 1000), "ho3d").numpy(), camera


def _read_frames(path: Path) -> list[tuple[str, str]]:
    """Sequence and frame of each line of `train.txt`."""
    require_size(path, MOST_BYTES)
    try:
        lines = path.read_text("utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", "check the file") from error

    if not lines:
        raise UserError(path, "holds no frame", GIVE_ORIGINAL)

    frames = []
    for line in lines:
        sequence, _, frame = line.partition("/")
        if line.count("/") != 1:
            raise UserError(path, f"{line!r} is not SEQUENCE/FRAME", GIVE_ORIGINAL)
        frames.append((sequence, frame))

    return frames
