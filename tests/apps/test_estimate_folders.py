"""`handvae estimate` on many files: what cannot be read is left out, what was read outlives a stop."""

import json

import numpy as np
import pytest

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
    assert "b.jpg" in refused("estimate", folder, "--out", tmp_path / "out", "--strict")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_bad_files_is_refused(folder, refused, tmp_path):
    for name in "ace":
        (folder / f"{name}.png").write_bytes(b"")
    refused("estimate", folder, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_read_before_a_stop_is_there(folder, handvae, tmp_path, monkeypatch):
    hands = []
    add = EstimateFolder.add

    def stopped(self, entry):
        if len(hands) == 2:
            raise KeyboardInterrupt
        hands.append(entry)
        add(self, entry)

    monkeypatch.setattr(EstimateFolder, "add", stopped)
    code, _, error = handvae("estimate", folder, "--out", tmp_path / "out")
    assert code == 130
    assert "estimate.jsonl" in error
    lines = (tmp_path / "out" / "estimate.jsonl").read_text().splitlines()
    assert [json.loads(line)["overlay"] for line in lines] == [hand["overlay"] for hand in hands]


def test_a_second_run_removes_the_files_of_the_first_and_no_others(folder, handvae, tmp_path):
    out = tmp_path / "out"
    assert handvae("estimate", folder, "--draw", "all", "--out", out)[0] == 0
    assert len([path for path in out.iterdir() if path.name.endswith("_3d.png")]) == 3
    (out / "notes.png").write_bytes(b"mine")
    (folder / "e.png").unlink()
    assert handvae("estimate", folder, "--out", out)[0] == 0

    content = json.loads((out / "estimate.json").read_text())
    ours = {hand[field] for hand in content["hands"] for field in ("overlay",)}
    assert {path.name for path in out.iterdir()} == {*ours, "estimate.json", "notes.png"}


@pytest.mark.parametrize("name", ["../mine.txt", "/etc/hostname", "..", ""])
def test_an_earlier_list_cannot_name_files_elsewhere(name, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    out = tmp_path / "out"
    out.mkdir()
    (out / "estimate.json").write_text(json.dumps({"hands": [{"overlay": name}]}))
    EstimateFolder(out).add_empty("photo.jpg")
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"hands": 3}', '{"hands": [3, {"overlay": 7}]}'])
def test_a_list_that_is_none_of_ours_harms_nothing(text, tmp_path):
    (tmp_path / "estimate.json").write_text(text)
    folder = EstimateFolder(tmp_path)
    folder.add({"overlay": "x.png", "joints": np.zeros(2).tolist()})
    path = folder.finish({"model": "m"})
    assert json.loads(path.read_text()) == {
        "model": "m",
        "hands": [{"overlay": "x.png", "joints": [0, 0]}],
        "without_hand": [],
    }


def test_a_picture_without_a_hand_is_said_so_and_is_no_error(handvae, tmp_path):
    write_picture(tmp_path / "grey.png", np.full((90, 120, 3), 128, np.uint8))
    code, said, error = handvae("estimate", tmp_path / "grey.png", "--out", tmp_path / "out")
    assert (code, error) == (0, "")
    assert "no hand found" in said
    content = json.loads((tmp_path / "out" / "estimate.json").read_text())
    assert content["hands"] == []
    assert content["without_hand"] == [str(tmp_path / "grey.png")]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["estimate.json"]


def test_a_refused_run_leaves_the_files_of_the_last_one(folder, handvae, refused, tmp_path):
    out = tmp_path / "out"
    assert handvae("estimate", folder / "a.png", "--out", out)[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    refused("estimate", folder / "b.jpg", "--out", out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("draw", "names"), [("none", []), ("2d", [".png"]), ("all", [".png", "_3d.png", "_hand.png"])]
)
def test_only_what_is_asked_for_is_drawn(draw, names, folder, handvae, tmp_path):
    out = tmp_path / "out"
    assert handvae("estimate", folder / "a.png", "--draw", draw, "--out", out)[0] == 0
    assert {path.name for path in out.iterdir()} == {"estimate.json", *(f"a{name}" for name in names)}
