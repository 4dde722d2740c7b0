import numpy as np
import pytest
import torch

from handvae.data.crop import Crop, cut
from handvae.data.files.pictures import read_picture
from handvae.data.open import open_data
from handvae.inference.data_sheet import MARGIN, TILE, data_sheet


def test_the_info_of_the_photos_names_splits_people_and_ranges(handvae, real_photos):
    code, said, _ = handvae("data", "info", real_photos)
    said = " ".join(said.split())
    assert code == 0
    assert "hands 1859 (0 left, 1859 right)" in said
    assert "splits test 343, train 1516" in said
    assert "people 192" in said
    assert "100 x 100" in said
    assert "licence Apache-2.0" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "rhd",
            [
                "104 (",
                "layout rhd",
                "image, segmentation, mask",
                "320 x 320",
                "2,624 of 2,728 hands",
                "no commercial use",
            ],
        ),
        ("formats/coco", ["10 (5 left, 5 right)", "layout mmpose", "non-commercial"]),
        ("formats/freihand", ["8 (0 left, 8 right)", "224 x 224"]),
        ("formats/interhand2.6m", ["6 (3 left, 3 right)", "334 x 512", "people 4", "CC-BY-NC 4.0"]),
        ("formats/onehand10k", ["4 (side not known)", "labelled joints 75.0 %"]),
        ("formats/panoptic", ["4 (2 left, 2 right)", "1280 x 720"]),
        ("formats/rhd", ["3 (2 left, 1 right)", "intrinsics"]),
    ],
)
def test_the_info_of_every_real_sample_is_printed_and_its_sheet_drawn(
    name, words, handvae, data_root, tmp_path
):
    if not (data_root / name).is_dir():
        pytest.skip(f"no {name} under {data_root}")
    code, said, error = handvae("data", "info", data_root / name, "--out", tmp_path / "sheet.png")
    assert (code, error) == (0, "")
    said = " ".join(said.split())
    assert [word for word in words if word not in said] == []
    assert read_picture(tmp_path / "sheet.png").std() > 20


def test_a_folder_that_is_no_data_set_is_refused_with_the_layouts_that_are(refused, tmp_path):
    line = refused("data", "info", tmp_path)
    assert "annotations.json" in line
    assert "docs/data.md" in line


def test_an_unknown_protocol_is_refused(refused, tiny_set):
    assert "no protocol 'best'" in refused("data", "info", tiny_set, "--protocol", "best")


def test_a_sheet_that_is_no_picture_is_refused(refused, tiny_set, tmp_path):
    assert "end its name in" in refused("data", "info", tiny_set, "--out", tmp_path / "sheet.txt")
    assert list(tmp_path.iterdir()) == []


def test_the_sheet_draws_over_every_joint_and_little_else(tiny_set):
    data = open_data(tiny_set)
    drawn = data_sheet(data, 1)
    assert drawn.shape == (TILE, TILE, 3)
    hands = cut(data, torch.tensor([0]), Crop(TILE, margin=MARGIN))
    plain = hands.image[0].permute(1, 2, 0).numpy() * 255
    changed = np.abs(drawn - plain).max(2) > 8
    x, y = hands.joints_2d[0].long().unbind(-1)
    assert changed[y, x].all()
    assert changed.mean() < 0.25


def test_a_sheet_has_eight_pictures_a_row(tiny_set):
    assert data_sheet(open_data(tiny_set), 20).shape == (3 * (TILE + 2) - 2, 8 * (TILE + 2) - 2, 3)
