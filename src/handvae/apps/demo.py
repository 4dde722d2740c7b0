"""`handvae demo`: what the shipped model does, in pictures, from nothing but the package."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from handvae.apps.estimate import LIFTER, estimate, lifted, overlay
from handvae.apps.options import GENERATOR, parse
from handvae.apps.transfer import SIDE, pose_header, transfer_sheet
from handvae.apps.walk import frames, pose_walk
from handvae.data.crop import Crop
from handvae.data.files.pictures import as_pixels, write_picture
from handvae.hand import POSE_NAMES
from handvae.inference.drawing import enlarge, grid, write_gif
from handvae.inference.inputs import Seen, pictures_in, read_photo, read_poses, whole_picture
from handvae.inference.solid import fitted
from handvae.noise import Noise
from handvae.render.picture import draw
from handvae.training.checkpoint import load_model

APPEARANCES = 6
"""Random appearances on poses.png."""
STAND_INS = ("victory", "flat", "point", "open")
"""Poses of the pictures that stand in for photos."""


@dataclass(frozen=True)
class Options:
    """Pictures from the shipped model: poses, appearance transfer, a walk, an estimate."""

    out: Path = Path("out/demo")
    """Folder for the pictures."""
    model: str = GENERATOR
    """A shipped model that makes pictures, a .safetensors file or a run folder."""
    detector: str = "detector-64"
    """The model that reads poses from photos."""
    photos: Path | None = None
    """Your own photo, or a folder of them, for transfer and estimate; without it the model's own pictures
    stand in for photos."""
    seed: int = 0
    """Of the random appearances."""


def main(arguments: Sequence[str]) -> None:
    """Make the four pictures and say where they are."""
    options = parse(Options, arguments, "handvae demo")
    system = load_model(options.model).generator
    poses = {name: read_poses(name, None, "palm", system) for name in POSE_NAMES}
    joints = torch.cat([pose.joints for pose in poses.values()])
    flat = torch.cat([pose.joints_2d for pose in poses.values()])
    appearances = system.random_appearance(APPEARANCES, Noise(options.seed), "aggregate")
    chosen = [POSE_NAMES.index(name) for name in STAND_INS]
    made = [
        as_pixels(picture.numpy())
        for picture in system.synthesize(joints[chosen], appearances[: len(chosen)])
    ]
    photos = _photos(options, made, system.crop)
    options.out.mkdir(parents=True, exist_ok=True)

    headers = [pose_header(pose, system.crop.size_px) for pose in flat]
    cells = [
        [_cell(picture) for picture in system.synthesize(joints, appearance.expand(len(joints), -1))]
        for appearance in appearances
    ]
    write_picture(options.out / "poses.png", grid([headers, *cells]))
    print(f"{options.out / 'poses.png'}: {', '.join(POSE_NAMES)}; an appearance a row")

    shown = [POSE_NAMES.index(name) for name in ("open", "victory", "point", "claw", "relaxed")]
    write_picture(
        options.out / "transfer.png",
        transfer_sheet(system, photos, joints[shown], [headers[i] for i in shown]),
    )
    print(f"{options.out / 'transfer.png'}: photo, its reconstruction, its looks on other poses")

    share = torch.linspace(0, 1, 20)
    steps = [
        pose_walk(system, a, b, share)
        for a, b in (("open", "victory"), ("victory", "point"), ("point", "relaxed"))
    ]
    write_gif(
        options.out / "walk.gif", frames(system, torch.cat(steps), appearances[:1].expand(3 * len(share), -1))
    )
    print(f"{options.out / 'walk.gif'}: open, victory, point, relaxed and back, one appearance")

    detector = load_model(options.detector).reader
    found = [estimate(detector, photo) for photo in _photos(options, made, detector.crop)]
    lifter, side = load_model(LIFTER).reader, "left" if detector.spec.sides == "left" else "right"
    solid = [hand if hand.joints_bones is not None else lifted(hand, lifter, side) for hand in found]
    hands = [
        draw(fitted(hand.joints_bones, side).scene(0), 2 * SIDE).image
        for hand in solid
        if hand.joints_bones is not None
    ]
    write_picture(
        options.out / "estimate.png", grid([[enlarge(overlay(hand), 2 * SIDE) for hand in found], hands])
    )
    origin = (
        "your photos"
        if options.photos
        else "pictures of random looks that the model made, standing in for photos (--photos FOLDER takes yours)"
    )
    print(f"{options.out / 'estimate.png'}: joints read from {origin}; our hand fitted to them in 3D")


def _photos(options: Options, made: list[np.ndarray], crop: Crop) -> list[Seen]:
    """The user's first photos, or the pictures that stand in for them, cut as a model reads them."""
    if options.photos is not None:
        return [read_photo(path, None, crop) for path in pictures_in(options.photos)[: len(STAND_INS)]]
    return [
        whole_picture(Path(name), pixels, crop, "the model's own picture")
        for name, pixels in zip(STAND_INS, made, strict=True)
    ]


def _cell(picture: torch.Tensor) -> np.ndarray:
    return enlarge(as_pixels(picture.numpy()), SIDE)
