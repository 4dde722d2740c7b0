"""What `handvae estimate` writes of 3D hands beside their joints: our hand fitted to them as a picture, and
the surface as a cloud."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from handvae.data.cloud import write_ply
from handvae.data.files.pictures import write_picture
from handvae.hand import LEFT, RIGHT, HandShape
from handvae.inference.inputs import Seen
from handvae.render.hand.fitting import FittedHands, fit_hands
from handvae.render.picture import draw
from handvae.systems.da_vae import DaVae
from handvae.systems.system import PoseEstimator

SIDE_PX = 384
"""Of the fitted hand's picture."""


def fitted(joints_bones: Float[np.ndarray, "21 3"], side: str, bone_mm: float | None = None) -> FittedHands:
    """Our hand in the pose of 3D joints in bone units; without `bone_mm` a bone is as long as the mean
    hand's."""
    unit_mm = bone_mm or float(HandShape.mean().lengths_mm[2, 0])
    return fit_hands(
        torch.from_numpy(joints_bones)[None] * unit_mm, torch.tensor([LEFT if side == "left" else RIGHT])
    )


def write_solid(
    stem: Path,
    system: PoseEstimator,
    photo: Seen,
    joints_bones: Float[np.ndarray, "21 3"],
    side: str,
    bone_mm: float | None,
) -> dict[str, object]:
    """Write a hand's picture and, of models that read surfaces, its cloud; returns what estimate.json says of
    them.

    Args:
        stem: of the files' names.
        system: what read the joints.
        photo: where.
        joints_bones: relative to the root, bone units.
        side: `left` or `right`, for systems whose crops show both.
        bone_mm: length of a bone unit, where it is known; the mean hand's is taken for the picture, and
            clouds are in bone units.
    """
    if system.spec.sides != "both":  # an annotation beside the photo may have known better
        side = (
            system.spec.sides if not photo.mirrored else ("right" if system.spec.sides == "left" else "left")
        )
    hands = fitted(joints_bones, side, bone_mm)
    picture, cloud_file = stem.with_name(f"{stem.name}_hand.png"), stem.with_name(f"{stem.name}_cloud.ply")
    write_picture(picture, draw(hands.scene(0), SIDE_PX).image)
    entry: dict[str, object] = {
        "fitted_hand": picture.name,
        "fitted_angles_deg": np.round(np.rad2deg(hands.angles[0].double().numpy()), 2).tolist(),
        "fitted_error_mm": round(float(hands.error_mm[0]), 2),
    }
    if isinstance(system, DaVae) and photo.hands.image is not None:
        cloud = system.decode(system.encode(photo.hands.image).mean).cloud[0].numpy()
        cloud = cloud * np.array([-1 if photo.mirrored else 1, 1, 1], np.float32) * (bone_mm or 1.0)
        unit = "mm" if bone_mm else "bone units"
        write_ply(
            cloud_file,
            cloud,
            f"visible surface relative to the {system.root}, {unit}; x right, y down, z away",
        )
        entry |= {"cloud": cloud_file.name, "cloud_unit": unit}
    return entry
