"""RHD, the Rendered Handpose Dataset (Zimmermann and Brox, ICCV 2017): rendered people, 320 x 320 px, both
hands, parts and depth.

    ROOT/{training,evaluation}/{color,depth,mask}/00000.png    41,258 and 2,728 of each
    ROOT/training/anno_training.pickle                         or .mat, and so for evaluation

Protocols: `dominant`, the papers' (one hand a picture, the one with more mask pixels, a tie is right), and
`both`, every hand of which two
joints are visible. `lifting` needs no picture and no mask: of each annotated frame the hand with more visible
joints, a tie is right;
where only the evaluation's annotation is there, its first four fifths by sample number are `train` and the
rest is `test`. Joints nearer
to the camera than 50 mm, or behind it, have no usable pixel and are marked as not valid.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from handvae.data.dataset import (
    GIVE_ORIGINAL,
    HandData,
    InMemoryData,
    require_choice,
    require_file,
    require_numbers,
)
from handvae.data.files.depth import from_rhd
from handvae.data.files.mat import read_mat
from handvae.data.files.pickle import read_pickle
from handvae.data.files.pictures import read_picture
from handvae.data.hands import DataSpec, Hands
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, SEGMENTATION_CLASSES, to_internal

AUTHORS = "https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html"
FOLDERS = {"train": "training", "test": "evaluation"}
SPLITS = {folder: split for split, folder in FOLDERS.items()}
PROTOCOLS = ("dominant", "both", "lifting")
TRAINING_SHARE = 0.8
"""Of the evaluation's frames, where they are all there is to lift."""
NEAREST_MM = 50.0


def _part_codes() -> UInt8[np.ndarray, "2 256"]:
    """From a mask's values to `hand.SEGMENTATION_CLASSES`, for the left hand and for the right; the person and the other
    hand are background."""
    codes = np.zeros((2, 256), np.uint8)
    for side, first in ((LEFT, 2), (RIGHT, 18)):
        for number, finger in enumerate(SEGMENTATION_CLASSES[SEGMENTATION_CLASSES.index("thumb") :]):
            codes[side, first + 3 * number : first + 3 * number + 3] = SEGMENTATION_CLASSES.index(finger)
        codes[side, first + 15] = SEGMENTATION_CLASSES.index("palm")
    return codes


PART_CODES = _part_codes()


def read_annotation(folder: Path) -> dict[str, Float[np.ndarray, "frame ..."]]:
    """What a split's annotation says of all its frames, as it stands there.

    Returns:
        `K` (frame 3 3), `xyz` (frame 42 3) in metres and `uv_vis` (frame 42 3): u, v, visible; joints 0-20
        are the left hand.

    Raises:
        UserError: the file is missing, damaged, or not of that form.
    """
    path, matlab = folder / f"anno_{folder.name}.pickle", folder / f"anno_{folder.name}.mat"
    if path.is_file():
        content = read_pickle(path)
        if not isinstance(content, dict) or not content or set(content) != set(range(len(content))):
            raise UserError(path, "is no dictionary of frames counted from 0", GIVE_ORIGINAL)
        frames = [frame if isinstance(frame, dict) else {} for _, frame in sorted(content.items())]
    elif matlab.is_file():
        path, content = matlab, read_mat(matlab)
        frames = [_record(content.get(f"frame{number}")) for number in range(len(content))]
    else:
        raise UserError(path, "is missing", f"its authors publish it at {AUTHORS}")
    for number, frame in enumerate(frames):
        if not {"K", "xyz", "uv_vis"} <= frame.keys():
            raise UserError(path, f"frame {number} does not have K, xyz and uv_vis", GIVE_ORIGINAL)
    shapes = {"K": (3, 3), "xyz": (42, 3), "uv_vis": (42, 3)}
    return {
        name: require_numbers(path, name, [frame[name] for frame in frames], (None, *shape))
        for name, shape in shapes.items()
    }


def _record(value: Any) -> dict[str, Any]:
    """One of the .mat file's structs; empty where there is none."""
    if not isinstance(value, np.ndarray) or value.dtype.names is None or value.size != 1:
        return {}
    return {name: value[name].item() for name in value.dtype.names}


