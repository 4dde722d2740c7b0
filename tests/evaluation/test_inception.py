"""Inception-v3 in the FID's variant: its shape, its names, its files. Its numbers where a weight file is at
hand."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from handvae.errors import UserError
from handvae.evaluation.inception import InceptionV3, load_inception, resize_like_tensorflow_1, with_weights


@pytest.fixture(scope="module")
def network() -> InceptionV3:
    torch.manual_seed(0)
    return InceptionV3().eval()


def test_its_size_is_that_of_the_published_network(network):
    """The network of torchvision without its auxiliary head has 23,834,568 parameters with 1000 classes;
    eight classes more are 16,392."""
    assert sum(parameter.numel() for parameter in network.parameters()) == 23_834_568 + 8 * 2049


def test_its_maps_have_the_published_sizes(network):
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_children():
        module.register_forward_hook(
            lambda module, given, made, name=name: shapes.update({name: tuple(made.shape[1:])})
        )
    with torch.no_grad():
        assert network(torch.rand(1, 3, 64, 48)).shape == (1, 2048)
    assert shapes == {
        "Conv2d_1a_3x3": (32, 149, 149), "Conv2d_2a_3x3": (32, 147, 147), "Conv2d_2b_3x3": (64, 147, 147),
        "Conv2d_3b_1x1": (80, 73, 73), "Conv2d_4a_3x3": (192, 71, 71),
        "Mixed_5b": (256, 35, 35), "Mixed_5c": (288, 35, 35), "Mixed_5d": (288, 35, 35),
        "Mixed_6a": (768, 17, 17),
        "Mixed_6b": (768, 17, 17), "Mixed_6c": (768, 17, 17), "Mixed_6d": (768, 17, 17),
        "Mixed_6e": (768, 17, 17),
        "Mixed_7a": (1280, 8, 8), "Mixed_7b": (2048, 8, 8), "Mixed_7c": (2048, 8, 8),
    }  # fmt: skip


def test_its_tensors_have_the_names_of_the_published_files(network):
    state = network.state_dict()
    assert len([name for name in state if name.endswith("conv.weight")]) == 94
    assert {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5d.branch_pool.conv.weight": (64, 288, 1, 1),
        "Mixed_6a.branch3x3dbl_3.bn.weight": (96,),
        "Mixed_6c.branch7x7_2.conv.weight": (160, 160, 1, 7),
        "Mixed_6c.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
        "Mixed_6e.branch7x7_3.conv.weight": (192, 192, 7, 1),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "fc.weight": (1008, 2048),
    }.items() <= {name: tuple(tensor.shape) for name, tensor in state.items()}.items()
    assert "Mixed_6a.branch_pool.conv.weight" not in state


def test_average_pools_leave_padding_out_and_the_last_takes_the_maximum(network):
    """On constant maps an average that counted padding would fall at the border."""
    flat = torch.ones(1, 192, 35, 35)
    pooled = network.Mixed_5b(flat)[0, -32:]
    torch.testing.assert_close(pooled[:, 0, 0], pooled[:, 17, 17])
    peak = torch.zeros(1, 2048, 8, 8)
    peak[..., 4, 4] = 1.0
    around = network.Mixed_7c(peak)[0, -192:, 3:6, 3:6]
    torch.testing.assert_close(around, around[:, :1, :1].expand(-1, 3, 3))


def test_the_resize_reads_place_i_times_in_over_out():
    row = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    torch.testing.assert_close(resize_like_tensorflow_1(row, 4)[0, 0, 0], torch.tensor([0.0, 0.5, 1.0, 1.0]))
    ramp = torch.arange(600.0).view(1, 1, 600, 1).expand(1, 1, 600, 5)
    torch.testing.assert_close(
        resize_like_tensorflow_1(ramp, 299)[0, 0, :, 0], torch.arange(299) * (600 / 299)
    )
    picture = torch.rand(1, 3, 299, 299)
    assert resize_like_tensorflow_1(picture, 299).equal(picture)


def test_the_batch_does_not_matter(network):
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(pictures)[1:], network(pictures[1:]), rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------ ----- files


def test_a_file_of_its_tensors_is_read(network, tmp_path):
    """Older files do not count batches."""
    state = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "w.pth")
    again = with_weights(tmp_path / "w.pth", "")
    assert again.Mixed_7c.branch_pool.bn.weight.equal(network.Mixed_7c.branch_pool.bn.weight)
    assert not again.training


class Mischief:
    def __reduce__(self):
        return (Path.touch, (Path("touched"),))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"fc.weight": torch.zeros(1008, 2048)}, "lacks Conv2d_1a_3x3.conv.weight"),
        ({"fc.weight": torch.zeros(3, 3)}, "holds no weights"),
        (Mischief(), "holds no weights"),
        ([1, 2], "holds no weights"),
    ],
)
def test_other_tensors_are_refused(content, fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=fault):
        with_weights(tmp_path / "w.pth", "get another")
    assert not (tmp_path / "touched").exists()


def test_a_tensor_too_many_is_refused(network, tmp_path):
    torch.save(network.state_dict() | {"AuxLogits.fc.bias": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"holds AuxLogits\.fc\.bias"):
        with_weights(tmp_path / "w.pth", "get another")


def test_a_file_of_another_hash_is_refused_unopened(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(
        UserError,
        match=r"SHA-256 begins with e3b0c442, .* with 6726825d; fetch pt_inception-2015-12-05-6726825d\.pth",
    ):
        load_inception(tmp_path / "w.pth")
    with pytest.raises(UserError, match="no such file"):
        load_inception(tmp_path / "none.pth")


def test_reference_activations():
    """$HANDVAE_INCEPTION is a folder with the weight file and `activations.npz`: 8-bit `images` (n, 3, h, w)
    and their `features`."""
    folder = Path(os.environ.get("HANDVAE_INCEPTION", "absent"))
    weights = sorted(folder.glob("*inception-2015-12-05-6726825d.pth"))
    if not weights or not (folder / "activations.npz").is_file():
        pytest.skip("no Inception weights and activations; set HANDVAE_INCEPTION to their folder")
    with np.load(folder / "activations.npz") as reference, torch.no_grad():
        found = load_inception(weights[0])(torch.from_numpy(reference["images"]).float() / 255)
        np.testing.assert_allclose(found, reference["features"], rtol=1e-3, atol=1e-3)
