"""From a folder to its reader: a data set is recognised by its layout."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from handvae.data.dataset import PLAN_FILE, HandData
from handvae.data.left_out import warn_of
from handvae.data.missing import without_missing
from handvae.data.readers.coco import CocoHands
from handvae.data.readers.freihand import FreihandHands
from handvae.data.readers.ho3d import Ho3dHands
from handvae.data.readers.icvl import IcvlHands
from handvae.data.readers.interhand import InterhandHands, find_files
from handvae.data.readers.mmpose import MmposeHands, find_annotation
from handvae.data.readers.msra import MsraHands
from handvae.data.readers.nyu import NyuHands
from handvae.data.readers.rhd import RhdHands, RhdLifting
from handvae.data.readers.shards import ShardHands
from handvae.data.readers.stb import StbHands
from handvae.data.readers.webdataset import WebdatasetHands, is_webdataset
from handvae.data.readers.yolo_pose import YoloPoseHands, find_about
from handvae.errors import UserError


@dataclass(frozen=True)
class DataOptions:
    """The data to train on: one data set on disk, or several mixed."""

    root: Path
    """Folder of a data set: COCO keypoints (annotations.json), or one of docs/data.md in its own layout."""
    split: str | None = "train"
    """Only this split; None for all."""
    also: tuple[Path, ...] = ()
    """Further data sets to mix in."""
    also_split: str | None = "train"
    """Split of the further data sets."""
    shares: tuple[float, ...] = ()
    """Share of each data set in training, in any unit, the root's first; without them every hand counts
    once."""
    labelled_share: float = 1.0
    """Share of the hands, the first in file order, whose poses are known in training; of the others only the
    pictures."""
    labelled_of_batch: float | None = None
    """Share of an average batch whose poses are known, at least: the known hands come as often as that takes.
    None: once, as all."""
    people_as_contents: bool = False
    """In data with people but without contents (dVAE's: background, light and skin), such as photos, each
    person is one content."""
    hold_out: tuple[str, ...] = ()
    """Gestures whose hands are left out, where the data name gestures."""
    side: Literal["left", "right"] | None = None
    """Side of the hands whose side the data do not tell; None leaves them out where the side is needed."""
    backgrounds: Path | None = None
    """Folder of photos to put behind half of the hands whose outline is known, such as rendered ones."""
    without_hands: tuple[Path, ...] = ()
    """Pictures without hands: folders of photos, or data sets, whose labelled hands are then kept out of the
    crops. All together are one more data set, with the last of the shares."""
    protocol: str | None = None
    """Which hands or which division of the root, where a data set has several; None is the first of
    docs/data.md, as for further sets."""


OWN_LAYOUTS = {
    "rhd": ("training/anno_training.*", "evaluation/anno_evaluation.*", "training/color", "evaluation/color"),
    "stb": ("labels/B*_*.mat", "B1Counting", "images/B1Counting"),
    "interhand": ("annotations/*/InterHand2.6M_*.json",),
    "freihand": ("training_K.json", "evaluation_K.json", "training/rgb"),
    "nyu": (
        "train/joint_data.mat",
        "test/joint_data.mat",
        "dataset/*/joint_data.mat",
        "train/depth_1_0000001.png",
    ),
    "icvl": ("Training/labels.txt", "Testing/test_seq_*.txt", "Training/Depth"),
    "msra": ("P[0-8]/*/joint.txt",),
    "ho3d": ("train/*/meta", "evaluation/*/meta"),
}
"""Any of these below the root means that data set."""
OUR_LAYOUTS = ("parquet", "plan", "webdataset", "yolo-pose", "mmpose", "coco")
LAYOUTS = (*OWN_LAYOUTS, *OUR_LAYOUTS)
"""Everything that `open_data` knows."""
WITHOUT_FILES = ("parquet", "plan", "webdataset")
"""Layouts whose hands have no files of their own, which could be missing."""


EVERY_HAND = {"rhd": "both"}
"""Protocols that give every hand of a picture, of the data sets whose first protocol does not."""


def recognise(root: Path) -> str:
    """The layout of a folder or file.

    A key of `OWN_LAYOUTS`, `parquet`, `plan` (rendered), `webdataset`, `yolo-pose`, `mmpose` or, failing
    all, `coco`.
    """
    # our own markers first: they are exact, where the patterns of others are only typical
    if root.suffix == ".parquet" or (root.is_dir() and any(root.glob("*.parquet"))):
        return "parquet"
    if (root / PLAN_FILE).is_file():
        return "plan"
    if (root / "annotations.json").is_file():
        return "coco"
    if is_webdataset(root):
        return "webdataset"
    if find_about(root):
        return "yolo-pose"

    for name, patterns in OWN_LAYOUTS.items():
        if any(next(root.glob(pattern), None) is not None for pattern in patterns):
            return name

    # looser than the patterns above: any file name may end in _data.json
    if find_files(root, None):
        return "interhand"

    # a folder may hold one file for each split
    has_annotation = any(find_annotation(root, split) for split in (None, "train", "val", "test"))
    return "mmpose" if has_annotation else "coco"


def is_data_set(root: Path) -> bool:
    """Whether a folder has the layout of a data set, rather than holding loose pictures."""
    return recognise(root) != "coco" or (root / "annotations.json").is_file()


def open_data(root: Path, split: str | None = None, protocol: str | None = None) -> HandData:
    """The reader for a folder; a warning says what it leaves out.

    Raises:
        UserError: it is no data set, it lacks a file, none of its labels can be used, more than a tenth of
            its pictures are missing, or it has no such split or protocol; in strict mode (`left_out.strict`)
            also if anything is left out.
    """
    data = without_missing(reader_of(root, split, protocol), root)
    warn_of(root, data.left_out)
    return data


def reader_of(root: Path, split: str | None = None, protocol: str | None = None) -> HandData:
    """The reader for a folder as it is, hands without their pictures included; errors as of `open_data`."""
    layout = recognise(root)
    match layout:
        case "rhd":
            return RhdLifting(root, split) if protocol == "lifting" else RhdHands(root, split, protocol)
        case "stb":
            return StbHands(root, split, protocol)
        case "interhand":
            return InterhandHands(root, split, protocol)
        case "freihand":
            return FreihandHands(root, split, protocol)
        case "nyu":
            return NyuHands(root, split, protocol)
        case "icvl":
            return IcvlHands(root, split, protocol)
        case "msra":
            return MsraHands(root, split, protocol)

    # the others have one protocol
    if protocol is not None:
        raise UserError(root, f"there is no protocol {protocol!r}", "this layout has none: leave it out")

    match layout:
        case "parquet":
            return ShardHands(root, split)
        case "plan":
            # numba and all the renderer: half a second
            from handvae.data.readers.rendered import RenderedHands, read_plan

            return RenderedHands(read_plan(root / PLAN_FILE), split)
        case "ho3d":
            return Ho3dHands(root, split)
        case "mmpose":
            return MmposeHands(root, split)
        case "webdataset":
            return WebdatasetHands(root, split)
        case "yolo-pose":
            return YoloPoseHands(root, split)
        case _:
            return CocoHands(root, split)
