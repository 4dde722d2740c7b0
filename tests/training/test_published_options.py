"""Presets that are called a paper's: every number that the paper, or the code it builds on, gives."""

from dataclasses import replace
from functools import reduce

import pytest

from handvae.nets.picture_encoders import ResNetEncoder
from handvae.training.presets import PRESETS

ADAM = {
    "train.optimiser": "adam",
    "train.beta2": 0.999,
    "train.warmup_steps": 0,
    "train.ema": 0.0,
    "train.clip": 0.0,
}
STILL = {"augment.rotation_deg": 0, "augment.scale": 0, "augment.shift": 0, "augment.mirror": 0}
SRV = (
    ADAM
    | STILL
    | {
        "train.lr": 5e-3,
        "train.schedule": "epoch_decay",
        "train.decay": 0.95,
        "train.batch": 64,
        "crop.size_px": 64,
        "system.appearance_dims": 128,
        "system.kl_weight": None,
        "system.image_variance": "squared",
        "system.image_variance_weight": 50,
        "system.pose_weight": 1,
        "system.pose_variance": "squared",
        "system.pose_input": "vector",
        "system.teacher_forcing": 0,
        "system.generation_variance": "dirac",
        "system.image_range": "symmetric",
        "system.encoder_widths": (32, 64, 128, 256, 512),
        "system.encoder_kernel": 3,
        "system.encoder_slope": 0.01,
        "system.decoder_widths": (512, 256, 128, 64, 32, 32),
        "system.decoder_kernel": 3,
        "system.norm": "batch",
    }
)
GAME = (
    ADAM
    | STILL
    | {
        "train.lr": 2e-4,
        "train.schedule": "constant",
        "train.epochs": 150,
        "system.latent": "rv",
        "system.generation_variance": "unit",
        "system.image_range": "unit",
        "system.blocks": "residual",
        "system.encoder_slope": 0.2,
        "system.pose_weight": 1,
        "system.pose_consistency": 0,
        "system.pose_on_fakes": "none",
        "system.scale": None,
        "system.smallest_gap": -1,
        "system.beta_rec": 0.5,
        "system.beta_kl": 1,
        "system.beta_neg": 1024,
    }
)
CM = ADAM | {
    "train.lr": 1e-4,
    "train.schedule": "constant",
    "train.batch": 64,
    "crop.size_px": 256,
    # a tenth of the crop's side
    "augment.rotation_deg": 45,
    "augment.mirror": 0.5,
    "augment.shift": 0.2,
    "augment.scale": 0,
    "system.latent_dims": 30,
    "system.kl_weight": 1,
    "system.hidden": 512,
    "system.encoder": ResNetEncoder(64, "quarter"),
    "system.scale_given": True,
    "system.side_given": True,
    "system.root": "palm",
}
DVAE = ADAM | {
    "train.lr": 1e-4,
    "train.batch": 32,
    "system.factor_dims": 32,
    "system.x_weight": 1,
    "system.factor_weight": 0.01,
}
DA = ADAM | {
    "train.lr": 1e-4,
    "train.schedule": "epoch_decay",
    "train.batch": 32,
    "crop.size_px": 256,
    "crop.sides": "left",
    "augment.rotation_deg": 180,
    "augment.shrink": 0.2,
    "augment.scale": 0,
    "augment.shift": 0,
    "system.dims": (24, 16, 8),
    "system.pose_weight": 1000,
    "system.cloud_weight": 100,
    "system.image_weight": 1,
    "system.betas": (10, 10, 10),
    "system.grid": 45,
    "system.fold_width": 512,
    "system.cloud_points": 1024,
    "system.chamfer": "mean",
    "system.encoder": ResNetEncoder(64, "quarter"),
    "system.detach_across_factors": False,
}
VIT = {
    "crop.size_px": 128,
    "system.patch_px": 16,
    "system.width": 256,
    "system.depth": 12,
    "system.heads": 8,
    "system.mlp_ratio": 4,
}
PUBLISHED = {
    "srv-vae-2d": SRV | {"system.latent": "rv", "system.pose": "2d"},
    "srv-vae-3d": SRV | {"system.latent": "rv", "system.pose": "3d"},
    "s-vae-2d": SRV | {"system.latent": "sample", "system.pose": "2d"},
    "soft-intro-2d-128": GAME | {"crop.size_px": 128, "train.batch": 16, "system.warm_up": 10 / 150},
    "soft-intro-3d-128": GAME
    | {"crop.size_px": 128, "train.batch": 16, "system.warm_up": 10 / 150, "system.pose": "3d"},
    "soft-intro-2d-256": GAME | {"crop.size_px": 256, "train.batch": 8, "system.warm_up": 20 / 150},
    "keypoint-vit": VIT | {"system.pose": "2d"},
    "keypoint-vit-3d": VIT | {"system.pose": "3d"},
    "cm-vae-rgb": CM | {"system.input": "rgb", "crop.box": "hand3d"},
    "cm-vae-2d": CM | {"system.input": "2d"},
    "cm-vae-depth": CM | {"system.input": "depth", "crop.box": "cube", "crop.cube_mm": 300},
    "dvae-tag": DVAE | {"system.content": "tag", "system.beta": 100},
    "dvae-zu": DVAE | {"system.content": "residual", "system.beta": 100, "system.noise_passes": 1},
    "dvae-pose": DVAE | {"system.beta": 0.01, "augment.rotation_deg": 180, "crop.box": "hand3d"},
    "da-vae": DA | {"system.attention": True},
    "na-vae": DA | {"system.attention": False},
    "mask-net": {"train.lr": 1e-3, "train.batch": 32, "augment.rotation_deg": 180, "crop.size_px": 256},
}
RHD_TRAINING = 41_258


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_papers_preset_has_the_papers_numbers(name):
    preset, published = PRESETS[name], PUBLISHED[name]
    assert {option: reduce(getattr, option.split("."), preset) for option in published} == published


@pytest.mark.parametrize(("name", "last"), [("da-vae", 1e-7), ("na-vae", 1e-7)])
def test_da_vaes_rate_ends_where_the_paper_says(name, last):
    train = PRESETS[name].train
    assert train.lr_at(train.total_steps(RHD_TRAINING) - 1, RHD_TRAINING) == pytest.approx(last, rel=0.1)


def test_s_vae_differs_from_srv_vae_in_how_the_decoder_meets_the_latent_alone():
    ours, baseline = PRESETS["srv-vae-2d"], PRESETS["s-vae-2d"]
    assert replace(baseline, system=replace(baseline.system, latent="rv")) == ours
