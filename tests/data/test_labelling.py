"""Labels from views: what is agreed on, how far it spreads, what is left out; mediapipe's process; frames of
videos."""

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from handvae.data.files.frames import Frame, read_frames
from handvae.data.files.pictures import write_picture
from handvae.data.labelling.label import (
    TURNED,
    VIEWS,
    LabelledHand,
    Labeller,
    Review,
    View,
    label_pictures,
    vote,
)
from handvae.data.labelling.mediapipe import MediapipeLabeller
from handvae.errors import DataWarning, UserError
from handvae.hand import LEFT, RIGHT

HEIGHT, WIDTH = 90, 120
CORNERS = {(255, 0, 0): (40.0, 30.0), (0, 255, 0): (80.0, 40.0), (0, 0, 255): (55.0, 60.0)}
"""Coloured dots that a labeller can find in any view."""


def dotted() -> np.ndarray:
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for colour, (x, y) in CORNERS.items():
        cv2.circle(pixels, (int(x * 16 - 8), int(y * 16 - 8)), 4 * 16, colour, -1, cv2.LINE_AA, 4)
    return pixels


class Dots(Labeller):
    """Finds the dots' centres as joints 0 to 2, the others between them, moved by noise; green left of red is
    a left hand."""

    name = "dots"

    def __init__(self, noise_px: float = 0.0, solid: bool = False) -> None:
        self.noise_px, self.has_3d, self.rng = noise_px, solid, np.random.default_rng(0)

    def hands(self, pixels: np.ndarray) -> Sequence[LabelledHand]:
        centres = []
        for colour in CORNERS:
            away = np.abs(pixels.astype(int) - colour).sum(2)
            rows, columns = np.nonzero(away < 200)
            if not len(rows):
                return []
            centres.append((columns.mean() + 0.5, rows.mean() + 0.5))
        a, b, c = np.array(centres)
        share = np.linspace(0, 1, 18)[:, None]
        joints = np.concatenate([[a, b, c], a + share * (b - a)]) + self.rng.normal(0, self.noise_px, (21, 2))
        solid = np.column_stack([joints - joints[0], np.arange(21.0)]) if self.has_3d else None
        return [LabelledHand(joints, LEFT if b[0] < a[0] else RIGHT, solid)]


@pytest.mark.parametrize("view", [*VIEWS, *TURNED], ids=str)
def test_what_is_found_in_a_view_is_where_it_is_in_the_picture(view):
    pixels = dotted()
    (plain,), (seen,) = Dots(solid=True).hands(pixels), Dots(solid=True).hands(view.show(pixels))
    back = view.back(seen, HEIGHT, WIDTH)
    np.testing.assert_allclose(back.joints_2d, plain.joints_2d, atol=0.3)
    np.testing.assert_allclose(back.joints_3d, plain.joints_3d, atol=0.5)
    assert back.side == plain.side == RIGHT


def test_a_labeller_that_agrees_with_itself_has_no_spread():
    (one,) = vote(Dots(), dotted())
    np.testing.assert_allclose(one.hand.joints_2d[:3], list(CORNERS.values()), atol=0.3)
    assert one.spread_px.max() < 0.3
    assert one.views == len(VIEWS)
    assert one.hand.side == RIGHT


def test_the_spread_is_the_deviation_of_one_coordinate():
    labeller = Dots(noise_px=2.0)
    spreads = [vote(labeller, dotted())[0].spread_px for _ in range(40)]
    assert np.sqrt(np.mean(np.square(spreads))) == pytest.approx(2.0, abs=0.15)


