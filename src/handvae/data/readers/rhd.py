"""RHD, the Rendered Handpose Dataset (Zimmermann and Brox, ICCV 2017): rendered people, 320 x 320 px.

    ROOT/{training,evaluation}/{color,depth,mask}/00000.png    41,258 and 2,728 of each
    ROOT/training/anno_training.pickle                         or .mat, and so for evaluation

Both hands of a person are annotated, with segmentation and depth. Protocols:

    dominant   the papers': one hand a picture, the one with more mask pixels; a tie is right
    both       every hand with two visible joints
    lifting    needs no picture and no mask: of each annotated frame the hand with more visible joints, a tie
               is right; where only the evaluation's annotation is there, its first four fifths by sample
               number are `train` and the rest is `test`

Joints nearer to the camera than 50 mm, or behind it, have no usable pixel and are marked as not valid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from handvae.data.dataset import (
    GIVE_ORIGINAL,
    HandData,
    InMemoryData,
    chosen_splits,
    require_choice,
    require_file,
    usable_numbers,
)
from handvae.data.files.depth import from_rhd
from handvae.data.files.mat import read_mat
from handvae.data.files.pickle import read_pickle
from handvae.data.files.pictures import read_picture
from handvae.data.hands import DataSpec, Hands
from handvae.data.left_out import LeftOut
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, SEGMENTATION_CLASSES, to_internal

AUTHORS = "https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html"
FOLDERS = {"train": "training", "test": "evaluation"}
SPLITS = {folder: split for split, folder in FOLDERS.items()}
PROTOCOLS = ("dominant", "both", "lifting")
TRAINING_SHARE = 0.8
"""Of the evaluation's frames, where they are all there is to lift."""
NEAREST_MM = 50.0


_LABELS = ("joints_2d", "joints_3d", "joint_valid", "joint_visible", "intrinsics", "side")
_LICENCE = "research only, no commercial use"


def _segmentation_codes() -> UInt8[np.ndarray, "2 256"]:
    """From a mask's values to `hand.SEGMENTATION_CLASSES`, for the left hand and for the right.

    The person and the other hand are background. A mask counts three values a finger from the thumb on, then
    one for the palm: the left hand from 2, the right hand from 18.
    """
    fingers = SEGMENTATION_CLASSES[SEGMENTATION_CLASSES.index("thumb") :]
    codes = np.zeros((2, 256), np.uint8)
    for side, first in ((LEFT, 2), (RIGHT, 18)):
        for number, finger in enumerate(fingers):
            start = first + 3 * number
            codes[side, start : start + 3] = SEGMENTATION_CLASSES.index(finger)
        codes[side, first + 15] = SEGMENTATION_CLASSES.index("palm")

    return codes


SEGMENTATION_CODES = _segmentation_codes()


def read_annotation(folder: Path) -> dict[str, Shaped[np.ndarray, "frame ..."]]:
    """A split's annotation of all its frames, as the file has it.

    Returns:
        `K` (frame 3 3), `xyz` (frame 42 3) in metres and `uv_vis` (frame 42 3): u, v, visible; joints 0-20
        are the left hand. `usable` (frame): whether all of these are finite numbers.

    Raises:
        UserError: the file is missing, damaged, or not of that form.
    """
    path = folder / f"anno_{folder.name}.pickle"
    matlab = path.with_suffix(".mat")
    if path.is_file():
        content = read_pickle(path)
        if not isinstance(content, dict) or not content or set(content) != set(range(len(content))):
            raise UserError(path, "is no dictionary of frames counted from 0", GIVE_ORIGINAL)
        frames = [frame if isinstance(frame, dict) else {} for _, frame in sorted(content.items())]
    elif matlab.is_file():
        path = matlab
        content = read_mat(matlab)
        frames = [_record(content.get(f"frame{number}")) for number in range(len(content))]
    else:
        raise UserError(path, "is missing", f"its authors publish it at {AUTHORS}")

    annotation = {"usable": np.ones(len(frames), bool)}
    for name, shape in {"K": (3, 3), "xyz": (42, 3), "uv_vis": (42, 3)}.items():
        values = [frame.get(name) for frame in frames]
        annotation[name], usable = usable_numbers(path, name, values, shape)
        annotation["usable"] &= usable

    if not annotation["usable"].any():
        raise UserError(path, "has no frame with K, xyz and uv_vis in finite numbers", GIVE_ORIGINAL)

    return annotation


