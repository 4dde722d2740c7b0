"""What finds joints in pictures that a model made, to see whether they show the asked pose: another model, or
any program."""

import shlex
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from handvae.data.crop import Crop, to_crop_px
from handvae.data.files.pictures import as_pixels, write_picture
from handvae.data.hands import Hands
from handvae.data.readers.coco import Number
from handvae.errors import UserError
from handvae.systems.system import PoseEstimator
from handvae.training.checkpoint import Model

_Answer = TypeAdapter(
    dict[
        str,
        Annotated[
            list[Annotated[list[Number], Field(min_length=2, max_length=2)]],
            Field(min_length=21, max_length=21),
        ]
        | None,
    ]
)


@dataclass(frozen=True)
class Detections:
    """What is found in pictures that show one hand each."""

    joints_px: Float[Tensor, "batch 21 2"]
    """Pixels of the pictures; NaN where no hand is found."""
    found: Bool[Tensor, " batch"]


class HandDetector(ABC):
    """Finds one hand in each of some pictures."""

    @abstractmethod
    def detect(self, pictures: Iterable[Float[Tensor, "batch 3 size size"]], crop: Crop) -> Detections:
        """The joints in pictures in [0, 1], given batch by batch, that show hands as `crop` cuts them."""

    @abstractmethod
    def relation(self, model: PoseEstimator) -> str:
        """How independent it is of the model whose pictures it reads, in words."""


@dataclass(frozen=True)
class ModelDetector(HandDetector):
    """A 2D model of this package, as a detector: it sees each picture as its own crop shows it, and finds a
    hand in all of them."""

    reader: PoseEstimator
    name: str

    def __post_init__(self) -> None:
        if self.reader.pose != "2d":
            raise UserError(
                self.name,
                "reads 3D poses, which do not say where joints are in a picture",
                "give a 2D model as detector",
            )

    @classmethod
    def of(cls, model: Model) -> "ModelDetector":
        """A model read from disk.

        Raises:
            UserError: it reads no 2D poses.
        """
        return cls(model.reader, model.name)

    @torch.no_grad()
    def detect(self, pictures: Iterable[Float[Tensor, "batch 3 size size"]], crop: Crop) -> Detections:
        """Read poses, the picture's scale and side made the reader's own."""
        own = self.reader.crop
        if crop.box != own.box:
            raise UserError(
                self.name,
                f"reads crops by {own.box}, and the pictures are cut by {crop.box}",
                "give another detector",
            )
        zoom = own.margin / crop.margin if own.box == "joints" else 1.0
        mirror = {"left", "right"} == {own.sides, crop.sides}
        joints = []
        for picture in pictures:
            seen = _zoomed(picture.flip(3) if mirror else picture, own.size_px, zoom)
            units = self.reader.predict_uncalibrated(Hands(image=seen)).joints * zoom
            if mirror:
                units = units * torch.tensor([-1.0, 1.0])
            joints.append(to_crop_px(units, picture.shape[-1]))
        joined = torch.cat(joints)
        return Detections(joined, torch.ones(len(joined), dtype=torch.bool))

    def relation(self, model: PoseEstimator) -> str:
        """The model itself, or another one; what the two were trained on is for their model cards to say."""
        if self.reader is model:
            return f"detector {self.name}: the measured model's own encoder, NOT independent of it; it finds a hand in every picture"
        if self.name in model.teachers:
            return f"detector {self.name}: the measured model was trained against it, NOT independent of it; it finds a hand in every picture"
        return f"detector {self.name}: another model; it finds a hand in every picture"


def _zoomed(
    picture: Float[Tensor, "batch 3 size size"], size_px: int, zoom: float
) -> Float[Tensor, "batch 3 side side"]:
    """The picture at another size, seen from `zoom` times as far away; its border goes on outwards."""
    if picture.shape[-1] != size_px:
        picture = F.interpolate(
            picture, size=(size_px, size_px), mode="bilinear", antialias=True, align_corners=False
        )
    if abs(zoom - 1) < 1e-6:
        return picture
    affine = torch.tensor([[zoom, 0.0, 0.0], [0.0, zoom, 0.0]]).expand(len(picture), 2, 3)
    places = F.affine_grid(affine, list(picture.shape), align_corners=False)
    return F.grid_sample(picture, places, padding_mode="border", align_corners=False)


@dataclass(frozen=True)
class CommandDetector(HandDetector):
    """Any program: called with a folder of PNG pictures, it prints one JSON object, {"00000.png": 21 pairs
    [x, y] in px, or null, ...}.

    Joints are in this package's order (wrist, then thumb to little finger, each from base to tip); x goes
    right, y down, and the first
    pixel covers [0, 1).
    """

    command: str

    @property
    def name(self) -> str:
        """The command, without its folders."""
        return " ".join(Path(word).name for word in shlex.split(self.command))

    def __post_init__(self) -> None:
        if not self.command.strip():
            raise UserError(
                "--detector-command", "is empty", "give a program that reads a folder of pictures"
            )

    def detect(self, pictures: Iterable[Float[Tensor, "batch 3 size size"]], crop: Crop) -> Detections:
        """Write the pictures, call the program once, read what it prints.

        Raises:
            UserError: it cannot be started, fails, or prints something else.
        """
        with tempfile.TemporaryDirectory() as folder:
            names: list[str] = []
            for batch in pictures:
                for picture in batch:
                    names.append(f"{len(names):05d}.png")
                    write_picture(Path(folder) / names[-1], as_pixels(picture.numpy()))
            answer = self._ask(folder)
        return _understood(self.command, answer, names)

    def _ask(self, folder: str) -> str:
        try:
            run = subprocess.run(
                [*shlex.split(self.command), folder], capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise UserError(
                self.command, f"cannot be started ({error.strerror})", "check --detector-command"
            ) from error
        if run.returncode != 0:
            last = (run.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(
                self.command, f"ended with {run.returncode}: {last}", "run it on a folder of pictures by hand"
            )
        return run.stdout

    def relation(self, model: PoseEstimator) -> str:
        """Another program."""
        return f"detector {self.name}: another program"


def _understood(command: str, answer: str, names: Sequence[str]) -> Detections:
    remedy = 'print one JSON object: {"00000.png": [[x, y], ... 21 pairs] or null, ...}'
    try:
        joints = _Answer.validate_json(answer)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(command, f"printed something else ({where}: {first['msg']})", remedy) from error
    if missing := [name for name in names if name not in joints]:
        raise UserError(command, f"said nothing of {len(missing)} pictures, such as {missing[0]}", remedy)
    nothing = [[float("nan")] * 2] * 21
    found = [joints[name] for name in names]
    return Detections(
        torch.tensor([pose or nothing for pose in found]), torch.tensor([pose is not None for pose in found])
    )
