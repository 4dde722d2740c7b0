"""Bricks: limb maps, the heat-map head, decoders."""

import math

import pytest
import torch

from handvae import rv
from handvae.hand import BONES
from handvae.nets.decoder import ImageDecoder
from handvae.nets.encoder import GaussianHead, HeatmapHead, Trunk
from handvae.nets.limb_maps import limb_maps


def segment_distance(x: float, y: float, a: list[float], b: list[float]) -> float:
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = min(1.0, max(0.0, ((x - a[0]) * dx + (y - a[1]) * dy) / max(dx * dx + dy * dy, 1e-6)))
    return math.hypot(x - a[0] - along * dx, y - a[1] - along * dy)


def test_limb_maps_are_bumps_round_the_bones_by_a_loop():
    joints = torch.rand(2, 21, 2, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    maps = limb_maps(joints, 8, 0.15)
    for hand in range(2):
        for bone, (parent, child) in enumerate(BONES):
            for row in range(8):
                for column in range(8):
                    x, y = (column + 0.5) / 4 - 1, (row + 0.5) / 4 - 1
                    d = segment_distance(x, y, joints[hand, parent].tolist(), joints[hand, child].tolist())
                    assert maps[hand, bone, row, column].item() == pytest.approx(math.exp(-d * d / (2 * 0.15**2)), abs=1e-5)


def test_a_bone_of_no_length_is_a_point_not_a_nan():
    joints = torch.zeros(1, 21, 2, requires_grad=True)
    maps = limb_maps(joints, 9, 0.1)
    maps.sum().backward()
    assert maps[0, :, 4, 4].min() == 1.0
    assert torch.isfinite(joints.grad).all()


def test_the_heat_maps_mean_finds_a_peak_anywhere():
    head = HeatmapHead((4, 4), joints=1, levels=1, norm="group", slope=0.2)
    heat = torch.zeros(3, 1, 16, 16)
    places = [(2, 5), (15, 0), (8, 8)]
    for sample, (row, column) in enumerate(places):
        heat[sample, 0, row, column] = 60.0
    head.heat = torch.nn.Identity()
    head.merge[1] = torch.nn.Identity()
    head.merge[0] = torch.nn.Identity()
    head.lateral[0] = torch.nn.Identity()
    head.lateral[1] = torch.nn.Identity()
    found = head([heat, torch.zeros(3, 1, 8, 8)])
    wanted = torch.tensor([[(column + 0.5) / 8 - 1, (row + 0.5) / 8 - 1] for row, column in places])
    torch.testing.assert_close(found.mean, wanted, rtol=0, atol=1e-5)
    assert found.var.max() < 1e-5


def test_a_flat_heat_map_is_as_uncertain_as_a_uniform_position():
    head = HeatmapHead((4,), joints=2, levels=0, norm="group", slope=0.2)
    torch.nn.init.zeros_(head.heat.weight)
    torch.nn.init.zeros_(head.heat.bias)
    found = head([torch.randn(1, 4, 32, 32)])
    torch.testing.assert_close(found.mean, torch.zeros(1, 4), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.var, torch.full((1, 4), 1 / 3), rtol=0, atol=1e-3)


def test_the_trunk_halves_at_each_stage():
    features = Trunk((8, 16, 24), kernel=4, refine=True, norm="batch", slope=0.2)(torch.zeros(2, 3, 32, 32))
    assert [tuple(f.shape) for f in features] == [(2, 8, 16, 16), (2, 16, 8, 8), (2, 24, 4, 4)]


def test_a_gaussian_head_bounds_its_variance():
    head = GaussianHead(16, 3)
    with torch.no_grad():
        head.logvar.bias.fill_(1e4)
    assert head(torch.zeros(2, 4, 2, 2)).var.max().item() == pytest.approx(math.exp(5.0), rel=1e-5)


PAPER = {"widths": (64, 32, 16, 8, 8, 8), "stem_px": 2, "kernel": 3, "refine": False, "hidden": 0, "to_rgb": "conv"}
OURS = {"widths": (64, 32, 16, 8), "stem_px": 4, "kernel": 4, "refine": True, "hidden": 32, "to_rgb": "transposed"}


@pytest.mark.parametrize("shape", [PAPER, OURS])
@pytest.mark.parametrize("maps", [0, 5])
def test_decoders_give_pictures_of_64_px_plain_and_random(shape, maps):
    decoder = rv.to_rv(ImageDecoder(10, maps=maps, norm="group", **shape))
    sizes = ImageDecoder(10, maps=maps, norm="group", **shape).map_sizes
    drawn = [torch.rand(2, maps, size, size) for size in sizes]
    assert (sizes[-1] == (64 if shape is PAPER else 32)) if maps else sizes == ()
    latent = torch.randn(2, 10)
    assert decoder(latent, drawn).shape == (2, 3, 64, 64)
    picture = decoder(rv.RandomVariable(latent, torch.ones(2, 10)), drawn)
    assert picture.mean.shape == picture.var.shape == (2, 3, 64, 64)


def test_the_decoder_of_the_paper_has_its_layers():
    decoder = ImageDecoder(
        170, (512, 256, 128, 64, 32, 32), stem_px=2, kernel=3, refine=False, hidden=0, maps=0, norm="batch", to_rgb="conv"
    )
    linear = 170 * 2048 + 2048
    doublings = sum(9 * a * b + 2 * b for a, b in ((512, 256), (256, 128), (128, 64), (64, 32), (32, 32)))
    assert sum(p.numel() for p in decoder.parameters()) == linear + doublings + 9 * 32 * 3 + 3
