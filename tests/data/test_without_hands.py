"""Pictures without hands, photos behind hands, and how both are mixed with labelled hands."""

import json

import cv2
import numpy as np
import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.crop import Crop, cut
from handvae.data.files.pictures import read_picture, write_picture
from handvae.data.mixture import open_training_data
from handvae.data.open import DataOptions, open_data
from handvae.data.over_photos import OverPhotos, Photos
from handvae.data.readers.rendered import RenderedHands, RenderPlan
from handvae.data.without_hands import KEEP_OFF, open_without_hands
from handvae.errors import UserError
from handvae.noise import Noise


@pytest.fixture
def photos(tmp_path):
    """A folder of three photos, one in a folder of its own; all are red."""
    root = tmp_path / "photos"
    for name in ("a.png", "b.jpg", "deeper/c.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(root / name, np.full((40, 60, 3), (200, 0, 0), np.uint8))
    return root


@pytest.fixture
def rendered():
    """Six drawn hands."""
    return RenderedHands(RenderPlan(6, size_px=32, cloud=0))


def test_photos_are_those_of_all_folders_below(photos):
    assert [path.name for path in Photos(photos).paths] == ["a.png", "b.jpg", "c.png"]


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no picture"):
        Photos(tmp_path)


def test_a_photo_stands_behind_the_hand_and_never_before_it(photos, rendered):
    over = OverPhotos(rendered, Photos(photos), share=1.0)
    for row in range(len(over)):
        before, after = rendered.picture(row), over.picture(row)
        classes = over.segmentation(row)

        # two pixels away from the outline nothing of the other picture is left
        inner = _eroded(classes > 0)
        outer = _eroded(classes == 0)
        assert (after[inner] == before[inner]).all()
        assert (np.abs(after[outer].astype(int) - (200, 0, 0)) <= 2).all()


def _eroded(mask: np.ndarray) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0


def test_which_hands_get_a_photo_depends_on_the_row_alone(photos, rendered):
    first, second = (OverPhotos(rendered, Photos(photos)) for _ in range(2))
    changed = [not np.array_equal(first.picture(row), rendered.picture(row)) for row in range(6)]

    assert any(changed)
    assert not all(changed)
    for row in range(6):
        assert np.array_equal(first.picture(row), second.picture(row))


def test_regions_of_photos_are_crops_without_a_hand(photos):
    data = open_without_hands([photos], None)
    rows = torch.arange(len(data))
    crops = cut(data, rows, Crop(16, margin=1.4))

    assert len(data) == 24
    assert not crops.require("present").any()
    joints = data.labels(rows).require("joints_2d")
    assert (joints >= 0).all()
    assert (joints.amax((0, 1)) <= torch.tensor([60.0, 40.0])).all()
    # square boxes, so that crops are cut round the whole region
    extent = joints.amax(1) - joints.amin(1)
    torch.testing.assert_close(extent[:, 0], extent[:, 1])


def test_regions_of_labelled_pictures_keep_off_all_their_hands(tiny_set):
    labelled = open_data(tiny_set, None)
    data = open_without_hands([tiny_set], None)
    assert len(data) > 0

    boxes: dict[str, list[torch.Tensor]] = {}
    for row in range(len(labelled)):
        boxes.setdefault(labelled.name(row), []).append(
            labelled.labels(torch.tensor([row])).require("joints_2d")[0]
        )

    regions = data.labels(torch.arange(len(data))).require("joints_2d")
    for row in range(len(data)):
        for joints in boxes[data.name(row)]:
            low, high = joints.amin(0), joints.amax(0)
            margin = KEEP_OFF * (high - low).max()
            apart = (regions[row].amin(0) > high + margin) | (regions[row].amax(0) < low - margin)
            assert apart.any()


def test_hands_and_pictures_without_are_mixed_by_share(tiny_set, photos):
    options = DataOptions(tiny_set, split=None, also_split=None, without_hands=(photos,), shares=(3.0, 1.0))
    data = open_training_data(options)
    present = data.labels(torch.arange(len(data))).require("present")

    assert present.float().mean() == pytest.approx(0.75, abs=0.02)


def test_what_a_set_lacks_of_validity_spread_and_presence_is_filled_in(tiny_set, rendered, tmp_path):
    """A set with spread of its labels and one without: those without are exact."""
    annotations = json.loads((tiny_set / "annotations.json").read_text())
    for annotation in annotations["annotations"]:
        annotation["keypoints_spread"] = [1.5] * 21
    root = tmp_path / "spread"
    root.mkdir()
    for file in tiny_set.rglob("*.*"):
        if file.is_file():
            target = root / file.relative_to(tiny_set)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    (root / "annotations.json").write_text(json.dumps(annotations))

    data = open_training_data(DataOptions(tiny_set, split=None, also=(root,), also_split=None))
    half = len(data) // 2
    spread = data.labels(torch.arange(len(data))).require("joint_spread")
    assert (spread[:half] == 0).all()
    assert (spread[half:] == 1.5).all()
    assert "present" not in dict(data.labels(torch.arange(1)).items())


def test_rough_changes_leave_recipes_without_them_as_they_were(tiny_set):
    data = open_data(tiny_set, None)
    rows = torch.arange(6)
    plain = cut(data, rows, Crop(32), Augment(), Noise(3))
    switched = cut(data, rows, Crop(32), Augment(any_turn=0.0, jpeg=0.0), Noise(3))

    assert torch.equal(plain.require("image"), switched.require("image"))


@pytest.mark.parametrize("change", ["occlude", "defocus", "motion", "grey", "jpeg"])
def test_each_rough_change_alters_pictures_and_no_label(tiny_set, change):
    data = open_data(tiny_set, None)
    rows = torch.arange(6)
    plain = cut(data, rows, Crop(32), Augment(), Noise(3))
    rough = cut(data, rows, Crop(32), Augment(**{change: 1.0}), Noise(3))

    assert torch.equal(plain.require("joints_2d"), rough.require("joints_2d"))
    different = (plain.require("image") - rough.require("image")).abs().flatten(1).amax(1) > 0
    assert different.float().mean() > 0.5
    assert torch.isfinite(rough.require("image")).all()


def test_turns_by_any_angle_go_all_round(tiny_set):
    data = open_data(tiny_set, None)
    rows = torch.arange(len(data))
    still = cut(data, rows, Crop(32), Augment(rotation_deg=0.0, scale=0.0, shift=0.0), Noise(3))
    turned = cut(
        data, rows, Crop(32), Augment(rotation_deg=0.0, scale=0.0, shift=0.0, any_turn=1.0), Noise(3)
    )

    # the direction from the wrist to the middle finger, before and after
    angles = []
    for crops in (still, turned):
        joints = crops.require("joints_2d")
        along = joints[:, 9] - joints[:, 0]
        angles.append(torch.atan2(along[:, 1], along[:, 0]))
    turn = torch.remainder(angles[1] - angles[0], 2 * torch.pi)
    quarters = torch.histc(turn, 4, 0, 2 * torch.pi)
    assert (quarters >= len(rows) / 16).all()


def test_photos_behind_hands_reach_training(photos, tmp_path, handvae):
    folder = tmp_path / "rendered"
    assert handvae("render", "-n", "8", "--size", "32", "--cloud", "0", "--out", str(folder))[0] == 0
    data = open_training_data(DataOptions(folder, backgrounds=photos))

    assert isinstance(data, OverPhotos)
    assert read_picture(photos / "a.png").shape == (40, 60, 3)
