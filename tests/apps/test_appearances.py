"""Named appearances, folders of photos and their mean, in every command that takes an appearance."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from handvae.data.files.pictures import read_picture
from handvae.inference.appearance import read_appearance
from handvae.training.appearances import NamedAppearance, write_named_appearances
from handvae.training.checkpoint import load_model


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with two named appearances."""
    path = Path(shutil.copy(tiny_model, tmp_path / "m.safetensors"))
    write_named_appearances(
        path,
        {
            "one": NamedAppearance(torch.tensor([2.0, 0, 0, 0]), ""),
            "two": NamedAppearance(torch.tensor([0, -2.0, 1, 0]), ""),
        },
    )
    return path


@pytest.fixture
def run(handvae, model):
    def call(*words: object) -> str:
        code, said, error = handvae(*words, "--model", model)
        assert code == 0, error
        return said

    return call


def test_a_name_gives_its_appearance_to_all_pictures(run, tmp_path):
    for name in ("one", "two"):
        run("synthesize", "--pose", "open", "-n", 2, "--appearance", name, "--out", tmp_path / name)
    pictures = [
        read_picture(tmp_path / name / "images" / f"00000{n}.png") for name in ("one", "two") for n in (1, 2)
    ]
    assert (pictures[0] == pictures[1]).all()
    assert (pictures[2] == pictures[3]).all()
    assert (pictures[0] != pictures[2]).any()
    noted = json.loads((tmp_path / "two" / "annotations.json").read_text())["images"][0]["provenance"][
        "appearance"
    ]
    assert noted == "two"


def test_the_library_gives_all_named_appearances_in_turn(run, tmp_path):
    run("synthesize", "--pose", "open", "-n", 3, "--appearance", "library", "--out", tmp_path / "all")
    images = json.loads((tmp_path / "all" / "annotations.json").read_text())["images"]
    assert [image["provenance"]["appearance"] for image in images] == ["one", "two", "one"]


def test_a_folder_of_photos_gives_the_mean_of_their_appearances(model, tiny_set, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("001.png", "020.png"):
        shutil.copy(tiny_set / "images" / name, tmp_path / "photos" / name)
    loaded = load_model(model)
    mean, said = read_appearance(str(tmp_path / "photos"), loaded)
    each = [read_appearance(str(tmp_path / "photos" / name), loaded)[0] for name in ("001.png", "020.png")]
    torch.testing.assert_close(mean, (each[0] + each[1]) / 2)
    assert (each[0] - each[1]).norm() > 0.01
    assert said == "mean of the 2 photos in photos"


def test_a_walk_goes_from_one_name_to_another(run, tmp_path):
    run("walk", "one", "two", "--factor", "appearance", "--frames", 3, "--out", tmp_path / "a.gif")
    run("walk", "open", "fist", "--appearance", "two", "--frames", 3, "--out", tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() != (tmp_path / "b.gif").read_bytes()


def test_transfer_takes_a_name_or_the_mean_of_a_folder_as_one_row(run, tiny_set, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("001.png", "020.png"):
        shutil.copy(tiny_set / "images" / name, tmp_path / "photos" / name)
    heights = []
    for name, words in (
        ("name", ["one"]),
        ("mean", [tmp_path / "photos", "--mean"]),
        ("each", [tmp_path / "photos"]),
    ):
        run("transfer", words[0], "open", *words[1:], "--out", tmp_path / f"{name}.png")
        heights.append(read_picture(tmp_path / f"{name}.png").shape[0])
    assert heights[0] == heights[1] < heights[2]


def test_an_unknown_name_lists_the_named_ones(refused, model, tmp_path):
    for out, *words in (
        ["out", "synthesize", "--pose", "open", "--appearance", "three"],
        ["out.png", "transfer", "three", "open"],
        ["out.gif", "walk", "open", "fist", "--appearance", "three"],
    ):
        line = refused(*words, "--model", model, "--out", tmp_path / out)
        assert "three" in line
        assert "one, two" in line


def test_a_model_without_names_says_so(refused, tiny_model, tmp_path):
    line = refused(
        "synthesize",
        "--pose",
        "open",
        "--appearance",
        "library",
        "--model",
        tiny_model,
        "--out",
        tmp_path / "out",
    )
    assert "no named appearances" in line
