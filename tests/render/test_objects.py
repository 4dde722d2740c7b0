"""Things in front of a hand: they cover little of it, are shaded, and lie the same at any size."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from handvae.render.surroundings.objects import KINDS, MOST_COVERED, Occluder, OccluderRanges, occluder

BOX = (0.2, 0.15, 0.85, 0.8)
"""Of the hand, as shares of the picture's side."""


def only(kind: str, **ranges) -> OccluderRanges:
    return replace(OccluderRanges(), **{name: float(name == kind) for name in KINDS}, **ranges)


def put(
    seed: int, ranges: OccluderRanges, size: int = 64, box: tuple[float, float, float, float] = BOX
) -> Occluder:
    left, top, right, bottom = (edge * size for edge in box)
    return occluder(np.random.default_rng(seed), size, (left, top, right, bottom), ranges)


def covered(thing: Occluder, box: tuple[float, float, float, float] = BOX) -> float:
    left, top, right, bottom = (round(edge * len(thing.alpha)) for edge in box)
    return float(thing.alpha[top:bottom, left:right].mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_is_light_and_shares(kind):
    for seed in range(10):
        thing = put(seed, only(kind))
        assert thing.kind == kind
        assert thing.colour.dtype == thing.alpha.dtype == thing.shadow.dtype == np.float32
        assert np.isfinite(thing.colour).all()
        assert thing.colour.min() >= 0
        assert thing.colour.max() < 4
        for share in (thing.alpha, thing.shadow):
            assert share.min() >= 0
            assert share.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "box", [BOX, (0.3, 0.1, 0.6, 0.9), (0.0, 0.0, 1.0, 1.0)], ids=["square", "tall", "whole"]
)
def test_no_thing_covers_more_than_a_third_of_the_hand(kind, box):
    greedy = only(kind, cover=(0.3, 0.3), blur=(0.0, 0.0))
    assert max(covered(put(seed, greedy, 64, box), box) for seed in range(60)) <= MOST_COVERED


@pytest.mark.parametrize("kind", ["ball", "card", "cup", "cloth"])
def test_large_things_cover_about_what_is_asked_for(kind):
    cover = [
        np.mean([covered(put(seed, only(kind, cover=(wanted, wanted)))) for seed in range(30)])
        for wanted in (0.05, 0.25)
    ]
    assert 0.005 < cover[0] < 0.06
    assert cover[1] > 2 * cover[0]


def test_most_things_are_in_front_of_the_hand():
    shares = [covered(put(seed, OccluderRanges())) for seed in range(100)]
    assert np.mean(np.array(shares) > 0.01) > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_state_puts_the_same_bytes_on_any_number_of_threads(kind):
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = put(5, only(kind), 160)
        cv2.setNumThreads(4)
        four = put(5, only(kind), 160)
    finally:
        cv2.setNumThreads(threads)
    for a, b in ((one.colour, four.colour), (one.alpha, four.alpha), (one.shadow, four.shadow)):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_lies_the_same_at_another_size(kind):
    def coarse(thing: Occluder) -> np.ndarray:
        seen = np.dstack([thing.colour * thing.alpha[..., None], thing.alpha, thing.shadow])
        return cv2.GaussianBlur(cv2.resize(seen, (32, 32), interpolation=cv2.INTER_AREA), (0, 0), 1)

    small, large = (
        np.stack([coarse(put(seed, only(kind), size)) for seed in range(12)]) for size in (64, 128)
    )
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.98


def test_kinds_come_as_often_as_their_weights_say():
    ranges = replace(only("ball"), cable=3.0)
    generator = np.random.default_rng(0)
    kinds = [occluder(generator, 8, (1.0, 1.0, 7.0, 7.0), ranges).kind for _ in range(400)]
    assert set(kinds) == {"ball", "cable"}
    assert kinds.count("cable") == pytest.approx(300, abs=35)


@pytest.mark.parametrize("kind", ["stick", "ball", "cup", "cloth"])
def test_round_things_are_lighter_on_one_side(kind):
    """Not flat stickers: brightness within the thing varies far more than a flat card's."""

    def variety(kind: str) -> float:
        spreads = []
        for seed in range(20):
            thing = put(seed, only(kind, cover=(0.2, 0.28)), 128)
            inside = thing.colour[thing.alpha > 0.99].mean(-1)
            if len(inside) > 30:
                spreads.append(inside.std() / inside.mean())
        return float(np.median(spreads))

    assert variety(kind) > 0.12


def test_the_shadow_lies_beside_the_thing():
    thing = put(1, only("ball", cover=(0.2, 0.28), blur=(0.0, 0.0)), 128)
    beside = thing.shadow[thing.alpha == 0]
    assert beside.max() > 0.05
    assert beside.mean() < 0.1


@pytest.mark.parametrize(
    "wrong", [{"cover": (0.1, 0.5)}, {"blur": (0.2, 0.1)}, {"stick": -1.0}, dict.fromkeys(KINDS, 0.0)]
)
def test_impossible_ranges_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OccluderRanges(**wrong)
