"""Pictures and frames of a video, one after another."""

import cv2
import numpy as np
import pytest

from handvae.data.files.frames import read_frames
from handvae.errors import DataWarning, UserError


def test_a_folder_is_read_in_order_of_name_and_a_bad_picture_is_a_frame_with_a_fault(tmp_path):
    for name, value in (("b.png", 2), ("a.png", 1)):
        cv2.imwrite(str(tmp_path / name), np.full((4, 4, 3), value, np.uint8))
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not asked for")
    with pytest.warns(DataWarning, match="1 .txt"):
        found = list(read_frames(tmp_path))
    assert [frame.name for frame in found] == ["a.png", "b.png", "c.jpg"]
    assert [None if frame.pixels is None else int(frame.pixels[0, 0, 0]) for frame in found] == [1, 2, None]
    assert found[2].fault == "is not a picture that can be read"


def test_large_pictures_are_shrunk_in_proportion(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((50, 100, 3), np.uint8))
    (frame,) = read_frames(tmp_path, larger_side=40)
    assert frame.pixels is not None
    assert frame.pixels.shape == (20, 40, 3)


def test_a_video_is_read_every_so_many_frames(tmp_path):
    path = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 24))
    for number in range(7):
        writer.write(np.full((24, 32, 3), 30 * number, np.uint8))
    writer.release()
    found = list(read_frames(path, every=3))
    assert [frame.name for frame in found] == ["walk.avi frame 0", "walk.avi frame 3", "walk.avi frame 6"]
    assert [round(float(frame.pixels.mean()) / 30) for frame in found if frame.pixels is not None] == [
        0,
        3,
        6,
    ]


def test_a_damaged_video_is_refused_and_its_decoder_says_nothing_of_its_own(tmp_path, capfd):
    (tmp_path / "walk.mp4").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be read as a video"):
        list(read_frames(tmp_path / "walk.mp4"))
    assert capfd.readouterr().err == ""
