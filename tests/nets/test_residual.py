import pytest
import torch
import torch.nn.functional as F
from torch import nn

from handvae import rv
from handvae.nets.residual import Residual, ResidualDecoder, ResidualTrunk


def decoder(widths=(16, 8, 8), maps=0) -> ResidualDecoder:
    torch.manual_seed(0)
    return ResidualDecoder(6, widths, stem_px=4, hidden=0, maps=maps, norm="group").eval()


def test_each_stage_halves_the_picture_and_the_last_has_two_blocks():
    trunk = ResidualTrunk((4, 8, 8), norm="group", slope=0.2)
    assert [tuple(f.shape[1:]) for f in trunk(torch.randn(2, 3, 32, 32))] == [
        (4, 16, 16),
        (8, 8, 8),
        (8, 4, 4),
    ]
    blocks = [sum(isinstance(module, Residual) for module in stage.modules()) for stage in trunk.stages]
    assert blocks == [0, 1, 2]


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 7), (5, 5)])
def test_doubling_inside_a_block_is_copying_pixels_before_it(inputs, outputs):
    torch.manual_seed(0)
    block = Residual(inputs, outputs, norm="group", slope=0.0, doubles=True)
    x = torch.randn(2, inputs, 4, 4)
    wide = F.interpolate(x, scale_factor=2.0)
    first = F.conv2d(wide, block.first.weight, padding=1)
    wanted = torch.relu(block.second(block.between(first)) + block.skip(wide))
    torch.testing.assert_close(block(x), wanted, rtol=1e-4, atol=1e-5)


def test_the_decoder_takes_random_variables_and_gives_plain_pictures_of_plain_codes():
    plain = decoder(maps=3)
    twin, code = rv.to_rv(plain), torch.randn(2, 6)
    maps = [torch.rand(2, 3, size, size) for size in plain.map_sizes]
    assert plain.map_sizes == (4, 8, 16)
    picture = twin(rv.RandomVariable(code, torch.zeros_like(code)), maps)
    assert picture.shape == (2, 3, 16, 16)
    torch.testing.assert_close(picture.mean, plain(code, maps), rtol=0, atol=1e-5)
    assert twin(rv.RandomVariable(code, torch.ones_like(code)), maps).var.min() > 0


def test_convolutions_but_the_last_have_no_bias():
    net = decoder()
    biased = [
        name
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and module.bias is not None
    ]
    assert biased == ["to_rgb"]
