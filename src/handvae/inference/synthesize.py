"""Labelled pictures of hands in poses that are asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, overload

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.choices import Between
from handvae.data.crop import to_crop_px
from handvae.data.files.pictures import as_pixels
from handvae.inference.appearance import RandomSource, read_appearances
from handvae.inference.arguments import checked
from handvae.inference.networks import Device, generate, open_model
from handvae.inference.pictures import PictureSource
from handvae.inference.poses import Poses, join_poses, poses_of_joints, read_poses
from handvae.inference.result import LabelledPicture
from handvae.inference.shipped import GENERATOR
from handvae.inference.sides import shown_side
from handvae.noise import Noise
from handvae.systems.system import Generator, PoseEstimator
from handvae.training.checkpoint import Model

BATCH = 64
PoseSource = str | Path | np.ndarray
"""A pose's name, a JSON file of joints, a data set, or an array of joints (21, 2) or (21, 3)."""


@overload
def synthesize(
    pose: list[PoseSource],
    appearance: PictureSource = ...,
    model: str | Path | Model = ...,
    *,
    view: str = ...,
    n: int | None = ...,
    seed: int = ...,
    random_source: RandomSource = ...,
    device: Device = ...,
) -> list[LabelledPicture]: ...


@overload
def synthesize(
    pose: PoseSource,
    appearance: PictureSource = ...,
    model: str | Path | Model = ...,
    *,
    view: str = ...,
    n: None = ...,
    seed: int = ...,
    random_source: RandomSource = ...,
    device: Device = ...,
) -> LabelledPicture: ...


@overload
def synthesize(
    pose: PoseSource,
    appearance: PictureSource = ...,
    model: str | Path | Model = ...,
    *,
    view: str = ...,
    n: int,
    seed: int = ...,
    random_source: RandomSource = ...,
    device: Device = ...,
) -> list[LabelledPicture]: ...


@checked
def synthesize(
    pose: PoseSource | list[PoseSource],
    appearance: PictureSource = "random",
    model: str | Path | Model = GENERATOR,
    *,
    view: str = "palm",
    n: Annotated[int, Between(1, 10**7)] | None = None,
    seed: Annotated[int, Between(0, 2**63 - 1)] = 0,
    random_source: RandomSource = "aggregate",
    device: Device = "cpu",
) -> LabelledPicture | list[LabelledPicture]:
    """Make a picture of a hand in a pose, with the labels of that pose.

    Args:
        pose: a name out of `handvae.poses()`; an array of joints, (21, 2) in any unit (y down) or (21, 3) in
            mm (camera frame); a JSON file of joints or a data set; or a list of these.
        appearance: `random`; a named appearance of the model; `library`, all the named ones in turn; a photo
            (path, PIL picture or array) or a folder of photos, whose mean is taken; or a data set, whose
            hands are drawn at random.
        model: a shipped model that makes pictures, a `.safetensors` file, a run folder, or what
            `handvae.load_model` gave.
        view: what of a named pose faces the camera: `palm`, `back`, `side_thumb` or `side_pinky`.
        n: number of pictures; poses repeat in turn. None makes one picture, of a list one a pose.
        seed: same seed, same random appearances.
        random_source: draw random appearances from N(0, I) (`prior`), or from the Gaussian fitted to the
            training pictures' ones (`aggregate`).
        device: where the network runs, of a model that is given by name.

    Returns:
        One picture (of a file or data set, in its first pose); a list where `pose` is a list or `n` is given.

    Raises:
        UserError: a pose, appearance, model or device cannot be found or used.
        ArgumentError: an argument is of another type or out of its range; a UserError, TypeError and
            ValueError at once.
        TypeError: an array is of another dtype.
        ValueError: an array has another shape or range.
    """
    opened = open_model(model, device)
    system = opened.generator
    sources = pose if isinstance(pose, list) else [pose]
    if not sources:
        return []

    # poses repeat in turn until there are enough
    single = not isinstance(pose, list) and n is None
    poses = join_poses([_read_pose(one, view, system, 1 if single else n) for one in sources])
    count = 1 if single else n or len(poses.names)
    turn = torch.arange(count) % len(poses.names)

    # where both name their people, a picture gets the appearance of another one than its pose's
    subjects = None if poses.subjects is None else poses.subjects[turn]
    appearances, notes = read_appearances(
        appearance, None, count, opened, Noise(seed), random_source, subjects
    )

    pictures = list(labelled_pictures(system, poses, turn, appearances, notes, opened.name))

    return pictures[0] if single else pictures


def labelled_pictures(
    system: Generator,
    poses: Poses,
    turn: Int[Tensor, " picture"],
    appearances: Float[Tensor, "picture appearance"],
    notes: list[str],
    model: str = "",
) -> Iterator[LabelledPicture]:
    """Decode in batches: picture i has pose `turn[i]` and appearance `appearances[i]`."""
    for rows in torch.arange(len(turn)).split(BATCH):
        # the network draws a batch at a time: memory does not grow with the number of pictures
        which = turn[rows]
        images = generate(system, poses.joints[which], appearances[rows]).numpy()
        joints = to_crop_px(poses.joints_2d[which], system.crop.size_px).numpy()

        for i, (row, number) in enumerate(zip(rows.tolist(), which.tolist(), strict=True)):
            solid = None if poses.joints_mm is None else poses.joints_mm[number].numpy()
            yield LabelledPicture(
                image=as_pixels(images[i]),
                joints_2d=joints[i],
                side=shown_side(system),
                pose=poses.names[number],
                appearance=notes[row],
                joints_3d=solid,
                model=model,
            )


def _read_pose(source: PoseSource, view: str, system: PoseEstimator, most: int | None) -> Poses:
    if isinstance(source, np.ndarray):
        # several poses are a list, so that the result is one too
        if source.ndim > 2:
            fault = f"an array of shape {source.shape} holds several poses"
            raise ValueError(f"{fault}; give one of shape (21, 2) or (21, 3), or a list of these")
        return poses_of_joints(source, system)

    if isinstance(source, str | Path):
        return read_poses(str(source), None, view, system, most)
    give = "give a pose's name, a path, or an array of joints (21, 2) or (21, 3)"
    raise TypeError(f"a {type(source).__name__} is no pose; {give}")