class Shy(Dots):
    """Answers only the first pictures that it is shown."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.answers = answers

    def hands(self, pixels: np.ndarray) -> Sequence[LabelledHand]:
        self.answers -= 1
        return super().hands(pixels) if self.answers >= 0 else []


@pytest.mark.parametrize(("answers", "hands"), [(2, 0), (3, 1)])
def test_a_hand_must_be_found_again_in_half_of_the_views(answers, hands):
    assert len(vote(Shy(answers), dotted())) == hands


def test_joints_in_space_stand_about_the_wrist():
    (one,) = vote(Dots(solid=True), dotted())
    np.testing.assert_allclose(one.hand.joints_3d[0], 0, atol=1e-9)
    np.testing.assert_allclose(one.hand.joints_3d[1], [40, 10, 1], atol=0.5)


def test_what_is_left_out_is_named_with_its_reason():
    review = Review()
    pictures = [
        Frame("good", dotted()),
        Frame("empty", np.zeros((9, 9, 3), np.uint8)),
        Frame("bad", None, "is damaged"),
    ]
    kept = list(label_pictures(Dots(), pictures, review))
    assert [sample.provenance for sample, _ in kept] == [
        '{"file": "good", "labeller": "dots", "views": "6 of 6"}'
    ]
    assert review.pictures == 3
    assert review.left_out == [("empty", "no hand found"), ("bad", "unreadable: is damaged")]


def test_a_label_that_spreads_too_far_is_left_out():
    review = Review()
    assert list(label_pictures(Dots(noise_px=6.0), [Frame("a", dotted())], review, most_spread=0.05)) == []
    assert review.left_out[0][1].startswith("unsure: labels differ by")


# ---------------------------------------------------------------------------------------- mediapipe's process

HONEST = """
import sys, json
print("[]", flush=True)
while line := sys.stdin.buffer.readline():
    height, width = map(int, line.split())
    content = sys.stdin.buffer.read(height * width * 3)
    point = [content[0], content[-1]]
    hand = {"joints_2d": [point] * 21, "joints_3d": [[i, 1, 2] for i in range(21)], "side": "left"}
    print(json.dumps([hand]), flush=True)
"""


@pytest.fixture
def worker(tmp_path):
    """A program in place of mediapipe's."""

    def make(text: str) -> Path:
        (tmp_path / "worker.py").write_text(text)
        return tmp_path / "worker.py"

    return make


def test_pictures_go_to_the_process_and_hands_come_back(worker):
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    with MediapipeLabeller(worker=worker(HONEST)) as labeller:
        for _ in range(3):
            (hand,) = labeller.hands(pixels)
            assert hand.joints_2d[20].tolist() == [0, 59]
            assert hand.joints_3d[3].tolist() == [3, 0, 0]
            assert hand.side == LEFT
    assert labeller.process.poll() == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("raise SystemExit(1)", "has no mediapipe that works; python3 -m venv"),
        ("print('[]', flush=True)", "mediapipe's process has ended"),
        ("print('[]', flush=True); input(); print('[{}]', flush=True)", "mediapipe's process has ended"),
    ],
    ids=["absent", "dies", "nonsense"],
)
def test_a_process_that_fails_is_a_users_error(worker, text, complaint):
    def ask_thrice() -> None:
        with MediapipeLabeller(worker=worker(text)) as labeller:
            for _ in range(3):
                labeller.hands(np.zeros((300, 300, 3), np.uint8))

    with pytest.raises(UserError, match=complaint):
        ask_thrice()


def test_an_interpreter_that_is_not_there_is_a_users_error(tmp_path):
    with pytest.raises(UserError, match="cannot be run"):
        MediapipeLabeller(tmp_path / "python")


def test_this_environment_is_asked_where_none_is_named(worker):
    with MediapipeLabeller(worker=worker(HONEST)) as labeller:
        assert labeller.python == Path(sys.executable)


# ------------------------------------------------------------------------------------------- --------- frames


@pytest.fixture
def video(tmp_path):
    """Twelve frames, each of one grey."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(12):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    return path


def test_each_fifth_frame_of_a_video_is_taken(video):
    found = list(read_frames(video, every=5))
    assert [frame.name for frame in found] == ["film.avi frame 0", "film.avi frame 5", "film.avi frame 10"]
    assert [frame.pixels.mean() for frame in found] == pytest.approx([0, 100, 200], abs=3)


def test_a_file_that_only_claims_to_be_a_video_is_refused(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"no film" * 100)
    with pytest.raises(UserError, match="cannot be read as a video"):
        list(read_frames(tmp_path / "film.mp4"))


def test_a_bad_picture_is_named_and_the_others_are_read(tmp_path):
    write_picture(tmp_path / "b.png", dotted())
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    with pytest.warns(DataWarning, match=r"1 \.txt"):
        frames = list(read_frames(tmp_path))
    assert [(frame.name, frame.pixels is None) for frame in frames] == [("a.jpg", True), ("b.png", False)]


def test_large_pictures_are_shrunk_and_small_ones_kept(tmp_path):
    write_picture(tmp_path / "a.png", dotted())
    assert [next(read_frames(tmp_path, larger_side=side)).pixels.shape[:2] for side in (60, 0, 500)] == [
        (45, 60),
        (90, 120),
        (90, 120),
    ]


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no picture"):
        list(read_frames(tmp_path))


def test_views_are_named_once():
    assert len(set(VIEWS)) == len(VIEWS) == 6
    assert VIEWS[0] == TURNED[0] == View(False, 0.0)
