"""Hands followed over frames: a stand-in reader sees bright rectangles (see test_finding)."""

import json

import cv2
import numpy as np
import pytest

from bright_hands import picture
from handvae.data.files.films import FilmWriter, open_film
from handvae.errors import UserError
from handvae.inference.tracking import EVERY, PATIENCE, HandTracker, JointFilter

FPS = 25.0


def square(x, y=60, size=40):
    return (x, y - size // 2, x + size, y + size // 2)


def left_of(hand):
    return float(hand.hand.joints_2d[:, 0].min())


@pytest.fixture
def tracker(search):
    return HandTracker(search)


def test_a_moving_hand_keeps_its_number_and_is_followed_where_it_is(tracker):
    numbers, places = [], []
    for frame in range(20):
        (hand,) = tracker.update(picture(square(10 + 3 * frame)), frame / FPS)
        numbers.append(hand.track)
        places.append(left_of(hand))
    assert set(numbers) == {0}
    # at constant velocity smoothing delays nothing
    np.testing.assert_allclose(places[5:], 10 + 3 * np.arange(5, 20), atol=2.5)


def test_a_hand_that_comes_later_gets_the_next_number(tracker):
    tracks = []
    for frame in range(EVERY + 2):
        boxes = [square(20)] + ([square(140)] if frame >= 2 else [])
        tracks.append([hand.track for hand in tracker.update(picture(*boxes), frame / FPS)])
    assert tracks[:EVERY] == [[0]] * EVERY
    assert tracks[EVERY] == [0, 1]
    assert tracks[EVERY + 1] == [0, 1]


def test_a_hand_that_is_gone_for_a_moment_keeps_its_number_and_one_gone_for_long_does_not(tracker):
    def seen(frame, there):
        boxes = [square(20)] if there else []
        return [hand.track for hand in tracker.update(picture(*boxes), frame / FPS)]

    assert seen(0, True) == [0]
    assert seen(1, False) == []
    assert seen(2, True) == [0]
    for frame in range(3, 3 + PATIENCE + 1):
        assert seen(frame, False) == []
    assert seen(20, True) == [1]


def test_the_side_is_that_of_the_whole_track(tracker):
    red, white = (255, 120, 120), (255, 255, 255)
    sides = []
    for frame, colour in enumerate([red, red, red, white, red]):
        (hand,) = tracker.update(picture(square(60), colour=colour), frame / FPS)
        sides.append(hand.hand.side)
    assert sides == ["left"] * 5  # one doubtful frame does not turn it


def test_a_filter_trusts_what_is_read_surely_and_smooths_the_rest():
    generator = np.random.default_rng(0)
    truth = np.tile(np.linspace(0, 100, 21)[:, None], (1, 2)) + 50
    spread = np.full((21, 2), 3.0)
    filter_ = JointFilter.begin(truth, spread)
    errors, raw = [], []
    for _ in range(60):
        read = truth + generator.normal(0, 3, truth.shape)
        filter_.predict(1 / FPS)
        filter_.correct(read, spread)
        errors.append(np.abs(filter_.place - truth).mean())
        raw.append(np.abs(read - truth).mean())
    assert np.mean(errors[10:]) < 0.9 * np.mean(raw[10:])

    filter_.predict(1 / FPS)
    filter_.correct(truth + 30, np.full((21, 2), 1e-3))
    np.testing.assert_allclose(filter_.place, truth + 30, atol=0.1)


# ---------------------------------------------------------------------------------------------------- films


def write_film(path, frames):
    writer = FilmWriter(path, FPS)
    for frame in range(frames):
        writer.add(picture(square(20 + 2 * frame)))
    writer.close()


def test_a_film_is_written_whole_or_not_at_all(tmp_path):
    write_film(tmp_path / "a.mp4", 8)
    with open_film(tmp_path / "a.mp4") as film:
        frames = list(film.frames())
        assert film.fps == pytest.approx(FPS)
    assert len(frames) == 8
    assert [seconds for _, seconds in frames] == pytest.approx([number / FPS for number in range(8)])
    assert np.abs(frames[3][0].astype(int) - picture(square(26))).mean() < 6

    writer = FilmWriter(tmp_path / "b.mp4", FPS)
    writer.add(picture())
    writer.close(keep=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_what_is_no_film_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    with (
        pytest.raises(UserError, match=r"text\.mp4: cannot be read as a video"),
        open_film(tmp_path / "text.mp4"),
    ):
        pass


def test_estimate_of_a_film_writes_a_line_a_frame_and_skeletons(search, handvae, tmp_path):
    write_film(tmp_path / "clip.mp4", 8)
    code, said, error = handvae("estimate", tmp_path / "clip.mp4", "--out", tmp_path / "out")
    assert (code, error) == (0, "")
    assert "8 frames, 1 hand, " in said
    lines = [json.loads(line) for line in (tmp_path / "out" / "clip.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(8))
    assert lines[-1]["seconds"] == pytest.approx(7 / FPS)
    for line in lines:
        (hand,) = line["hands"]
        assert (hand["track"], hand["hand_side"]) == (0, "right")
        assert np.array(hand["keypoints"]).shape == (21, 2)
        assert np.array(hand["keypoints_3d_bone_units"]).shape == (21, 3)
    with open_film(tmp_path / "out" / "clip.mp4") as film:
        drawn = [pixels for pixels, _ in film.frames()]
    assert len(drawn) == 8
    assert cv2.cvtColor(drawn[4], cv2.COLOR_RGB2HSV)[..., 1].max() > 100  # fingers have colours
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"clip.jsonl", "clip.mp4"}


def test_options_of_photos_are_refused_for_a_film(search, refused, tmp_path):
    write_film(tmp_path / "clip.mp4", 2)
    clip, out = tmp_path / "clip.mp4", ("--out", tmp_path / "out")
    assert "--box: is of photos" in refused("estimate", clip, "--box", "1,1,9,9", *out)
    assert "give it by itself" in refused("estimate", clip, clip, *out)
    assert not (tmp_path / "out").exists()


def test_live_follows_a_camera_and_keeps_the_newest_frame(search, handvae, refused, tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    write_film(tmp_path / "clip.mp4", 8)
    words = ("--record", tmp_path / "seen.mp4", "--frames", 5, "--out", tmp_path / "live")
    code, said, error = handvae("live", "--camera", tmp_path / "clip.mp4", *words)
    assert (code, error) == (0, "")
    assert "5 frames, 1 hand, " in said
    assert len((tmp_path / "live" / "live.jsonl").read_text().splitlines()) == 5
    assert cv2.imread(str(tmp_path / "live" / "live.png")).shape == (120, 200, 3)
    assert (tmp_path / "seen.mp4").is_file()
    assert "neither a number nor a file" in refused(
        "live", "--camera", "nowhere.mp4", "--out", tmp_path / "x"
    )
