"""Detectors that look for the requested pose in generated pictures: a model, or any program."""

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

_Point = Annotated[list[Number], Field(min_length=2, max_length=2)]
_Pose = Annotated[list[_Point], Field(min_length=21, max_length=21)]
_Answer = TypeAdapter(dict[str, _Pose | None])


@dataclass(frozen=True)
class Detections:
    """Joints detected in pictures that show one hand each."""

    joints_px: Float[Tensor, "batch 21 2"]
    """Pixels of the pictures; NaN where no hand is found."""
    found: Bool[Tensor, " batch"]


class HandDetector(ABC):
    """Detects one hand in each picture."""

    @abstractmethod
    def detect(self, pictures: Iterable[Float[Tensor, "batch 3 size size"]], crop: Crop) -> Detections:
        """The joints in pictures in [0, 1], given batch by batch, that show hands as `crop` cuts them."""

    @abstractmethod
    def relation(self, model: PoseEstimator) -> str:
        """How independent it is of the model whose pictures it looks at, in words."""


# ---------------------------------------------------------------------------------------------------- a model


@dataclass(frozen=True)
class ModelDetector(HandDetector):
    """A 2D model of this package, which sees pictures as its own crop shows them and finds a hand in each."""

    estimator: PoseEstimator
    name: str

    def __post_init__(self) -> None:
        if self.estimator.pose != "2d":
            fault = "reads 3D poses, which do not say where joints are in a picture"
            raise UserError(self.name, fault, "give a 2D model as detector")

    @classmethod
    def of(cls, model: Model) -> "ModelDetector":
        """The detector that a loaded model is.

        Raises:
            UserError: it reads no 2D poses.
        """
        return cls(model.pose_estimator, model.name)

    @torch.no_grad()
    def detect(self, pictures: Iterable[Float[Tensor, "batch 3 size size"]], crop: Crop) -> Detections:
        """Zoom, resize and mirror each picture to the model's own crop, and map the joints back.

        Raises:
            UserError: the model's crops are cut by another box.
        """
        own = self.estimator.crop
        if crop.box != own.box:
            fault = f"reads crops by {own.box}, and the pictures are cut by {crop.box}"
            raise UserError(self.name, fault, "give another detector")

        zoom = own.margin / crop.margin if own.box == "joints" else 1.0
        mirror = {"left", "right"} == {own.sides, crop.sides}
        batches = []
        for picture in pictures:
            encoder_input = picture.flip(3) if mirror else picture
            encoder_input = _zoomed(encoder_input, own.size_px, zoom)
            joints = self.estimator.predict_uncalibrated(Hands(image=encoder_input)).joints * zoom
            if mirror:
                joints = joints * torch.tensor([-1.0, 1.0])
            batches.append(to_crop_px(joints, picture.shape[-1]))

        joints_px = torch.cat(batches)
        return Detections(joints_px, torch.ones(len(joints_px), dtype=torch.bool))

    def relation(self, model: PoseEstimator) -> str:
        """The model itself, its teacher, or another model; their cards name what the two were trained on."""
        if self.estimator is model:
            relation = "the measured model's own encoder, NOT independent of it"
        elif self.name in model.teachers:
            relation = "the measured model was trained against it, NOT independent of it"
        else:
            relation = "another model"
        return f"detector {self.name}: {relation}; it finds a hand in every picture"


def _zoomed(
    picture: Float[Tensor, "batch 3 size size"], size_px: int, zoom: float
) -> Float[Tensor, "batch 3 side side"]:
    """The picture resized, then shrunk by `zoom` about its centre; border pixels fill the margin."""
    if picture.shape[-1] != size_px:
        size = (size_px, size_px)
        picture = F.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)
    if abs(zoom - 1) < 1e-6:
        return picture

    affine = torch.tensor([[zoom, 0.0, 0.0], [0.0, zoom, 0.0]]).expand(len(picture), 2, 3)
    places = F.affine_grid(affine, list(picture.shape), align_corners=False)
    return F.grid_sample(picture, places, padding_mode="border", align_corners=False)


# -------------------------------------------------------------------------------------------------- a program


@dataclass(frozen=True)
class CommandDetector(HandDetector):
    """Any program: it is called with a folder of PNG pictures and prints one JSON object.

    The object holds 21 pairs [x, y] in px, or null, for each file: {"00000.png": [[x, y], ...], ...}. Joints
    are in this package's order (wrist, then thumb to little finger, each from base to tip); x goes right, y
    down, and the first pixel covers [0, 1).
    """

    command: str

    def __post_init__(self) -> None:
        if not self.command.strip():
            remedy = "give a program that reads a folder of pictures"
            raise UserError("--detector-command", "is empty", remedy)

    @property
    def name(self) -> str:
        """The command, without its folders."""
        return " ".join(Path(word).name for word in shlex.split(self.command))

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
            answer = self._run(folder)

        return _parse_answer(self.command, answer, names)

    def relation(self, model: PoseEstimator) -> str:
        """Another program."""
        return f"detector {self.name}: another program"

    def _run(self, folder: str) -> str:
        """What the program prints."""
        words = [*shlex.split(self.command), folder]
        try:
            run = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            fault = f"cannot be started ({error.strerror})"
            raise UserError(self.command, fault, "check --detector-command") from error

        if run.returncode != 0:
            lines = run.stderr.strip().splitlines()
            last = lines[-1] if lines else "it printed no error"
            fault = f"ended with {run.returncode}: {last}"
            raise UserError(self.command, fault, "run it on a folder of pictures by hand")

        return run.stdout


def _parse_answer(command: str, answer: str, names: Sequence[str]) -> Detections:
    remedy = 'print one JSON object: {"00000.png": [[x, y], ... 21 pairs] or null, ...}'
    try:
        poses = _Answer.validate_json(answer)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(command, f"printed something else ({where}: {first['msg']})", remedy) from error

    missing = [name for name in names if name not in poses]
    if missing:
        raise UserError(command, f"left out {len(missing)} pictures, such as {missing[0]}", remedy)

    no_hand = [[float("nan")] * 2] * 21
    detected = [poses[name] for name in names]
    joints_px = torch.tensor([pose or no_hand for pose in detected])
    return Detections(joints_px, torch.tensor([pose is not None for pose in detected]))
