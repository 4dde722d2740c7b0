"""The presets by name with a line each, apart from what they hold: the help lists them without torch."""

from handvae.errors import UserError
from handvae.words import nearest_or_all

PRESET_LIST = {
    "srv-vae-2d": "SRV-VAE as in the paper, 2D (its STB rows)",
    "srv-vae-3d": "SRV-VAE as in the paper, 3D (InterHand)",
    "s-vae-2d": "S-VAE, the paper's baseline, 2D",
    "photos-64": "the shipped model of photos, 64 px: S-VAE with limb maps and a perceptual loss of "
    "critic-64",
    "photos-128": "the shipped model of photos, 128 px: add --init photos-64",
    "rendered-128": "the shipped model of rendered hands and photos: add --init photos-128",
    "photos-base-64": "photos-64 without its perceptual loss",
    "soft-intro-2d-64": "Soft-Intro-SRV-VAE, 2D (STB), 64 px, for two cores",
    "soft-intro-2d-128": "Soft-Intro-SRV-VAE as in the paper, 2D (STB)",
    "soft-intro-2d-256": "Soft-Intro-SRV-VAE, 2D, 256 px",
    "soft-intro-3d-128": "Soft-Intro-SRV-VAE as in the paper, 3D (InterHand)",
    "photos-soft-64": "photos-base-64, then adversarial training: add --init photos-64",
    "detector-64": "2D joints from pictures: the shipped detector and critic",
    "reader-128": "the shipped reader of anybody's photo: presence, side, joints in 2D and depth",
    "finder-256": "the shipped finder: every hand of a whole picture",
    "keypoint-vit": "a ViT of 10 M parameters that regresses 2D joints (SRV-VAE's table 4)",
    "keypoint-vit-3d": "keypoint-vit for 3D joints (its InterHand row)",
    "keypoint-vit-64": "keypoint-vit with 64 px and 16 patches, for two cores",
    "cm-vae-rgb": "cm-VAE as in the paper, RGB to 3D",
    "cm-vae-2d": "cm-VAE as in the paper, 2D to 3D",
    "cm-vae-depth": "cm-VAE as in the paper, depth to 3D",
    "rendered-cm-64": "cm-VAE for two cores: RGB, 2D and 3D",
    "rendered-depth-64": "cm-VAE for two cores: depth to 3D",
    "cmvae-64": "cm-VAE behind detector-64: RGB and 2D to 3D",
    "lifting": "cm-VAE for two cores: 2D to 3D, in minutes",
    "dvae-tag": "dVAE as in the paper, tag images",
    "dvae-zu": "dVAE as in the paper, z_u",
    "dvae-pose": "dVAE as in the paper, pose estimation",
    "rendered-dvae-64": "dVAE for two cores: pictures",
    "rendered-dvae-layers-64": "dVAE for two cores: pictures, hand and ground apart",
    "rendered-dvae-pose-64": "dVAE for two cores: poses",
    "mask-net": "da-VAE's mask network, as in the paper",
    "da-vae": "da-VAE as in the paper",
    "na-vae": "na-VAE, da-VAE's baseline without attention",
    "rendered-mask-64": "da-VAE's mask network for two cores",
    "rendered-da-64": "da-VAE for two cores",
    "davae-64": "da-VAE behind detector-64: joints, point cloud, picture",
    "rendered-na-64": "na-VAE for two cores",
}
"""In the order of `presets.PRESETS`, whose names these are."""


def check_preset(name: str) -> None:
    """Refuse a name that no preset has.

    Raises:
        UserError: there is no such preset; names the nearest.
    """
    if name in PRESET_LIST:
        return
    raise UserError(name, "no such preset", nearest_or_all(name, PRESET_LIST))
