"""Solids seen by a camera: where they are drawn, what hides what, where light and shadow fall."""

import numpy as np
import pytest

from handvae.render.surroundings.pieces import Place
from handvae.render.surroundings.solids import (
    BALL,
    BOX,
    CYLINDER,
    ROOM,
    Camera,
    SceneLight,
    cast,
    rectangles,
    solid,
)

WHITE = np.ones(3, np.float32)
RED = np.array([1, 0, 0], np.float32)
AHEAD = Camera((0, 0, 0), 0.0, 0.0, 0.5)
EVEN = SceneLight((0, 1e4, 0), np.zeros(3, np.float32), 1.0, WHITE, WHITE, contact_m=1e-3)
"""The same light from everywhere, no lamp."""


def seen(*solids, camera: Camera = AHEAD, light: SceneLight = EVEN, size: int = 64) -> np.ndarray:
    picture = np.zeros((size, size, 3), np.float32)
    cast(np.array(solids, np.float32), camera, light, picture)
    return picture


def glowing(form: int, centre, half, colour=WHITE, **surface) -> list:
    return solid(form, centre, half, colour, glow=1.0, tile_m=1e6, **surface)


def test_a_box_covers_the_pixels_that_pinhole_geometry_says():
    """Front face at 2 m, half a metre wide and high: half of the picture, whose edge is 1 m away there."""
    mask = seen(glowing(BOX, (0, 0, 3), (0.5, 0.5, 1)))[..., 0] > 0
    rows, columns = np.nonzero(mask)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (16, 47, 16, 47)
    assert mask.sum() == 32 * 32


@pytest.mark.parametrize(("form", "area"), [(BOX, 4.0), (BALL, np.pi), (CYLINDER, 4.0)])
def test_each_form_has_its_outline(form, area):
    """Far away, so that perspective does not matter; in units of half sizes squared."""
    camera = Camera((0, 0, -100), 0.0, 0.0, 0.02)
    mask = seen(glowing(form, (0, 0, 0), (1, 1, 0.5)), camera=camera, size=256)[..., 0] > 0
    assert mask.sum() / 64**2 == pytest.approx(area, rel=0.03)


def test_right_is_right_and_up_is_up():
    picture = seen(glowing(BALL, (1, 0.5, 4), (0.3, 0.3, 0.3)))[..., 0]
    rows, columns = np.nonzero(picture)
    assert columns.mean() == pytest.approx(64 * (0.5 + 0.25), abs=1)
    assert rows.mean() == pytest.approx(64 * (0.5 - 0.125), abs=1)


def test_a_camera_that_looks_down_sees_what_lies_below():
    camera = Camera((0, 2, 0), np.pi / 2, 0.0, 0.5)
    rows, columns = np.nonzero(seen(glowing(BALL, (0, 0, 0.5), (0.1, 0.1, 0.1)), camera=camera)[..., 0])
    assert columns.mean() == pytest.approx(31.5, abs=0.5)
    assert rows.mean() == pytest.approx(32 * (1 - 0.5), abs=1)


def test_the_nearer_solid_hides_the_farther_in_any_order():
    near, far = glowing(BALL, (0, 0, 2), (0.3, 0.3, 0.3), RED), glowing(BOX, (0, 0, 4), (3, 3, 0.1), WHITE)
    assert np.array_equal(seen(near, far), seen(far, near))
    assert seen(near, far)[32, 32].tolist() == pytest.approx(
        [1, 0, 0], abs=0.1
    )  # red, but for the tile's grain
    assert seen(near, far)[2, 2].min() > 0.8


def test_a_turned_solid_is_where_its_corners_are():
    """A long thin box turned by 90 degrees points along the line of sight."""
    across = seen(glowing(BOX, (0, 0, 4), (1, 0.2, 0.1)))[..., 0]
    along = seen(glowing(BOX, (0, 0, 4), (1, 0.2, 0.1), turn=np.pi / 2))[..., 0]
    assert np.ptp(np.nonzero(across)[1]) > 4 * np.ptp(np.nonzero(along)[1])


def test_rectangles_hold_every_pixel_that_a_solid_covers():
    generator = np.random.default_rng(0)
    for _ in range(60):
        camera = Camera((0, 1, 0), float(generator.uniform(-1, 1.5)), float(generator.uniform(-3, 3)), 0.5)
        row = glowing(
            int(generator.choice([BOX, CYLINDER, BALL])),
            tuple(generator.uniform(-2, 2, 3)),
            tuple(generator.uniform(0.1, 1, 3)),
            turn=1.0,
        )
        table = np.array([row], np.float32)
        left, top, right, bottom = rectangles(table, camera, 64)[0]
        everywhere = np.array([row, glowing(ROOM, (0, 0, 0), (50, 50, 50), RED)], np.float32)
        rows, columns = np.nonzero(seen(*everywhere, camera=camera)[..., 1])
        assert ((columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)).all()


def test_a_room_surrounds_the_camera():
    assert (seen(glowing(ROOM, (0, 0, 0), (2, 2, 2)))[..., 0] > 0).all()


def test_a_solid_behind_the_camera_is_not_seen():
    assert seen(glowing(BOX, (0, 0, -3), (1, 1, 1))).max() == 0


FLOOR = solid(BOX, (0, -1.5, 5), (20, 0.5, 20), WHITE, tile_m=1e6)
LAMP = SceneLight((0, 9, 5), WHITE, 10.0, np.zeros(3, np.float32), np.zeros(3, np.float32), contact_m=1e-3)


def test_a_ball_throws_its_shadow_on_the_floor_below_it():
    camera = Camera((0, 6, -1), 0.8, 0.0, 0.5)
    bare, shaded = (
        seen(FLOOR, camera=camera, light=LAMP),
        seen(FLOOR, solid(BALL, (0, 2, 5), (1, 1, 1), WHITE), camera=camera, light=LAMP),
    )
    dark = (bare[..., 0] > 0.1) & (shaded[..., 0] == 0)
    assert dark.sum() > 30
    assert np.array_equal(shaded[:4], bare[:4])


def test_light_fades_with_the_square_of_the_distance():
    def level(height: float) -> float:
        lamp = SceneLight((0, height - 1, 5), WHITE, 1.0, np.zeros(3, np.float32), np.zeros(3, np.float32))
        return float(seen(FLOOR, camera=Camera((0, 4, 5), np.pi / 2, 0.0, 0.05), light=lamp)[32, 32, 0])

    assert level(10.0) / level(20.0) == pytest.approx(4, rel=0.03)


def test_surfaces_darken_where_solids_meet():
    wide = SceneLight((0, 1e4, 0), np.zeros(3, np.float32), 1.0, WHITE, WHITE, contact_m=0.3)
    camera = Camera((0, 6, 5), np.pi / 2, 0.0, 0.5)
    picture = seen(
        FLOOR, solid(BOX, (0, -0.5, 5), (0.5, 0.5, 0.5), WHITE, tile_m=1e6), camera=camera, light=wide
    )[..., 0]
    assert picture[32, 39] < 0.9 * picture[32, 60]


def test_pieces_stand_in_the_frame_of_their_place():
    place = Place((1.0, 0.0, 2.0), np.pi / 2)
    assert place.world(0, 0, 1) == pytest.approx((2, 0, 2))
    inner = place.within(0, 0, 1, np.pi / 2)
    assert inner.world(1, 3, 0) == pytest.approx((1, 3, 2))
    inner.add(BOX, (0, 0, 0), (1, 1, 1), WHITE)
    assert len(place.solids) == 1
