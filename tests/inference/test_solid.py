"""`handvae estimate` with a model that reads surfaces: the cloud as a PLY file, our hand fitted to the
joints."""

import json

import cv2
import numpy as np
import pytest
import torch

from handvae.data.cloud import write_ply
from handvae.data.crop import Crop
from handvae.data.hands import DataSpec
from handvae.hand import HandShape, forward_kinematics, named_pose, to_bone_units
from handvae.inference.locate import one_hand
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.systems.da_vae import DaVae, DaVaeConfig
from handvae.training.checkpoint import load_model, save_model

CONFIG = DaVaeConfig(
    mask_width=8,
    mask_stem="half",
    pose_dims=6,
    appearance_dims=4,
    shape_dims=2,
    encoder=ResNetEncoder(8, "half"),
    head_width=16,
    decoder_width=16,
    hidden=32,
    fold_width=16,
    grid=7,
    posterior_samples=4,
)


def read_ply(path):
    """Points of a binary PLY of three floats, by the format's own words, and its header."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert [line for line in lines if line.startswith("property")] == [
        f"property float {axis}" for axis in "xyz"
    ]
    (count,) = (int(line.split()[2]) for line in lines if line.startswith("element vertex"))
    points = np.frombuffer(body, "<f4").reshape(-1, 3)
    assert len(points) == count
    return points, lines


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A da-VAE for left hands whose pose decoder says the victory pose, whatever it sees."""
    torch.manual_seed(0)
    names = ("image", "depth", "mask", "intrinsics", "joints_2d", "joints_3d", "joint_valid", "side")
    system = DaVae(CONFIG, DataSpec("tiny", 8, 32, names, "left", root="camera"), Crop(32, sides="left"))
    pose = forward_kinematics(named_pose("victory"), HandShape.mean()).joints @ torch.tensor(
        [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]
    )
    with torch.no_grad():
        last = system.pose_decoder[0][-1]
        last.weight.zero_()
        last.bias.copy_((to_bone_units(pose) * torch.tensor([-1.0, 1, 1])).flatten())
    path = tmp_path_factory.mktemp("models") / "da.safetensors"
    save_model(path, system)
    return path


@pytest.mark.parametrize(("side", "mirror"), [("right", -1), ("left", 1)])
@pytest.mark.parametrize("bone_mm", [0, 50])
def test_the_cloud_and_the_fitted_hand_are_written(side, mirror, bone_mm, model, handvae, tiny_set, tmp_path):
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    photo.write_bytes(
        (tiny_set / "images" / "000.png").read_bytes()
    )  # alone: no annotation says which hand it is
    words = ("--side", side, "--bone-mm", bone_mm, "--box", "8,8,80,80", "--draw", "all")
    code, _, error = handvae("estimate", photo, "--model", model, *words, "--out", out)
    assert code == 0, error
    (hand,) = json.loads((out / "estimate.json").read_text())["hands"]
    points, header = read_ply(out / hand["cloud"])
    system = load_model(model).system
    crop = one_hand(photo, system, (8.0, 8.0, 80.0, 80.0), side).image
    expected = (
        system.decode(system.encode(crop).mean).cloud[0].numpy() * np.array([mirror, 1, 1]) * (bone_mm or 1)
    )
    np.testing.assert_allclose(points, expected, rtol=1e-4, atol=1e-4)
    unit = "mm" if bone_mm else "bone units"
    assert any(unit in line for line in header if line.startswith("comment"))
    assert hand["cloud_unit"] == unit
    assert hand["fitted_error_mm"] < 1, "the joints are our own hand's"
    angles = torch.tensor(hand["fitted_angles_deg"])
    torch.testing.assert_close(angles, named_pose("victory").rad2deg(), rtol=0, atol=2.0)
    picture = cv2.imread(str(out / hand["fitted_hand"]))
    assert picture.shape == (384, 384, 3)
    assert picture.std() > 20
    assert (abs(picture[:, ::-1].astype(int) - picture) > 40).mean() > 0.02, "it is not its own mirror image"


def test_an_annotated_photo_knows_which_hand_it_shows(model, handvae, tiny_set, tmp_path):
    code, _, error = handvae(
        "estimate",
        tiny_set / "images" / "000.png",
        "--model",
        model,
        "--side",
        "left",
        "--draw",
        "all",
        "--out",
        tmp_path / "out",
    )
    assert code == 0, error
    (hand,) = json.loads((tmp_path / "out" / "estimate.json").read_text())["hands"]
    assert hand["fitted_error_mm"] < 1, "a right hand, as the annotation says"


def test_a_cloud_comes_back_from_its_file(tmp_path):
    points = np.random.default_rng(0).normal(size=(2025, 3)).astype(np.float32)
    write_ply(tmp_path / "cloud.ply", points, "bone units")
    found, header = read_ply(tmp_path / "cloud.ply")
    np.testing.assert_array_equal(found, points)
    assert "comment bone units" in header
