"""Data sets that a model cannot be used with: one line that names the set and what it lacks, before anything
is written."""

import json
from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec
from handvae.data.readers.coco import CocoHands
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.systems.srv_vae import SrvVae
from handvae.training.checkpoint import save_model


@pytest.fixture
def sideless(tiny_set, tmp_path):
    """The first drawn hands as OneHand10K lays them out, which does not tell left from right."""
    content = json.loads((tiny_set / "annotations.json").read_text())
    for annotation in content["annotations"]:
        del annotation["hand_side"], annotation["keypoints_3d"]
    folder = tmp_path / "onehand"
    folder.mkdir()
    (folder / "images").symlink_to(tiny_set / "images")
    for picture in content["images"]:
        picture["file_name"] = picture["file_name"].removeprefix("images/")
    (folder / "onehand10k_test.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def right_model(tiny_config, tiny_spec, crops, tmp_path):
    """A model whose crops are mirrored to right hands."""
    torch.manual_seed(1)
    system = SrvVae(tiny_config, tiny_spec, Crop(32, sides="right"))
    system.prepare(crops)
    save_model(tmp_path / "right.safetensors", system)
    return tmp_path / "right.safetensors"


@pytest.mark.parametrize(
    "command",
    [
        "evaluate MODEL SET --split None --report OUT --strict",
        "synthesize --model MODEL --pose SET --out OUT",
        "synthesize --model MODEL --pose open --appearance SET --out OUT",
        "train photos-64 --data.root SET --data.split None --out OUT --strict",
    ],
)
def test_hands_of_no_told_side_are_refused_where_crops_show_one_side(
    command, refused, sideless, right_model, tmp_path
):
    words = {"MODEL": right_model, "SET": sideless, "OUT": tmp_path / "out"}
    line = refused(*(words.get(word, word) for word in command.split()))
    assert str(sideless) in line
    assert "does not tell left hands from right ones" in line
    assert not (tmp_path / "out").exists()


def test_hands_of_no_told_side_are_read_where_crops_stay_as_they_are(handvae, sideless, tiny_model):
    code, said, error = handvae("evaluate", tiny_model, sideless, "--split", "None", "--metrics", "picture")
    assert code == 0, error
    assert "psnr" in said


def test_a_set_of_other_joints_is_refused(refused, tiny_set, tiny_model, monkeypatch):
    data = CocoHands(tiny_set)
    data.spec = replace(data.spec, joints=16)
    monkeypatch.setattr("handvae.data.open.open_data", lambda *given: data)
    line = refused("evaluate", tiny_model, tiny_set)
    assert str(tiny_set) in line
    assert "has hands of 16 joints" in line
    assert "reads 21" in line


def test_a_set_without_what_the_model_reads_is_refused(refused, tiny_set, tmp_path):
    spec = DataSpec("any", 1, 32, ("depth", "joints_2d", "joints_3d", "joint_valid", "side"), "both")
    save_model(
        tmp_path / "depth.safetensors",
        CmVae(CmVaeConfig(variant=1, input="depth", encoder=ResNetEncoder(8), hidden=32), spec, Crop(32)),
    )
    line = refused("evaluate", tmp_path / "depth.safetensors", tiny_set)
    assert str(tiny_set) in line
    assert "has no depth, which" in line
