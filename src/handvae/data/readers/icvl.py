"""ICVL hand posture (Tang et al., CVPR 2014): depth of a short-range camera, 320 x 240 px, 16 joints.

    ROOT/Training/Depth/...png              ROOT/Training/labels.txt           331,006 lines
    ROOT/Testing/Depth/test_seq_1/...png    ROOT/Testing/test_seq_{1,2}.txt    702 and 894 lines

A line is a picture's name below `Depth` and 16 triples u px, v px, depth mm: palm, then root, middle and tip
of thumb to little finger. There is no wrist: the palm is the root. The labels as published are those of a
left hand (by the side of the palm to which its fingers bend, 97 % of the test frames).

Protocols: `original`, the 22 thousand training frames that are not turned (their names begin with 2014), or
`all`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from handvae.data.dataset import (
    GIVE_ORIGINAL,
    InMemoryData,
    camera_labels,
    chosen_splits,
    pinhole,
    require_choice,
    require_few,
    require_file,
    require_size,
)
from handvae.data.files.pictures import inside, read_plane
from handvae.data.hands import DataSpec
from handvae.data.left_out import LeftOut
from handvae.errors import UserError
from handvae.geometry import back_project
from handvae.hand import FINGERS, LEFT

AUTHORS = "https://labicvl.github.io/hand.html"
PROTOCOLS = ("original", "all")
SIZE_PX = (320, 240)
JOINT_NAMES = ("palm", *(f"{finger}_{part}" for finger in FINGERS for part in ("root", "middle", "tip")))
INTRINSICS = pinhole(240.99, 240.96, 160.0, 120.0)
"""Of the published evaluation; some loaders have 241.42 for both."""
LABELS = {"train": ("Training/labels.txt",), "test": ("Testing/test_seq_1.txt", "Testing/test_seq_2.txt")}
MAX_LINE = 4096
MOST_BYTES = 2**30


class IcvlHands(InMemoryData):
    """ICVL in its own layout.

    Args:
        root: the folder that holds `Training` and `Testing`.
        split: `train`, `test`, or None for every split on disk.
        protocol: `original` or `all`; it concerns training only.

    Raises:
        UserError: something is missing or damaged.
    """

    def __init__(self, root: Path, split: str | None = None, protocol: str | None = None) -> None:
        protocol = require_choice(root, "protocol", protocol, PROTOCOLS)
        splits = chosen_splits(root, split, {name: root / files[0] for name, files in LABELS.items()})
        names: list[str] = []
        left_out = LeftOut()
        parts = []

        for name in splits:
            prefix = "2014" if name == "train" and protocol == "original" else ""
            for file in LABELS[name]:
                path = require_file(root / file, AUTHORS)
                rows = list(_lines(path, prefix, left_out))
                if not rows:
                    raise UserError(path, f"holds no line of protocol {protocol!r}", GIVE_ORIGINAL)
                names += [f"{path.parent.name}/Depth/{picture}" for picture, _ in rows]
                parts.append(torch.from_numpy(np.stack([values for _, values in rows])))

        if left_out:
            self.remarks = self.left_out = (left_out.line("lines", len(left_out) + len(names)),)

        measured = torch.cat(parts)
        intrinsics = INTRINSICS.expand(len(measured), 3, 3)
        # labels are pixels and depth; the camera turns them into space
        joints_2d = measured[..., :2].contiguous()
        joints_3d = back_project(joints_2d, measured[..., 2], intrinsics)
        super().__init__(root, names, camera_labels(joints_3d, intrinsics, LEFT, SIZE_PX, joints_2d))
        self.authors = AUTHORS
        self.spec = DataSpec(
            name="icvl",
            count=len(measured),
            size_px=0,
            modalities=("depth", *(name for name, _ in self.kept.items())),
            sides="left",
            root="camera",
            joints=16,
            joint_names=JOINT_NAMES,
            licence="see its authors' page; used for research",
        )

    def split_of(self, row: int) -> str:
        """`train` or `test`."""
        return "train" if self.names[row].startswith("Training") else "test"

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """Depth in mm."""
        return read_plane(inside(self.root, self.names[row]), np.uint16).astype(np.float32)


def _lines(path: Path, prefix: str, left_out: LeftOut) -> Iterator[tuple[str, Float[np.ndarray, "16 3"]]]:
    """Names and labels of the lines that begin with `prefix`."""
    require_size(path, MOST_BYTES)
    try:
        with path.open(encoding="utf-8-sig") as handle:
            number = 0
            # a limit on the line: a file without line breaks would fill the memory
            while line := handle.readline(MAX_LINE):
                number += 1
                require_few(path, "lines", number)
                name, *values = line.split() or [""]
                if name and name.startswith(prefix):
                    joints = _joints(values)
                    if joints is None:
                        left_out.add(
                            "that are not a name and 48 finite numbers", f"{path.name} line {number}"
                        )
                    else:
                        yield name, joints
    except UnicodeDecodeError as error:
        raise UserError(path, "is no text", GIVE_ORIGINAL) from error


def _joints(values: list[str]) -> Float[np.ndarray, "16 3"] | None:
    """The numbers of one line; None where they are not 48 finite ones."""
    try:
        # float64 that overflows float32 becomes infinite
        with np.errstate(over="ignore"):
            joints = np.array(values, np.float32).reshape(16, 3)
    except ValueError:
        return None
    return joints if np.isfinite(joints).all() else None
