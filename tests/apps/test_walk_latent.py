"""`handvae walk` with cm-VAE: every modality at once, from A's own reconstruction to B's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from handvae.data.crop import Crop, cut
from handvae.data.readers.coco import CocoHands
from handvae.inference.latent_walk import SIDE, code_of, modality_frames
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.training.checkpoint import load_model, save_model

SMALL = CmVaeConfig(
    variant=4,
    latent_dims=6,
    encoder=ResNetEncoder(8),
    decoder_width=16,
    hidden=32,
    norm="group",
    root="wrist",
)


@pytest.fixture
def model(tiny_set, tmp_path):
    """Makes a file with an untrained model."""

    def make(**changes):
        torch.manual_seed(0)
        spec = replace(CocoHands(tiny_set).spec, size_px=32)
        save_model(tmp_path / "cm.safetensors", CmVae(replace(SMALL, **changes), spec, Crop(32)).eval())
        return tmp_path / "cm.safetensors"

    return make


def test_a_walk_goes_from_one_code_to_the_other_in_every_modality(model):
    system = load_model(model()).system
    frames = modality_frames(system, "open", "fist", torch.linspace(0, 1, 5))
    assert {frame.shape for frame in frames} == {(SIDE, 2 * SIDE + 2, 3)}  # rgb and 3d
    z = torch.cat([code_of(system, "open"), code_of(system, "fist")])
    alone = [modality_frames(system, name, name, torch.zeros(1))[0] for name in ("open", "fist")]
    for shown, end in (
        (frames[0], alone[0]),
        (frames[-1], alone[1]),
    ):  # to rounding: batches of one and of five
        assert np.abs(shown.astype(int) - end.astype(int)).mean() < 0.05
    assert np.abs(alone[0].astype(int) - alone[1].astype(int)).mean() > 0.2
    assert (z[0] - z[1]).abs().max() > 1e-3


def test_a_photo_is_encoded_as_a_picture(model, tiny_set):
    system = load_model(model()).system
    hands = cut(CocoHands(tiny_set), torch.tensor([3]), Crop(32))
    torch.testing.assert_close(
        code_of(system, str(tiny_set / "images" / "003.png")),
        system.encode(hands, "rgb").mean,
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize(("changes", "steps"), [({}, 4), ({"input": "2d"}, 3)])
def test_the_animation_is_written(changes, steps, handvae, model, tmp_path):
    code, _, error = handvae(
        "walk",
        "open",
        "victory",
        "--model",
        model(**changes),
        "--frames",
        steps,
        "--out",
        tmp_path / "walk.gif",
    )
    assert code == 0, error
    with Image.open(tmp_path / "walk.gif") as gif:
        assert gif.n_frames <= 2 * steps - 2


def test_what_has_no_encoder_or_no_factor_is_refused(refused, model, tiny_set, tmp_path):
    photo = tiny_set / "images" / "003.png"
    words = ("--model", model(input="2d"), "--out", tmp_path / "walk.gif")
    assert "the model encodes 2d, 3d" in refused("walk", photo, "open", *words)
    assert "one latent" in refused("walk", "open", "fist", "--factor", "appearance", *words)
    assert not (tmp_path / "walk.gif").exists()
