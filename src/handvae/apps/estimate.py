"""`handvae estimate`: poses from photos, depth pictures or 2D joints, as pictures and JSON."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from handvae.apps.hand_options import parse_box, parse_side
from handvae.apps.options import DeviceOption, JsonOption, QuietOption, Rare, parse
from handvae.apps.output import output
from handvae.choices import Between, Encoding, Folder
from handvae.errors import UserError

if TYPE_CHECKING:
    from handvae.inference.crops import HandCrop
    from handvae.inference.estimator import Estimator

FAR_APART = 1.0
"""Bone units between what two inputs of one hand give, above which the command warns."""


@dataclass(frozen=True)
class Options:
    """Read the poses of hands in photos, depth pictures or files of 2D joints."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Photos, depth pictures (PNG), folders of them, or JSON files of 2D joints (21 pairs, or COCO)."""
    out: Annotated[Path, Folder()] = Path("out/estimate")
    """Folder for overlays, 3D plots and estimate.json."""
    model: str | None = None
    """A shipped model, a .safetensors file or a run folder; default detector-64, for 2D joints lifting."""
    lift: bool = True
    """Where the model reads 2D joints, read 3D joints from these (by the shipped model lifting)."""
    box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H")] = None
    """Where the hand's joints are, px. Without it a COCO file tells, else the whole picture or
    the nearest thing is taken."""
    side: Annotated[str, tyro.conf.arg(metavar="left|right")] = "right"
    """Which hand it is; the other one is mirrored for the model and back."""
    together: bool = False
    """All files show one hand: what a model reads in its photo, its depth and its joints is fused."""
    bone_mm: Annotated[float, Between(0, 1e4)] = 0.0
    """Length of the hand's bone from the middle finger's base to its next joint: joints are then also given
    in mm."""
    depth_encoding: Rare[Encoding] = "plane"
    """How depth is packed: 16 bits of grey (none: these are photos too), or colours as in a data set."""
    depth_unit_mm: Rare[Annotated[float, Between(1e-9, 1e6)]] = 1.0
    """What one unit of a 16-bit depth picture stands for."""
    focal: Rare[Annotated[float, Between(0, 1e6)]] = 0.0
    """Focal length of the depth camera, px; 0 guesses."""
    device: DeviceOption = "cpu"
    quiet: QuietOption = False
    json: JsonOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, read, write."""
    options = parse(Options, arguments, "handvae estimate")
    _check(options)
    side, box = parse_side(options.side), parse_box(options.box)

    from handvae.apps.estimate_files import EstimateFolder, groups_of
    from handvae.device import find_device
    from handvae.hand import JOINT_NAMES
    from handvae.inference.estimator import DepthFormat, Estimator, Located, default_model
    from handvae.inference.pictures import pictures_in

    paths = [path for given in options.files for path in pictures_in(given)]
    if not paths:
        raise UserError("command line", "no photo is given", "name at least one picture or file of joints")

    name = options.model or default_model(paths[0])
    estimator = Estimator.open(name, options.lift, find_device(options.device))
    depth = DepthFormat(options.depth_encoding, options.depth_unit_mm, options.focal)
    located = Located(side, box, depth)

    with output(options.quiet, options.json, options.out) as result:
        count, groups = groups_of(estimator, paths, located, options.together)
        folder = EstimateFolder(options.out)

        for number, group in enumerate(groups):
            file_stem = Path(group[0].name).stem
            stem = f"{number:04d}_{file_stem}" if count > 1 else file_stem
            folder.add(_read_and_write(options, estimator, group, stem))

        content = {"model": name, "joint_names": JOINT_NAMES}
        print(f"joints: {folder.finish(content)}")
        result(content | {"hands": folder.entries})


def _check(options: Options) -> None:
    """Refuse numbers that are none, before anything is loaded."""
    numbers = {
        "--depth-unit-mm": options.depth_unit_mm,
        "--focal": options.focal,
        "--bone-mm": options.bone_mm,
    }
    for name, value in numbers.items():
        if not 0 <= value < float("inf") or (name == "--depth-unit-mm" and value == 0):
            raise UserError(name, f"is {value}", "give a positive number")


def _read_and_write(
    options: Options, estimator: "Estimator", group: list["HandCrop"], stem: str
) -> dict[str, object]:
    """Read one hand, write its files, and return its entry of estimate.json."""
    from handvae.apps.estimate_files import write_hand
    from handvae.inference.reading import disagreement

    first, *others = group
    hand = estimator.read(first, others, options.bone_mm or None)
    entry = write_hand(options.out / stem, hand)

    if others:
        apart = disagreement(estimator.system, group)
        entry["inputs_apart_bone_units"] = round(apart.bone_units, 3)
        if apart.bone_units > FAR_APART:
            names = f"{apart.first.name} and {apart.second.name}"
            warning = f"{names} are {apart.bone_units:.1f} bones apart: they may show different hands"
            print(f"warning: {warning}", file=sys.stderr)

    unit = "" if hand.crop.hands.joints_2d is not None else " px"
    spread = f"spread {hand.spread_2d.mean():.3g}{unit}"
    overlay = options.out / f"{stem}.png"
    print(f"{first.name}: crop from {hand.crop.located_by}; {spread}; overlay {overlay}")
    return entry
