"""Backgrounds: the same state paints the same scene, at any size; ranges are kept."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from handvae.render.surroundings.background import KINDS, BackgroundRanges, add_disc, blur, paint
from handvae.render.surroundings.environments import lattice
from handvae.render.surroundings.palette import LUMINANCE, light_colour, materials
from handvae.render.surroundings.textures import NAMES, VARIANTS, bank, choose


def only(kind: str, **ranges) -> BackgroundRanges:
    return replace(BackgroundRanges(), **{name: float(name == kind) for name in KINDS}, **ranges)


def painted(seed: int, size: int, ranges: BackgroundRanges) -> np.ndarray:
    return paint(np.random.default_rng(seed), size, ranges).colour


def brightness(colour: np.ndarray) -> float:
    """The mean that `brightness` speaks of: of roots, squared."""
    return float(np.sqrt(colour @ LUMINANCE).mean() ** 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_background_is_linear_light_of_the_size_asked_for(kind):
    background = paint(np.random.default_rng(3), 48, only(kind))
    assert background.kind == kind
    assert background.colour.shape == (48, 48, 3)
    assert background.colour.dtype == np.float32
    assert np.isfinite(background.colour).all()
    assert 0 <= background.colour.min() < background.colour.max() <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_state_paints_the_same_bytes_on_any_number_of_threads(kind):
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = painted(5, 160, only(kind))
        cv2.setNumThreads(4)
        four = painted(5, 160, only(kind))
    finally:
        cv2.setNumThreads(threads)
    assert one.tobytes() == four.tobytes()


def test_another_state_paints_another_scene():
    ranges = BackgroundRanges()
    assert len({painted(seed, 16, ranges).tobytes() for seed in range(20)}) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_is_the_same_at_another_size(kind):
    def coarse(colour: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(cv2.resize(colour, (32, 32), interpolation=cv2.INTER_AREA), (0, 0), 1)

    small, large = (
        np.stack([coarse(painted(seed, size, only(kind))) for seed in range(12)]) for size in (64, 128)
    )
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.99
    each = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(small, large, strict=True)]
    assert min(each) > 0.9


def test_as_many_draws_are_made_at_any_size():
    """What a generator draws next does not depend on the size painted before."""
    for kind in KINDS:
        after = []
        for size in (32, 96):
            generator = np.random.default_rng(11)
            paint(generator, size, only(kind))
            after.append(generator.random())
        assert after[0] == after[1], kind


def test_kinds_come_as_often_as_their_weights_say():
    ranges = replace(only("plain"), lights=3.0)
    generator = np.random.default_rng(0)
    kinds = [paint(generator, 8, ranges).kind for _ in range(400)]
    assert set(kinds) == {"plain", "lights"}
    assert kinds.count("lights") == pytest.approx(300, abs=35)


def test_brightness_stays_in_its_range_and_low_light_goes_below():
    wanted = {"brightness": (0.1, 0.2), "near_defocus": (0.01, 0.01)}
    levels = [brightness(painted(seed, 32, only("desk", low_light=0.0, **wanted))) for seed in range(30)]
    assert min(levels) > 0.07
    assert max(levels) < 0.25
    dark = [brightness(painted(seed, 32, only("desk", low_light=1.0, **wanted))) for seed in range(30)]
    assert max(dark) < 0.13
    assert np.mean(dark) < 0.5 * np.mean(levels)


def test_a_cast_colours_the_whole_picture():
    def tints(cast: float) -> np.ndarray:
        means = np.stack(
            [painted(seed, 32, only("plain", cast=cast, low_light=0.0)).mean((0, 1)) for seed in range(40)]
        )
        return np.log(means.max(1) / means.min(1))

    assert np.median(tints(1.0)) > 2 * np.median(tints(0.0))


def test_more_defocus_leaves_less_detail():
    def detail(radius: float) -> float:
        ranges = only("clutter", far_defocus=(radius, radius))
        return float(
            np.mean([np.abs(np.diff(painted(seed, 64, ranges), axis=1)).mean() for seed in range(10)])
        )

    assert detail(0.005) > 1.5 * detail(0.05)


@pytest.mark.parametrize(
    "wrong",
    [
        {"plain": -1.0},
        {"cast": 1.5},
        {"near_defocus": (0.0, 0.01)},
        {"brightness": (0.5, 0.1)},
        dict.fromkeys(KINDS, 0.0),
    ],
)
def test_impossible_ranges_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BackgroundRanges(**wrong)


def test_blur_spreads_a_point_over_a_disc_and_keeps_its_light():
    scene = np.zeros((21, 21, 3), np.float32)
    scene[10, 10] = 1
    spot = blur(scene, 3.0)[..., 0]
    assert spot.sum() == pytest.approx(1, abs=1e-5)
    assert (spot > 0).sum() == pytest.approx(np.pi * 9, rel=0.4)
    assert spot[10, 10] == pytest.approx(spot[10, 12])


def test_a_disc_covers_its_area_and_is_cut_at_the_edge():
    scene = np.zeros((100, 100, 3), np.float32)
    add_disc(scene, 0.5, 0.5, 0.2, np.ones(3, np.float32))
    assert scene[..., 0].sum() == pytest.approx(np.pi * 20**2, rel=0.06)
    add_disc(scene, -0.1, 1.05, 0.2, np.ones(3, np.float32))
    assert scene.shape == (100, 100, 3)
    assert scene[99, 0, 0] == 1


# ------------------------------------------------------------------------------------------ colours and tiles


def test_light_has_luminance_one_and_turns_from_red_to_blue():
    colours = [light_colour(kelvin) for kelvin in (2000, 3000, 4000, 6500, 9000, 15000)]
    assert all(colour @ LUMINANCE == pytest.approx(1, abs=1e-5) for colour in colours)
    warmth = [colour[0] / colour[2] for colour in colours]
    assert warmth == sorted(warmth, reverse=True)
    assert light_colour(6500) == pytest.approx(np.ones(3), abs=0.05)


def test_materials_reflect_no_more_than_falls_on_them():
    colours = materials(np.random.default_rng(0), 5000)
    assert colours.min() > 0
    assert colours.max() <= 0.85


def test_a_share_of_the_materials_is_vivid():
    def vivid(share: float) -> float:
        colours = materials(np.random.default_rng(1), 5000, vivid=share)
        return float((colours.min(1) / colours.max(1) < 0.35).mean())

    assert vivid(0.8) > vivid(0.2) + 0.3


def test_tiles_wrap_round_at_their_edges():
    """The step over the edge is like a step inside, for tiles without drawn borders."""
    for name in ("plaster", "marble", "weave", "grass", "leaves", "speckle"):
        first = NAMES.index(name) * VARIANTS
        tile = bank()[first : first + VARIANTS]
        inside = np.abs(np.diff(tile, axis=2)).mean()
        over = np.abs(tile[:, :, 0] - tile[:, :, -1]).mean()
        assert over < 1.5 * inside, name


def test_a_tile_is_chosen_from_the_kinds_named():
    generator = np.random.default_rng(0)
    chosen = {choose(generator, "wood", "books") for _ in range(200)}
    assert chosen == {
        NAMES.index(name) * VARIANTS + variant for name in ("wood", "books") for variant in range(VARIANTS)
    }


def test_noise_has_the_same_lattice_at_every_size():
    small, large = (lattice(np.random.default_rng(2), size) for size in (32, 128))
    assert (
        np.corrcoef(small.ravel(), cv2.resize(large, (32, 32), interpolation=cv2.INTER_AREA).ravel())[0, 1]
        > 0.98
    )