class RhdHands(HandData):
    """RHD in its own layout; frames whose picture is not there are left out, with a remark.

    Args:
        root: the folder that holds `training` and `evaluation`.
        split: `train`, `test`, or None for what is there.
        protocol: `dominant` or `both`; for `lifting` see `RhdLifting`.

    Raises:
        UserError: something is missing or damaged.
    """

    def __init__(self, root: Path, split: str | None = None, protocol: str | None = None) -> None:
        self.root = root
        self.protocol = require_choice(root, "protocol", protocol, PROTOCOLS)
        splits = tuple(name for name, folder in FOLDERS.items() if (root / folder).is_dir()) or ("train",)
        chosen = splits if split is None else (require_choice(root, "split", split, tuple(FOLDERS)),)
        folders = [require_file(root / FOLDERS[name], AUTHORS) for name in chosen]
        annotations = [read_annotation(folder) for folder in folders]
        pictures = [
            f"{folder.name}/{{}}/{number:05d}.png"
            for folder, a in zip(folders, annotations, strict=True)
            for number in range(len(a["K"]))
        ]
        have = {
            f"{folder.name}/{{}}/{path.name}"
            for folder in folders
            for path in require_file(folder / "color", AUTHORS).iterdir()
        }
        there = np.array([name in have for name in pictures])
        if not there.any():
            raise UserError(
                root / pictures[0].format("color"), "is missing", f"its authors publish it at {AUTHORS}"
            )
        if not there.all():
            self.remarks = (
                f"{len(there):,} frames are annotated, {there.sum():,} have a picture and are used",
            )
        self._pictures = tuple(name for name, is_there in zip(pictures, there, strict=True) if is_there)

        self._joints_3d, self._joints_2d, self._visible, self._intrinsics = _both_hands(annotations, there)
        shown = (
            (self._visible.sum(-1) >= 2).nonzero()
            if self.protocol == "both"
            else torch.arange(len(self._pictures))[:, None]
        )
        self._frames = shown[:, 0]
        self.slow_labels = self.protocol == "dominant"
        # which hand a row shows; -1 until the mask has been looked at
        self._sides = shown[:, 1] if self.protocol == "both" else torch.full_like(self._frames, -1)
        has_depth = all((folder / "depth").is_dir() for folder in folders)
        labels = ("joints_2d", "joints_3d", "joint_valid", "joint_visible", "intrinsics", "side")
        self.spec = DataSpec(
            name="rhd",
            count=len(self._frames),
            size_px=0,
            modalities=("image", *(("depth",) if has_depth else ()), "segmentation", "mask", *labels),
            sides="both",
            root="camera",
            licence="research only, no commercial use",
        )

    def __len__(self) -> int:
        return len(self._frames)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows; the dominant hand is found by its mask when a row is first asked for."""
        for row in rows[self._sides[rows] < 0].tolist():
            values = self._mask_values(row)
            self._sides[row] = LEFT if ((values > 1) & (values < 18)).sum() > (values > 17).sum() else RIGHT
        frames, sides = self._frames[rows], self._sides[rows]
        solid = self._joints_3d[frames, sides]
        return Hands(
            joints_2d=self._joints_2d[frames, sides],
            joints_3d=solid,
            joint_valid=solid[..., 2] > NEAREST_MM,
            joint_visible=self._visible[frames, sides],
            intrinsics=self._intrinsics[frames],
            side=sides.clone(),
        )

    def name(self, row: int) -> str:
        """The colour picture's name below the root."""
        return self._name(row, "color")

    def split_of(self, row: int) -> str:
        """`train` or `test`."""
        return SPLITS[self._name(row, "color").split("/")[0]]

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return read_picture(self.root / self._name(row, "color"))

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """Depth in mm."""
        return from_rhd(read_picture(self.root / self._name(row, "depth")))

    def segmentation(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """Palm and fingers of this row's hand; RHD knows no forearm."""
        return PART_CODES[int(self.labels(torch.tensor([row])).require("side"))][self._mask_values(row)]

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
        wanted = None if split is None else require_choice(root, "split", split, tuple(FOLDERS))
        there = {
            name: root / folder
            for name, folder in FOLDERS.items()
            if any((root / folder).glob(f"anno_{folder}.*"))
        }
        if not there:
            raise UserError(
                root / "evaluation" / "anno_evaluation.pickle",
                "is missing",
                f"its authors publish it at {AUTHORS}",
            )
        annotations = [read_annotation(folder) for folder in there.values()]
        listed = [
            (name, number)
            for name, annotation in zip(there, annotations, strict=True)
            for number in range(len(annotation["K"]))
        ]
        names, of = (
            [f"{FOLDERS[name]}, frame {number:05d}" for name, number in listed],
            [name for name, _ in listed],
        )
        if set(there) == {"test"}:
            first = round(TRAINING_SHARE * len(of))
            of[:first] = ["train"] * first
            self.remarks = (
                f"only the evaluation is annotated here: its first {TRAINING_SHARE:.0%} are train",
            )
        solid, flat, visible, intrinsics = _both_hands(annotations, np.ones(len(of), dtype=bool))
        shown = visible.sum(-1)
        side = torch.where(shown[:, LEFT] > shown[:, RIGHT], LEFT, RIGHT)
        frames = torch.tensor([frame for frame, name in enumerate(of) if wanted in (None, name)])
        frames = frames[shown[frames, side[frames]] >= 2]
        side = side[frames]
        solid = solid[frames, side]
        labels = Hands(
            joints_2d=flat[frames, side], joints_3d=solid, joint_valid=solid[..., 2] > NEAREST_MM, joint_visible=visible[frames, side],
            intrinsics=intrinsics[frames], side=side,
        )  # fmt: skip
        super().__init__(root, [names[frame] for frame in frames.tolist()], labels)
        self._splits = [of[frame] for frame in frames.tolist()]
        self.spec = DataSpec(
            name="rhd",
            count=len(frames),
            size_px=0,
            modalities=tuple(name for name, _ in labels.items()),
            sides="both",
            root="camera",
            licence="research only, no commercial use",
        )

    def split_of(self, row: int) -> str:
        """`train` or `test`."""
        return self._splits[row]


def _both_hands(
    annotations: list[dict[str, np.ndarray]], there: np.ndarray
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the frames that are there: joints (frame side joint 3) in mm and (frame side joint 2) in px, which
    are visible, intrinsics."""
    camera, solid, flat = (
        torch.from_numpy(np.concatenate([a[name] for a in annotations])[there])
        for name in ("K", "xyz", "uv_vis")
    )
    uv_visible = to_internal(flat.unflatten(1, (2, 21)), "rhd")
    return (
        to_internal(solid.unflatten(1, (2, 21)) * 1000, "rhd"),
        uv_visible[..., :2].contiguous(),
        uv_visible[..., 2] > 0,
        camera,
    )
