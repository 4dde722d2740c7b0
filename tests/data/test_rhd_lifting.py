"""RHD's annotation without pictures: which hands, which split, what is missing."""

import json
import shutil

import pytest
import torch

from handvae.data.open import open_data
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT


def test_no_picture_and_no_mask_is_needed(own_copy):
    root, both = own_copy("rhd")
    for kind in ("color", "mask", "depth"):
        for split in ("training", "evaluation"):
            shutil.rmtree(root / split / kind)
    for split in ("train", "test"):
        data = open_data(root, split, "lifting")
        labels = data.labels(torch.arange(len(data)))
        assert labels.side.tolist() == [
            LEFT,
            RIGHT,
            RIGHT,
            RIGHT,
        ]  # the first frame's right hand is not seen; else a tie, which is right
        torch.testing.assert_close(labels.joints_3d, both[torch.arange(4), labels.side], atol=1e-3, rtol=0)
        assert "image" not in data.spec.modalities
        assert {data.split_of(row) for row in range(len(data))} == {split}


def test_the_evaluation_alone_is_divided_by_sample_number(own_copy):
    root, _ = own_copy("rhd", count=10)
    shutil.rmtree(root / "training")
    train, test = (open_data(root, split, "lifting") for split in ("train", "test"))
    assert [train.name(row) for row in range(len(train))] == [
        f"evaluation, frame {number:05d}" for number in range(8)
    ]
    assert [test.name(row) for row in range(len(test))] == [
        "evaluation, frame 00008",
        "evaluation, frame 00009",
    ]
    assert "80%" in test.remarks[0]
    assert len(open_data(root, None, "lifting")) == 10


def test_an_annotation_that_is_missing_is_named(own_copy):
    root, _ = own_copy("rhd")
    for split in ("training", "evaluation"):
        (root / split / f"anno_{split}.pickle").unlink()
    with pytest.raises(UserError, match=r"anno_evaluation\.pickle"):
        open_data(root, "test", "lifting")


def test_the_real_annotation_holds_its_2728_hands(data_root):
    if not (data_root / "rhd" / "evaluation").is_dir():
        pytest.skip(f"no rhd under {data_root}")
    sizes = {split: len(open_data(data_root / "rhd", split, "lifting")) for split in ("train", "test", None)}
    assert sizes == {"train": 2182, "test": 546, None: 2728}


def reproduce(table, data, out, *more):
    return ["reproduce", table, "--data", data, "--out", out, "--steps", 1, *more]


def test_data_without_pictures_train_the_rows_that_need_none(handvae, refused, tiny_set, laid_out, tmp_path):
    root, _ = laid_out("rhd")
    lifting = ("--protocol", "lifting")
    code, said, error = handvae(*reproduce("cm-vae-table2", root, tmp_path, *lifting))
    assert code == 0, error
    found = json.loads((tmp_path / "laptop" / "cm-vae-table2" / "report.json").read_text())
    assert [row["name"] for row in found["rows"]] == [
        "Var. 3, 2D to 3D",
        "T+S, 2D to 3D",
        "T+H, 2D to 3D",
        "T, 2D to 3D",
    ]
    assert "as these data lack what they need" in said
    line = refused(*reproduce("cm-vae-table2", root, tmp_path / "other", *lifting, "--rows", "T, RGB to 3D"))
    assert "image" in line
    assert "does for no row" in refused(*reproduce("cm-vae-depth", root, tmp_path / "other", *lifting))
    assert "no protocol" in refused(*reproduce("cm-vae-table2", tiny_set, tmp_path / "other", *lifting))


def test_a_page_is_written_where_there_are_no_pictures(laid_out, handvae, tmp_path):
    words = ("--protocol", "lifting", "--metrics", "pose", "--report", tmp_path)
    code, _, error = handvae("evaluate", "lifting", laid_out("rhd")[0], *words)
    assert code == 0, error
    page = (tmp_path / "report.html").read_text()
    assert "The worst: labels above" in page
    assert "Pictures of lifting" in page  # its own sheet is of joints
