"""STB, the stereo hand pose benchmark (Zhang et al., ICIP 2017): one person's left hand, 640 x 480 px.

    ROOT/images/SEQUENCE/{BB_left,BB_right,SK_color,SK_depth}_{0..1499}.png    or without `images/`
    ROOT/labels/SEQUENCE_{BB,SK}.mat                                           `handPara` (3, 21, 1500), mm

The 12 sequences B{1..6}{Counting,Random} have 1,500 frames each. Joint 0 is the palm's centre, not the wrist
(`hand.wrist_from_palm`). A sequence is one content (dVAE's): one background, one light, one person, seen by
cameras that stand still.

Protocols are `WHICH/CAMERA`. `pose` tests on both sequences of B1 and trains on the others (Zimmermann and
Brox, 2017); `srv` trains on all `Random` and tests on all `Counting`. Cameras: `bb` both views of the stereo
camera, `bb-left` or `bb-right` one of them, `sk` the colour and `sk-depth` the depth camera of the other
device.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handvae.data.dataset import (
    GIVE_ORIGINAL,
    InMemoryData,
    camera_labels,
    pinhole,
    require_choice,
    require_file,
    usable_numbers,
)
from handvae.data.files.depth import from_stb
from handvae.data.files.mat import read_mat
from handvae.data.files.pictures import read_picture
from handvae.data.hands import DataSpec
from handvae.data.left_out import LeftOut
from handvae.data.missing import is_filled, missing_parts
from handvae.errors import UserError
from handvae.hand import JOINT_NAMES, LEFT, to_internal

AUTHORS = "https://github.com/zhjwustc/icip17_stereo_hand_pose_dataset"
SEQUENCES = tuple(f"B{number}{kind}" for number in range(1, 7) for kind in ("Counting", "Random"))
CAMERAS: dict[str, tuple[str, ...]] = {
    "bb":       ("BB_left", "BB_right"),
    "bb-left":  ("BB_left",),
    "bb-right": ("BB_right",),
    "sk":       ("SK_color",),
    "sk-depth": ("SK_depth",),
}  # fmt: skip
PROTOCOLS = tuple(f"{which}/{camera}" for which in ("pose", "srv") for camera in CAMERAS)
SIZE_PX = (640, 480)
"""Of all its cameras."""
BASELINE_MM = 120.054
SK_TURN = torch.from_numpy(cv2.Rodrigues(np.array([0.00531, -0.01196, 0.00301]))[0]).float()
"""Rotation from the colour to the depth camera."""
SK_SHIFT_MM = torch.tensor([-24.0381, -0.4563, -1.2326])
_BB = pinhole(822.79041, 822.79041, 318.47345, 250.31296)
INTRINSICS = {
    "BB_left": _BB,
    "BB_right": _BB,
    "SK_color": pinhole(607.92271, 607.88192, 314.78337, 236.42484),
    "SK_depth": pinhole(475.62768, 474.77709, 336.41179, 238.77962),
}


def in_camera(joints: Float[Tensor, "*batch 3"], camera: str) -> Float[Tensor, "*batch 3"]:
    """Labels, mm in the left camera (BB) or the depth camera (SK), in the frame of a camera."""
    match camera:
        case "BB_right":
            # rectified: the right camera stands a baseline to the right, without a turn
            return joints - torch.tensor([BASELINE_MM, 0.0, 0.0])
        case "SK_color":
            # X_color = R^T (X_depth - t), for rows
            return (joints - SK_SHIFT_MM) @ SK_TURN
        case _:
            return joints


def is_tested(sequence: str, which: str) -> bool:
    """Whether the protocol `pose` or `srv` tests on a sequence."""
    return sequence.startswith("B1") if which == "pose" else sequence.endswith("Counting")


class StbHands(InMemoryData):
    """STB in its own layout.

    Args:
        root: the folder that holds `labels`.
        split: `train`, `test`, or None for both.
        protocol: see the top of this file.

    Raises:
        UserError: something is missing or damaged.
    """

    def __init__(self, root: Path, split: str | None = None, protocol: str | None = None) -> None:
        self._which, camera = require_choice(root, "protocol", protocol, PROTOCOLS).split("/")
        if split is not None:
            require_choice(root, "split", split, ("train", "test"))

        require_file(root / "labels", AUTHORS)
        base = root / "images" if (root / "images").is_dir() else root
        views = CAMERAS[camera]
        # BB or SK: both cameras of a device share its labels
        device = views[0][:2]
        names: list[str] = []
        joints_3d, intrinsics, contents = [], [], []
        absent: list[str] = []
        considered = frames = 0
        left_out = LeftOut()

        for content, sequence in enumerate(SEQUENCES):
            if split is not None and is_tested(sequence, self._which) != (split == "test"):
                continue

            considered += 1
            path = root / "labels" / f"{sequence}_{device}.mat"
            if not is_filled(path):
                absent.append(path.relative_to(root).as_posix())
                continue

            listed = read_mat(path, "handPara")["handPara"]
            if listed.shape[:2] != (3, 21) or listed.ndim != 3:
                fault = f"handPara has shape {listed.shape}, not 3 x 21 x any"
                raise UserError(path, fault, GIVE_ORIGINAL)
            values, usable = usable_numbers(path, "handPara", listed.transpose(2, 1, 0), (21, 3))
            joints = to_internal(torch.from_numpy(values), "stb")[usable]
            frames += len(usable)
            for frame in np.flatnonzero(~usable).tolist():
                left_out.add("with a joint that is not finite", f"{sequence} {frame}")
            folder = (base / sequence).relative_to(root).as_posix()

            for view in views:
                names += [f"{folder}/{view}_{number}.png" for number in np.flatnonzero(usable).tolist()]
                joints_3d.append(in_camera(joints, view))
                intrinsics.append(INTRINSICS[view].expand(len(joints), 3, 3))
                contents.append(torch.full((len(joints),), content))

        gone = missing_parts(root, "files of labels", absent, considered, AUTHORS)
        if not names:
            raise UserError(root, "has no frame that can be used", GIVE_ORIGINAL)
        if left_out:
            gone = (*gone, left_out.line("frames", frames))
        self.remarks = self.left_out = gone
        labels = camera_labels(torch.cat(joints_3d), torch.cat(intrinsics), LEFT, SIZE_PX)
        super().__init__(root, names, replace(labels, content=torch.cat(contents)))
        self.authors = AUTHORS
        kind = "depth" if camera == "sk-depth" else "image"
        self.spec = DataSpec(
            name="stb",
            count=len(names),
            size_px=0,
            modalities=(kind, *(name for name, _ in self.kept.items())),
            sides="left",
            root="camera",
            joint_names=("palm", *JOINT_NAMES[1:]),
            licence="research only; its authors' repository carries the MIT licence",
        )

    def split_of(self, row: int) -> str:
        """`train` or `test`, as the protocol divides."""
        return "test" if is_tested(self.names[row].split("/")[-2], self._which) else "train"

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        if "image" not in self.spec.modalities:
            self._lacks("image")
        return read_picture(self.root / self.names[row])

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """Depth in mm, 0 where unknown."""
        if "depth" not in self.spec.modalities:
            self._lacks("depth")
        return from_stb(read_picture(self.root / self.names[row]))
