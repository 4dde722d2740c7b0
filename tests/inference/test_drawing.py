import numpy as np
import pytest
from PIL import Image

from handvae.hand import BONES
from handvae.inference.drawing import draw_skeleton, enlarge, grid, write_gif


def frames_of(path):
    with Image.open(path) as animation:
        found = []
        for number in range(animation.n_frames):
            animation.seek(number)
            found.append(np.asarray(animation.convert("RGB")).astype(int))
        return found


@pytest.fixture
def fading():
    """Six plain frames from dark red to light blue."""
    return [np.full((40, 40, 3), (30 + 20 * i, 80, 40 + 30 * i), np.uint8) for i in range(6)]


def test_an_animation_goes_there_and_back_without_showing_its_ends_twice(fading, tmp_path):
    write_gif(tmp_path / "a.gif", fading)
    shown = frames_of(tmp_path / "a.gif")
    assert len(shown) == 10
    for frame, wanted in zip(shown, [*fading, *fading[4:0:-1]], strict=True):
        assert np.abs(frame - wanted).max() <= 2


def test_an_animation_repeats_for_ever(fading, tmp_path):
    write_gif(tmp_path / "a.gif", fading, milliseconds=80)
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.info["loop"] == 0
        assert animation.info["duration"] == 80


def test_an_animation_keeps_the_colours_of_photos(tmp_path):
    columns, rows = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 64))
    smooth = [
        np.stack([120 + 100 * columns, 90 + 60 * rows, 60 + 10 * i + 40 * columns * rows], -1).astype(
            np.uint8
        )
        for i in range(4)
    ]
    write_gif(tmp_path / "a.gif", smooth)
    assert all(
        np.abs(shown - wanted).mean() < 6
        for shown, wanted in zip(frames_of(tmp_path / "a.gif"), smooth, strict=False)
    )


def test_a_skeleton_is_drawn_where_its_joints_are_and_nowhere_else():
    joints = np.random.default_rng(0).uniform(30, 90, (21, 2)).astype(np.float32)
    blank = np.zeros((120, 120, 3), np.uint8)
    drawn = draw_skeleton(blank, joints)
    assert blank.max() == 0  # the given picture stays
    lit = drawn.max(-1) > 0
    assert all(lit[int(y), int(x)] for x, y in joints)
    middles = [(joints[a] + joints[b]) / 2 for a, b in BONES]
    assert all(lit[int(y), int(x)] for x, y in middles)
    assert not lit[:20].any()
    assert not lit[:, :20].any()


@pytest.mark.parametrize("ground", [0, 250, 255], ids=["black", "the wrist's own white", "white"])
def test_the_wrist_is_seen_on_every_ground(ground):
    joints = np.full((21, 2), 150.0, np.float32)
    joints[0] = (60, 60)
    joints[[1, 5, 9, 13, 17]] = (60, 90)  # every bone of the wrist runs downwards
    drawn = draw_skeleton(np.full((200, 200, 3), ground, np.uint8), joints)
    assert np.abs(drawn[52:59, 52:69].astype(int) - ground).max() > 100


def test_a_larger_spread_is_drawn_as_a_larger_circle():
    joints = np.full((21, 2), 60.0, np.float32)
    blank = np.zeros((120, 120, 3), np.uint8)
    circles = [draw_skeleton(blank, joints, np.full(21, spread, np.float32)) for spread in (8, 30)]
    widths = [int(np.ptp((circle[60].max(-1) > 0).nonzero()[0])) for circle in circles]
    assert widths[0] == pytest.approx(16, abs=3)
    assert widths[1] == pytest.approx(60, abs=3)


@pytest.mark.parametrize(
    ("shape", "expected"), [((50, 100), (100, 200)), ((300, 150), (200, 100)), ((1, 400), (1, 200))]
)
def test_a_picture_is_scaled_to_its_larger_side(shape, expected):
    assert enlarge(np.zeros((*shape, 3), np.uint8), 200).shape[:2] == expected


def test_a_grid_places_each_picture_and_leaves_missing_ones_white():
    cells = [
        [np.full((10, 10, 3), 10 * (3 * row + column), np.uint8) for column in range(3 - row)]
        for row in range(2)
    ]
    sheet = grid(cells, gap=2)
    assert sheet.shape == (22, 34, 3)
    assert (sheet[12:22, 12:22] == 40).all()
    assert (sheet[12:22, 24:] == 255).all()
    assert (sheet[10:12] == 255).all()
