"""`handvae transfer APPEARANCE POSE`: the appearance of one photo on the pose of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from handvae.apps.hand_options import parse_box, parse_side
from handvae.apps.options import GENERATOR, DeviceOption, QuietOption, Rare, parse
from handvae.apps.output import output
from handvae.choices import PICTURE, Between, Side
from handvae.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from handvae.inference.sheets import Ground
    from handvae.systems.system import Generator
    from handvae.training.checkpoint import Model


@dataclass(frozen=True)
class Options:
    """Put the appearance of one photo (or of each in a folder) on the pose of another."""

    appearance: tyro.conf.Positional[str]
    """Photo, or folder of photos, that gives the appearance; or a named appearance of the model."""
    pose: tyro.conf.Positional[str]
    """Photo that gives the pose, or a named pose, a JSON file of joints, or a data set."""
    out: Annotated[Path, PICTURE] = Path("out/transfer.png")
    """Sheet: an appearance a row; its photo, its plain reconstruction, then the asked poses."""
    ground: Rare[str | None] = None
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
    ground_box: Rare[Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H")]] = None
    """Where the joints are in the ground's photo, px."""
    side: Annotated[str, tyro.conf.arg(metavar="auto|left|right")] = "auto"
    """Which hands the photos show (auto: as is recognised); a model of the other side sees them mirrored."""
    most: Annotated[int, Between(1, 1000)] = 8
    """Poses shown at most."""
    mean: bool = False
    """One row with the mean of the folder's appearances, instead of a row a photo."""
    device: DeviceOption = "cpu"
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, read, draw."""
    options = parse(Options, arguments, "handvae transfer")
    side = parse_side(options.side)

    from handvae.data.files.pictures import write_picture
    from handvae.device import find_device
    from handvae.inference.networks import load_model

    model = load_model(options.model, find_device(options.device))

    with output(options.quiet, out=options.out):
        sheet, notes = _sheet(options, model, side)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_picture(options.out, sheet)
        print("\n".join([*notes, f"sheet: {options.out}"]))


def _sheet(options: Options, model: "Model", side: Side | None) -> tuple["np.ndarray", list[str]]:
    """The sheet, and lines on what it shows."""
    from handvae.inference.appearance import read_appearance
    from handvae.inference.locate import one_hand_each
    from handvae.inference.pictures import pictures_in
    from handvae.inference.sheets import appearance_sheet, transfer_sheet

    system, given = model.generator, Path(options.appearance)
    ground = _ground(options, system, side)
    joints, headers = _poses(options, system, side)
    box = parse_box(options.box)
    if box is not None and not given.exists():
        raise _box_without_photo("--box", options.appearance)

    if options.mean or not given.exists():
        appearance, note = read_appearance(options.appearance, model, box, side)
        shown = appearance if ground is None else ground.behind(appearance)
        sheet = appearance_sheet(system, {note: shown[0]}, joints, headers)
        notes = [f"appearance {note}"]
    else:
        photos = one_hand_each(pictures_in(given), system, box, side)
        sheet = transfer_sheet(system, photos, joints, headers, ground)
        notes = [f"appearance {photo.name}: crop from {photo.located_by}" for photo in photos]
    if ground is not None:
        notes.append(f"ground {ground.photo.name}: crop from {ground.photo.located_by}")
    return sheet, notes


def _ground(options: Options, system: "Generator", side: Side | None) -> "Ground | None":
    """What gives the ground, if anything does.

    Raises:
        UserError: the model cannot take it, or a box is given for no photo.
    """
    from handvae.inference.locate import one_hand
    from handvae.inference.sheets import Ground
    from handvae.systems.dvae_generator import DvaeGenerator

    if options.ground is None:
        if options.ground_box is not None:
            raise UserError("--ground-box", "there is no photo for it", "name one with --ground")
        return None
    if not isinstance(system, DvaeGenerator) or "ground" not in system.content_layers:
        fault = f"{options.model} does not hold hand and ground apart"
        remedy = "give a model of `handvae train rendered-dvae-layers-64`, or leave it out"
        raise UserError("--ground", fault, remedy)

    photo = one_hand(Path(options.ground), system, parse_box(options.ground_box), side)
    return Ground(photo, system)


def _poses(
    options: Options, system: "Generator", side: Side | None
) -> tuple["torch.Tensor", list["np.ndarray"]]:
    """Asked poses and a header for each: the photo it comes from, or its skeleton."""
    from handvae.inference.poses import read_poses
    from handvae.inference.sheets import pose_header
    from handvae.inference.transfer import pose_in_photo

    box = parse_box(options.pose_box)
    photo = pose_in_photo(options.pose, box, system, side)
    if photo is not None:
        print(f"pose {photo.crop.name}: crop from {photo.crop.located_by}; joints read by the model")
        return photo.joints, [photo.header()]
    if box is not None:
        raise _box_without_photo("--pose-box", options.pose)

    poses = read_poses(options.pose, options.split, "palm", system, options.most)
    headers = [pose_header(flat, system.crop.size_px) for flat in poses.joints_2d[: options.most]]
    return poses.joints[: options.most], headers


def _box_without_photo(option: str, name: str) -> UserError:
    return UserError(option, f"{name} is no photo that it could lie in", "leave it out, or give a photo")
