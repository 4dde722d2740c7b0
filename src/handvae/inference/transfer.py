"""The appearance of one photo on the pose of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handvae.choices import Side
from handvae.data.crop import in_own_crop
from handvae.hand import POSE_NAMES
from handvae.inference.appearance import read_appearance
from handvae.inference.arguments import checked
from handvae.inference.crops import HandCrop, as_box
from handvae.inference.drawing import picture_cell
from handvae.inference.locate import one_hand
from handvae.inference.networks import Device, joints_in_crop, open_model
from handvae.inference.pictures import PictureSource
from handvae.inference.poses import Poses, poses_of_joints, read_poses
from handvae.inference.result import LabelledPicture
from handvae.inference.sheets import SIDE
from handvae.inference.shipped import GENERATOR
from handvae.inference.square import Box
from handvae.inference.synthesize import labelled_pictures
from handvae.systems.system import Generator
from handvae.training.checkpoint import Model


@checked
def transfer(
    appearance: PictureSource,
    pose: PictureSource,
    model: str | Path | Model = GENERATOR,
    *,
    side: Side | None = None,
    box: Sequence[int | float] | None = None,
    pose_box: Sequence[int | float] | None = None,
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
        side: which hands the photos show, None: as it is recognised; a model of the other side sees them in a
            mirror.
        box: x, y, width, height of the joints in the appearance photo, px.
        pose_box: the same of the pose photo.
        device: where the network runs, of a model that is given by name.

    Raises:
        UserError: a file, name, model or device cannot be found or used.
        ArgumentError: an argument is of another type or out of its range; a UserError, TypeError and
            ValueError at once.
        TypeError: an array is of another dtype.
        ValueError: an array has another shape or range.
    """
    opened = open_model(model, device)
    system = opened.generator
    # the generator reads the pose itself: its own joints fit its own pictures best
    poses = _read_pose(pose, None if pose_box is None else as_box(pose_box, "pose_box"), side, system)
    code, note = read_appearance(appearance, opened, None if box is None else as_box(box), side)
    return next(labelled_pictures(system, poses, torch.tensor([0]), code, [note], opened.name))


@dataclass(frozen=True, eq=False)
class PhotoPose:
    """A pose that a generator reads in a photo."""

    crop: HandCrop
    joints: Float[Tensor, "1 joint axis"]
    """In the unit that the generator's `synthesize` takes."""

    def header(self) -> UInt8[np.ndarray, "side side 3"]:
        """The crop as a cell of a sheet."""
        return picture_cell(self.crop.image[0], SIDE)


def pose_in_photo(
    pose: PictureSource, box: Box | None, system: Generator, side: Side | None
) -> PhotoPose | None:
    """The pose of a photo as the generator reads it; None of what is no photo: a name, joints, a data set."""
    if isinstance(pose, str | Path):
        path = Path(pose)
        if str(pose) in POSE_NAMES or not path.is_file() or path.suffix.lower() in (".json", ".parquet"):
            return None
    elif isinstance(pose, np.ndarray) and pose.ndim == 2:
        return None
    crop = one_hand(pose, system, box, side)
    return PhotoPose(crop, joints_in_crop(system, crop.image))


def _read_pose(pose: PictureSource, box: Box | None, side: Side | None, system: Generator) -> Poses:
    photo = pose_in_photo(pose, box, system, side)
    if photo is not None:
        joints = photo.joints
        flat = joints if system.pose == "2d" else in_own_crop(joints[..., :2], system.crop.margin)
        name = f"{photo.crop.name} ({photo.crop.located_by})"
        return Poses(joints, flat, None, (name,))
    if isinstance(pose, np.ndarray):
        return poses_of_joints(pose, system)
    return read_poses(str(pose), None, "palm", system, 1)
