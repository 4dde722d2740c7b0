import pytest
import torch

from handvae import rv
from handvae.nets.decoder import ImageDecoder
from handvae.training.presets import PRESETS


def decoder(name: str) -> ImageDecoder:
    """The decoder that a preset asks for, on a latent of 20 values."""
    preset = PRESETS[name]
    config, size_px = preset.system, preset.crop.size_px
    doublings = len(config.decoder_widths) - (config.to_rgb == "conv")
    return ImageDecoder(
        20,
        config.decoder_widths,
        stem_px=size_px // 2**doublings,
        kernel=config.decoder_kernel,
        refine=config.refine,
        hidden=config.decoder_hidden,
        maps=20 if config.pose_input == "vector+maps" else 0,
        norm=config.norm,
        to_rgb=config.to_rgb,
    ).eval()


def maps_for(net: ImageDecoder, batch: int) -> list[torch.Tensor]:
    return [torch.rand(batch, net.maps, size, size) for size in net.map_sizes]


@pytest.mark.parametrize("name", ["srv-vae-2d", "photos-64", "rendered-128"])
def test_a_preset_decodes_to_its_crop(name):
    net, size = decoder(name), PRESETS[name].crop.size_px
    assert net(torch.randn(2, 20), maps_for(net, 2)).shape == (2, 3, size, size)


@pytest.mark.parametrize(("name", "grid"), [("rendered-128", False), ("photos-128", True)])
def test_features_that_are_the_same_everywhere_leave_a_grid_only_behind_a_transposed_convolution(name, grid):
    last = decoder(name).to_rgb
    channels = next(module for module in last.modules() if hasattr(module, "weight")).weight.shape[
        0 if grid else 1
    ]
    inside = last(torch.ones(1, channels, 16, 16))[..., 4:-4, 4:-4]
    apart = (inside - inside[..., :1, :1]).abs().max()
    assert apart > 1e-3 if grid else apart < 1e-6


def test_the_papers_decoder_starts_at_two_pixels_with_512_channels():
    net = decoder("srv-vae-2d")
    assert net.stem[0].weight.shape == (512 * 2 * 2, 20)
    assert net.map_sizes == ()
    doubled = [
        module.weight.shape[1] for module in net.modules() if isinstance(module, torch.nn.ConvTranspose2d)
    ]
    assert doubled == [256, 128, 64, 32, 32]


def test_the_papers_decoder_has_no_weight_beyond_its_layers():
    linear = 20 * 2048 + 2048
    doublings = sum(9 * a * b + 2 * b for a, b in ((512, 256), (256, 128), (128, 64), (64, 32), (32, 32)))
    assert sum(p.numel() for p in decoder("srv-vae-2d").parameters()) == linear + doublings + 9 * 32 * 3 + 3


def test_our_decoder_asks_for_maps_at_every_resolution():
    assert decoder("photos-64").map_sizes == (4, 8, 16, 32)


@pytest.mark.parametrize("level", range(4))
def test_the_maps_of_every_resolution_reach_the_picture(level):
    net, latent = decoder("photos-64"), torch.randn(1, 20)
    maps = maps_for(net, 1)
    before = net(latent, maps)
    maps[level] = maps[level] + 1
    assert (net(latent, maps) - before).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["srv-vae-2d", "photos-64", "rendered-128"])
def test_a_random_latent_gives_each_pixel_a_mean_and_a_variance(name):
    net = decoder(name)
    maps = maps_for(net, 2)
    picture = rv.to_rv(net)(rv.RandomVariable(torch.randn(2, 20), torch.rand(2, 20)), maps)
    assert isinstance(picture, rv.RandomVariable)
    assert picture.mean.shape == picture.var.shape == (2, 3, *[PRESETS[name].crop.size_px] * 2)
    assert picture.var.min() >= 0
    assert picture.var.max() > 0


def test_a_shift_of_the_maps_by_one_stem_pixel_shifts_the_picture():
    """Convolutional throughout, so a pose may stand anywhere; away from the borders."""
    net = decoder("photos-64")
    latent = torch.zeros(1, 20)
    with torch.no_grad():
        net.stem[0].weight.zero_()
        net.stem[0].bias.zero_()
    maps = [torch.zeros(1, 20, size, size) for size in net.map_sizes]
    for size, one in zip(net.map_sizes, maps, strict=True):
        one[:, :, size // 4 : size // 2, size // 4 : size // 2] = 1
    shifted = [one.roll(size // 4, 3) for size, one in zip(net.map_sizes, maps, strict=True)]
    a, b = net(latent, maps), net(latent, shifted)
    torch.testing.assert_close(a[..., 24:30, 24:30], b[..., 24:30, 40:46], atol=0.05, rtol=0.05)
