"""The camera: a clean one is the tone curve alone, each effect does what its name says and only as often as
its share."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from handvae.render.surroundings.palette import LUMINANCE
from handvae.render.surroundings.sensor import CLEAN, SensorRanges, disc, expose, streak, tone

SHARES = [field.name for field in fields(SensorRanges) if field.type is float]


def scene(size: int = 64) -> np.ndarray:
    """A ramp from dark to light with a bright square and a coloured one."""
    light = np.repeat(np.linspace(0.02, 0.7, size, dtype=np.float32)[None, :, None], size, 0).repeat(3, 2)
    light[size // 4 : size // 2, size // 4 : size // 2] = 0.9
    light[size // 2 : 3 * size // 4, size // 2 : 3 * size // 4] = (0.5, 0.1, 0.05)
    return light


def shot(seed: int, light: np.ndarray, ranges: SensorRanges) -> np.ndarray:
    return expose(light, np.random.default_rng(seed), ranges)


def grey(level: float, size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), level, np.float32)


def test_a_clean_camera_is_the_tone_curve():
    assert np.array_equal(shot(0, scene(), CLEAN), np.floor(tone(scene()) * 255 + 0.5).astype(np.uint8))


def test_the_tone_curve_is_srgb_below_its_shoulder_and_never_reaches_beyond_white():
    dark = np.linspace(0, 0.59, 50, dtype=np.float32).reshape(1, -1, 1).repeat(3, 2)
    srgb = np.where(dark <= 0.0031308, 12.92 * dark, 1.055 * dark ** (1 / 2.4) - 0.055)
    assert tone(dark) == pytest.approx(srgb, abs=1e-5)
    bright = tone(np.linspace(0, 20, 500, dtype=np.float32).reshape(1, -1, 1).repeat(3, 2))[0, :, 0]
    assert (np.diff(bright) >= 0).all()
    assert bright[-1] <= 1
    assert bright.dtype == np.float32


@pytest.mark.parametrize("size", [64, 160])
def test_the_same_state_gives_the_same_bytes_on_any_number_of_threads(size):
    always = replace(SensorRanges(), **dict.fromkeys(SHARES, 1.0))
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = shot(4, scene(size), always)
        cv2.setNumThreads(4)
        four = shot(4, scene(size), always)
    finally:
        cv2.setNumThreads(threads)
    assert one.tobytes() == four.tobytes()
    assert one.shape == (size, size, 3)


def test_the_scene_is_not_changed():
    light = scene()
    shot(1, light, replace(SensorRanges(), **dict.fromkeys(SHARES, 1.0)))
    assert np.array_equal(light, scene())


@pytest.mark.parametrize("share", [share for share in SHARES if share not in {"low_light", "smear"}])
def test_an_effect_is_there_as_often_as_its_share_says(share):
    light = scene(96)
    plain = shot(0, light, CLEAN)
    counts = [
        sum(
            not np.array_equal(shot(seed, light, replace(CLEAN, **{share: value})), plain)
            for seed in range(100)
        )
        for value in (0.0, 0.3, 1.0)
    ]
    assert counts[0] == 0
    assert 15 <= counts[1] <= 45
    assert counts[2] >= 98


def test_switching_one_effect_on_leaves_the_draws_of_the_others():
    """The noise of a picture is the same with and without vignetting; at the centre nothing else differs."""
    noisy = replace(CLEAN, shot_noise=(0.05, 0.05))
    centre = np.s_[30:34, 30:34]
    flat, vignetted = (shot(9, grey(0.3), replace(noisy, vignette=value)) for value in (0.0, 1.0))
    assert np.abs(flat[centre].astype(int) - vignetted[centre]).max() <= 1


def test_exposure_multiplies_the_light():
    assert np.array_equal(shot(0, grey(0.1), replace(CLEAN, exposure=(2.0, 2.0))), shot(0, grey(0.2), CLEAN))


def test_warm_light_is_red_and_cold_light_blue():
    warm, cold = (
        shot(0, grey(0.2), replace(CLEAN, kelvin=(kelvin, kelvin)))[0, 0].astype(int)
        for kelvin in (4000.0, 10000.0)
    )
    assert warm[0] > warm[2] + 20
    assert cold[2] > cold[0] + 20


def test_the_corners_are_darker_than_the_centre_under_vignetting():
    picture = shot(0, grey(0.3), replace(CLEAN, vignette=1.0, vignette_depth=(0.5, 0.5)))
    assert picture[32, 32, 0] == pytest.approx(shot(0, grey(0.3), CLEAN)[0, 0, 0], abs=1)
    assert picture[0, 0, 0] == pytest.approx(255 * float(tone(grey(0.15))[0, 0, 0]), abs=3)


@pytest.mark.parametrize("size", [64, 256])
def test_noise_is_a_deviation_of_final_pixels(size):
    def deviation(level: float, **noise) -> float:
        """Of the light: that of the picture over the slope of the tone curve."""
        picture = shot(3, grey(level, size), replace(CLEAN, **noise)) / 255
        slope = float(tone(grey(level + 0.005))[0, 0, 0] - tone(grey(level - 0.005))[0, 0, 0]) / 0.01
        return float(picture.std()) / slope

    assert deviation(0.5, read_noise=(0.01, 0.01)) == pytest.approx(0.01, rel=0.08)
    assert deviation(0.5, shot_noise=(0.02, 0.02)) == pytest.approx(0.02 * 0.5**0.5, rel=0.08)
    assert deviation(0.25, shot_noise=(0.02, 0.02)) == pytest.approx(0.02 * 0.25**0.5, rel=0.08)
    assert deviation(
        0.25, shot_noise=(0.01, 0.01), low_light=1.0, low_light_gain=(3.0, 3.0)
    ) == pytest.approx(0.03 * 0.5, rel=0.08)


def test_smearing_leaves_blotches_of_colour():
    def neighbours(smear: float) -> float:
        picture = shot(3, grey(0.4), replace(CLEAN, shot_noise=(0.05, 0.05), smear=smear)).astype(np.float32)
        colour = picture[..., 0] - picture[..., 2]
        return float(np.corrcoef(colour[:, 1:].ravel(), colour[:, :-1].ravel())[0, 1])

    assert abs(neighbours(0.0)) < 0.1
    assert neighbours(1.0) > 0.4


@pytest.mark.parametrize(("name", "value"), [("defocus", "defocus_radius"), ("motion", "motion_length")])
def test_blur_takes_detail_away(name, value):
    def steepest(length: float) -> int:
        ranges = replace(CLEAN, **{name: 1.0, value: (length, length)})
        return int(np.abs(np.diff(shot(2, scene(), ranges).astype(int), axis=1)).max())

    assert steepest(0.02) > steepest(0.08)


def test_kernels_keep_the_light_and_have_the_length_asked_for():
    assert disc(2.5).sum() == pytest.approx(1)
    assert streak(9.0, 0.0).sum() == pytest.approx(1)
    flat = streak(9.0, 0.0)
    middle = len(flat) // 2
    assert flat[middle].sum() == pytest.approx(1)
    assert (flat[middle] > 0.5 * flat.max()).sum() == 9
    assert streak(9.0, np.pi / 2) == pytest.approx(flat.T, abs=1e-6)


def test_fringes_part_red_from_blue_away_from_the_centre():
    edge = grey(0.1, 128)
    edge[:, 100:] = 0.6
    picture = shot(0, edge, replace(CLEAN, aberration=1.0, aberration_length=(0.02, 0.02))).astype(int)
    assert np.abs(picture[64, :, 0] - picture[64, :, 2]).max() > 40
    assert np.abs(picture[64, 20:90, 0] - picture[64, 20:90, 2]).max() <= 1


def test_contrast_and_saturation_and_black_move_values_as_they_say():
    steep, flat = (
        shot(0, scene(), replace(CLEAN, contrast=(value, value))).astype(int) for value in (1.4, 0.7)
    )
    assert np.ptp(np.percentile(steep, [10, 90])) > 1.3 * np.ptp(np.percentile(flat, [10, 90]))
    colourless = shot(0, scene(), replace(CLEAN, saturation=(0.0, 0.0))).astype(int)
    assert np.ptp(colourless, axis=2).max() <= 1
    hazy = shot(0, grey(0.0), replace(CLEAN, black=(0.1, 0.1)))
    assert np.unique(hazy).tolist() == [26]


def test_sharpening_leaves_bright_and_dark_edges():
    edge = grey(0.1)
    edge[:, 32:] = 0.4
    plain, sharp = (shot(0, edge, replace(CLEAN, sharpen=value)).astype(int) for value in (0.0, 1.0))
    assert sharp.min() < plain.min()
    assert sharp.max() > plain.max()


def test_jpeg_of_lower_quality_is_further_from_the_picture():
    plain = shot(0, scene(), CLEAN).astype(int)
    off = [
        np.abs(shot(0, scene(), replace(CLEAN, jpeg=1.0, jpeg_quality=(quality, quality))) - plain).mean()
        for quality in (20.0, 60.0, 95.0)
    ]
    assert off == sorted(off, reverse=True)
    assert off[2] > 0


def test_colours_stay_in_their_order_through_jpeg():
    red = grey(0.0)
    red[..., 0] = 0.6
    assert shot(0, red, replace(CLEAN, jpeg=1.0)).mean((0, 1)) @ LUMINANCE < 80
    assert shot(0, red, replace(CLEAN, jpeg=1.0))[32, 32, 0] > 150


@pytest.mark.parametrize(
    "wrong",
    [
        {"jpeg": 1.2},
        {"jpeg_quality": (0.0, 50.0)},
        {"exposure": (2.0, 1.0)},
        {"motion_length": (float("nan"), 0.1)},
    ],
)
def test_impossible_ranges_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SensorRanges(**wrong)
