"""NYU hand pose (Tompson et al., SIGGRAPH 2014): depth of three cameras, 640 x 480 px.

    ROOT/{train,test}/{depth,rgb}_1_0000001.png    72,757 and 8,252; or ROOT/dataset/...
    ROOT/{train,test}/joint_data.mat               `joint_uvd` (3, frames, 36, 3): px, px, mm

The first camera is read, as published evaluations do. Joints run from a finger's tip to its base. The
published labels are those of a right hand (by the side of the palm to which its fingers bend, 93 % of the
test frames).

Protocols: `36`, all joints, 14 of which published evaluations count, or `14`, these alone.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from handvae.data.dataset import (
    GIVE_ORIGINAL,
    InMemoryData,
    camera_labels,
    chosen_splits,
    pinhole,
    require_choice,
    require_file,
    usable_numbers,
)
from handvae.data.files.depth import from_nyu
from handvae.data.files.mat import read_mat
from handvae.data.files.pictures import read_picture
from handvae.data.hands import DataSpec
from handvae.data.left_out import LeftOut
from handvae.errors import UserError
from handvae.geometry import back_project
from handvae.hand import RIGHT

AUTHORS = "https://jonathantompson.github.io/NYU_Hand_Pose_Dataset.htm"
PROTOCOLS = ("36", "14")
SIZE_PX = (640, 480)
JOINT_NAMES = (
    *(
        f"{finger}_knu{part}"
        for finger in ("pinky", "ring", "middle", "index", "thumb")
        for part in ("3a", "3b", "2a", "2b", "1a", "1b")
    ),
    *(f"palm_{number}" for number in range(1, 7)),
)
EVALUATION_JOINTS = (0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32)
INTRINSICS = pinhole(588.03, 587.07, 320.0, 240.0)


class NyuHands(InMemoryData):
    """NYU in its own layout.

    Args:
        root: the folder that holds `train` and `test`, or `dataset` with them.
        split: `train`, `test`, or None for every split on disk.
        protocol: `36` or `14` joints.

    Raises:
        UserError: something is missing or damaged.
    """

    def __init__(self, root: Path, split: str | None = None, protocol: str | None = None) -> None:
        protocol = require_choice(root, "protocol", protocol, PROTOCOLS)
        joints = list(range(36)) if protocol == "36" else list(EVALUATION_JOINTS)
        self.evaluated_joints = EVALUATION_JOINTS if protocol == "36" else ()
        # some copies keep everything below `dataset`
        root = root / "dataset" if (root / "dataset").is_dir() else root
        splits = chosen_splits(root, split, {name: root / name for name in ("train", "test")})
        pictures: list[str] = []
        parts = []
        left_out, frames = LeftOut(), 0

        for name in splits:
            path = require_file(root / name / "joint_data.mat", AUTHORS)
            content = read_mat(path, "joint_uvd")["joint_uvd"]
            if content.ndim != 4 or content.shape[2:] != (36, 3) or not len(content):
                fault = f"joint_uvd has shape {content.shape}, not cameras x frames x 36 x 3"
                raise UserError(path, fault, GIVE_ORIGINAL)
            # the first of three cameras
            values, usable = usable_numbers(path, "joint_uvd", content[0], (36, 3))
            frames += len(usable)
            for frame in np.flatnonzero(~usable).tolist():
                left_out.add("with a joint that is not finite", f"{name} {frame + 1}")
            pictures += [f"{name}/depth_1_{frame + 1:07d}.png" for frame in np.flatnonzero(usable).tolist()]
            parts.append(torch.from_numpy(values[usable][:, joints]))

        measured = torch.cat(parts)
        if not len(measured):
            raise UserError(root, "has no frame that can be used", GIVE_ORIGINAL)
        if left_out:
            self.remarks = self.left_out = (left_out.line("frames", frames),)

        intrinsics = INTRINSICS.expand(len(measured), 3, 3)
        # labels are pixels and depth; the camera turns them into space
        joints_2d = measured[..., :2].contiguous()
        joints_3d = back_project(joints_2d, measured[..., 2], intrinsics)
        super().__init__(root, pictures, camera_labels(joints_3d, intrinsics, RIGHT, SIZE_PX, joints_2d))

        self.authors = AUTHORS
        # most copies have the depth alone; of one with colours, missing files are a fault
        self._has_picture = all(next((root / name).glob("rgb_1_*.png"), None) for name in splits)
        names = tuple(JOINT_NAMES[joint] for joint in joints)
        kinds = ("image", "depth") if self._has_picture else ("depth",)
        self.spec = DataSpec(
            name="nyu",
            count=len(measured),
            size_px=0,
            modalities=(*kinds, *(name for name, _ in self.kept.items())),
            sides="right",
            root="camera",
            joints=len(names),
            joint_names=names,
            licence="see its authors' page; listed as CC-BY 4.0",
        )

    def split_of(self, row: int) -> str:
        """`train` or `test`."""
        return self.names[row].split("/")[0]

    def files(self) -> Iterator[tuple[str, ...]]:
        """Of each row its depth, and its colours where they are offered."""
        for (depth,) in super().files():
            folder, _, name = depth.rpartition("/")
            colour = (f"{folder}/{name.replace('depth_1', 'rgb_1')}",) if self._has_picture else ()
            yield (depth, *colour)

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The colour picture, which is registered to the depth."""
        if not self._has_picture:
            self._lacks("image")
        return read_picture(self.root / self.names[row].replace("depth_1", "rgb_1"))

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """Depth in mm, 0 where unknown."""
        return from_nyu(read_picture(self.root / self.names[row]))
