"""A model of larger pictures that begins as one of smaller ones: what it takes over, what begins anew, what
it cannot begin with."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec, Hands
from handvae.errors import UserError
from handvae.nets.blocks import resized
from handvae.systems.srv_vae import SrvVae
from handvae.training.checkpoint import Model, load_model, start_from

GROWN = ("decoder.levels.3", "decoder.to_rgb")


@pytest.fixture
def large(tiny_config, tiny_spec):
    """Builds a system of pictures of 64 px whose encoder sees 32."""

    def make(size_px: int = 64, encoder_px: int | None = 32, **changes) -> SrvVae:
        torch.manual_seed(3)
        widths = (*tiny_config.decoder_widths, 8)
        config = replace(tiny_config, **({"encoder_px": encoder_px, "decoder_widths": widths} | changes))
        spec: DataSpec = replace(tiny_spec, size_px=size_px)
        return SrvVae(config, spec, Crop(size_px))

    return make


@pytest.fixture
def small(tiny_model) -> Model:
    return load_model(tiny_model)


def test_a_larger_model_takes_over_all_but_the_last_levels(large, small):
    system = large()
    untouched = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    assert start_from(system, small) == GROWN
    theirs = small.system.state_dict()
    for name, tensor in system.state_dict().items():
        source = untouched[name] if name.startswith(GROWN) else theirs[name]
        assert torch.equal(tensor, source.to(tensor.dtype)), name


def test_a_model_of_equal_size_may_end_otherwise(large, small, tiny_config):
    system = large(32, None, decoder_widths=(*tiny_config.decoder_widths,), to_rgb="upsample")
    assert start_from(system, small) == ("decoder.to_rgb",)
    theirs, ours = small.system.state_dict(), system.state_dict()
    assert torch.equal(ours["decoder.levels.2.0.0.weight"], theirs["decoder.levels.2.0.0.weight"])


def test_it_reads_poses_and_appearances_as_the_smaller_one_does(large, small, crops):
    system = large()
    start_from(system, small)
    system.eval()
    doubled = F.interpolate(crops.require("image"), scale_factor=2.0, mode="nearest")
    image = resized(doubled, 32)
    torch.testing.assert_close(
        system.predict_uncalibrated(Hands(image=doubled)).joints,
        small.generator.predict_uncalibrated(Hands(image=image)).joints,
        rtol=1e-3,
        atol=1e-4,
    )
    torch.testing.assert_close(
        system.appearance_of(doubled), small.generator.appearance_of(image), rtol=1e-3, atol=1e-4
    )
    assert system.synthesize(system.joints_of(crops), system.appearance_of(doubled)).shape[-2:] == (64, 64)
    assert system.features(doubled).shape == small.generator.features(image).shape


def test_a_network_that_is_not_the_smaller_one_with_more_levels_is_refused(large, small):
    with pytest.raises(UserError, match="crops of 32 px, not of 64"):
        start_from(large(encoder_px=None), small)
    with pytest.raises(UserError, match="crops of 32 px, not of 128"):
        start_from(large(128), small)
    with pytest.raises(UserError, match="another one: appearance_dims"):
        start_from(large(appearance_dims=7), small)


def test_an_encoder_of_no_size_is_refused(large):
    with pytest.raises(ValueError, match="encoder_px"):
        large(encoder_px=0)
    with pytest.raises(ValueError, match="cannot be halved"):
        large(encoder_px=40)


def test_the_command_says_what_starts_from_random_weights(
    handvae, tiny_model, tiny_set, tiny_flags, tmp_path
):
    small = [*tiny_flags, "--train.steps", "1"]
    small[small.index("--crop.size-px") + 1] = "64"
    widths = small.index("--system.decoder-widths")
    small[widths + 1 : widths + 5] = ["16", "16", "8", "8", "8"]
    words = [
        "train",
        "photos-base-64",
        "--data.root",
        tiny_set,
        *small,
        "--system.encoder-px",
        "32",
        "--system.no-refine",
        "--init",
        tiny_model,
    ]
    code, said, error = handvae(*words, "--out", tmp_path / "run")
    assert code == 0, error
    assert "no decoder.levels.3, decoder.to_rgb: these start from random weights" in said
    assert load_model(tmp_path / "run").generator.crop.size_px == 64
