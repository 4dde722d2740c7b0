"""Where joints read from a crop lie in the whole picture, whatever crop was taken; a stand-in for the model
finds a bright dot."""

import json
import math
import os

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop, crop_affines
from handvae.data.files.pictures import read_picture, write_picture
from handvae.data.readers.coco import CocoHands
from handvae.geometry import apply_affine
from handvae.inference.crops import crop_square, labels_beside
from handvae.inference.locate import one_hand
from handvae.inference.reading import read_hand
from handvae.inference.result import Hand
from handvae.inference.square import Square
from handvae.noise import Noise
from handvae.systems.srv_vae import SrvVae
from handvae.systems.system import Prediction

DOT = (131.3, 62.8)
CIRCLE = torch.tensor(
    [[math.cos(turn), math.sin(turn)] for turn in np.linspace(0, 2 * math.pi, 21, endpoint=False)]
).float()


@pytest.fixture
def photo(tmp_path):
    """A picture of 200 x 120 px with one bright dot."""
    columns, rows = np.meshgrid(np.arange(200) + 0.5, np.arange(120) + 0.5)
    dot = 255 * np.exp(-((columns - DOT[0]) ** 2 + (rows - DOT[1]) ** 2) / (2 * 3.0**2))
    write_picture(tmp_path / "dot.png", np.repeat(dot.astype(np.uint8)[..., None], 3, 2))
    return tmp_path / "dot.png"


@pytest.fixture
def finder(build, monkeypatch):
    """A model that says: 21 joints on a circle of a fifth of the crop round the dot, each within a tenth."""

    def find(self, hands, inputs=()) -> Prediction:
        image = hands.require("image")
        weight = image[0].mean(0)
        centres = (torch.arange(len(weight)) + 0.5) * (2 / len(weight)) - 1
        at = torch.stack([weight.sum(0) @ centres, weight.sum(1) @ centres]) / weight.sum()
        return Prediction((at + 0.2 * CIRCLE)[None], torch.full((1, 21, 2), 0.1))

    monkeypatch.setattr(SrvVae, "predict_uncalibrated", find)
    return build()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    "box",
    [(100.0, 40.0, 60.0, 50.0), (120.0, 20.0, 30.0, 80.0)],
    ids=["wide", "tall"],
)
def test_a_joint_is_reported_where_it_is_in_the_picture(box, mirror, photo, finder):
    square = Square.of_box(box, 1.35)
    found = read_hand(finder, crop_square(photo, read_picture(photo), square, Crop(32), "a box", mirror))
    assert np.abs(found.joints_2d.mean(0) - DOT).max() < 0.6


def test_the_spread_is_scaled_back_with_the_joints(photo, finder):
    found = read_hand(finder, one_hand(photo, finder, (100.0, 40.0, 60.0, 50.0), "right"))
    radius = np.linalg.norm(found.joints_2d - found.joints_2d.mean(0), axis=1).mean()
    assert found.spread_2d.mean() == pytest.approx(radius / 2, rel=0.01)  # a tenth to a fifth


def test_a_box_is_cut_with_its_middle_in_the_middle(photo):
    square = Square.of_box((100.0, 40.0, 60.0, 50.0), 1.5)
    cut = crop_square(photo, read_picture(photo), square, Crop(32, 1.5), "a box")
    corners = torch.tensor([[[100.0, 65.0], [160.0, 65.0], [130.0, 65.0]]])
    placed = apply_affine(corners, cut.affine[None])[0]
    torch.testing.assert_close(placed[:, 0], torch.tensor([16 - 32 / 3, 16 + 32 / 3, 16.0]))
    torch.testing.assert_close(placed[:, 1], torch.full((3,), 16.0))


def test_the_labels_beside_a_photo_give_its_crop(tiny_set, build):
    cut = one_hand(tiny_set / "images" / "003.png", build())
    assert "annotations.json" in cut.located_by
    labels = CocoHands(tiny_set).labels(torch.tensor([3]))
    torch.testing.assert_close(cut.affine[None], crop_affines(labels, build().crop, None, Noise(0)))


def test_labels_beside_a_photo_that_are_of_other_photos_are_passed_over(tiny_set, small_set):
    folder = small_set()
    stranger = folder / "images" / "stranger.png"
    stranger.write_bytes((tiny_set / "images" / "020.png").read_bytes())
    assert labels_beside(folder / "images" / "002.png") is not None
    assert labels_beside(stranger) is None


def test_labels_that_are_written_again_are_read_again(small_set):
    folder = small_set()
    photo = folder / "images" / "002.png"
    before = labels_beside(photo)
    content = json.loads((folder / "annotations.json").read_text())
    for annotation in content["annotations"]:
        annotation["keypoints"][0] += 1.5
    (folder / "annotations.json").write_text(json.dumps(content))
    os.utime(folder / "annotations.json", ns=(1, 1))  # a clock that is coarser than this test
    after = labels_beside(photo)
    torch.testing.assert_close(after.joints_2d[:, 0, 0], before.joints_2d[:, 0, 0] + 1.5)


def test_the_overlay_marks_the_joints_on_the_enlarged_photo(photo):
    joints = np.stack(np.meshgrid(np.linspace(20, 180, 7), np.linspace(20, 100, 3)), -1).reshape(21, 2)
    black = np.zeros((120, 200, 3), np.uint8)
    dark = crop_square(photo, black, Square.of_picture(black), Crop(32), "the whole picture")
    drawn = Hand("right", joints, np.full(21, 1.0), dark).draw(600)
    assert drawn.shape == (360, 600, 3)
    assert all(drawn[round(y * 3), round(x * 3)].max() > 100 for x, y in joints)
    assert not drawn[:40].any()
