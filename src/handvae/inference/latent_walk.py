"""Walks through cm-VAE's latent space, decoded in all modalities at once."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handvae.data.crop import to_crop_px
from handvae.data.files.pictures import PICTURE_SUFFIXES
from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT
from handvae.inference.drawing import grid, picture_cell
from handvae.inference.locate import one_hand
from handvae.inference.networks import device_of
from handvae.inference.poses import read_poses
from handvae.inference.sides import shown_side
from handvae.systems.cm_vae import CmVae, ModalityName

SIDE = 192


@torch.no_grad()
def modality_frames(
    system: CmVae, a: str, b: str, share: Float[Tensor, " frame"]
) -> list[UInt8[np.ndarray, "height width 3"]]:
    """From the code of A to that of B along a line: frames with the decoded modalities side by side."""
    z = torch.lerp(code_of(system, a), code_of(system, b), share.to(device_of(system))[:, None])

    # a row a modality, a column a step; each frame takes one step of every row
    rows = []
    for modality in system.config.decoded:
        rows.append(system.visualise(system.decode(z, modality), modality).cpu())
    return [grid([[picture_cell(row[step], SIDE) for row in rows]]) for step in range(len(share))]


@torch.no_grad()
def code_of(system: CmVae, text: str) -> Float[Tensor, "1 latent"]:
    """The posterior mean of a photo, or of a pose: a name, or a JSON file of joints.

    Raises:
        UserError: the model has no encoder for it.
    """
    side = torch.tensor([LEFT if shown_side(system) == "left" else RIGHT])
    encoded = system.config.encoded
    if Path(text).suffix.lower() in PICTURE_SUFFIXES:
        _check_encoded(text, encoded, "rgb")
        photo = one_hand(Path(text), system)
        return _encode(system, Hands(image=photo.image, side=side), "rgb")

    poses = read_poses(text, None, "palm", system, 1)
    if poses.joints_mm is not None and "3d" in encoded:
        return _encode(system, Hands(joints_3d=poses.joints_mm[:1], side=side), "3d")

    flat = to_crop_px(poses.joints_2d[:1], system.crop.size_px)
    _check_encoded(text, encoded, "2d")
    return _encode(system, Hands(joints_2d=flat, side=side), "2d")


def _encode(system: CmVae, hands: Hands, modality: ModalityName) -> Float[Tensor, "1 latent"]:
    return system.encode(hands.to(device_of(system)), modality).mean


def _check_encoded(text: str, encoded: tuple[ModalityName, ...], modality: ModalityName) -> None:
    if modality not in encoded:
        fault = f"is to be encoded as {modality}, and the model encodes {', '.join(encoded)}"
        raise UserError(text, fault, "give one of those")