def _unusable(annotations: list[dict[str, np.ndarray]]) -> tuple[str, ...]:
    """What to say of frames that cannot be used."""
    left_out = LeftOut()
    usable = np.concatenate([annotation["usable"] for annotation in annotations])
    for frame in np.flatnonzero(~usable).tolist():
        left_out.add("without K, xyz and uv_vis in finite numbers", f"frame {frame}")
    return (left_out.line("frames", len(usable)),) if left_out else ()


def _record(value: Any) -> dict[str, Any]:
    """One of the .mat file's structs; empty where there is none."""
    if not isinstance(value, np.ndarray) or value.dtype.names is None or value.size != 1:
        return {}
    return {name: value[name].item() for name in value.dtype.names}


@dataclass(frozen=True)
class _Joints:
    """Both hands of frames, in the internal order."""

    joints_3d: Float[Tensor, "frame 2 21 3"]
    """mm."""
    joints_2d: Float[Tensor, "frame 2 21 2"]
    visible: Bool[Tensor, "frame 2 21"]
    intrinsics: Float[Tensor, "frame 3 3"]

    @classmethod
    def of(cls, annotations: list[dict[str, np.ndarray]]) -> "_Joints":
        """The frames of several annotations, one after the other."""

        def joined(name: str) -> Tensor:
            return torch.from_numpy(np.concatenate([annotation[name] for annotation in annotations]))

        pixels = to_internal(joined("uv_vis").unflatten(1, (2, 21)), "rhd")
        return cls(
            # metres to millimetres
            joints_3d=to_internal(joined("xyz").unflatten(1, (2, 21)) * 1000, "rhd"),
            joints_2d=pixels[..., :2].contiguous(),
            visible=pixels[..., 2] > 0,
            intrinsics=joined("K"),
        )

    def labels(self, frames: Int[Tensor, " rows"], sides: Int[Tensor, " rows"]) -> Hands:
        """Labels of one hand of each frame."""
        joints_3d = self.joints_3d[frames, sides]
        return Hands(
            joints_2d=self.joints_2d[frames, sides],
            joints_3d=joints_3d,
            # nearer joints have no usable pixel
            joint_valid=joints_3d[..., 2] > NEAREST_MM,
            joint_visible=self.visible[frames, sides],
            intrinsics=self.intrinsics[frames],
            side=sides.clone(),
        )


