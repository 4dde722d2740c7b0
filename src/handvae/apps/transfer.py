"""`handvae transfer APPEARANCE POSE`: the looks of one photo on the pose of another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import tyro

from handvae.apps.estimate import parse_box
from handvae.apps.options import GENERATOR, parse
from handvae.data.crop import to_crop_px
from handvae.data.files.pictures import as_pixels, write_picture
from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.hand import POSE_NAMES
from handvae.inference.drawing import draw_skeleton, enlarge, grid
from handvae.inference.inputs import Seen, pictures_in, read_appearance, read_photo, read_poses
from handvae.systems.dvae_generator import DvaeGenerator
from handvae.systems.system import Generator
from handvae.training.checkpoint import load_model

SIDE = 192


@dataclass(frozen=True)
class Options:
    """Put the appearance of one photo (or of each in a folder) on the pose of another."""

    appearance: tyro.conf.Positional[str]
    """Photo, or folder of photos, that gives the looks; or a named appearance of the model."""
    pose: tyro.conf.Positional[str]
    """Photo that gives the pose, or a named pose, a JSON file of joints, or a data set."""
    out: Path = Path("out/transfer.png")
    """Sheet: an appearance a row; its photo, its plain reconstruction, then the asked poses."""
    ground: str | None = None
    """Photo whose ground is laid behind every hand, of models that hold hand and ground apart (`handvae train
    rendered-dvae-layers-64`)."""
    model: str = GENERATOR
    """A shipped model, a .safetensors file or a run folder."""
    split: str | None = None
    """Split of a data set given as pose."""
    box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H")] = None
    """Where the joints are in the appearance photo, px."""
    pose_box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H")] = None
    """Where the joints are in the pose photo, px."""
    ground_box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H")] = None
    """Where the joints are in the ground's photo, px."""
    side: Annotated[str, tyro.conf.arg(metavar="left|right")] = "right"
    """Which hands the photos show; a model of the other side sees them mirrored."""
    most: int = 8
    """Poses shown at most."""
    mean: bool = False
    """One row with the mean of the folder's appearances, instead of a row a photo."""


def main(arguments: Sequence[str]) -> None:
    """Parse, read, draw."""
    options = parse(Options, arguments, "handvae transfer")
    if options.most < 1:
        raise UserError("--most", f"is {options.most}", "give at least 1")
    if options.side not in ("left", "right"):
        raise UserError("--side", f"is {options.side!r}", "give left or right")
    model = load_model(options.model)
    system, given = model.generator, Path(options.appearance)
    ground = _ground(options, system)
    joints, headers = _poses(options, system)
    joints, headers = joints[: options.most], headers[: options.most]
    box, mirror = parse_box(options.box), _mirror(options, system)
    if box is not None and not given.exists():
        raise UserError(
            "--box", f"{options.appearance} is no photo that it could lie in", "leave it out, or give a photo"
        )
    appearances = []
    if options.mean or not given.exists():
        appearance, said = read_appearance(options.appearance, model, box, mirror)
        appearance = appearance if ground is None else ground.behind(appearance)
        sheet = appearance_sheet(system, {said: appearance[0]}, joints, headers)
        print(f"appearance {said}")
    else:
        appearances = [read_photo(path, box, system.crop, mirror) for path in pictures_in(given)]
        sheet = transfer_sheet(system, appearances, joints, headers, ground)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_picture(options.out, sheet)
    for photo in appearances:
        print(f"appearance {photo.path}: crop from {photo.found_by}")
    if ground is not None:
        print(f"ground {ground.photo.path}: crop from {ground.photo.found_by}")
    print(f"sheet: {options.out}")


def _mirror(options: Options, system: Generator) -> bool:
    return system.spec.sides != "both" and options.side != system.spec.sides


@dataclass(frozen=True)
class Ground:
    """A photo whose ground takes the place of others', and the model that holds it apart from the hand."""

    photo: Seen
    system: DvaeGenerator

    def behind(self, appearance: torch.Tensor) -> torch.Tensor:
        """Appearances with this ground."""
        return self.system.exchanged(appearance, "ground", self.system.appearance_of(self.photo.crop))


