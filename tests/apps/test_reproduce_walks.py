"""`handvae reproduce da-vae-figure5`, `da-vae-figure6`, `da-vae-shape`: one part of the latent walks, the
others stand still."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.readers.coco import CocoHands
from handvae.hand import HandShape, forward_kinematics, named_pose, to_bone_units
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.reproduction.factor_walks import between
from handvae.reproduction.papers import FIGURES
from handvae.reproduction.sheets import CELL, GAP, LABELS, TITLE
from handvae.systems.da_vae import DaVae, DaVaeConfig
from handvae.training.checkpoint import save_model

CONFIG = DaVaeConfig(
    mask="named",
    mask_width=8,
    mask_stem="half",
    pose_dims=6,
    appearance_dims=4,
    shape_dims=2,
    cloud_weight=0.0,
    encoder=ResNetEncoder(8, "half"),
    head_width=16,
    decoder_width=16,
    hidden=32,
    fold_width=16,
    grid=5,
    posterior_samples=2,
)
DIMS = CONFIG.dims


@pytest.fixture(scope="module")
def model(tiny_set, tmp_path_factory):
    """A da-VAE with random weights, whose pose decoder says roughly a hand."""
    torch.manual_seed(0)
    system = DaVae(CONFIG, replace(CocoHands(tiny_set).spec, sides="right"), Crop(32, sides="right"))
    pose = forward_kinematics(named_pose("open"), HandShape.mean()).joints @ torch.tensor(
        [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]
    )
    with torch.no_grad():
        system.pose_decoder[0][-1].bias.copy_(to_bone_units(pose).flatten())
        for head in system.encoder.heads:
            head.gaussian.mean.weight.mul_(30)
    path = tmp_path_factory.mktemp("models") / "da.safetensors"
    save_model(path, system)
    return path


@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_part_walks_and_the_others_stand_still(part):
    first, last = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    path = between(first, last, DIMS, part, torch.tensor([0.0, 0.5, 1.0, 2.0]))
    for number, (way, a, b) in enumerate(
        zip(path.split(DIMS, 1), first.split(DIMS), last.split(DIMS), strict=True)
    ):
        expected = [a, (a + b) / 2, b, 2 * b - a] if number == part else [a] * 4
        torch.testing.assert_close(way, torch.stack(expected))


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("da-vae-figure5", (True, True, True)),
        ("da-vae-figure6", (True, False, False)),
        ("da-vae-shape", (True, False, True)),
    ],
)
def test_pictures_hands_and_clouds_follow_the_part_that_walks(
    name, moves, model, handvae, tiny_set, tmp_path
):
    words = ("--data", tiny_set, "--model", model, "--pairs", 2, "--frames", 3, "--out", tmp_path)
    code, said, error = handvae("reproduce", name, *words)
    assert code == 0, error
    assert FIGURES[name].about in said
    sheet = cv2.imread(str(tmp_path / f"{name}.png"))
    step = CELL + GAP
    assert sheet.shape == (TITLE + 6 * step - GAP, LABELS + 5 * step - GAP, 3), (
        "three rows a pair; the two hands beside three frames"
    )
    sheet = sheet[TITLE:, LABELS:]
    cells = [
        [sheet[r * step : r * step + CELL, c * step : c * step + CELL] for c in range(5)] for r in range(6)
    ]
    for row, moved in zip(cells[:3], moves, strict=True):
        assert (np.abs(row[1].astype(int) - row[3]).max() > 0) == moved


def test_without_a_model_there_must_be_a_trained_one(refused, tiny_set, tiny_model, tmp_path):
    assert "--scale laptop" in refused("reproduce", "da-vae-figure5", "--data", tiny_set, "--out", tmp_path)
    assert "da-VAE" in refused(
        "reproduce", "da-vae-figure5", "--data", tiny_set, "--model", tiny_model, "--out", tmp_path
    )
