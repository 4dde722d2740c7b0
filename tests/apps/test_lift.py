"""`handvae estimate` with the shipped models: 2D joints read in photos, lifted to 3D, and files of joints
without a model's name."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from handvae.hand import HandShape, forward_kinematics, named_pose, scale_bone
from handvae.inference.joints_input import FlatHand, crop_joints
from handvae.inference.lift import lift_hand
from handvae.inference.locate import one_hand
from handvae.inference.reading import read_hand
from handvae.training.checkpoint import load_model


@pytest.fixture(params=["victory", "point", "relaxed"])
def hand(request, tmp_path):
    """A file of the 2D joints of a right hand, its palm towards a far camera; the joints in space, mm from
    the palm; its scale bone."""
    joints = forward_kinematics(named_pose(request.param), HandShape.mean()).joints
    along, across, up = joints.double().numpy().T
    solid = np.stack([across, -along, up], 1)  # x right, y down, z away from the camera
    path = tmp_path / "keypoints.json"
    path.write_text(json.dumps((solid[:, :2] * 1.5 + 300).tolist()))
    return path, solid - (solid[0] + solid[9]) / 2, float(scale_bone(joints))


def hands_of(folder):
    return json.loads((folder / "estimate.json").read_text())


def test_a_file_of_joints_is_lifted_by_the_shipped_model(hand, handvae, tmp_path):
    path, solid, bone = hand
    code, _, error = handvae("estimate", path, "--bone-mm", bone, "--out", tmp_path / "out")
    assert code == 0, error
    found = hands_of(tmp_path / "out")
    assert found["model"] == "lifting"
    apart = np.linalg.norm(np.array(found["hands"][0]["keypoints_3d_mm"]) - solid, axis=1)
    assert apart.mean() < 15  # 8 on rendered test hands; the flat hand itself is 20 to 40 away
    assert apart.mean() < np.linalg.norm(solid * [0, 0, 1], axis=1).mean()


def test_a_photo_is_lifted_from_the_joints_read_in_it(handvae, tiny_set, tmp_path):
    photo = tiny_set / "images" / "001.png"
    flat, lifted, again = tmp_path / "flat", tmp_path / "lifted", tmp_path / "again"
    words = ("--model", "detector-64", "--draw", "all")
    assert handvae("estimate", photo, *words, "--no-lift", "--out", flat)[0] == 0
    assert handvae("estimate", photo, *words, "--out", lifted)[0] == 0
    assert handvae("estimate", flat / "estimate.json", "--out", again)[0] == 0
    (one,), (both,), (third,) = (hands_of(folder)["hands"] for folder in (flat, lifted, again))
    assert "keypoints_3d_bone_units" not in one
    assert both["keypoints"] == one["keypoints"]
    assert both["spread_px"] == one["spread_px"]
    assert np.allclose(both["keypoints_3d_bone_units"], third["keypoints_3d_bone_units"], atol=0.02)
    assert {"plot_3d", "root"} <= both.keys()
    assert (lifted / both["plot_3d"]).is_file()


def test_what_the_2d_joints_are_unsure_of_widens_the_3d_spread_and_moves_no_joint(tiny_set):
    """A finger read without doubt beside one that may lie anywhere: the second one is the less sure."""
    detector, lifter = (load_model(name).pose_estimator for name in ("detector-64", "lifting"))
    found = read_hand(detector, one_hand(tiny_set / "images" / "001.png", detector))
    known, vague = (
        replace(found, spread_2d=np.zeros(21, np.float32)),
        replace(found, spread_2d=np.zeros(21, np.float32)),
    )
    vague.spread_2d[17:] = 8.0
    sure, unsure = (lift_hand(one, lifter) for one in (known, vague))
    alone = read_hand(
        lifter,
        crop_joints(
            found.crop.source,
            FlatHand(torch.from_numpy(found.joints_2d), torch.ones(21).bool(), "right"),
            None,
            lifter.crop,
            False,
        ),
    )
    assert np.allclose(sure.spread_3d, alone.spread_3d, atol=1e-6)
    assert np.allclose(sure.joints_3d, unsure.joints_3d)
    wider = unsure.spread_3d / sure.spread_3d
    assert wider.min() >= 1
    assert (
        wider[17:, 0].mean() > 1.5 * wider[5:9, 0].mean()
    )  # across; the crop, and so depth, is every joint's
    assert np.array_equal(lift_hand(vague, lifter).spread_3d, unsure.spread_3d)  # the same draws each time


def test_a_left_hand_is_lifted_as_the_mirrored_right_one(hand, handvae, tmp_path):
    path, _, _ = hand
    mirrored = tmp_path / "left.json"
    mirrored.write_text(json.dumps([[600 - x, y] for x, y in json.loads(path.read_text())]))
    for name, side in ((path, "right"), (mirrored, "left")):
        assert handvae("estimate", name, "--side", side, "--out", tmp_path / side)[0] == 0
    right, left = (
        np.array(hands_of(tmp_path / side)["hands"][0]["keypoints_3d_bone_units"])
        for side in ("right", "left")
    )
    assert np.abs(left * [-1, 1, 1] - right).mean() < 0.25 * np.abs(right).mean()


def test_the_shipped_cm_vae_reads_photos_and_joints_each_alone_and_together(
    hand, tiny_set, handvae, tmp_path
):
    path, solid, bone = hand
    photo = tiny_set / "images" / "001.png"
    read, said = {}, {}
    for name, files in (("photo", [photo]), ("joints", [path]), ("both", [photo, path, "--together"])):
        code, _, error = handvae(
            "estimate",
            *files,
            "--model",
            "cmvae-64",
            "--bone-mm",
            bone,
            "--draw",
            "all",
            "--out",
            tmp_path / name,
        )
        assert code == 0, error
        (found,) = hands_of(tmp_path / name)["hands"]
        assert (tmp_path / name / found["plot_3d"]).is_file()
        read[name] = np.array(found["keypoints_3d_mm"])
        said[name] = error
    assert np.linalg.norm(read["joints"] - solid, axis=1).mean() < 20
    assert np.abs(read["photo"] - read["joints"]).mean() > 1  # another hand
    apart = np.linalg.norm(read["photo"] - read["joints"], axis=1).mean() / bone
    assert found["inputs_apart_bone_units"] == pytest.approx(apart, abs=0.01)
    assert ("different hands" in said["both"]) == (apart > 1)
    assert "different hands" not in said["photo"] + said["joints"]
    assert (
        np.abs(read["both"] - read["joints"]).mean() < np.abs(read["photo"] - read["joints"]).mean()
    )  # the posterior of joints is the sharper


def test_the_shipped_da_vae_gives_joints_a_calibrated_spread_the_surface_and_a_fitted_hand(
    tiny_set, handvae, tmp_path
):
    photo = tiny_set / "images" / "001.png"
    code, _, error = handvae(
        "estimate", photo, "--model", "davae-64", "--draw", "all", "--out", tmp_path / "out"
    )
    assert code == 0, error
    (found,) = hands_of(tmp_path / "out")["hands"]
    joints, spread = (np.array(found[f"{name}_3d_bone_units"]) for name in ("keypoints", "spread"))
    assert joints.shape == spread.shape == (21, 3)
    assert (spread > 0).all()
    assert "calibrated on" in found["spread_is"]
    body = (tmp_path / "out" / found["cloud"]).read_bytes().split(b"end_header\n", 1)[1]
    cloud = np.frombuffer(body, "<f4").reshape(1024, 3)
    near = np.linalg.norm(cloud[:, None] - joints, axis=2).min(1)
    assert (
        near.mean() < 1.0
    )  # bones: the surface lies about the joints, even of a drawn hand, which it has never seen
    assert (tmp_path / "out" / found["fitted_hand"]).is_file()
    assert found["fitted_error_mm"] < 15