def _ground(options: Options, system: Generator) -> Ground | None:
    """What gives the ground, if anything does.

    Raises:
        UserError: the model cannot take it, or a box is given for no photo.
    """
    if options.ground is None:
        if options.ground_box is not None:
            raise UserError("--ground-box", "there is no photo for it", "name one with --ground")
        return None
    if not isinstance(system, DvaeGenerator) or "ground" not in system.content_layers:
        fault = f"{options.model} does not hold hand and ground apart"
        raise UserError(
            "--ground", fault, "give a model of `handvae train rendered-dvae-layers-64`, or leave it out"
        )
    return Ground(
        read_photo(
            Path(options.ground), parse_box(options.ground_box), system.crop, _mirror(options, system)
        ),
        system,
    )


def _poses(options: Options, system: Generator) -> tuple[torch.Tensor, list[np.ndarray]]:
    """Asked poses and a header picture of each: the photo it comes from, or its skeleton."""
    path = Path(options.pose)
    if options.pose not in POSE_NAMES and path.is_file() and path.suffix.lower() != ".json":
        photo = read_photo(path, parse_box(options.pose_box), system.crop, _mirror(options, system))
        print(f"pose {photo.path}: crop from {photo.found_by}; joints read by the model")
        return system.predict_uncalibrated(Hands(image=photo.crop)).joints, [_cell(photo.crop[0])]
    if options.pose_box is not None:
        raise UserError(
            "--pose-box", f"{options.pose} is no photo that it could lie in", "leave it out, or give a photo"
        )
    poses = read_poses(options.pose, options.split, "palm", system, options.most)
    return poses.joints, [pose_header(flat, system.crop.size_px) for flat in poses.joints_2d[: options.most]]


def pose_header(joints: torch.Tensor, size_px: int) -> np.ndarray:
    """A skeleton on white."""
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    return draw_skeleton(white, to_crop_px(joints, size_px).numpy() * (SIDE / size_px))


def transfer_sheet(
    system: Generator,
    appearances: Sequence[Seen],
    joints: torch.Tensor,
    headers: Sequence[np.ndarray],
    ground: Ground | None = None,
) -> np.ndarray:
    """First row: the ground's photo, if any, and the poses. Then an appearance a row: photo, plain
    reconstruction, poses with its looks."""
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    rows = [[white if ground is None else _cell(ground.photo.crop[0]), white, *headers]]
    for photo in appearances:
        appearance = system.appearance_of(photo.crop)
        own = system.synthesize(system.predict_uncalibrated(Hands(image=photo.crop)).joints, appearance)[0]
        worn = appearance if ground is None else ground.behind(appearance)
        pictures = system.synthesize(joints, worn.expand(len(joints), -1))
        rows.append([_cell(photo.crop[0]), _cell(own), *[_cell(picture) for picture in pictures]])
    return grid(rows)


def appearance_sheet(
    system: Generator,
    appearances: Mapping[str, torch.Tensor],
    joints: torch.Tensor,
    headers: Sequence[np.ndarray],
) -> np.ndarray:
    """First row: the poses. Then an appearance a row: its name, the poses with its looks."""
    rows = [[np.full((SIDE, SIDE, 3), 255, np.uint8), *headers]]
    for name, appearance in appearances.items():
        rows.append(
            [
                _words(name),
                *[
                    _cell(picture)
                    for picture in system.synthesize(joints, appearance.expand(len(joints), -1))
                ],
            ]
        )
    return grid(rows)


def _words(text: str) -> np.ndarray:
    """A name on white, a line a part of it."""
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for line, part in enumerate(text.replace("-on-", " on ").split(" on ")):
        said = part if line == 0 else f"on {part}"
        cv2.putText(
            white,
            said[:24],
            (6, SIDE // 2 + 24 * line),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.5,
            (60, 60, 60),
            1,
            cv2.LINE_AA,
        )
    return white


def _cell(picture: torch.Tensor) -> np.ndarray:
    return enlarge(as_pixels(picture.numpy()), SIDE)
