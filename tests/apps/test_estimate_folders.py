"""`handvae estimate` on many files: what cannot be read is left out, what was read outlives a stop."""

import json

import numpy as np
import pytest

from handvae.apps import estimate
from handvae.apps.estimate_files import EstimateFolder
from handvae.data.files.pictures import read_picture, write_picture
from handvae.inference.samples import sample_photos


@pytest.fixture
def folder(tmp_path):
    """Three photos, a text that is called a photo, and an empty file."""
    root = tmp_path / "photos"
    root.mkdir()
    pixels = read_picture(sample_photos()[0])
    for name in "ace":
        write_picture(root / f"{name}.png", pixels)
    (root / "b.jpg").write_text("no picture")
    (root / "d.png").write_bytes(b"")
    return root


def test_one_bad_file_does_not_stop_a_folder(folder, handvae, tmp_path):
    code, _, error = handvae("estimate", folder, "--out", tmp_path / "out")
    assert code == 0
    assert "2 of 5 files are left out" in error
    assert "b.jpg" in error
    assert "d.png" in error
    content = json.loads((tmp_path / "out" / "estimate.json").read_text())
    assert len(content["hands"]) == 3
    assert not (tmp_path / "out" / "estimate.jsonl").exists()


def test_strictly_one_bad_file_stops_before_anything_is_written(folder, refused, tmp_path):
    assert "left out" in refused("estimate", folder, "--out", tmp_path / "out", "--strict")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_bad_files_is_refused(folder, refused, tmp_path):
    for name in "ace":
        (folder / f"{name}.png").write_bytes(b"")
    refused("estimate", folder, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_read_before_a_stop_is_there(folder, handvae, tmp_path, monkeypatch):
    read = estimate._read_and_write
    hands = []

    def stopped(*arguments):
        if len(hands) == 2:
            raise KeyboardInterrupt
        hands.append(read(*arguments))
        return hands[-1]

    monkeypatch.setattr(estimate, "_read_and_write", stopped)
    code, _, error = handvae("estimate", folder, "--out", tmp_path / "out")
    assert code == 130
    assert "estimate.jsonl" in error
    lines = (tmp_path / "out" / "estimate.jsonl").read_text().splitlines()
    assert [json.loads(line)["overlay"] for line in lines] == [hand["overlay"] for hand in hands]


def test_a_second_run_removes_the_files_of_the_first_and_no_others(folder, handvae, tmp_path):
    out = tmp_path / "out"
    assert handvae("estimate", folder, "--out", out)[0] == 0
    (out / "notes.png").write_bytes(b"mine")
    (folder / "e.png").unlink()
    assert handvae("estimate", folder, "--out", out)[0] == 0

    content = json.loads((out / "estimate.json").read_text())
    ours = {hand[field] for hand in content["hands"] for field in ("overlay", "plot_3d", "fitted_hand")}
    assert {path.name for path in out.iterdir()} == {*ours, "estimate.json", "notes.png"}


@pytest.mark.parametrize("name", ["../mine.txt", "/etc/hostname", "..", ""])
def test_an_earlier_list_cannot_name_files_elsewhere(name, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    out = tmp_path / "out"
    out.mkdir()
    (out / "estimate.json").write_text(json.dumps({"hands": [{"overlay": name}]}))
    EstimateFolder(out)
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"hands": 3}', '{"hands": [3, {"overlay": 7}]}'])
def test_a_list_that_is_none_of_ours_harms_nothing(text, tmp_path):
    (tmp_path / "estimate.json").write_text(text)
    folder = EstimateFolder(tmp_path)
    folder.add({"overlay": "x.png", "joints": np.zeros(2).tolist()})
    path = folder.finish({"model": "m"})
    assert json.loads(path.read_text()) == {"model": "m", "hands": [{"overlay": "x.png", "joints": [0, 0]}]}
