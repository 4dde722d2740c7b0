"""The presets: a row per paper and data set, then ours."""

from dataclasses import dataclass, fields, replace

from handvae.data.augment import Augment
from handvae.data.crop import Crop
from handvae.systems.build import SystemConfig
from handvae.systems.cm_vae import CmVaeConfig
from handvae.systems.da_vae import DaVaeConfig
from handvae.systems.detector import DetectorConfig
from handvae.systems.dvae_generator import DvaeImageConfig
from handvae.systems.dvae_pose import DvaePoseConfig
from handvae.systems.keypoint_vit import KeypointVitConfig
from handvae.systems.mask import MaskConfig
from handvae.systems.perceptual_vae import PerceptualVaeConfig
from handvae.systems.pose_appearance import PoseAppearanceConfig
from handvae.systems.soft_intro import SoftIntroConfig
from handvae.systems.srv_vae import SrvVaeConfig
from handvae.training.config import Train
from handvae.training.preset_list import check_preset


@dataclass(frozen=True)
class Preset:
    """A system, how its pictures are cut and changed, and how it is trained."""

    system: SystemConfig
    crop: Crop
    augment: Augment
    train: Train


# SRV-VAE, sizes of its base code (systems of the paper's tables 1 to 3): Adam 5e-3, x .95 an epoch, batch 64,
# plain float32
_PAPER = Train(
    epochs=100.0,
    batch=64,
    optimiser="adam",
    lr=5e-3,
    beta2=0.999,
    warmup_steps=0,
    schedule="epoch_decay",
    ema=0.0,
    precision="float32",
)
_STILL = Augment(rotation_deg=0.0, scale=0.0, shift=0.0)

# What worked on photos (docs/log.md): limb maps, exact pose, likelihood in nats, transposed 4 x 4
# convolutions
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
    pose_variance="none",
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
_VARIED = Augment(
    rotation_deg=25.0, scale=0.12, stretch=0.12, brightness=0.1, tint=0.05, contrast=0.1, saturation=0.1
)

# Ours, judged by a detector that measures nothing: detector-64 then can (docs/log.md)
_PERCEPTUAL = PerceptualVaeConfig(
    **{field.name: getattr(_OURS, field.name) for field in fields(PoseAppearanceConfig)}
)
# Twice as large: one more level of the decoder, four times as many pixels, each of which says a quarter as
# much
_PERCEPTUAL_128 = replace(
    _PERCEPTUAL,
    encoder_px=64,
    decoder_widths=(*_PERCEPTUAL.decoder_widths, 24),
    likelihood_sigma=2 * _PERCEPTUAL.likelihood_sigma,
)

# Soft-Intro-SRV-VAE at the sizes of its base code: Adam 2e-4 twice, constant; 64 px is ours, for two cores
_GAME = Train(
    epochs=150.0,
    batch=16,
    optimiser="adam",
    lr=2e-4,
    beta2=0.999,
    warmup_steps=0,
    schedule="constant",
    ema=0.0,
    precision="float32",
)
_GAME_64 = SoftIntroConfig(
    appearance_dims=32,
    encoder_widths=(32, 64, 128, 256),
    decoder_widths=(256, 256, 128, 64, 32),
    beta_rec=1.0,
    beta_neg=256.0,
    warm_up=5 / 40,
)
_GAME_128 = SoftIntroConfig()
_GAME_256 = SoftIntroConfig(
    appearance_dims=256,
    encoder_widths=(64, 128, 256, 512, 512, 512),
    decoder_widths=(512, 512, 512, 256, 128, 64, 64),
    warm_up=20 / 150,
)

# Ours: the game goes on from a model whose random appearances are good already (--init photos-64), with its
# networks
_OURS_SOFT = SoftIntroConfig(
    **{field.name: getattr(_OURS, field.name) for field in fields(PoseAppearanceConfig)},
    warm_up=0.0,
    beta_rec=1.0,
    beta_kl=2.0,
    beta_neg=4.0,
    beta_rec_fake=1.0,
    smallest_gap=-30.0,
    scale=2e-3,
    likelihood_sigma=0.08,
    pose_weight=0.5,
    pose_variance="linear",
    pose_consistency=0.05,
    statistics="keep",
)
# Rendered hands beside photos: poses and views that the photos lack; the last doubling copies pixels, which
# adds no grid of its own
_RENDERED_128 = replace(_PERCEPTUAL_128, to_rgb="upsample")
_FURTHER_128 = Train(steps=5000, batch=32, lr=1e-3)
_FURTHER = Train(steps=6000, batch=32, lr=2e-4, warmup_steps=200)

# A judge meets pictures of any light and sharpness, and crops that are not quite right
_ROUGH = Augment(
    rotation_deg=40.0,
    scale=0.2,
    shift=0.12,
    stretch=0.15,
    brightness=0.25,
    tint=0.1,
    contrast=0.25,
    saturation=0.3,
    blur=0.25,
    noise=0.03,
)

