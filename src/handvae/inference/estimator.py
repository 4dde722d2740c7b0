"""A model that reads hands: which input it takes, how that is cut, what it gives."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from handvae.choices import Between, Encoding, Side
from handvae.data.files.depth import is_plane
from handvae.errors import UserError
from handvae.inference.arguments import check_fields
from handvae.inference.crops import Box, HandCrop, crop_labelled, crop_photo
from handvae.inference.depth_input import crop_depth
from handvae.inference.joints_input import crop_joints, read_flat_hands
from handvae.inference.lift import lift_hand
from handvae.inference.networks import Device, open_model, pose_estimator
from handvae.inference.pictures import PictureSource
from handvae.inference.reading import read_hand
from handvae.inference.result import Hand
from handvae.inference.shipped import DETECTOR, LIFTER
from handvae.inference.sides import shown_side
from handvae.systems.system import Input, PoseEstimator
from handvae.training.checkpoint import Model

DEPTH_PRESET = "rendered-depth-64"
"""What to train for depth pictures: no shipped model reads them."""
WORDS: dict[Input, str] = {
    "image": "a photo",
    "depth": "a depth picture",
    "joints_2d": "a JSON file of 2D joints",
}
"""What models read."""


@dataclass(frozen=True)
class DepthFormat:
    """How depth pictures are to be understood."""

    encoding: Encoding = "plane"
    """One channel of 16 bits, or bits packed into colours as a data set does it."""
    unit_mm: Annotated[int | float, Between(1e-9, 1e6)] = 1.0
    """What one unit of a 16-bit plane stands for."""
    focal_px: Annotated[int | float, Between(0, 1e6)] = 0.0
    """Focal length of the camera; 0 takes a usual one."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Located:
    """Which hand an input shows, and where."""

    side: Side | None = None
    """None: as a file of joints or the labels next to a photo tell, else right."""
    box: Box | None = None
    """x, y, width, height of the joints, px; None: as labels next to a photo tell, else the whole picture,
    or what is nearest in a depth picture."""
    depth: DepthFormat = DepthFormat()


@dataclass(frozen=True)
class Estimator:
    """A model that reads hands, and the one that lifts its 2D joints to 3D."""

    name: str
    system: PoseEstimator
    lifter: PoseEstimator | None = None
    """None where the model reads 3D joints itself, or where 2D is enough."""

    @classmethod
    def open(cls, model: str | Path | Model, lift: bool = True, device: Device = "cpu") -> "Estimator":
        """Open the models.

        Raises:
            UserError: there is no such model or device, or the model reads no hands of 21 joints.
        """
        opened = open_model(model, device)
        system = pose_estimator(opened)
        lifter = open_model(LIFTER, device).pose_estimator if lift and system.pose == "2d" else None
        return cls(opened.name, system, lifter)

    def read(self, crop: HandCrop, others: Sequence[HandCrop] = (), bone_mm: float | None = None) -> Hand:
        """The hand in a crop; `others` are inputs of other kinds that show the same hand."""
        hand = read_hand(self.system, crop, others, bone_mm, self.name)
        return hand if self.lifter is None else lift_hand(hand, self.lifter)

    def crop(self, source: PictureSource, located: Located) -> list[HandCrop]:
        """The hands of an input, cut as the model reads them.

        Raises:
            UserError: the file is damaged, or the model does not read this kind of file.
            TypeError: the input is neither a path nor a picture.
            ValueError: it is an array of another shape or range.
        """
        kind = self._kind(source, located.depth)
        if kind == "joints_2d":
            return self._crop_joints(Path(_path(source)), located)

        side = located.side or "right"
        mirror = self._mirror(side)

        # labels next to a photo tell all its hands, unless the caller says where to look
        if kind == "image" and located.box is None:
            labelled = crop_labelled(source, self.system.crop, shown_side(self.system), side)
            if labelled:
                return labelled

        if kind == "depth":
            depth = located.depth
            crop = crop_depth(
                Path(_path(source)),
                self.system.crop,
                mirror,
                located.box,
                depth.encoding,
                float(depth.unit_mm),
                float(depth.focal_px),
            )
        else:
            crop = crop_photo(source, located.box, self.system.crop, mirror)

        return [replace(crop, side=side)]

    def check_one_hand(self, crops: Sequence[HandCrop]) -> None:
        """Refuse crops that cannot be inputs of one hand: each must be of another kind.

        Raises:
            UserError: two are of one kind.
        """
        kinds = [name for crop in crops for name, _ in crop.hands.items()]
        for name, words in WORDS.items():
            if kinds.count(name) > 1:
                fault = f"several hands are given, each by {words}"
                raise UserError("--together", fault, "give one file of each kind, of one hand")

    def _kind(self, source: PictureSource, depth: DepthFormat) -> Input:
        """What an input is, if the model reads it."""
        inputs = self.system.inputs

        # a picture in memory has colours; what a file holds shows in its name, or in its number of channels
        kind: Input = "image"
        if isinstance(source, str | Path):
            packed = depth.encoding not in ("plane", "none") or ("image" not in inputs and "depth" in inputs)
            if Path(source).suffix.lower() == ".json":
                kind = "joints_2d"
            elif packed or (depth.encoding == "plane" and is_plane(Path(source))):
                kind = "depth"

        if kind in inputs:
            return kind

        readable = " or ".join(WORDS[one] for one in inputs)
        train = ""
        if kind == "depth":
            grey = ", or --depth-encoding none for a grey photo" if "image" in inputs else ""
            train = f" (none is shipped; handvae train {DEPTH_PRESET} makes one){grey}"
        where = source if isinstance(source, str | Path) else "the picture"
        fault = f"is {WORDS[kind]}, and {self.name} reads {readable}"
        raise UserError(where, fault, f"give {readable}, or a model that reads {WORDS[kind]}{train}")

    def _crop_joints(self, path: Path, located: Located) -> list[HandCrop]:
        crops = []
        for flat in read_flat_hands(path):
            side = flat.side or located.side or "right"
            crop = crop_joints(path, flat, located.box, self.system.crop, self._mirror(side))
            crops.append(replace(crop, side=side))
        return crops

    def _mirror(self, side: Side) -> bool:
        """Whether a hand is shown mirrored."""
        return side != shown_side(self.system)


def default_model(source: PictureSource) -> str:
    """The shipped model that reads such an input."""
    is_json = isinstance(source, str | Path) and Path(source).suffix.lower() == ".json"
    return LIFTER if is_json else DETECTOR


def _path(source: PictureSource) -> str | Path:
    assert isinstance(source, str | Path)  # only files are depth pictures or joints
    return source
