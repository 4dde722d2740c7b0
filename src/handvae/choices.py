"""What options choose among by name, ranges of numbers, names of files: parsers are built without torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Between:
    """Range of a number: `size: Annotated[int, Between(16, 1024)]`. Both ends are allowed."""

    low: int | float
    high: int | float = float("inf")


@dataclass(frozen=True)
class Suffix:
    """What a file that is written may be called: `out: Annotated[Path, Suffix(".png", ".jpg")]`."""

    allowed: tuple[str, ...]

    def __init__(self, *allowed: str) -> None:
        object.__setattr__(self, "allowed", allowed)


@dataclass(frozen=True)
class Folder:
    """A folder that is written: no file may stand there, and its name is not that of a picture."""


PICTURE = Suffix(".png", ".jpg", ".jpeg")
"""A picture that is written."""

Side = Literal["left", "right"]

Drawings = Literal["none", "2d", "all"]
"""What is drawn of hands: nothing, joints on the picture, or in space too, with our hand fitted to them."""

FormatName = Literal["coco", "freihand", "interhand", "mmpose", "parquet", "webdataset", "yolo-pose"]
"""Layouts that data sets are written in."""

Encoding = Literal["plane", "nyu", "rhd", "stb", "none"]
"""How a picture file holds depth: one channel of 16 bits, the bits in the colours of an 8-bit picture, or not
at all: a grey picture of 16 bits is then a photo."""

Quality = Literal["fast", "reference"]
"""How finely the renderer draws."""

PoseKind = Literal["same", "perturbed", "interpolated"]
"""Where the poses of new pictures come from."""

Schedule = Literal["mix", "mix-then-real"]
"""Training on real and new pictures: mixed batches throughout, or for the first half only, then real ones."""

ExportTarget = Literal["onnx", "pt2"]
"""File formats of an exported model."""

PlanName = Literal["rendered-20k"]
"""Rendered data sets that have a name."""

JointFileFormat = Literal["npz", "json", "txt"]
"""Formats of files of joints."""

CameraName = Literal["icvl", "nyu", "msra", "hands17"]
"""Depth data sets whose published result files hold u, v (px) and depth (mm)."""

RootOption = Literal["palm", "wrist", "middle_mcp", "given"]
"""Joint or point that 3D poses are made relative to; `given`: none."""

ScaleOption = Literal["given", "bone-units", "true-bone", "true-size"]
"""Length that predicted 3D poses are given before they are compared."""

POSE_NAMES = ("open", "flat", "relaxed", "fist", "point", "victory", "pinch", "ok", "thumbup", "claw")
"""Poses that have a name; `handvae.hand.named_pose` has their angles."""
