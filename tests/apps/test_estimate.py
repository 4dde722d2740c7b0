"""Where joints read from a crop lie in the whole picture, whatever crop was taken; a stand-in for the model
finds a bright dot."""

import math

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop, crop_affines
from handvae.data.files.pictures import write_picture
from handvae.data.readers.coco import CocoHands
from handvae.geometry import apply_affine
from handvae.inference.crops import crop_photo
from handvae.inference.reading import read_hand
from handvae.inference.result import Hand
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
    "box", [None, (100.0, 40.0, 60.0, 50.0), (120.0, 20.0, 30.0, 80.0)], ids=["whole", "wide", "tall"]
)
def test_a_joint_is_reported_where_it_is_in_the_picture(box, mirror, photo, finder):
    found = read_hand(finder, crop_photo(photo, box, Crop(32), mirror))
    assert np.abs(found.joints_2d.mean(0) - DOT).max() < 0.6


def test_the_spread_is_scaled_back_with_the_joints(photo, finder):
    found = read_hand(finder, crop_photo(photo, (100.0, 40.0, 60.0, 50.0), Crop(32)))
    radius = np.linalg.norm(found.joints_2d - found.joints_2d.mean(0), axis=1).mean()
    assert found.spread_2d.mean() == pytest.approx(radius / 2, rel=0.01)  # a tenth to a fifth


def test_a_whole_picture_is_read_again_round_what_was_found(photo, finder):
    once = read_hand(finder, crop_photo(photo, (0.0, 0.0, 200.0, 200.0), Crop(32)))
    again = read_hand(finder, crop_photo(photo, None, Crop(32)))
    assert "box of the joints found there" in again.crop.located_by
    assert once.spread_2d.mean() == pytest.approx(0.1 * 200 * 1.35 / 2, rel=0.01)
    box = 2 * 0.2 * 200 / 2  # of the circle found in the whole picture
    assert again.spread_2d.mean() == pytest.approx(0.1 * box * 1.35 / 2, rel=0.05)  # a closer look


def test_a_box_is_cut_with_its_middle_in_the_middle(photo):
    cut = crop_photo(photo, (100.0, 40.0, 60.0, 50.0), Crop(32, 1.5))
    corners = torch.tensor([[[100.0, 65.0], [160.0, 65.0], [130.0, 65.0]]])
    placed = apply_affine(corners, cut.affine[None])[0]
    torch.testing.assert_close(placed[:, 0], torch.tensor([16 - 32 / 3, 16 + 32 / 3, 16.0]))
    torch.testing.assert_close(placed[:, 1], torch.full((3,), 16.0))


def test_the_labels_beside_a_photo_give_its_crop(tiny_set):
    cut = crop_photo(tiny_set / "images" / "003.png", None, Crop(32))
    assert "annotations.json" in cut.located_by
    labels = CocoHands(tiny_set).labels(torch.tensor([3]))
    torch.testing.assert_close(cut.affine[None], crop_affines(labels, Crop(32), None, Noise(0)))


def test_labels_beside_a_photo_that_are_of_other_photos_are_passed_over(tiny_set, small_set):
    folder = small_set()
    stranger = folder / "images" / "stranger.png"
    stranger.write_bytes((tiny_set / "images" / "020.png").read_bytes())
    assert crop_photo(stranger, None, Crop(32)).located_by == "the whole picture"


def test_the_overlay_marks_the_joints_on_the_enlarged_photo(photo):
    joints = np.stack(np.meshgrid(np.linspace(20, 180, 7), np.linspace(20, 100, 3)), -1).reshape(21, 2)
    dark = crop_photo(photo, None, Crop(32))
    dark.pixels[:] = 0
    drawn = Hand("right", joints, np.full(21, 1.0), dark).draw(600)
    assert drawn.shape == (360, 600, 3)
    assert all(drawn[round(y * 3), round(x * 3)].max() > 100 for x, y in joints)
    assert not drawn[:40].any()
