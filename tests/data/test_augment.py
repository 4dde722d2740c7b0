from dataclasses import fields, replace

import pytest
import torch

from handvae.data.augment import Augment, binomial_blur, photometric
from handvae.noise import Noise

close = torch.testing.assert_close
STILL = Augment(**{field.name: 0.0 for field in fields(Augment)})
COLOUR_RANGES = {
    "brightness": 0.5,
    "tint": 0.5,
    "contrast": 0.5,
    "saturation": 0.5,
    "blur": 1.0,
    "noise": 0.3,
}
colour_change = pytest.mark.parametrize("name", list(COLOUR_RANGES))


def pictures(count: int = 6) -> torch.Tensor:
    return 0.2 + 0.6 * torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def changed(augment: Augment, image: torch.Tensor | None = None, seed: int = 0) -> torch.Tensor:
    return photometric(pictures() if image is None else image, augment, Noise(seed))


def test_colours_stay_in_range_under_every_change_at_once():
    image = changed(Augment(**COLOUR_RANGES), torch.rand(20, 3, 16, 16))
    assert image.min() >= 0
    assert image.max() <= 1


def test_without_ranges_the_picture_stays_as_it_is():
    assert torch.equal(changed(STILL), pictures())


@colour_change
def test_each_change_alters_the_picture(name):
    assert (changed(replace(STILL, **{name: COLOUR_RANGES[name]})) - pictures()).abs().max() > 0.02


@colour_change
def test_each_sample_is_changed_in_its_own_way(name):
    same = pictures(1).expand(6, -1, -1, -1)
    image = changed(replace(STILL, **{name: COLOUR_RANGES[name] if name != "blur" else 0.5}), same)
    assert (image - image[:1]).flatten(1).abs().amax(1).max() > 0.01


@pytest.mark.parametrize("name", [name for name in COLOUR_RANGES if name != "noise"])
def test_switching_a_change_on_leaves_the_random_numbers_of_the_others(name):
    """Two runs that differ in one option stay comparable."""
    without, with_it = Noise(0), Noise(0)
    photometric(pictures(), STILL, without)
    photometric(pictures(), replace(STILL, **{name: COLOUR_RANGES[name]}), with_it)
    assert torch.equal(without.normal(3), with_it.normal(3))


def test_brightness_multiplies_a_whole_picture_by_one_factor():
    ratio = changed(replace(STILL, brightness=0.2)) / pictures()
    close(ratio, ratio.mean((1, 2, 3), keepdim=True).expand_as(ratio))
    assert ratio.flatten(1).mean(1).std() > 0.02


def test_tint_multiplies_each_channel_by_its_own_factor():
    ratio = changed(replace(STILL, tint=0.2)) / pictures()
    close(ratio, ratio.mean((2, 3), keepdim=True).expand_as(ratio))
    assert ratio.mean((2, 3)).std(1).min() > 0.005


def test_contrast_keeps_the_mean():
    close(changed(replace(STILL, contrast=0.2)).mean((1, 2, 3)), pictures().mean((1, 2, 3)))


def test_saturation_keeps_the_grey_picture():
    close(changed(replace(STILL, saturation=0.3)).mean(1), pictures().mean(1))


def test_the_blur_is_the_binomial_kernel():
    dot = torch.zeros(1, 1, 5, 5)
    dot[0, 0, 2, 2] = 16
    kernel = torch.tensor([1.0, 2.0, 1.0])
    close(binomial_blur(dot)[0, 0, 1:4, 1:4], kernel[:, None] * kernel)


def test_the_blur_leaves_a_plain_picture_up_to_its_edges():
    plain = torch.full((1, 3, 8, 8), 0.3)
    close(binomial_blur(plain), plain)
