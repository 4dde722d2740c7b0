"""Walks through cm-VAE's latent space, decoded in all modalities at once."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handvae.data.crop import to_crop_px
from handvae.data.files.frames import PICTURE_SUFFIXES
from handvae.data.files.pictures import as_pixels
from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT
from handvae.inference.drawing import enlarge, grid
from handvae.inference.inputs import read_photo, read_poses
from handvae.systems.cm_vae import CmVae, Modality

SIDE = 192


@torch.no_grad()
def modality_frames(system: CmVae, a: str, b: str, share: Float[Tensor, " frame"]) -> list[np.ndarray]:
    """From the code of A to that of B along a line: a frame a step, the decoded modalities side by side."""
    start, end = code_of(system, a), code_of(system, b)
    z = torch.lerp(start, end, share[:, None])
    rows = [system.shown(system.decode(z, modality), modality) for modality in system.config.decoded]
    return [
        grid([[enlarge(as_pixels(row[step].numpy()), SIDE) for row in rows]]) for step in range(len(share))
    ]


@torch.no_grad()
def code_of(system: CmVae, text: str) -> Float[Tensor, "1 latent"]:
    """The posterior mean of a photo, or of a pose: a name, or a JSON file of joints.

    Raises:
        UserError: the model has no encoder for it.
    """
    side = torch.tensor([LEFT if system.spec.sides == "left" else RIGHT])
    encoded = system.config.encoded
    if Path(text).suffix.lower() in PICTURE_SUFFIXES:
        seen, modality = read_photo(Path(text), None, system.crop, system.spec.sides == "left"), "rgb"
        return system.encode(Hands(image=seen.crop, side=side), _need(text, encoded, modality)).mean
    poses = read_poses(text, None, "palm", system, 1)
    if poses.joints_mm is not None and "3d" in encoded:
        return system.encode(Hands(joints_3d=poses.joints_mm[:1], side=side), "3d").mean
    flat = to_crop_px(poses.joints_2d[:1], system.crop.size_px)
    return system.encode(Hands(joints_2d=flat, side=side), _need(text, encoded, "2d")).mean


def _need(text: str, encoded: tuple[Modality, ...], modality: Modality) -> Modality:
    if modality not in encoded:
        raise UserError(
            text,
            f"is to be encoded as {modality}, and the model encodes {', '.join(encoded)}",
            "give one of those",
        )
    return modality
