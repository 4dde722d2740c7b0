"""`handvae transfer` with dVAE: the content of one photo, the pose of another."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from handvae.apps.drawing import enlarge
from handvae.apps.inputs import read_photo
from handvae.data.coco import CocoHands
from handvae.data.pictures import as_pixels, read_picture, write_picture
from handvae.data.view import Crop
from handvae.systems.dvae_image import DvaeImage, DvaeImageConfig
from handvae.training.checkpoint import load_model, save_model

SMALL = DvaeImageConfig(content="own", factor_dims=4, trunk_width=8, hidden=16, decoder_width=16, norm="group", posterior_samples=4)
CELL = 194


@pytest.fixture
def model(tiny_set, tmp_path):
    """Untrained, of left hands, but with decoders that tell contents and poses apart."""
    torch.manual_seed(0)
    system = DvaeImage(SMALL, replace(CocoHands(tiny_set).spec, size_px=32, sides="left"), Crop(32, sides="left"))
    system = system.eval().requires_grad_(False)
    for layer in system.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight.mul_(2.5)
    save_model(tmp_path / "dvae.safetensors", system)
    return tmp_path / "dvae.safetensors"


@pytest.fixture
def photos(tiny_set, tmp_path):
    """Two right hands away from their labels."""
    paths = [tmp_path / "looks.png", tmp_path / "pose.png"]
    for path, name in zip(paths, ("003", "017"), strict=True):
        write_picture(path, read_picture(tiny_set / "images" / f"{name}.png"))
    return paths


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_pose_is_the_second_photos_and_the_content_the_firsts(side, handvae, model, photos, tmp_path):
    looks, pose = photos
    code, _, error = handvae("transfer", looks, pose, "--model", model, "--side", side, "--out", tmp_path / "sheet.png")
    assert code == 0, error
    sheet = read_picture(tmp_path / "sheet.png")
    system = load_model(model).generator
    given, asked = (read_photo(path, None, system.crop, side == "right").crop for path in (looks, pose))  # the model knows left hands
    joints = system.predict(asked).joints
    own, other = (enlarge(as_pixels(system.synthesize(joints, system.appearance_of(one))[0].numpy()), 192) for one in (given, asked))
    shown = sheet[CELL:, 2 * CELL :]
    assert np.array_equal(shown, own)
    assert not np.array_equal(shown, other)


def test_a_side_that_is_none_is_refused(refused, model, photos, tmp_path):
    assert "left or right" in refused("transfer", *photos, "--model", model, "--side", "both", "--out", tmp_path / "sheet.png")


def test_a_named_pose_takes_any_content(handvae, model, photos, tmp_path):
    code, _, error = handvae("transfer", photos[0], "victory", "--model", model, "--out", tmp_path / "sheet.png")
    assert code == 0, error
    assert read_picture(tmp_path / "sheet.png").shape == (2 * CELL - 2, 3 * CELL - 2, 3)
