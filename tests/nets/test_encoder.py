import pytest
import torch

from handvae.nets.encoder import GaussianHead, HeatmapHead, Trunk

close = torch.testing.assert_close


def test_each_stage_halves_the_picture():
    trunk = Trunk((4, 8, 8), kernel=4, refine=True, norm="group", slope=0.2)
    assert [tuple(f.shape[1:]) for f in trunk(torch.randn(2, 3, 32, 32))] == [
        (4, 16, 16),
        (8, 8, 8),
        (8, 4, 4),
    ]


@pytest.mark.parametrize("kernel", [3, 4])
def test_both_kernels_halve_exactly(kernel):
    trunk = Trunk((4, 4), kernel=kernel, refine=False, norm="batch", slope=0.0)
    assert trunk(torch.randn(1, 3, 64, 64))[-1].shape[-1] == 16


def test_the_gaussian_head_clamps_log_variances():
    head = GaussianHead(4, 3)
    with torch.no_grad():
        head.logvar.bias.copy_(torch.tensor([-1e4, 0.0, 1e4]))
        head.logvar.weight.zero_()
    variance = head(torch.randn(2, 1, 2, 2)).var
    close(variance[0].log(), torch.tensor([-15.0, 0.0, 5.0]))


# ------------------------------------------------------------------------------------------- ------ heat maps


@pytest.fixture
def heat():
    """A head whose heat maps are set by the test: a function from (joint, row, column, height) to mean and
    variance per joint."""

    def read(heights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        head = HeatmapHead((4, 4), heights.shape[1], levels=0, norm="group", slope=0.2).eval()
        head.heat.forward = lambda _: heights
        found = head([torch.zeros(len(heights), 4, 8, 8), torch.zeros(len(heights), 4, 4, 4)])
        return found.mean.unflatten(1, (-1, 2)), found.var.unflatten(1, (-1, 2))

    return read


def test_a_delta_gives_its_pixels_centre_and_no_variance(heat):
    heights = torch.full((1, 2, 8, 8), -1e4)
    heights[0, 0, 2, 5] = 0
    heights[0, 1, 7, 0] = 0
    mean, variance = heat(heights)
    close(mean[0], torch.tensor([[(5.5 / 4) - 1, (2.5 / 4) - 1], [(0.5 / 4) - 1, (7.5 / 4) - 1]]))
    assert variance.max() < 1e-6
    assert variance.min() >= 0


def test_two_equal_peaks_give_their_middle_and_their_spread(heat):
    heights = torch.full((1, 1, 8, 8), -1e4)
    heights[0, 0, 3, 1] = 0
    heights[0, 0, 3, 6] = 0
    mean, variance = heat(heights)
    close(mean[0, 0], torch.tensor([0.0, (3.5 / 4) - 1]))
    close(variance[0, 0], torch.tensor([(5 / 8) ** 2, 0.0]), atol=1e-6, rtol=1e-4)


def test_a_flat_map_is_as_uncertain_as_a_uniform_position(heat):
    mean, variance = heat(torch.zeros(1, 1, 64, 64))
    close(mean[0, 0], torch.zeros(2), atol=1e-5, rtol=0)
    close(variance[0, 0], torch.full((2,), 1 / 3), atol=1e-3, rtol=0)


def test_a_gaussian_peak_gives_its_mean_and_variance(heat):
    """Between pixels too: what an argmax could not."""
    centres = (torch.arange(64) + 0.5) / 32 - 1
    at, spread = torch.tensor([0.113, -0.271]), 0.1
    x, y = (centres - at[0]).square(), (centres - at[1]).square()
    mean, variance = heat(-(x[None, :] + y[:, None])[None, None] / (2 * spread**2))
    close(mean[0, 0], at, atol=1e-4, rtol=0)
    close(variance[0, 0], torch.full((2,), spread**2), atol=1e-4, rtol=0)


def test_finer_levels_give_finer_heat_maps():
    features = [torch.randn(1, width, size, size) for width, size in ((4, 16), (8, 8), (16, 4))]
    sizes = []
    for levels in (0, 1, 2):
        head = HeatmapHead((4, 8, 16), 21, levels=levels, norm="group", slope=0.2)
        head.heat.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
        assert head(features).mean.shape == (1, 42)
    assert sizes == [4, 8, 16]


def test_every_level_of_features_matters():
    torch.manual_seed(0)
    features = [torch.randn(1, width, size, size) for width, size in ((4, 16), (8, 8), (16, 4))]
    head = HeatmapHead((4, 8, 16), 21, levels=2, norm="group", slope=0.2)
    before = head(features).mean
    for level in range(3):
        changed = [feature * 0 if number == level else feature for number, feature in enumerate(features)]
        assert (head(changed).mean - before).abs().max() > 1e-5
