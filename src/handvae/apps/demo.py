"""`handvae demo`: what the shipped models do, in pictures, from nothing but the package."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from handvae.apps.options import GENERATOR, DeviceOption, QuietOption, parse
from handvae.apps.output import output
from handvae.choices import Between, Folder

if TYPE_CHECKING:
    import numpy as np
    import torch

    from handvae.inference.estimator import Estimator
    from handvae.systems.system import Generator

APPEARANCES = 6
"""Random appearances on poses.png."""
MOST_PHOTOS = 4
TRANSFERRED = ("open", "victory", "point", "claw", "relaxed")
"""Poses on transfer.png."""
WALK = ("open", "victory", "point", "relaxed")
WALK_FRAMES = 20
"""Frames between two poses of the walk."""
GENERATED = ("point", "flat")
"""Poses of generated pictures on estimate.png."""


@dataclass(frozen=True)
class Options:
    """Pictures from the shipped models: poses, appearance transfer, a walk, an estimate."""

    out: Annotated[Path, Folder()] = Path("out/demo")
    """Folder for the pictures."""
    model: str = GENERATOR
    """A shipped model that makes pictures, a .safetensors file or a run folder."""
    reader: str = "reader-128"
    """The model that reads poses from photos."""
    photos: Path | None = None
    """Your own photo, or a folder of them, for transfer and estimate; without it, photos that ship with the
    package."""
    seed: Annotated[int, Between(0, 2**31)] = 0
    """Of the random appearances."""
    device: DeviceOption = "cpu"
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Make the four pictures and say where they are."""
    options = parse(Options, arguments, "handvae demo")

    from handvae.data.files.pictures import write_picture
    from handvae.device import find_device
    from handvae.inference.drawing import write_gif
    from handvae.inference.estimator import Estimator
    from handvae.inference.networks import load_model, random_appearance
    from handvae.inference.pictures import pictures_in
    from handvae.inference.samples import sample_photos
    from handvae.noise import Noise

    device = find_device(options.device)
    system = load_model(options.model, device).generator
    estimator = Estimator.open(options.reader, device=device)
    photos = sample_photos() if options.photos is None else pictures_in(options.photos)[:MOST_PHOTOS]
    appearances = random_appearance(system, APPEARANCES, Noise(options.seed), "aggregate")

    with output(options.quiet, out=options.out):
        options.out.mkdir(parents=True, exist_ok=True)

        path = options.out / "poses.png"
        write_picture(path, _poses_sheet(system, appearances))
        print(f"{path}: the named poses; an appearance a row")

        path = options.out / "transfer.png"
        write_picture(path, _transfer_sheet(system, photos))
        print(f"{path}: photo, its reconstruction, its appearance on other poses")

        path = options.out / "walk.gif"
        write_gif(path, _walk(system, appearances[:1]))
        print(f"{path}: {', '.join(WALK)} and back, one appearance")

        path = options.out / "estimate.png"
        generated = [] if options.photos is not None else _generated(system, appearances)
        write_picture(path, _estimate_sheet(estimator, [*photos, *generated]))
        origin = "real photos, then generated pictures" if options.photos is None else "your photos"
        print(f"{path}: joints read from {origin}; below, our hand fitted to them in 3D")


def _poses(system: "Generator", names: Sequence[str]) -> tuple["torch.Tensor", "list[np.ndarray]"]:
    """Named poses, and a skeleton of each as the head of a column."""
    import torch

    from handvae.inference.poses import read_poses
    from handvae.inference.sheets import pose_header

    poses = [read_poses(name, None, "palm", system) for name in names]
    headers = [pose_header(pose.joints_2d[0], system.crop.size_px) for pose in poses]
    return torch.cat([pose.joints for pose in poses]), headers


def _poses_sheet(system: "Generator", appearances: "torch.Tensor") -> "np.ndarray":
    from handvae.hand import POSE_NAMES
    from handvae.inference.sheets import poses_sheet

    joints, headers = _poses(system, POSE_NAMES)
    return poses_sheet(system, appearances, joints, headers)


def _transfer_sheet(system: "Generator", photos: Sequence[Path]) -> "np.ndarray":
    from handvae.inference.locate import one_hand_each
    from handvae.inference.sheets import transfer_sheet

    joints, headers = _poses(system, TRANSFERRED)
    return transfer_sheet(system, one_hand_each(photos, system), joints, headers)


def _walk(system: "Generator", appearance: "torch.Tensor") -> "list[np.ndarray]":
    import torch

    from handvae.inference.sheets import animation_frames
    from handvae.inference.walk import pose_walk

    share = torch.linspace(0, 1, WALK_FRAMES)
    legs = itertools.pairwise(WALK)
    joints = torch.cat([pose_walk(system, start, end, share) for start, end in legs])
    return animation_frames(system, joints, appearance.expand(len(joints), -1))


def _generated(system: "Generator", appearances: "torch.Tensor") -> "list[np.ndarray]":
    """Generated pictures, to be read like photos."""
    from handvae.data.files.pictures import as_pixels
    from handvae.inference.networks import generate

    joints, _ = _poses(system, GENERATED)
    pictures = generate(system, joints, appearances[: len(GENERATED)]).numpy()
    return [as_pixels(picture) for picture in pictures]


def _estimate_sheet(estimator: "Estimator", pictures: "Sequence[Path | np.ndarray]") -> "np.ndarray":
    from handvae.inference.locate import Located
    from handvae.inference.sheets import hands_sheet

    return hands_sheet([hand for _, hands in estimator.read_all(pictures, Located()) for hand in hands])
