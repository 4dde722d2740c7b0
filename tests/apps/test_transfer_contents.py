"""`handvae transfer` with dVAE: the content of one photo, or its hand and the ground of another, the pose of
a third."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.files.pictures import as_pixels, read_picture, write_picture
from handvae.data.hands import Hands
from handvae.data.readers.coco import CocoHands
from handvae.inference.drawing import enlarge
from handvae.inference.locate import one_hand
from handvae.systems.build import build_system
from handvae.systems.dvae_generator import DvaeImageConfig
from handvae.training.checkpoint import load_model, save_model

SMALL = DvaeImageConfig(
    content="residual",
    factor_dims=4,
    trunk_width=8,
    hidden=16,
    decoder_width=16,
    norm="group",
    posterior_samples=4,
)
CELL = 194
BOX = (8.0, 8.0, 80.0, 80.0)
BOXES = ("--box", "8,8,80,80", "--pose-box", "8,8,80,80")


def saved(config, tiny_set, path):
    """Untrained, of left hands, but with decoders that tell contents and poses apart."""
    torch.manual_seed(0)
    spec = CocoHands(tiny_set).spec
    spec = replace(spec, size_px=32, sides="left", modalities=(*spec.modalities, "content", "segmentation"))
    system = build_system(config, spec, Crop(32, sides="left")).eval().requires_grad_(False)
    for layer in system.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight.mul_(2.5)
    save_model(path, system)
    return path


@pytest.fixture
def model(tiny_set, tmp_path):
    return saved(SMALL, tiny_set, tmp_path / "dvae.safetensors")


@pytest.fixture
def apart(tiny_set, tmp_path):
    """One that holds hand and ground apart."""
    return saved(replace(SMALL, content="layers"), tiny_set, tmp_path / "parts.safetensors")


@pytest.fixture
def photos(tiny_set, tmp_path):
    """Two right hands away from their labels."""
    return copied(tiny_set, tmp_path, {"looks": "003", "pose": "017"})


def copied(tiny_set, folder, names):
    paths = [folder / f"{name}.png" for name in names]
    for path, name in zip(paths, names.values(), strict=True):
        write_picture(path, read_picture(tiny_set / "images" / f"{name}.png"))
    return paths


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_pose_is_the_second_photos_and_the_content_the_firsts(side, handvae, model, photos, tmp_path):
    appearances, pose = photos
    code, _, error = handvae(
        "transfer",
        appearances,
        pose,
        *BOXES,
        "--model",
        model,
        "--side",
        side,
        "--out",
        tmp_path / "sheet.png",
    )
    assert code == 0, error
    sheet = read_picture(tmp_path / "sheet.png")
    system = load_model(model).generator
    given, asked = (
        one_hand(path, system, BOX, side).image for path in (appearances, pose)
    )  # the model knows left hands
    joints = system.predict_uncalibrated(Hands(image=asked)).joints
    own, other = (
        enlarge(as_pixels(system.synthesize(joints, system.appearance_of(one))[0].numpy()), 192)
        for one in (given, asked)
    )
    shown = sheet[CELL:, 2 * CELL :]
    assert np.array_equal(shown, own)
    assert not np.array_equal(shown, other)


def test_a_side_that_is_none_is_refused(refused, model, photos, tmp_path):
    assert "left or right" in refused(
        "transfer", *photos, "--model", model, "--side", "both", "--out", tmp_path / "sheet.png"
    )


def test_a_named_pose_takes_any_content(handvae, model, photos, tmp_path):
    code, _, error = handvae(
        "transfer", photos[0], "victory", *BOXES[:2], "--model", model, "--out", tmp_path / "sheet.png"
    )
    assert code == 0, error
    assert read_picture(tmp_path / "sheet.png").shape == (2 * CELL - 2, 3 * CELL - 2, 3)


# ---------------------------------------------------------------------------------------------------- hand
# and ground apart


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_hand_is_the_first_photos_and_the_ground_the_third(
    side, handvae, apart, photos, tiny_set, tmp_path
):
    appearances, pose = photos
    (ground,) = copied(tiny_set, tmp_path, {"ground": "030"})
    boxes = (*BOXES, "--ground-box", "8,8,80,80")
    asked = (*boxes, "--model", apart, "--side", side, "--out", tmp_path / "sheet.png")
    code, said, error = handvae("transfer", appearances, pose, "--ground", ground, *asked)
    assert code == 0, error
    assert f"ground {ground}: crop from the given box" in said
    sheet, system = read_picture(tmp_path / "sheet.png"), load_model(apart).generator
    crops = [one_hand(path, system, BOX, side).image for path in (appearances, pose, ground)]
    hand, behind = (system.appearance_of(crops[n]) for n in (0, 2))
    joints = system.predict_uncalibrated(Hands(image=crops[1])).joints
    worn = torch.cat([hand[:, :4], behind[:, 4:]], 1)
    shown, own = (
        enlarge(as_pixels(system.synthesize(joints, appearance)[0].numpy()), 192)
        for appearance in (worn, hand)
    )
    assert np.array_equal(sheet[CELL:, 2 * CELL :], shown)
    assert not np.array_equal(shown, own)
    assert np.array_equal(sheet[: CELL - 2, : CELL - 2], enlarge(as_pixels(crops[2][0].numpy()), 192))


def test_one_mean_look_takes_a_ground_too(handvae, apart, photos, tiny_set, tmp_path):
    sheets = []
    for more in ((), ("--ground", photos[1], "--ground-box", "8,8,80,80")):
        code, _, error = handvae(
            "transfer",
            photos[0],
            "victory",
            "--mean",
            *BOXES[:2],
            *more,
            "--model",
            apart,
            "--out",
            tmp_path / "sheet.png",
        )
        assert code == 0, error
        sheets.append(read_picture(tmp_path / "sheet.png"))
    assert not np.array_equal(*sheets)


def test_a_ground_needs_a_model_that_holds_it_apart_and_a_box_needs_a_ground(
    refused, model, apart, photos, tmp_path
):
    out = ("--out", tmp_path / "sheet.png")
    assert "does not hold hand and ground apart" in refused(
        "transfer", *photos, "--ground", photos[1], "--model", model, *out
    )
    assert "there is no photo for it" in refused(
        "transfer", *photos, "--ground-box", "0,0,9,9", "--model", apart, *out
    )
    assert "nowhere.png" in refused(
        "transfer", *photos, "--ground", tmp_path / "nowhere.png", "--model", apart, *out
    )
    assert not (tmp_path / "sheet.png").exists()


def test_training_is_refused_data_that_do_not_tell_the_parts(refused, tiny_set, tmp_path):
    line = refused("train", "rendered-dvae-layers-64", "--data.root", tiny_set, "--out", tmp_path / "run")
    assert "every hand must have" in line
    assert "segmentation" in line
    assert not (tmp_path / "run").exists()
