"""A mirrored picture gives mirrored joints: left and right hands are read alike."""

import json
from pathlib import Path

import numpy as np
import pytest

import handvae
from handvae.data.files.pictures import read_picture, write_picture
from handvae.inference.shipped import FINDER, LIFTER
from handvae.training.checkpoint import WEIGHTS

READERS = sorted(path.stem for path in WEIGHTS.glob("*.safetensors") if path.stem not in (LIFTER, FINDER))
"""Every shipped model that reads photos: a new one is tried by being shipped."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> tuple[Path, Path]:
    """A photo of a right hand and its mirror image."""
    folder = tmp_path_factory.mktemp("mirror")
    pixels = read_picture(Path(handvae.sample_photos()[0]))
    write_picture(folder / "right.png", pixels)
    write_picture(folder / "left.png", np.ascontiguousarray(pixels[:, ::-1]))
    return folder / "right.png", folder / "left.png"


def only(hands: list[handvae.Hand]) -> handvae.Hand:
    (hand,) = hands
    return hand


def labelled_folder(folder: Path, photos: tuple[Path, Path], sides: list[dict]) -> Path:
    """A photo in a folder whose annotation file labels several hands of it."""
    folder.mkdir()
    write_picture(folder / "two.png", read_picture(photos[0]))
    joints = only(handvae.estimate(photos[0], side="right")).joints_2d
    annotations = []
    for number, side in enumerate(sides):
        moved = (joints * 0.9 + 4 * number).round(2)
        triples = [value for x, y in moved.tolist() for value in (x, y, 2)]
        annotations.append({"id": number, "image_id": 1, "keypoints": triples, **side})
    height, width = read_picture(photos[0]).shape[:2]
    images = [{"id": 1, "file_name": "two.png", "width": width, "height": height}]
    (folder / "annotations.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder / "two.png"


@pytest.mark.parametrize("model", READERS)
def test_a_mirrored_photo_gives_mirrored_joints(model, photos):
    right, left = photos
    width = read_picture(right).shape[1]
    first = only(handvae.estimate(right, model=model, side="right"))
    second = only(handvae.estimate(left, model=model, side="left"))

    mirrored = first.joints_2d * [-1, 1] + [width, 0]
    assert np.abs(mirrored - second.joints_2d).max() < 0.05
    assert np.abs(first.spread_2d - second.spread_2d).max() < 0.05
    assert np.abs(first.joints_3d * [-1, 1, 1] - second.joints_3d).max() < 0.01
    assert np.abs(first.spread_3d - second.spread_3d).max() < 0.01


def test_the_side_of_a_mirrored_photo_is_the_other_one(photos):
    right, left = (only(handvae.estimate(photo)) for photo in photos)
    assert (right.side, left.side) == ("right", "left")
    assert left.side_score == pytest.approx(right.side_score, abs=1e-4)
    assert left.score == pytest.approx(right.score, abs=1e-4)


def test_mirrored_2d_joints_are_lifted_to_mirrored_ones(photos, tmp_path):
    joints = only(handvae.estimate(photos[0], side="right")).joints_2d
    for name, flat in (("right", joints), ("left", joints * [-1, 1] + [400, 0])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"keypoints": flat.tolist(), "hand_side": name}))

    first = only(handvae.estimate(tmp_path / "right.json", model=LIFTER))
    second = only(handvae.estimate(tmp_path / "left.json", model=LIFTER))
    assert np.abs(first.joints_3d * [-1, 1, 1] - second.joints_3d).max() < 1e-3
    assert np.abs(first.spread_3d - second.spread_3d).max() < 1e-3
    assert second.side == "left"


def test_all_hands_that_labels_beside_a_photo_name_are_read(photos, tmp_path):
    sides = [{"hand_side": "right"}, {"hand_side": "left"}, {}]
    photo = labelled_folder(tmp_path / "set", photos, sides)
    assert [hand.side for hand in handvae.estimate(photo)] == ["right", "left", "right"]
    assert [hand.side for hand in handvae.estimate(photo, side="left")] == ["right", "left", "left"]


def test_a_box_outranks_the_labels_beside_a_photo(photos, tmp_path):
    photo = labelled_folder(tmp_path / "set", photos, [{"hand_side": "right"}, {"hand_side": "left"}])
    height, width = read_picture(photo).shape[:2]
    assert len(handvae.estimate(photo, box=(width / 4, height / 4, width / 2, height / 2))) == 1
