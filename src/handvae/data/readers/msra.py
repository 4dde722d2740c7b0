"""MSRA hand gestures (Sun et al., CVPR 2015): depth of nine people's right hands, 17 gestures, 21 joints.

    ROOT/P{0..8}/{1..9,I,IP,L,MP,RP,T,TIP,Y}/000000_depth.bin    the hand's box: 6 x uint32, then depths
    ROOT/P{0..8}/{1..9,...}/joint.txt                            number of frames, then 63 numbers a line

The six numbers are width and height of the picture (320 x 240 px), then left, top, right and bottom of the
box; its depths are float32 mm, row by row. Joints are in mm, y up, z towards the camera.

Protocols `P0` to `P8` leave that person out: the split `test` is that person, `train` all others. Frames
whose file is empty are left out, with a remark; 76,375 frames in all.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from handvae.data.dataset import (
    GIVE_ORIGINAL,
    InMemoryData,
    camera_labels,
    pinhole,
    require_choice,
    require_size,
    usable_numbers,
)
from handvae.data.hands import DataSpec
from handvae.data.left_out import LeftOut
from handvae.data.missing import is_filled, missing_parts
from handvae.errors import UserError
from handvae.hand import RIGHT, to_internal

AUTHORS = "https://jimmysuen.github.io"
SUBJECTS = tuple(f"P{number}" for number in range(9))
GESTURES = (*(str(number) for number in range(1, 10)), "I", "IP", "L", "MP", "RP", "T", "TIP", "Y")
WIDTH, HEIGHT = 320, 240
INTRINSICS = pinhole(241.42, 241.42, 160.0, 120.0)
_HEADER_BYTES = 24
MOST_BYTES = 2**26
"""Of a person's gesture: a hundred thousand frames."""


class MsraHands(InMemoryData):
    """MSRA in its own layout.

    Args:
        root: the folder that holds `P0` to `P8`.
        split: `train`, `test`, or None for all people.
        protocol: the person that is left out.

    Raises:
        UserError: something is missing or damaged.
    """

    def __init__(self, root: Path, split: str | None = None, protocol: str | None = None) -> None:
        self._tested = require_choice(root, "protocol", protocol, SUBJECTS)
        if split is not None:
            require_choice(root, "split", split, ("train", "test"))

        names: list[str] = []
        joints, subjects, gestures = [], [], []
        considered = considered_frames = empty = 0
        left_out = LeftOut()
        absent: list[str] = []
        for subject, person in enumerate(SUBJECTS):
            is_test = person == self._tested
            if split is not None and is_test != (split == "test"):
                continue

            for gesture, folder in enumerate(GESTURES):
                path = root / person / folder / "joint.txt"
                considered += 1
                if not is_filled(path):
                    absent.append(path.relative_to(root).as_posix())
                    continue

                values, usable = _read_joints(path)
                considered_frames += len(values)
                for frame in np.flatnonzero(~usable).tolist():
                    left_out.add("with a joint that is not finite", f"{person}/{folder} {frame}")
                files = [path.with_name(f"{frame:06d}_depth.bin") for frame in range(len(values))]
                # a file of a header alone shows no hand, and is published so; one that is not there is not
                sizes = [file.stat().st_size if file.is_file() else None for file in files]
                filled = [size is None or size > _HEADER_BYTES for size in sizes]
                frames = [frame for frame, full in enumerate(filled) if full and usable[frame]]

                empty += len(files) - sum(filled)
                names += [files[frame].relative_to(root).as_posix() for frame in frames]
                joints.append(values[frames])
                subjects += [subject] * len(frames)
                gestures += [gesture] * len(frames)

        gone = missing_parts(root, "files of labels", absent, considered, AUTHORS)
        if not names:
            raise UserError(root, "holds no frame", GIVE_ORIGINAL)
        if empty:
            self.remarks = (f"{empty:,} frames have an empty depth file and are left out",)

        if left_out:
            gone = (*gone, left_out.line("frames", considered_frames))
        self.left_out = gone
        self.remarks = (*self.remarks, *gone)
        self.authors = AUTHORS

        # y and z point the other way in our camera frame
        joints_3d = torch.from_numpy(np.concatenate(joints)) * torch.tensor([1.0, -1.0, -1.0])
        intrinsics = INTRINSICS.expand(len(joints_3d), 3, 3)
        labels = replace(
            camera_labels(to_internal(joints_3d, "msra"), intrinsics, RIGHT, (WIDTH, HEIGHT)),
            subject=torch.tensor(subjects),
            gesture=torch.tensor(gestures),
        )
        super().__init__(root, names, labels)
        self.spec = DataSpec(
            name="msra",
            count=len(names),
            size_px=0,
            modalities=("depth", *(name for name, _ in self.kept.items())),
            sides="right",
            root="camera",
            gestures=GESTURES,
            licence="see its authors' page; used for research",
        )

    def split_of(self, row: int) -> str:
        """`test` for the person that the protocol leaves out, else `train`."""
        return "test" if self.names[row].startswith(f"{self._tested}/") else "train"

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """Depth in mm of the whole picture, 0 outside the hand's box."""
        path = self.root / self.names[row]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(path, f"cannot be read ({error.strerror})", "check the file") from error

        if len(content) < _HEADER_BYTES:
            raise UserError(path, "is shorter than its header", GIVE_ORIGINAL)

        width, height, left, top, right, bottom = np.frombuffer(content[:_HEADER_BYTES], "<u4").tolist()
        fits = (width, height) == (WIDTH, HEIGHT) and left < right <= WIDTH and top < bottom <= HEIGHT
        if not fits or len(content) != _HEADER_BYTES + 4 * (right - left) * (bottom - top):
            raise UserError(path, "its header does not fit its size", GIVE_ORIGINAL)

        box = np.frombuffer(content[_HEADER_BYTES:], "<f4").reshape(bottom - top, right - left)
        depth = np.zeros((HEIGHT, WIDTH), np.float32)
        depth[top:bottom, left:right] = np.where(np.isfinite(box) & (box > 0), box, 0.0)
        return depth


def _read_joints(path: Path) -> tuple[Float[np.ndarray, "frame 21 3"], Bool[np.ndarray, " frame"]]:
    """The labels of one person's gesture, as the file has them, and which of them can be used."""
    require_size(path, MOST_BYTES)
    try:
        words = path.read_text("utf-8-sig").split()
        # 1e99 is infinite, and refused below
        with np.errstate(over="ignore"):
            values = np.array(words[1:], np.float32)
        count = int(words[0])
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the file") from error
    except (ValueError, IndexError) as error:
        raise UserError(path, "is not a number of frames and their joints", GIVE_ORIGINAL) from error

    if len(values) != 63 * count:
        fault = f"says {count} frames and holds {len(values)} numbers, not 63 for each"
        raise UserError(path, fault, GIVE_ORIGINAL)

    return usable_numbers(path, "joint.txt", values.reshape(-1, 21, 3), (21, 3))
