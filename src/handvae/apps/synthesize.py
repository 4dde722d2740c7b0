"""`handvae synthesize`: labelled pictures of asked-for poses."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from handvae.apps.options import GENERATOR, parse
from handvae.apps.progress import counted
from handvae.data.crop import to_crop_px
from handvae.data.export.formats import FormatName, check_spec, warning, write_data
from handvae.data.files.pictures import as_pixels
from handvae.data.hands import DataSpec
from handvae.data.sample import Sample
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT
from handvae.inference.inputs import Poses, read_appearances, read_poses
from handvae.noise import Noise
from handvae.systems.system import Generator
from handvae.training.checkpoint import load_model

BATCH = 64
MOST = 1_000_000
"""Pictures of one call: their appearances are drawn beforehand."""


@dataclass(frozen=True)
class Options:
    """Labelled pictures of hands in the poses you ask for."""

    pose: str
    """A pose's name (open, flat, relaxed, fist, point, victory, pinch, ok, thumbup, claw), a JSON file of
    joints, or a data set."""
    out: Path
    """Folder to write."""
    appearance: str = "random"
    """`random`; a photo, a folder of photos (their mean) or a named appearance of the model, whose looks all
    get; `library`, all the named
    ones in turn; or a data set (each picture gets those of another person)."""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
    """Number of pictures; poses repeat in turn. Default: one a pose."""
    model: str = GENERATOR
    """A shipped model, a .safetensors file or a run folder."""
    split: str | None = None
    """Split of a data set given as pose."""
    appearance_split: str | None = None
    """Split of a data set given as appearance."""
    appearance_from: Literal["prior", "aggregate"] = "aggregate"
    """Draw random appearances from N(0, I), or from the Gaussian fitted to the training pictures' ones."""
    view: str = "palm"
    """What of a named pose faces the camera: palm, back, side_thumb, side_pinky."""
    format: FormatName = "coco"
    """Layout of the folder."""
    seed: int = 0
    """Same seed, same pictures."""
    overwrite: bool = False
    """Replace the folder if it is there."""


def main(arguments: Sequence[str]) -> None:
    """Parse, decode, write."""
    options = parse(Options, arguments, "handvae synthesize")
    if options.n is not None and not 1 <= options.n <= MOST:
        raise UserError("-n", f"is {options.n}", f"give 1 to {MOST:,}")
    model = load_model(options.model)
    system = model.generator
    poses = read_poses(options.pose, options.split, options.view, system, options.n)
    count = options.n or len(poses.names)
    turn = torch.arange(count) % len(poses.names)
    subjects = None if poses.subjects is None else poses.subjects[turn]
    noise = Noise(options.seed)
    appearances, notes = read_appearances(
        options.appearance, options.appearance_split, count, model, noise, options.appearance_from, subjects
    )
    spec = spec_of(system, poses, count)
    check_spec(options.format, spec, options.pose)
    lost = warning(options.format, spec)
    if lost:
        print(f"warning: {lost}", file=sys.stderr)
    hands = samples(system, poses, turn, appearances, notes)
    description = f"synthetic hands: model {options.model}, pose {options.pose}, appearance {options.appearance}, seed {options.seed}"
    written = write_data(
        options.out, options.format, spec, counted(hands, "pictures", count), description, options.overwrite
    )
    print(f"{written.count} pictures with labels: {options.out}")


def spec_of(system: Generator, poses: Poses, count: int) -> DataSpec:
    """What the pictures that the model makes in these poses will be."""
    solid = () if poses.joints_mm is None else ("joints_3d",)
    labels = ("joints_2d", *solid, "joint_valid", "side")
    sides = "left" if system.spec.sides == "left" else "right"
    return DataSpec(
        "synthetic",
        count,
        system.crop.size_px,
        ("image", *labels),
        sides,
        licence="yours: synthetic pictures",
    )


def samples(
    system: Generator, poses: Poses, turn: torch.Tensor, appearances: torch.Tensor, notes: Sequence[str]
) -> Iterator[Sample]:
    """Decode in batches: picture i has pose `turn[i]` and appearance `appearances[i]`."""
    side = LEFT if system.spec.sides == "left" else RIGHT
    for rows in torch.arange(len(turn)).split(BATCH):
        which = turn[rows]
        pictures = system.synthesize(poses.joints[which], appearances[rows]).numpy()
        joints = to_crop_px(poses.joints_2d[which], system.crop.size_px).numpy()
        for i, (row, pose) in enumerate(zip(rows.tolist(), which.tolist(), strict=True)):
            solid = None if poses.joints_mm is None else poses.joints_mm[pose].numpy()
            origin = json.dumps({"pose": poses.names[pose], "appearance": notes[row]})
            yield Sample(joints[i], side, image=as_pixels(pictures[i]), joints_3d=solid, provenance=origin)
