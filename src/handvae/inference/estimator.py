"""A model that reads hands: which input it takes, how that is cut, what it gives."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from handvae.choices import Side
from handvae.data.files.depth import is_plane
from handvae.errors import UserError
from handvae.inference.crops import HandCrop
from handvae.inference.depth_input import DepthFormat, crop_depth
from handvae.inference.joints_input import crop_joints, read_flat_hands
from handvae.inference.lift import lift_hand
from handvae.inference.locate import Located, Photo, PhotoCutter
from handvae.inference.networks import Device, open_model, pose_estimator
from handvae.inference.pictures import PictureSource
from handvae.inference.reading import read_hand
from handvae.inference.result import Hand
from handvae.inference.shipped import LIFTER, READER
from handvae.inference.sides import shown_side
from handvae.systems.hand_reader import HandReader
from handvae.systems.system import Input, PoseEstimator
from handvae.training.checkpoint import Model

BATCH = 8
"""Photos that are looked at together."""
DEPTH_PRESET = "rendered-depth-64"
"""What to train for depth pictures: no shipped model reads them."""
WORDS: dict[Input, str] = {
    "image": "a photo",
    "depth": "a depth picture",
    "joints_2d": "a JSON file of 2D joints",
}
"""What models read."""


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
        # a reader reads depth itself
        is_flat = system.pose == "2d" and not isinstance(system, HandReader)
        lifter = open_model(LIFTER, device).pose_estimator if lift and is_flat else None
        return cls(opened.name, system, lifter)

    def read(self, crop: HandCrop, others: Sequence[HandCrop] = (), bone_mm: float | None = None) -> Hand:
        """The hand in a crop; `others` are inputs of other kinds that show the same hand."""
        hand = read_hand(self.system, crop, others, bone_mm, self.name)
        return hand if self.lifter is None else lift_hand(hand, self.lifter)

    def read_all(
        self,
        sources: Iterable[PictureSource],
        located: Located,
        bone_mm: float | None = None,
        on_fault: Callable[[PictureSource, UserError], None] | None = None,
    ) -> Iterator[tuple[PictureSource, list[Hand]]]:
        """Each input with its hands, in order; a few photos are in memory at once.

        Args:
            sources: the inputs; a list, or whatever yields them.
            located: which hands they show, and where.
            bone_mm: length of the bone from joint 9 to joint 10, where it is known.
            on_fault: is told of inputs that cannot be read, which are then left out.

        Raises:
            UserError: as `crop`, where nothing is told of faults.
            TypeError: as `crop`.
            ValueError: as `crop`.
        """
        rest = iter(sources)
        while part := list(islice(rest, BATCH)):
            opened: list[tuple[PictureSource, Photo | list[HandCrop]]] = []
            for source in part:
                try:
                    opened.append((source, self._open(source, located)))
                except UserError as error:
                    if on_fault is None:
                        raise
                    on_fault(source, error)

            for (source, _), crops in zip(
                opened, self._cut([one for _, one in opened], located), strict=True
            ):
                yield source, [self.read(crop, bone_mm=bone_mm) for crop in crops]

    def crop(self, source: PictureSource, located: Located) -> list[HandCrop]:
        """The hands of an input, cut as the model reads them.

        Raises:
            UserError: the file is damaged, or the model does not read this kind of file.
            TypeError: the input is neither a path nor a picture.
            ValueError: it is an array of another shape or range.
        """
        return self._cut([self._open(source, located)], located)[0]

    def check(self, source: PictureSource, located: Located) -> None:
        """Refuse an input that cannot be read; nothing is searched for in it.

        Raises:
            UserError: as `crop`.
        """
        self._open(source, located)

    def _open(self, source: PictureSource, located: Located) -> Photo | list[HandCrop]:
        """A photo, to be cut with others, or the hands of another kind of input."""
        match self._kind(source, located.depth):
            case "image":
                return Photo.read(source, located.box)
            case "joints_2d":
                return self._crop_joints(Path(_path(source)), located)
            case "depth":
                side = located.side or "right"
                mirror = self._mirror(side)
                path = Path(_path(source))
                crop = crop_depth(path, self.system.crop, mirror, located.box, located.depth)
                return [replace(crop, side=side)]

    def _cut(self, opened: Sequence[Photo | list[HandCrop]], located: Located) -> list[list[HandCrop]]:
        photos = [one for one in opened if isinstance(one, Photo)]
        cut = iter(PhotoCutter.of(self.system).cut(photos, located) if photos else ())
        return [next(cut) if isinstance(one, Photo) else one for one in opened]

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
    return LIFTER if is_json else READER


def _path(source: PictureSource) -> str | Path:
    assert isinstance(source, str | Path)  # only files are depth pictures or joints
    return source
