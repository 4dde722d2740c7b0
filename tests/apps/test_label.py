"""`handvae data label`: a folder of photos, or a video, becomes a data set to be looked at."""

import json

import cv2
import numpy as np
import pytest
import torch

from handvae.data.files.pictures import read_picture
from handvae.data.labelling import label as labelling
from handvae.data.readers.coco import CocoHands


@pytest.fixture(autouse=True)
def any_votes(monkeypatch):
    """A model without training disagrees with itself: here all its votes count."""
    monkeypatch.setattr(labelling, "SAME_HAND", 99.0)


@pytest.fixture
def photos(tiny_set, tmp_path):
    """Four drawn hands and a file that is none."""
    (tmp_path / "photos").mkdir()
    for number in range(4):
        name = f"{number:03d}.png"
        (tmp_path / "photos" / name).write_bytes((tiny_set / "images" / name).read_bytes())
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    return tmp_path / "photos"


def test_photos_become_a_set_with_spread_a_sheet_and_a_list_of_what_is_left_out(
    handvae, photos, tiny_model, tmp_path
):
    words = ("data", "label", photos, "--out", tmp_path / "set", "--model", tiny_model, "--most-spread", "9")
    code, said, error = handvae(*words)
    assert code == 0, error
    assert "4 hands from 5 pictures" in said
    data = CocoHands(tmp_path / "set", "train")
    labels = data.labels(torch.arange(4))
    assert labels.joint_spread is not None
    assert float(labels.joint_spread.min()) > 0
    assert json.loads(data.provenance_of(2))["file"] == "002.png"
    assert np.array_equal(data.picture(2), read_picture(photos / "002.png"))
    assert (
        tmp_path / "set" / "left_out.txt"
    ).read_text() == "broken.jpg\tunreadable: is not a picture that can be read\n"
    assert read_picture(tmp_path / "set" / "review.png").shape[0] == 160


def test_the_other_hand_is_read_through_a_mirror(handvae, photos, tiny_model, tmp_path):
    """A left hand's picture gives the mirror image of what the right hand's gives."""
    for path in photos.glob("*.png"):
        cv2.imwrite(str(path), cv2.imread(str(path))[:, ::-1])
    words = ("data", "label", photos, "--model", tiny_model, "--most-spread", "9", "--split", "all")
    assert handvae(*words, "--out", tmp_path / "left", "--side", "left")[0] == 0
    for path in photos.glob("*.png"):
        cv2.imwrite(str(path), cv2.imread(str(path))[:, ::-1])
    assert handvae(*words, "--out", tmp_path / "right")[0] == 0
    left, right = (CocoHands(tmp_path / side).labels(torch.arange(4)) for side in ("left", "right"))
    np.testing.assert_allclose(96 - left.joints_2d[..., 0].numpy(), right.joints_2d[..., 0].numpy(), atol=0.1)
    assert (left.side + right.side).tolist() == [1] * 4


def test_pictures_without_a_sure_label_leave_no_set(refused, photos, tiny_model, tmp_path):
    line = refused(
        "data", "label", photos, "--out", tmp_path / "set", "--model", tiny_model, "--most-spread", "1e-6"
    )
    assert "no picture gave a label, such as 000.png: unsure" in line
    assert not (tmp_path / "set").exists()


def test_mediapipe_that_is_not_there_is_a_users_error(refused, photos, tmp_path):
    line = refused(
        "data",
        "label",
        photos,
        "--out",
        tmp_path / "set",
        "--labeller",
        "mediapipe",
        "--python",
        tmp_path / "python",
    )
    assert "pip install mediapipe" in line


def test_what_label_writes_is_a_set_that_check_accepts(handvae, photos, tiny_model, tmp_path):
    assert (
        handvae(
            "data", "label", photos, "--out", tmp_path / "set", "--model", tiny_model, "--most-spread", "9"
        )[0]
        == 0
    )
    code, said, error = handvae("data", "check", tmp_path / "set")
    assert (code, "no fault" in said) == (0, True), error


def test_check_names_what_is_odd_and_still_ends_well(handvae, small_set):
    def flip(content):
        for row in content["annotations"]:
            row["hand_side"] = "left"

    code, said, error = handvae("data", "check", small_set(flip))
    assert code == 0
    assert "is called a left hand, and its fingers bend as a right hand's do" in error
    assert "no fault" in said


def test_check_reads_every_layout(handvae, tiny_set, tmp_path):
    assert (
        handvae("data", "convert", tiny_set, tmp_path / "set", "--format", "parquet", "--limit", "4")[0] == 0
    )
    code, said, _ = handvae("data", "check", tmp_path / "set")
    assert (code, "no fault" in said) == (0, True)
