"""Bricks of cm-VAE and dVAE: the published parameter counts leave one reading of their layers."""

import pytest
import torch

from handvae.nets.dcgan import DcganDecoder
from handvae.nets.mlp import hidden_layers, mlp
from handvae.nets.resnet import ResNet


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_the_trunk_is_resnet_18_and_gives_2048_features_at_256_px():
    trunk = ResNet(3, 256)
    assert parameters(trunk) == 11_176_512
    assert trunk.features == 2048
    assert trunk(torch.zeros(2, 3, 256, 256)).shape == (2, 2048)


def test_the_trunk_of_50_layers_is_resnet_50():
    trunk = ResNet(3, 256, layers=50)
    assert parameters(trunk) == 23_508_032  # 25,557,032 with the classifier of 1000 classes
    assert trunk.features == 4 * 2048
    assert sum(isinstance(part, torch.nn.Conv2d) for part in trunk.modules()) == 1 + 3 * 16 + 4
    assert ResNet(1, 256, layers=50).features == trunk.features


@pytest.mark.parametrize("size_px", [32, 64])
def test_a_step_reaches_every_layer_of_resnet_50(size_px):
    trunk = ResNet(1, size_px, layers=50, width=16)
    features = trunk(torch.randn(4, 1, size_px, size_px))
    assert features.shape == (4, trunk.features)
    features.square().sum().backward()
    assert all(p.grad is not None for p in trunk.parameters())


def test_the_joint_nets_and_the_image_decoder_have_the_published_sizes():
    assert parameters(hidden_layers(63)) + 514 * 60 + 60 == 1_114_292
    assert parameters(mlp(30, 63)) == 1_098_815
    assert parameters(DcganDecoder(30, 3, 256)) == 834_667


@pytest.mark.parametrize("size_px", [32, 64, 128])
@pytest.mark.parametrize("stem", ["quarter", "half"])
@pytest.mark.parametrize("pool", ["grid", "global"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_the_trunk_knows_how_many_features_it_gives(size_px, stem, pool, norm):
    trunk = ResNet(1, size_px, width=8, pool=pool, stem=stem, norm=norm).eval()
    assert trunk(torch.randn(1, 1, size_px, size_px)).shape == (1, trunk.features)
    assert trunk.features == 64 * (1 if pool == "global" or (size_px, stem) == (32, "quarter") else 4)


def test_a_global_pool_is_the_mean_over_the_last_map():
    picture = torch.randn(2, 3, 64, 64)
    torch.manual_seed(0)
    whole = ResNet(3, 64, width=8, pool="global").eval()
    torch.manual_seed(0)
    quarters = ResNet(3, 64, width=8, pool="grid").eval()  # 1 x 1 windows on 2 x 2
    torch.testing.assert_close(quarters(picture).view(2, 64, 4).mean(2), whole(picture))


@pytest.mark.parametrize("size_px", [8, 32, 64, 128, 256])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_the_decoder_gives_the_size_it_was_built_for(size_px, norm):
    decoder = DcganDecoder(5, 2, size_px, width=16, norm=norm).eval()
    assert decoder(torch.randn(3, 5)).shape == (3, 2, size_px, size_px)


@pytest.mark.parametrize("size_px", [96, 4, 100])
def test_a_decoder_of_another_size_is_refused(size_px):
    with pytest.raises(ValueError, match="use 64, 128 or 256"):
        DcganDecoder(5, 3, size_px)


def test_every_parameter_of_the_bricks_is_used():
    for module, value in (
        (ResNet(3, 64, width=8), torch.randn(4, 3, 64, 64)),
        (DcganDecoder(5, 3, 32, width=16), torch.randn(4, 5)),
    ):
        module(value).square().sum().backward()
        assert all(p.grad is not None for p in module.parameters())