class RhdHands(HandData):
    """RHD in its own layout.

    Args:
        root: the folder that holds `training` and `evaluation`.
        split: `train`, `test`, or None for every split on disk.
        protocol: `dominant` or `both`; for `lifting` see `RhdLifting`.

    Raises:
        UserError: something is missing or damaged.
    """

    def __init__(self, root: Path, split: str | None = None, protocol: str | None = None) -> None:
        self.root = root
        self.protocol = require_choice(root, "protocol", protocol, PROTOCOLS)
        splits = chosen_splits(root, split, {name: root / folder for name, folder in FOLDERS.items()})
        folders = [require_file(root / FOLDERS[name], AUTHORS) for name in splits]
        annotations = [read_annotation(folder) for folder in folders]

        self.authors = AUTHORS
        # the kind of picture (color, depth or mask) has a place in each name
        self._pictures = tuple(
            f"{folder.name}/{{}}/{number:05d}.png"
            for folder, annotation in zip(folders, annotations, strict=True)
            for number in range(len(annotation["K"]))
        )
        self._joints = _Joints.of(annotations)
        self.remarks = self.left_out = _unusable(annotations)
        usable = torch.from_numpy(np.concatenate([annotation["usable"] for annotation in annotations]))

        # a row shows a frame's hand; a side of -1 is open until the mask has been read
        if self.protocol == "both":
            visible = (self._joints.visible.sum(-1) >= 2) & usable[:, None]
            self._frames, self._sides = visible.nonzero().unbind(1)
        else:
            self._frames = usable.nonzero()[:, 0]
            self._sides = torch.full_like(self._frames, -1)

        self.slow_labels = self.protocol == "dominant"

        has_depth = all((folder / "depth").is_dir() for folder in folders)
        pictures = (
            ("image", "depth", "segmentation", "mask") if has_depth else ("image", "segmentation", "mask")
        )
        self.spec = DataSpec(
            name="rhd",
            count=len(self._frames),
            size_px=0,
            modalities=(*pictures, *_LABELS),
            sides="both",
            root="camera",
            licence=_LICENCE,
        )

    def __len__(self) -> int:
        return len(self._frames)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows; the mask gives a row's dominant hand, once."""
        for row in rows[self._sides[rows] < 0].tolist():
            values = self._mask_values(row)
            # 2 to 17 are the left hand, 18 to 33 the right; 0 and 1 are background and person
            left = ((values > 1) & (values < 18)).sum()
            right = (values > 17).sum()
            self._sides[row] = LEFT if left > right else RIGHT
        return self._joints.labels(self._frames[rows], self._sides[rows])

    def name(self, row: int) -> str:
        """The colour picture's name below the root."""
        return self._name(row, "color")

    def split_of(self, row: int) -> str:
        """`train` or `test`."""
        return SPLITS[self._name(row, "color").split("/")[0]]

    def files(self) -> Iterator[tuple[str, ...]]:
        """Of each row its picture, its mask, and its depth where that is offered."""
        kinds = ("color", "mask", "depth") if "depth" in self.spec.modalities else ("color", "mask")
        for frame in self._frames.tolist():
            yield tuple(f"{self.root}/{self._pictures[frame].format(kind)}" for kind in kinds)

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return read_picture(self.root / self._name(row, "color"))

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """Depth in mm."""
        return from_rhd(read_picture(self.root / self._name(row, "depth")))

    def segmentation(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """Palm and fingers of this row's hand; RHD knows no forearm."""
        # by way of `labels`, which finds the dominant hand where it has not been needed before
        side = int(self.labels(torch.tensor([row])).require("side"))
        return SEGMENTATION_CODES[side][self._mask_values(row)]

    def _name(self, row: int, kind: str) -> str:
        return self._pictures[int(self._frames[row])].format(kind)

    def _mask_values(self, row: int) -> UInt8[np.ndarray, "height width"]:
        return read_picture(self.root / self._name(row, "mask"))[..., 0]


class RhdLifting(InMemoryData):
    """The annotation alone, for 2D to 3D: no pictures are needed.

    Args:
        root: the folder that holds `training` and `evaluation`, or either.
        split: `train`, `test`, or None for all.

    Raises:
        UserError: no annotation is there, or one is damaged.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        if split is not None:
            require_choice(root, "split", split, tuple(FOLDERS))

        present = {
            name: root / folder
            for name, folder in FOLDERS.items()
            if any((root / folder).glob(f"anno_{folder}.*"))
        }
        if not present:
            path = root / "evaluation" / "anno_evaluation.pickle"
            raise UserError(path, "is missing", f"its authors publish it at {AUTHORS}")

        annotations = [read_annotation(folder) for folder in present.values()]
        names: list[str] = []
        splits: list[str] = []
        for name, annotation in zip(present, annotations, strict=True):
            count = len(annotation["K"])
            names += [f"{FOLDERS[name]}, frame {number:05d}" for number in range(count)]
            splits += [name] * count

        if set(present) == {"test"}:
            # by sample number, without a shuffle: the division is the same on every machine
            train = round(TRAINING_SHARE * len(splits))
            splits[:train] = ["train"] * train
            share = f"{TRAINING_SHARE:.0%}"
            self.remarks = (f"only the evaluation is annotated here: its first {share} are train",)

        self.left_out = _unusable(annotations)
        self.remarks = (*self.remarks, *self.left_out)
        usable = torch.from_numpy(np.concatenate([annotation["usable"] for annotation in annotations]))

        # of each frame the hand with more visible joints, if it has two
        joints = _Joints.of(annotations)
        visible = joints.visible.sum(-1)
        side = torch.where(visible[:, LEFT] > visible[:, RIGHT], LEFT, RIGHT)
        frames = torch.tensor([frame for frame, name in enumerate(splits) if split in (None, name)])
        frames = frames[(visible[frames, side[frames]] >= 2) & usable[frames]]

        labels = joints.labels(frames, side[frames])
        super().__init__(root, [names[frame] for frame in frames.tolist()], labels)
        self._splits = [splits[frame] for frame in frames.tolist()]
        self.spec = DataSpec(
            name="rhd",
            count=len(frames),
            size_px=0,
            modalities=tuple(name for name, _ in labels.items()),
            sides="both",
            root="camera",
            licence=_LICENCE,
        )

    def split_of(self, row: int) -> str:
        """`train` or `test`."""
        return self._splits[row]

    def files(self) -> Iterator[tuple[str, ...]]:
        """None: the labels are all in memory."""
        return iter(())
