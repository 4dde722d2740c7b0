"""The presets: systems, crops and training of the papers, then ours; `preset_list` has a line for each."""

from dataclasses import dataclass, fields, replace

from handvae.data.augment import Augment
from handvae.data.crop import Crop
from handvae.nets.picture_encoders import KeypointEncoder, ResNetEncoder
from handvae.systems.build import SystemConfig
from handvae.systems.cm_vae import CmVaeConfig
from handvae.systems.da_vae import DaVaeConfig
from handvae.systems.detector import DetectorConfig
from handvae.systems.dvae_generator import DvaeImageConfig
from handvae.systems.dvae_pose import DvaePoseConfig
from handvae.systems.hand_finder import HandFinderConfig
from handvae.systems.hand_reader import HandReaderConfig
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


# ------------------------------------------------------------------------------- SRV-VAE and S-VAE

# sizes and training of its base code (the systems of the paper's tables 1 to 3): Adam 5e-3, 0.95 an epoch
_SRV_TRAIN = Train(
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
_SRV_3D = SrvVaeConfig(pose="3d")
_S_VAE = SrvVaeConfig(latent="sample")
_UNCHANGED = Augment(rotation_deg=0.0, scale=0.0, shift=0.0)

# ours for photos (docs/log): limb maps, exact pose, likelihood in nats, transposed 4 x 4 convolutions
_PHOTOS_BASE = SrvVaeConfig(
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
_SHARED_FIELDS = {field.name: getattr(_PHOTOS_BASE, field.name) for field in fields(PoseAppearanceConfig)}
_VARIED = Augment(
    rotation_deg=25.0,
    scale=0.12,
    stretch=0.12,
    brightness=0.1,
    tint=0.05,
    contrast=0.1,
    saturation=0.1,
)

# the same with a perceptual loss; its critic measures nothing, so that detector-64 can (docs/log)
_PHOTOS = PerceptualVaeConfig(**_SHARED_FIELDS)

# twice as large: one more level of the decoder; of four times as many pixels, each counts a quarter
_PHOTOS_128 = replace(
    _PHOTOS,
    encoder_px=64,
    decoder_widths=(*_PHOTOS.decoder_widths, 24),
    likelihood_sigma=2 * _PHOTOS.likelihood_sigma,
)

# rendered hands add poses and views that the photos lack; an upsampling last level leaves no grid of its own
_RENDERED_128 = replace(_PHOTOS_128, to_rgb="upsample")

_LONG = Train(steps=20000, stop_at=12000, batch=32, lr=2e-3)
_FINE_128 = Train(steps=5000, batch=32, lr=1e-3)
_FINE_RENDERED = replace(_FINE_128, steps=2000, warmup_steps=100, compile=False)

# -------------------------------------------------------------------------------- Soft-Intro-SRV-VAE

# sizes and training of its base code: Adam 2e-4 twice, constant; 64 px is ours, for two cores
_SOFT_TRAIN = Train(
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
_SOFT_64 = SoftIntroConfig(
    appearance_dims=32,
    encoder_widths=(32, 64, 128, 256),
    decoder_widths=(256, 256, 128, 64, 32),
    beta_rec=1.0,
    beta_neg=256.0,
    warm_up=5 / 40,
)
_SOFT_128 = SoftIntroConfig()
_SOFT_256 = SoftIntroConfig(
    appearance_dims=256,
    encoder_widths=(64, 128, 256, 512, 512, 512),
    decoder_widths=(512, 512, 512, 256, 128, 64, 64),
    warm_up=20 / 150,
)

_SOFT_128_3D = replace(_SOFT_128, pose="3d")
_SOFT_64_TRAIN = replace(_SOFT_TRAIN, epochs=40.0, batch=32)
_SOFT_256_TRAIN = replace(_SOFT_TRAIN, batch=8)

# ours: adversarial training of a model whose random appearances are good already, with its networks
_SOFT_PHOTOS = SoftIntroConfig(
    **_SHARED_FIELDS,
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
_SOFT_FINE = Train(steps=6000, batch=32, lr=2e-4, warmup_steps=200)

# ---------------------------------------------------------------------------------------- detectors

# a critic sees pictures of any light and sharpness, and crops that are not quite right
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

# ours for anybody's photo: either hand, from rendered hands, photos, wild photos and pictures without hands
_READER_VARIED = Augment(
    rotation_deg=40.0,
    any_turn=0.2,
    scale=0.2,
    shift=0.12,
    stretch=0.12,
    mirror=0.5,
    brightness=0.35,
    tint=0.15,
    contrast=0.3,
    saturation=0.4,
    noise=0.05,
    occlude=0.3,
    defocus=0.2,
    motion=0.08,
    grey=0.15,
    jpeg=0.25,
)
_READER_TRAIN = Train(steps=60000, batch=48, lr=2e-3, clip=3.0)

# ours: from half to one and a half of the picture's side, anywhere in it
_FINDER_VARIED = replace(
    _READER_VARIED, rotation_deg=30.0, any_turn=0.1, scale=0.55, shift=0.35, occlude=0.15
)
_FINDER_TRAIN = Train(steps=40000, batch=32, lr=2e-3, clip=3.0)

# the transformer of SRV-VAE's table 4; the paper does not give its training: AdamW, a few hundred epochs
_VIT_3D = KeypointVitConfig(pose="3d")
_VIT_TRAIN = Train(
    steps=20000, batch=64, lr=5e-4, beta2=0.999, weight_decay=0.05, warmup_steps=1000, clip=3.0
)
_VIT_64_TRAIN = replace(_VIT_TRAIN, steps=6000, batch=16, lr=7e-4, warmup_steps=200)

# ------------------------------------------------------------------------------------------- cm-VAE

# two cores: bf16, or float32 where no picture is read
_QUICK = Train(steps=6000, batch=64, lr=2e-3, compile=False)
_QUICK_JOINTS = replace(_QUICK, lr=1e-3, precision="float32")
_QUICK_DEPTH = replace(_QUICK, lr=1e-3)

# Adam 1e-4, batch 64, rotation, shift of a tenth of the crop, flips; no epochs are given, a port has 800
_CM_TRAIN = Train(
    epochs=800.0,
    batch=64,
    optimiser="adam",
    lr=1e-4,
    beta2=0.999,
    warmup_steps=0,
    schedule="constant",
    ema=0.0,
    precision="float32",
    compile=False,
)
_CM_VARIED = Augment(rotation_deg=45.0, scale=0.0, shift=0.2, mirror=0.5)
_CM_ROUGH = Augment(
    rotation_deg=45.0, scale=0.1, shift=0.1, mirror=0.5, brightness=0.1, tint=0.05, contrast=0.1
)
_CM_ROUGH_ONE = replace(_CM_ROUGH, mirror=0.0)

_CM_2D = CmVaeConfig(input="2d")
_CM_DEPTH = CmVaeConfig(input="depth")
_CM_SMALL = CmVaeConfig(
    variant=4,
    more_pairs=("rgb-2d", "2d-3d"),
    encoder=ResNetEncoder(width=32),
    kl_weight=0.003,
    decoder_width=128,
    hidden=256,
)
_CM_DEPTH_SMALL = CmVaeConfig(
    input="depth",
    variant=1,
    encoder=ResNetEncoder(width=32),
    kl_weight=0.003,
    decoder_width=128,
    hidden=256,
)
_CM_KEYPOINTS = replace(
    _CM_SMALL,
    variant=2,
    encoder=KeypointEncoder("detector-64", resnet=ResNetEncoder(width=32)),
    hidden=512,
    joint_noise_px=1.0,
)
_CM_LIFTING = CmVaeConfig(input="2d", variant=1, kl_weight=0.003)

# --------------------------------------------------------------------------------------------- dVAE

# Adam 1e-4, batch 32; hands are mirrored to the left, so there are no flips; no epochs are given
_DVAE_TRAIN = replace(_CM_TRAIN, epochs=200.0, batch=32)
_DVAE_TURNED = Augment(rotation_deg=180.0, scale=0.0, shift=0.0)
_DVAE_RESIDUAL = DvaeImageConfig(content="residual")
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
_DVAE_POSE = DvaePoseConfig(trunk_width=32, hidden=256, embed_share=3.0)

# ------------------------------------------------------------------------------------------- da-VAE

# Adam, batch 32, any rotation, 0.8 to 1 of the size; 1e-4 falls to 1e-7 over epochs that the paper does not
# count; the mask network has 1e-3. na-VAE's heads are narrower, for as many parameters in all
_DA_TRAIN = replace(_CM_TRAIN, epochs=100.0, batch=32, schedule="epoch_decay", decay=0.933)
_MASK_TRAIN = replace(_DA_TRAIN, epochs=10.0, lr=1e-3, decay=0.6)
_QUICK_MASK = replace(_QUICK, steps=2000)
_DA_TURNED = Augment(rotation_deg=180.0, scale=0.0, shrink=0.2, shift=0.0)
_DA_ROUGH = replace(_DA_TURNED, rotation_deg=45.0, shift=0.06, brightness=0.1, tint=0.05, contrast=0.1)

_DA_SMALL = DaVaeConfig(
    mask_width=16,
    mask_stem="half",
    image_weight=1000.0,
    betas=(1.0, 0.03, 0.2),
    encoder=ResNetEncoder(width=24, stem="half"),
    head_width=96,
    groups=6,
    cloud_points=512,
    decoder_width=128,
    hidden=256,
    fold_width=128,
    grid=32,
)
_MASK_SMALL = MaskConfig(width=16, stem="half")
_NA_VAE = DaVaeConfig(attention=False, head_width=196)
_NA_SMALL = replace(_DA_SMALL, attention=False, head_width=82)
_DA_KEYPOINTS = replace(
    _DA_SMALL,
    mask_width=12,
    betas=(1.0, 10.0, 1.0),
    detach_across_factors=True,
    encoder=KeypointEncoder("detector-64", keypoint_weight=3000.0, resnet=_DA_SMALL.encoder.resnet),
    head_width=48,
    groups=3,
)

# -------------------------------------------------------------------------------------------- table

_BOTH_64 = Crop(64)
_LEFT_64 = Crop(64, sides="left")
_RIGHT_64 = Crop(64, margin=1.35, sides="right")
_RIGHT_128 = Crop(128, margin=1.35, sides="right")
_READER_128 = Crop(128, margin=1.4)
_FINDER_256 = Crop(256, margin=1.0, box="picture")
_CUBE_64 = Crop(64, box="cube")
_CUBE_256 = Crop(256, box="cube")
_BOTH_256 = Crop(256, box="hand3d")
_LEFT_256 = Crop(256, box="hand3d", sides="left")
_LEFT_128 = Crop(128, box="hand3d", sides="left")

# fmt: off
PRESETS: dict[str, Preset] = {
    # name                            system               crop        augment        train
    "srv-vae-2d":              Preset(SrvVaeConfig(),      _BOTH_64,   _UNCHANGED,    _SRV_TRAIN),
    "srv-vae-3d":              Preset(_SRV_3D,             _RIGHT_64,  _UNCHANGED,    _SRV_TRAIN),
    "s-vae-2d":                Preset(_S_VAE,              _BOTH_64,   _UNCHANGED,    _SRV_TRAIN),
    "photos-64":               Preset(_PHOTOS,             _RIGHT_64,  _VARIED,       _LONG),
    "photos-128":              Preset(_PHOTOS_128,         _RIGHT_128, _VARIED,       _FINE_128),
    "rendered-128":            Preset(_RENDERED_128,       _RIGHT_128, _VARIED,       _FINE_RENDERED),
    "photos-base-64":          Preset(_PHOTOS_BASE,        _RIGHT_64,  _VARIED,       _LONG),
    "soft-intro-2d-64":        Preset(_SOFT_64,            _BOTH_64,   _UNCHANGED,    _SOFT_64_TRAIN),
    "soft-intro-2d-128":       Preset(_SOFT_128,           Crop(128),  _UNCHANGED,    _SOFT_TRAIN),
    "soft-intro-2d-256":       Preset(_SOFT_256,           Crop(256),  _UNCHANGED,    _SOFT_256_TRAIN),
    "soft-intro-3d-128":       Preset(_SOFT_128_3D,        _RIGHT_128, _UNCHANGED,    _SOFT_TRAIN),
    "photos-soft-64":          Preset(_SOFT_PHOTOS,        _RIGHT_64,  _VARIED,       _SOFT_FINE),
    "detector-64":             Preset(DetectorConfig(),    _RIGHT_64,  _ROUGH,        _QUICK),
    "reader-128":              Preset(HandReaderConfig(),  _READER_128,  _READER_VARIED, _READER_TRAIN),
    "finder-256":              Preset(HandFinderConfig(),  _FINDER_256,  _FINDER_VARIED, _FINDER_TRAIN),
    "keypoint-vit":            Preset(KeypointVitConfig(), _RIGHT_128, _VARIED,       _VIT_TRAIN),
    "keypoint-vit-3d":         Preset(_VIT_3D,             _RIGHT_128, _VARIED,       _VIT_TRAIN),
    "keypoint-vit-64":         Preset(KeypointVitConfig(), _RIGHT_64,  _VARIED,       _VIT_64_TRAIN),
    "cm-vae-rgb":              Preset(CmVaeConfig(),       _BOTH_256,  _CM_VARIED,    _CM_TRAIN),
    "cm-vae-2d":               Preset(_CM_2D,              _BOTH_256,  _CM_VARIED,    _CM_TRAIN),
    "cm-vae-depth":            Preset(_CM_DEPTH,           _CUBE_256,  _CM_VARIED,    _CM_TRAIN),
    "rendered-cm-64":          Preset(_CM_SMALL,           _BOTH_64,   _CM_ROUGH,     _QUICK),
    "rendered-depth-64":       Preset(_CM_DEPTH_SMALL,     _CUBE_64,   _CM_VARIED,    _QUICK_DEPTH),
    "cmvae-64":                Preset(_CM_KEYPOINTS,       _RIGHT_64,  _CM_ROUGH_ONE, _QUICK),
    "lifting":                 Preset(_CM_LIFTING,         _BOTH_64,   _CM_VARIED,    _QUICK_JOINTS),
    "dvae-tag":                Preset(DvaeImageConfig(),   _LEFT_64,   _UNCHANGED,    _DVAE_TRAIN),
    "dvae-zu":                 Preset(_DVAE_RESIDUAL,      _LEFT_64,   _UNCHANGED,    _DVAE_TRAIN),
    "dvae-pose":               Preset(DvaePoseConfig(),    _LEFT_128,  _DVAE_TURNED,  _DVAE_TRAIN),
    "rendered-dvae-64":        Preset(_DVAE_SMALL,         _LEFT_64,   _UNCHANGED,    _QUICK),
    "rendered-dvae-layers-64": Preset(_DVAE_LAYERS,        _LEFT_64,   _UNCHANGED,    _QUICK),
    "rendered-dvae-pose-64":   Preset(_DVAE_POSE,          _LEFT_64,   _DVAE_TURNED,  _QUICK),
    "mask-net":                Preset(MaskConfig(),        _LEFT_256,  _DA_TURNED,    _MASK_TRAIN),
    "da-vae":                  Preset(DaVaeConfig(),       _LEFT_256,  _DA_TURNED,    _DA_TRAIN),
    "na-vae":                  Preset(_NA_VAE,             _LEFT_256,  _DA_TURNED,    _DA_TRAIN),
    "rendered-mask-64":        Preset(_MASK_SMALL,         _LEFT_64,   _DA_ROUGH,     _QUICK_MASK),
    "rendered-da-64":          Preset(_DA_SMALL,           _LEFT_64,   _DA_ROUGH,     _QUICK),
    "davae-64":                Preset(_DA_KEYPOINTS,       _RIGHT_64,  _DA_ROUGH,     _QUICK),
    "rendered-na-64":          Preset(_NA_SMALL,           _LEFT_64,   _DA_ROUGH,     _QUICK),
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
    """The preset with another number of steps."""
    return replace(preset, train=replace(preset.train, steps=steps, epochs=None))
