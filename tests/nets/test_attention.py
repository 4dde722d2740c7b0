"""Bricks of da-VAE: selective kernels, its ResNet-34 in two halves, the folded grid, the mask network."""

import pytest
import torch

from handvae.nets.attention import ResNetHead, SelectiveKernel
from handvae.nets.folding import HALF_SIDE, FoldingDecoder
from handvae.nets.mask import MaskNet, mask_loss, overlap
from handvae.nets.resnet import ResNetEntry

close = torch.testing.assert_close


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("branches", [2, 3])
def test_the_weights_of_a_selective_kernel_sum_to_one_over_its_branches(norm, branches):
    torch.manual_seed(0)
    kernel = SelectiveKernel(16, 32, stride=2, norm=norm, branches=branches)
    weights = kernel.weights(5 * torch.randn(4, 32, 3, 3))
    assert weights.shape == (4, branches, 32)
    close(weights.sum(1), torch.ones(4, 32))
    assert (weights[0] != weights[1]).any(), "each picture chooses for itself"
    assert weights.std() > 0.01


def test_a_selective_kernel_is_its_branches_weighed_channel_by_channel():
    torch.manual_seed(0)
    kernel, features = SelectiveKernel(8, 12, stride=2, norm="group"), torch.randn(3, 8, 8, 8)
    near, far = (branch(features) for branch in kernel.branches)
    weights = kernel.weights(near + far)
    expected = near * weights[:, 0, :, None, None] + far * weights[:, 1, :, None, None]
    close(kernel(features), expected)
    assert expected.shape == (3, 12, 4, 4)


def test_the_second_branch_looks_further_and_as_cheaply():
    kernel = SelectiveKernel(64, 64, stride=1, norm="batch")
    near, far = (branch[0] for branch in kernel.branches)
    assert [conv.dilation for conv in (near, far)] == [(1, 1), (2, 2)]
    assert near.groups == far.groups == 32
    spot = torch.zeros(1, 64, 9, 9)
    spot[..., 4, 4] = 1.0
    assert near(spot)[0, 0].nonzero().amin().item() == 3
    assert far(spot)[0, 0].nonzero().amin().item() == 2


@pytest.mark.parametrize("stem", ["quarter", "half"])
def test_entry_and_head_are_a_resnet_34(stem):
    """21,284,672 parameters: ResNet-34 without its classifier."""
    entry, head = ResNetEntry(3, stem=stem), ResNetHead(128, 256, 5, attention=False)
    assert parameters(entry) + parameters(head) - 2 * (512 * 5 + 5) == 21_284_672
    latent = ResNetHead(16, 32, 5, attention=True)(
        ResNetEntry(3, width=8, stem=stem)(torch.randn(2, 3, 64, 64))
    )
    assert latent.shape == (2, 5)


@pytest.mark.parametrize("attention", [True, False])
def test_every_parameter_of_a_head_is_used(attention):
    torch.manual_seed(0)
    head = ResNetHead(8, 16, 3, attention=attention)
    latent = head(torch.randn(4, 8, 8, 8))
    (latent.mean.square().sum() + latent.var.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in head.parameters())


def test_the_grid_folds_to_2025_points():
    torch.manual_seed(0)
    decoder = FoldingDecoder(32)
    clouds = decoder(torch.randn(2, 32))
    assert clouds.shape == (2, 2025, 3)
    assert not torch.equal(clouds[0], clouds[1]), "the code is heard"
    assert clouds[0].std(0).min() > 1e-4, "and so is the grid"
    assert decoder.grid.abs().max() == HALF_SIDE
    assert len(decoder.grid.unique(dim=0)) == 2025


def test_a_fold_is_a_net_on_code_and_point_side_by_side():
    torch.manual_seed(0)
    decoder, code = FoldingDecoder(6, hidden=16, grid=3), torch.randn(2, 6)
    points = decoder.grid.expand(2, 9, 2)
    for fold in (decoder.first, decoder.second):
        first = torch.nn.Linear(6 + points.shape[2], 16)
        with torch.no_grad():
            first.weight.copy_(torch.cat([fold.of_code.weight, fold.of_point.weight], 1))
            first.bias.copy_(fold.of_code.bias)
        points = fold.rest(first(torch.cat([code[:, None].expand(2, 9, 6), points], 2)))
    close(decoder(code), points)


@pytest.mark.parametrize(("size_px", "stem"), [(32, "quarter"), (64, "quarter"), (32, "half"), (64, "half")])
def test_a_mask_is_as_large_as_its_picture_and_every_parameter_is_used(size_px, stem):
    torch.manual_seed(0)
    net = MaskNet(size_px, width=8, stem=stem)
    logits = net(torch.rand(3, 3, size_px, size_px))
    assert logits.shape == (3, 1, size_px, size_px)
    mask_loss(logits, torch.zeros_like(logits)).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_the_mask_network_begins_as_a_resnet_34():
    net = MaskNet(256)
    assert parameters(net.entry) + parameters(net.deeper) == 21_284_672
    assert parameters(net) < 1.1 * 21_284_672, "its way back up is light"


def test_a_size_that_does_not_halve_is_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        MaskNet(48)


def test_the_overlap_of_two_masks():
    logits = torch.tensor([[3.0, -3.0, 3.0, -3.0], [3.0, 3.0, 3.0, 3.0], [-1.0, -1.0, -1.0, -1.0]]).view(
        3, 1, 2, 2
    )
    mask = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]).view(3, 1, 2, 2)
    close(overlap(logits, mask), torch.tensor([1 / 3, 1.0, 1.0]))
