"""The finder: what its maps are to show, which hands count, and that it learns to find."""

from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.hands import Hands
from handvae.hand import LEFT, RIGHT
from handvae.noise import Noise
from handvae.systems.hand_finder import STRIDE, HandFinder, HandFinderConfig

SMALL = HandFinderConfig(widths=(8, 8, 16, 16), blocks=(0, 0, 0))
WHOLE = Crop(64, margin=1.0, box="picture")


@pytest.fixture
def finder(tiny_spec) -> HandFinder:
    """A small finder with seeded weights."""
    torch.manual_seed(0)
    return HandFinder(SMALL, tiny_spec, WHOLE)


def scene(
    middles: list[tuple[float, float]], size: float = 24, side: int = RIGHT, whole: bool = True
) -> Hands:
    """One 64 px scene of upright hands: joints on a cross, the middle finger's MCP above the wrist."""
    cross = torch.zeros(21, 2)
    cross[1], cross[2] = torch.tensor([-0.5, 0.0]), torch.tensor([0.5, 0.0])
    cross[0], cross[9] = torch.tensor([0.0, 0.5]), torch.tensor([0.0, -0.5])
    instances = torch.stack([cross * size + torch.tensor(middle) for middle in middles])[None]
    return Hands(
        image=torch.zeros(1, 3, 64, 64),
        instances=instances,
        instance_valid=torch.ones(1, len(middles), dtype=torch.bool),
        instance_side=torch.full((1, len(middles)), side),
        all_labelled=torch.tensor([whole]),
    )


def test_the_heat_is_one_at_middles_and_values_are_those_of_the_nearest_hand(finder):
    heat, weight, values, counted = finder.targets(scene([(12.0, 20.0), (50.0, 44.0)]), 8)

    assert (heat == 1).nonzero().tolist() == [[0, 2, 1], [0, 5, 6]]
    assert (weight == 1).all()
    # the middle lies at (1.5, 2.5) cells, the centre of its cell
    torch.testing.assert_close(values[0, :2, 2, 1], torch.tensor([0.0, 0.0]))
    torch.testing.assert_close(values[0, :2, 5, 6], torch.tensor([50 / 8 - 6.5, 44 / 8 - 5.5]))
    torch.testing.assert_close(values[0, 2:4, 5, 6].exp() * 64, torch.tensor([24.0, 24.0]))
    torch.testing.assert_close(values[0, 4:6, 2, 1], torch.tensor([0.0, -1.0]))
    assert values[0, 6, 2, 1] == 1
    assert (counted[0, 0] > 0).sum() >= 2


def test_a_hand_that_is_mostly_outside_is_neither_found_nor_background(finder):
    heat, weight, _, counted = finder.targets(scene([(-6.0, 32.0)], size=30), 8)

    assert (heat < 1).all()
    assert (counted == 0).all()
    assert (weight[0, :, 0] == 0).any()
    assert (weight[0, :, 7] == 1).all()


def test_too_small_a_hand_is_ignored(finder):
    heat, _, _, _ = finder.targets(scene([(32.0, 32.0)], size=5), 8)
    assert (heat < 1).all()


def test_pictures_with_hands_that_lack_labels_doubt_less(finder):
    _, weight, _, _ = finder.targets(scene([(12.0, 12.0)], whole=False), 8)
    assert weight[0, 7, 7] == pytest.approx(SMALL.unlabelled_weight)
    assert weight[0, 1, 1] == 1


def test_an_unknown_side_teaches_none(finder):
    _, _, _, counted = finder.targets(scene([(32.0, 32.0)], side=-1), 8)
    assert (counted[0, 0] > 0).any()
    assert (counted[0, 1] == 0).all()


def test_a_picture_of_no_hand_has_a_finite_loss(finder):
    empty = replace(scene([(32.0, 32.0)]), instance_valid=torch.zeros(1, 1, dtype=torch.bool))
    (phase,) = finder.step(empty, "all", Noise(0))
    assert torch.isfinite(phase.losses.total)


def test_learns_to_find_bright_squares(finder):
    """Bright squares are hands; those that are wide at the top are right ones."""
    generator = torch.Generator().manual_seed(0)

    def batch(count: int) -> Hands:
        scenes = []
        for _ in range(count):
            x, y = (12 + 40 * torch.rand(2, generator=generator)).tolist()
            size = float(14 + 14 * torch.rand(1, generator=generator))
            one = scene([(x, y)], size=size, side=LEFT)
            image = 0.1 * torch.rand(1, 3, 64, 64, generator=generator)
            half = size / 2
            image[..., int(y - half) : int(y + half), int(x - half) : int(x + half)] += 0.7
            scenes.append(replace(one, image=image))
        return Hands.cat(scenes)

    optimiser = torch.optim.Adam(finder.parameters(), 5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        (phase,) = finder.train().step(batch(16), "all", Noise(0))
        phase.losses.total.backward()
        optimiser.step()

    tests = batch(32)
    found = finder.eval().find(tests.require("image"), least=0.3, most=4)
    joints = tests.require("instances")[:, 0]
    near = []
    for hand, one in zip(joints, found, strict=True):
        middle, size = (hand.amin(0) + hand.amax(0)) / 2, (hand.amax(0) - hand.amin(0))
        near.append(len(one.score) >= 1 and float((one.middle[0] - middle).norm()) < STRIDE)
        if near[-1]:
            assert float((one.size[0] / size).log().abs().max()) < 0.6
    assert sum(near) >= 29


def test_candidates_are_sorted_and_limited(finder):
    found = finder.eval().find(torch.rand(2, 3, 64, 64), least=0.0, most=3)
    assert [len(one.score) for one in found] == [3, 3]
    for one in found:
        assert (one.score.diff() <= 0).all()
        assert ((one.right >= 0) & (one.right <= 1)).all()


def test_looks_at_whole_pictures_only(tiny_spec):
    with pytest.raises(ValueError, match="picture"):
        HandFinder(SMALL, tiny_spec, Crop(64))


@pytest.mark.parametrize(
    ("change", "words"),
    [({"widths": (8, 8, 8)}, "four numbers"), ({"blocks": (1,)}, "each stage"), ({"spot": 0.0}, "positive")],
)
def test_refuses_choices_that_make_no_network(change, words):
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **change)


def test_a_mirrored_picture_gives_the_mirrored_candidates(finder):
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    size_px = finder.crop.size_px
    found = finder.eval().find(image, 0.0, 5)
    for seen, mirrored in zip(found, finder.find(image.flip(-1), 0.0, 5), strict=True):
        torch.testing.assert_close(mirrored.score, seen.score, rtol=0, atol=1e-6)
        torch.testing.assert_close(mirrored.middle[:, 0], size_px - seen.middle[:, 0], rtol=0, atol=1e-4)
        torch.testing.assert_close(mirrored.middle[:, 1], seen.middle[:, 1], rtol=0, atol=1e-4)
        torch.testing.assert_close(mirrored.right, 1 - seen.right, rtol=0, atol=1e-6)
        torch.testing.assert_close(mirrored.angle.cos(), -seen.angle.cos(), rtol=0, atol=1e-5)
        torch.testing.assert_close(mirrored.angle.sin(), seen.angle.sin(), rtol=0, atol=1e-5)
