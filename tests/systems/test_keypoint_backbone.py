"""cm-VAE with a keypoint encoder: the detector is copied, stays as it is, and must fit."""

from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop, cut
from handvae.nets.picture_encoders import KeypointEncoder
from handvae.noise import Noise
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.systems.detector import Detector, DetectorConfig

TINY = CmVaeConfig(latent_dims=6, hidden=32, norm="group", posterior_samples=8)
ENCODER = KeypointEncoder("some-detector", widths=(8, 8, 16))
CONFIG = replace(TINY, encoder=ENCODER, variant=2, more_pairs=("rgb-2d",))
RIGHT_HANDS = Crop(32, sides="right")


@pytest.fixture
def build(drawn):
    torch.manual_seed(0)
    return lambda: CmVae(CONFIG, drawn(16).spec, RIGHT_HANDS)


@pytest.fixture
def detector(drawn):
    torch.manual_seed(1)
    config = DetectorConfig(widths=(8, 8, 16), norm="group")
    return lambda crop=RIGHT_HANDS, **change: Detector(replace(config, **change), drawn(16).spec, crop).eval()


def test_the_backbone_finds_what_the_detector_finds_and_stays_as_it_is(build, detector, drawn):
    system, trained = build(), detector()
    hands = cut(drawn(16), torch.arange(4), RIGHT_HANDS)
    with pytest.raises(ValueError, match="detector that is named"):
        next(system.step(hands, "all", Noise(0)))

    system.attach("detector", trained)
    features = system.keypoint_backbone(hands.image)
    torch.testing.assert_close(features.vector[:, :42], trained.read(hands.image).mean.flatten(1))
    assert features.vector.shape == (4, 4 * 21 + 16)

    for phase in system.step(hands, "all", Noise(0)):
        phase.losses.total.backward()
    assert all(p.grad is None for p in system.keypoint_backbone.parameters())
    assert all(p.grad is not None for p in system.encoders["rgb"].parameters())

    moved = replace(hands, image=hands.image.roll(4, dims=3))
    assert (system.predict(moved).joints - system.predict(hands).joints).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("crop", "change", "message"),
    [
        (Crop(64, sides="right"), {}, "crop.size_px 64"),
        (Crop(32, sides="left"), {}, "crop.sides left"),
        (RIGHT_HANDS, {"widths": (8, 16, 16)}, "encoder.widths"),
        (RIGHT_HANDS, {"head": "linear"}, "no detector by heat maps"),
    ],
)
def test_a_detector_that_does_not_fit_is_refused(crop, change, message, build, detector):
    with pytest.raises(ValueError, match=message):
        build().attach("detector", detector(crop, **change))


def test_a_system_without_a_role_refuses_a_model_for_it(build, detector, drawn):
    with pytest.raises(ValueError, match="no role 'critic'"):
        build().attach("critic", detector())
    plain = CmVae(replace(TINY, variant=2), drawn(16).spec, RIGHT_HANDS)
    assert plain.pretrained() == {}
    assert build().pretrained() == {"detector": "some-detector"}
    with pytest.raises(ValueError, match="no role 'detector'"):
        plain.attach("detector", detector())


def test_a_keypoint_encoder_needs_pictures_to_find_joints_in():
    with pytest.raises(ValueError, match="no pair encodes rgb"):
        replace(TINY, encoder=ENCODER, input="2d", variant=1)


def test_cm_vae_keeps_its_detector_as_it_is():
    with pytest.raises(ValueError, match=r"set encoder\.keypoint_weight to 0"):
        replace(TINY, encoder=replace(ENCODER, keypoint_weight=1.0))
