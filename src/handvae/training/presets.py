"""The presets: a row per paper and data set, then ours."""

import difflib
from dataclasses import dataclass, replace

from handvae.data.augment import Augment
from handvae.data.view import Crop
from handvae.errors import UserError
from handvae.systems.build import SystemConfig
from handvae.systems.detector import DetectorConfig
from handvae.systems.srv_vae import SrvVaeConfig
from handvae.training.config import Train


@dataclass(frozen=True)
class Preset:
    """A system, how its pictures are cut and changed, and how it is trained."""

    about: str
    system: SystemConfig
    crop: Crop
    augment: Augment
    train: Train


# SRV-VAE, sizes of its base code (systems of the paper's tables 1 to 3): Adam 5e-3, x .95 an epoch, batch 64, plain float32
_PAPER = Train(
    epochs=100.0, batch=64, optimiser="adam", lr=5e-3, beta2=0.999, warmup_steps=0, schedule="epoch_decay", ema=0.0, precision="float32"
)
_STILL = Augment(rotation_deg=0.0, scale=0.0, shift=0.0)

# What worked on photos (docs/log.md): limb maps, exact pose, likelihood in nats, transposed 4 x 4 convolutions
_OURS = SrvVaeConfig(
    appearance_dims=16,
    latent="sample",
    pose_input="vector+maps",
    pose_head="heatmap",
    teacher_forcing=1.0,
    pose_stop_gradient=True,
    image_range="unit",
    likelihood_sigma=0.08,
    kl_weight=2.0,
    pose_weight=250.0,
    pose_variance="linear",
    encoder_widths=(32, 64, 128, 256),
    encoder_kernel=4,
    encoder_slope=0.2,
    encoder_hidden=256,
    decoder_widths=(256, 128, 64, 32),
    to_rgb="transposed",
    decoder_kernel=4,
    decoder_hidden=512,
    refine=True,
)
_VARIED = Augment(rotation_deg=25.0, scale=0.12, stretch=0.12, brightness=0.1, tint=0.05, contrast=0.1, saturation=0.1)

# A judge meets pictures of any light and sharpness, and crops that are not quite right
_ROUGH = Augment(
    rotation_deg=40.0, scale=0.2, shift=0.12, stretch=0.15, brightness=0.25, tint=0.1, contrast=0.25, saturation=0.3, blur=0.25, noise=0.03
)

_LONG = Train(steps=20000, stop_at=12000, batch=32, lr=2e-3)
_QUICK = Train(steps=6000, batch=64, lr=2e-3, compile=False)

# fmt: off
PRESETS: dict[str, Preset] = {
    # name                what                                          system                         crop                     augment  train
    "srv-vae-2d":  Preset("SRV-VAE as in the paper, 2D (its STB rows)", SrvVaeConfig(),                Crop(64),                _STILL,  _PAPER),
    "srv-vae-3d":  Preset("SRV-VAE as in the paper, 3D (InterHand)",    SrvVaeConfig(pose="3d"),       Crop(64, 1.35, "right"), _STILL,  _PAPER),
    "s-vae-2d":    Preset("the paper's baseline S-VAE, 2D",             SrvVaeConfig(latent="sample"), Crop(64),                _STILL,  _PAPER),
    "photos-64":   Preset("the shipped model: photos, limb maps",       _OURS,                         Crop(64, 1.35, "right"), _VARIED, _LONG),
    "detector-64": Preset("joints from pictures, 2D: reader and judge", DetectorConfig(),              Crop(64, 1.35, "right"), _ROUGH,  _QUICK),
}
# fmt: on


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UserError: there is none; names the nearest.
    """
    if name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(name, PRESETS, n=1)
    hint = f"did you mean {near[0]}?" if near else "there are " + ", ".join(PRESETS)
    raise UserError(name, "no such preset", hint)


def shortened(preset: Preset, steps: int) -> Preset:
    """The same preset for a run of so many steps."""
    return replace(preset, train=replace(preset.train, steps=steps, epochs=None))
