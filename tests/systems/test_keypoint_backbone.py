"""cm-VAE behind a trained detector: what is taken of it, that it stays, which detectors do not fit."""

from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop, cut
from handvae.noise import Noise
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.systems.detector import Detector, DetectorConfig

TINY = CmVaeConfig(latent_dims=6, hidden=32, norm="group", posterior_samples=8)
FINDING = replace(TINY, finder="some-detector", finder_widths=(8, 8, 16), variant=2, more_pairs=("rgb-2d",))
RIGHT_HANDS = Crop(32, sides="right")


@pytest.fixture
def build(drawn):
    torch.manual_seed(0)
    return lambda: CmVae(FINDING, drawn(16).spec, RIGHT_HANDS)


@pytest.fixture
def detector(drawn):
    torch.manual_seed(1)
    config = DetectorConfig(widths=(8, 8, 16), norm="group")
    return lambda crop=RIGHT_HANDS, **change: Detector(replace(config, **change), drawn(16).spec, crop).eval()


def test_a_finder_finds_what_the_detector_finds_and_stays_as_it_is(build, detector, drawn):
    system, other = build(), detector()
    hands = cut(drawn(16), torch.arange(4), RIGHT_HANDS)
    with pytest.raises(ValueError, match="detector that is named"):
        next(system.step(hands, "all", Noise(0)))
    system.attach("detector", other)
    found = system.finder(hands.image)
    torch.testing.assert_close(found.numbers[:, :42], other.read(hands.image).mean.flatten(1))
    assert found.numbers.shape == (4, 4 * 21 + 16)
    for phase in system.step(hands, "all", Noise(0)):
        phase.losses.total.backward()
    assert all(p.grad is None for p in system.finder.parameters())
    assert all(p.grad is not None for p in system.encoders["rgb"].parameters())
    moved = replace(hands, image=hands.image.roll(4, dims=3))  # what is read follows what is found
    assert (system.predict(moved).joints - system.predict(hands).joints).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("crop", "change", "says"),
    [
        (Crop(64, sides="right"), {}, "crop.size_px 64"),
        (Crop(32, sides="left"), {}, "crop.sides left"),
        (RIGHT_HANDS, {"widths": (8, 16, 16)}, "finder_widths"),
        (RIGHT_HANDS, {"head": "linear"}, "no detector by heat maps"),
    ],
)
def test_a_detector_that_does_not_fit_is_no_finder(crop, change, says, build, detector):
    with pytest.raises(ValueError, match=says):
        build().attach("detector", detector(crop, **change))


def test_a_finder_needs_pictures_to_find_in():
    with pytest.raises(ValueError, match="no pair encodes rgb"):
        replace(TINY, finder="some-detector", input="2d", variant=1)
