"""`handvae synthesize`: labelled pictures of asked-for poses."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from handvae.apps.options import GENERATOR, DeviceOption, JsonOption, QuietOption, Rare, parse
from handvae.apps.output import output
from handvae.apps.progress import counted
from handvae.choices import Between, Folder, FormatName
from handvae.errors import UserError
from handvae.words import plural

if TYPE_CHECKING:
    from handvae.data.hands import DataSpec
    from handvae.data.sample import Sample
    from handvae.inference.poses import Poses
    from handvae.inference.result import LabelledPicture
    from handvae.systems.system import Generator

MOST = 1_000_000
"""Pictures of one call: their appearances are drawn beforehand."""


@dataclass(frozen=True)
class Options:
    """Labelled pictures of hands in the poses you ask for."""

    pose: str
    """A pose's name (open, flat, relaxed, fist, point, victory, pinch, ok, thumbup, claw), a JSON file of
    joints, or a data set."""
    out: Annotated[Path, Folder()]
    """Folder to write."""
    appearance: str = "random"
    """`random`; a photo, a folder of photos (their mean) or a named appearance of the model, which all get;
    `library`, all the named ones in turn; or a data set (each picture gets that of another person)."""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"]), Between(1, 10**7)] = None
    """Number of pictures; poses repeat in turn. Default: one a pose."""
    model: str = GENERATOR
    """A shipped model, a .safetensors file or a run folder."""
    split: str | None = None
    """Split of a data set given as pose."""
    appearance_split: Rare[str | None] = None
    """Split of a data set given as appearance."""
    appearance_from: Rare[Literal["prior", "aggregate"]] = "aggregate"
    """Draw random appearances from N(0, I), or from the Gaussian fitted to the training pictures' ones."""
    view: str = "palm"
    """What of a named pose faces the camera: palm, back, side_thumb, side_pinky."""
    format: FormatName = "coco"
    """Layout of the folder."""
    seed: Annotated[int, Between(0, 2**62)] = 0
    """Same seed, same pictures."""
    overwrite: bool = False
    """Replace the folder if it is there."""
    device: DeviceOption = "cpu"
    quiet: QuietOption = False
    json: JsonOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, decode, write."""
    options = parse(Options, arguments, "handvae synthesize")
    if options.n is not None and not 1 <= options.n <= MOST:
        raise UserError("-n", f"is {options.n}", f"give 1 to {MOST:,}")

    import torch

    from handvae.data.export.formats import check_spec, warning, write_data
    from handvae.device import find_device
    from handvae.files import check_space
    from handvae.inference.appearance import read_appearances
    from handvae.inference.networks import load_model
    from handvae.inference.poses import read_poses
    from handvae.inference.synthesize import labelled_pictures
    from handvae.noise import Noise

    model = load_model(options.model, find_device(options.device))
    system = model.generator
    poses = read_poses(options.pose, options.split, options.view, system, options.n)
    count = options.n or len(poses.names)
    check_space(options.out, count, system.crop.size_px)
    turn = torch.arange(count) % len(poses.names)
    subjects = None if poses.subjects is None else poses.subjects[turn]
    appearances, notes = read_appearances(
        options.appearance,
        options.appearance_split,
        count,
        model,
        Noise(options.seed),
        options.appearance_from,
        subjects,
    )

    spec = _spec_of(system, poses, count)
    check_spec(options.format, spec, options.pose)
    lost = warning(options.format, spec)
    if lost:
        print(f"warning: {lost}", file=sys.stderr)

    described = f"model {options.model}, pose {options.pose}, appearance {options.appearance}"
    description = f"synthetic hands: {described}, seed {options.seed}"

    with output(options.quiet, options.json, options.out) as result:
        pictures = counted(labelled_pictures(system, poses, turn, appearances, notes), "pictures", count)
        written = write_data(
            options.out, options.format, spec, _samples(pictures), description, options.overwrite
        )
        print(f"{plural(written.count, 'picture')} with labels: {options.out}")
        result({"pictures": written.count, "folder": str(options.out)})


def _spec_of(system: "Generator", poses: "Poses", count: int) -> "DataSpec":
    """What the pictures that the model makes in these poses will be."""
    from handvae.data.hands import DataSpec
    from handvae.inference.sides import shown_side

    solid = () if poses.joints_mm is None else ("joints_3d",)
    return DataSpec(
        name="synthetic",
        count=count,
        size_px=system.crop.size_px,
        modalities=("image", "joints_2d", *solid, "joint_valid", "side"),
        sides=shown_side(system),
        licence="yours: synthetic pictures",
    )


def _samples(pictures: Iterable["LabelledPicture"]) -> Iterator["Sample"]:
    """The pictures as a data set's hands."""
    from handvae.data.sample import Sample
    from handvae.hand import LEFT, RIGHT

    for picture in pictures:
        yield Sample(
            picture.joints_2d,
            LEFT if picture.side == "left" else RIGHT,
            image=picture.image,
            joints_3d=picture.joints_3d,
            provenance=json.dumps({"pose": picture.pose, "appearance": picture.appearance}),
        )