# The transformer of SRV-VAE's table 4, for whose training nothing is given: AdamW as transformers want it, of
# some hundred epochs
_VIT = Train(steps=20000, batch=64, lr=5e-4, beta2=0.999, weight_decay=0.05, warmup_steps=1000, clip=3.0)

# cm-VAE: Adam 1e-4, batch 64, rotation, shift of a tenth of the crop, flips; epochs are not given, a port has
# 800
_CM_PAPER = Train(
    epochs=800.0, batch=64, optimiser="adam", lr=1e-4, beta2=0.999, warmup_steps=0, schedule="constant", ema=0.0, precision="float32",
    compile=False,
)  # fmt: skip
# dVAE: Adam 1e-4, batch 32; hands mirrored to the left, so there are no flips; epochs are not given
_DVAE_PAPER = replace(_CM_PAPER, epochs=200.0, batch=32)
_TURNED = Augment(rotation_deg=180.0, scale=0.0, shift=0.0)
_DVAE_SMALL = DvaeImageConfig(
    beta=0.4,
    factor_weight=8.0,
    trunk_width=32,
    hidden=256,
    decoder_width=256,
    beta_warmup_steps=600,
    embed_share=0.5,
)
_DVAE_LAYERS = replace(_DVAE_SMALL, content="layers")
_DVAE_READS = DvaePoseConfig(trunk_width=32, hidden=256, embed_share=3.0)
_CM_VARIED = Augment(rotation_deg=45.0, scale=0.0, shift=0.2, mirror=0.5)
_CM_SMALL = CmVaeConfig(
    kl_weight=0.003, variant=4, more_pairs=("rgb-2d", "2d-3d"), trunk_width=32, decoder_width=128, hidden=256
)
_CM_DEPTH = CmVaeConfig(
    input="depth", kl_weight=0.003, variant=1, trunk_width=32, decoder_width=128, hidden=256
)
_CM_FINDS = replace(_CM_SMALL, finder="detector-64", variant=2, hidden=512, joint_noise_px=1.0)
_LIFTING = CmVaeConfig(kl_weight=0.003, variant=1, input="2d")
_CM_ROUGH = Augment(
    rotation_deg=45.0, scale=0.1, shift=0.1, mirror=0.5, brightness=0.1, tint=0.05, contrast=0.1
)

# da-VAE: Adam, batch 32, 1e-4 falling to 1e-7 over epochs that the paper does not count, 1e-3 for the mask
# network; turned by any angle,
# 0.8 to 1 of the size. na-VAE's heads are as narrow as makes the totals equal
_DA_PAPER = replace(_CM_PAPER, epochs=100.0, batch=32, schedule="epoch_decay", decay=0.933)
_MASK_PAPER = replace(_DA_PAPER, epochs=10.0, lr=1e-3, decay=0.6)
_SPUN = Augment(rotation_deg=180.0, scale=0.0, shrink=0.2, shift=0.0)
_SPUN_ROUGH = replace(_SPUN, rotation_deg=45.0, shift=0.06, brightness=0.1, tint=0.05, contrast=0.1)
_DA_SMALL = DaVaeConfig(
    mask_width=16, mask_stem="half", image_weight=1000.0, betas=(1.0, 0.03, 0.2), cloud_points=512, trunk_width=24, head_width=96, groups=6,
    stem="half", decoder_width=128, hidden=256, fold_width=128, grid=32,
)  # fmt: skip
_DA_FINDS = replace(
    _DA_SMALL,
    finder="detector-64",
    detector_keypoint_weight=3000.0,
    detach_across_factors=True,
    betas=(1.0, 10.0, 1.0),
    head_width=48,
    groups=3,
    mask_width=12,
)

_LONG = Train(steps=20000, stop_at=12000, batch=32, lr=2e-3)
_QUICK = Train(steps=6000, batch=64, lr=2e-3, compile=False)
_SWIFT = Train(steps=6000, batch=64, lr=1e-3, precision="float32", compile=False)

