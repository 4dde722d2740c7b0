"""The appearance of one photo on the pose of another."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from handvae.data.crop import in_own_crop
from handvae.data.files.frames import PICTURE_SUFFIXES
from handvae.hand import POSE_NAMES
from handvae.inference.appearance import read_appearance
from handvae.inference.crops import Box, HandCrop, Side, crop_photo
from handvae.inference.networks import Device, joints_in_crop, open_model
from handvae.inference.pictures import PictureSource
from handvae.inference.poses import Poses, poses_of_joints, read_poses
from handvae.inference.result import LabelledPicture
from handvae.inference.shipped import GENERATOR
from handvae.inference.synthesize import labelled_pictures
from handvae.systems.system import Generator
from handvae.training.checkpoint import Model


def transfer(
    appearance: PictureSource,
    pose: PictureSource,
    model: str | Path | Model = GENERATOR,
    *,
    side: Side = "right",
    box: Box | None = None,
    pose_box: Box | None = None,
    device: Device = "cpu",
) -> LabelledPicture:
    """Make a picture of a hand with the appearance of one photo in the pose of another.

    Args:
        appearance: a photo (path, PIL picture or array), a folder of photos, whose mean is taken, or a named
            appearance of the model.
        pose: a photo, whose joints the model itself reads; a name out of `handvae.poses()`; a JSON file of
            joints; or an array of joints, (21, 2) in any unit or (21, 3) in mm.
        model: a shipped model that makes pictures, a `.safetensors` file, a run folder, or what
            `handvae.load_model` gave.
        side: which hands the photos show; a model of the other side sees them in a mirror.
        box: x, y, width, height of the joints in the appearance photo, px.
        pose_box: the same of the pose photo.
        device: where the network runs, of a model that is given by name.

    Raises:
        UserError: a file, name, model or device cannot be found or used.
        TypeError: an input is of another type or dtype.
        ValueError: an array has another shape or range.
    """
    opened = open_model(model, device)
    system = opened.generator
    mirror = needs_mirror(system, side)
    poses = _read_pose(pose, pose_box, mirror, system)
    code, note = read_appearance(appearance, opened, box, mirror)
    return next(labelled_pictures(system, poses, torch.tensor([0]), code, [note], opened.name))


def needs_mirror(system: Generator, side: Side) -> bool:
    """Whether a model knows the other hand only."""
    return system.spec.sides != "both" and side != system.spec.sides


def is_photo(pose: PictureSource) -> bool:
    """Whether a pose is given by a photo, not by its joints."""
    if isinstance(pose, str | Path):
        return str(pose) not in POSE_NAMES and Path(pose).suffix.lower() in PICTURE_SUFFIXES
    is_joints = isinstance(pose, np.ndarray) and pose.ndim == 2
    return isinstance(pose, Image.Image) or not is_joints


def pose_of_photo(photo: HandCrop, system: Generator) -> Float[Tensor, "1 joint axis"]:
    """The pose of a crop as the model reads it, in the unit that its `synthesize` takes."""
    return joints_in_crop(system, photo.image)


def _read_pose(pose: PictureSource, box: Box | None, mirror: bool, system: Generator) -> Poses:
    if not is_photo(pose):
        if isinstance(pose, np.ndarray):
            return poses_of_joints(pose, system)
        return read_poses(str(pose), None, "palm", system, 1)

    photo = crop_photo(pose, box, system.crop, mirror)
    joints = pose_of_photo(photo, system)
    flat = joints if system.pose == "2d" else in_own_crop(joints[..., :2], system.crop.margin)
    return Poses(joints, flat, None, (f"{photo.name} ({photo.located_by})",))