# fmt: off
PRESETS: dict[str, Preset] = {
    # name                             system, crop, augment, train; what each is: preset_list.py
    "srv-vae-2d":               Preset(SrvVaeConfig(),                Crop(64),                _STILL,  _PAPER),
    "srv-vae-3d":               Preset(SrvVaeConfig(pose="3d"),       Crop(64, 1.35, "right"), _STILL,  _PAPER),
    "s-vae-2d":                 Preset(SrvVaeConfig(latent="sample"), Crop(64),                _STILL,  _PAPER),
    "photos-64":                Preset(_PERCEPTUAL,      Crop(64, 1.35, "right"), _VARIED, _LONG),
    "photos-128":               Preset(_PERCEPTUAL_128,                   Crop(128, 1.35, "right"), _VARIED, _FURTHER_128),
    "rendered-128":             Preset(_RENDERED_128,           Crop(128, 1.35, "right"), _VARIED, replace(_FURTHER_128, steps=2000, warmup_steps=100, compile=False)),
    "photos-base-64":           Preset(_OURS,                         Crop(64, 1.35, "right"), _VARIED, _LONG),
    "soft-intro-2d-64":         Preset(_GAME_64,  Crop(64),  _STILL, replace(_GAME, epochs=40.0, batch=32)),
    "soft-intro-2d-128":        Preset(_GAME_128, Crop(128), _STILL, _GAME),
    "soft-intro-2d-256":        Preset(_GAME_256, Crop(256), _STILL, replace(_GAME, batch=8)),
    "soft-intro-3d-128":        Preset(replace(_GAME_128, pose="3d"), Crop(128, 1.35, "right"), _STILL, _GAME),
    "photos-soft-64":           Preset(_OURS_SOFT, Crop(64, 1.35, "right"), _VARIED, _FURTHER),
    "detector-64":              Preset(DetectorConfig(),              Crop(64, 1.35, "right"), _ROUGH,  _QUICK),
    "keypoint-vit":             Preset(KeypointVitConfig(), Crop(128, 1.35, "right"), _VARIED, _VIT),
    "keypoint-vit-3d":          Preset(KeypointVitConfig(pose="3d"), Crop(128, 1.35, "right"), _VARIED, _VIT),
    "keypoint-vit-64":          Preset(KeypointVitConfig(), Crop(64, 1.35, "right"), _VARIED, replace(_VIT, steps=6000, batch=16, lr=7e-4, warmup_steps=200)),
    "cm-vae-rgb":               Preset(CmVaeConfig(),                 Crop(256, box="hand3d"), _CM_VARIED, _CM_PAPER),
    "cm-vae-2d":                Preset(CmVaeConfig(input="2d"),       Crop(256, box="hand3d"), _CM_VARIED, _CM_PAPER),
    "cm-vae-depth":             Preset(CmVaeConfig(input="depth"),    Crop(256, box="cube"),   _CM_VARIED, _CM_PAPER),
    "rendered-cm-64":           Preset(_CM_SMALL,                     Crop(64),                _CM_ROUGH, _QUICK),
    "rendered-depth-64":        Preset(_CM_DEPTH,                     Crop(64, box="cube"),    _CM_VARIED, replace(_QUICK, lr=1e-3)),
    "cmvae-64":                 Preset(_CM_FINDS,                     Crop(64, 1.35, "right"), replace(_CM_ROUGH, mirror=0.0), _QUICK),
    "lifting":                  Preset(_LIFTING,                     Crop(64),                _CM_VARIED, _SWIFT),
    "dvae-tag":                 Preset(DvaeImageConfig(),             Crop(64, sides="left"),  _STILL,  _DVAE_PAPER),
    "dvae-zu":                  Preset(DvaeImageConfig(content="residual"), Crop(64, sides="left"), _STILL,  _DVAE_PAPER),
    "dvae-pose":                Preset(DvaePoseConfig(),              Crop(128, box="hand3d", sides="left"), _TURNED, _DVAE_PAPER),
    "rendered-dvae-64":         Preset(_DVAE_SMALL,                   Crop(64, sides="left"),  _STILL,  _QUICK),
    "rendered-dvae-layers-64":  Preset(_DVAE_LAYERS,                   Crop(64, sides="left"),  _STILL,  _QUICK),
    "rendered-dvae-pose-64":    Preset(_DVAE_READS,                   Crop(64, sides="left"),  _TURNED, _QUICK),
    "mask-net":                 Preset(MaskConfig(),                  Crop(256, box="hand3d", sides="left"), _SPUN, _MASK_PAPER),
    "da-vae":                   Preset(DaVaeConfig(),                 Crop(256, box="hand3d", sides="left"), _SPUN, _DA_PAPER),
    "na-vae":                   Preset(DaVaeConfig(attention=False, head_width=196), Crop(256, box="hand3d", sides="left"), _SPUN, _DA_PAPER),
    "rendered-mask-64":         Preset(MaskConfig(width=16, stem="half"), Crop(64, sides="left"), _SPUN_ROUGH, replace(_QUICK, steps=2000)),
    "rendered-da-64":           Preset(_DA_SMALL,                     Crop(64, sides="left"),  _SPUN_ROUGH, _QUICK),
    "davae-64":                 Preset(_DA_FINDS,              Crop(64, 1.35, "right"), _SPUN_ROUGH, _QUICK),
    "rendered-na-64":           Preset(replace(_DA_SMALL, attention=False, head_width=82), Crop(64, sides="left"), _SPUN_ROUGH, _QUICK),
}
# fmt: on


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UserError: there is none; names the nearest.
    """
    check_preset(name)
    return PRESETS[name]


def shortened(preset: Preset, steps: int) -> Preset:
    """The same preset for a run of so many steps."""
    return replace(preset, train=replace(preset.train, steps=steps, epochs=None))
