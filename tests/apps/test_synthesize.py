"""`handvae synthesize`: labelled pictures in the poses asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop, crop_affines, move_labels
from handvae.data.readers.coco import CocoHands
from handvae.geometry import VIEWS, orthographic_view
from handvae.hand import HandShape, forward_kinematics, named_pose
from handvae.noise import Noise


@pytest.fixture
def made(handvae, tiny_model, tmp_path):
    """Synthesises with the tiny model; returns the folder."""

    def run(name: str, *words: object) -> Path:
        code, _, error = handvae("synthesize", "--model", tiny_model, "--out", tmp_path / name, *words)
        assert code == 0, error
        return tmp_path / name

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_named_pose_carries_the_joints_of_its_kinematics(made):
    hands = CocoHands(made("a", "--pose", "victory", "-n", 3))
    labels = hands.labels(torch.arange(3))
    joints = forward_kinematics(named_pose("victory"), HandShape.mean()).joints
    wanted = (orthographic_view(joints, VIEWS["palm"].float(), margin=1.35).joints_2d + 1) * 16
    assert labels.joints_2d is not None
    torch.testing.assert_close(labels.joints_2d, wanted.expand(3, -1, -1), rtol=0, atol=0.01)


def test_data_check_accepts_what_was_written(made, handvae):
    code, said, error = handvae("data", "check", made("a", "--pose", "ok", "-n", 2))
    assert code == 0, error
    assert "no fault" in said


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(made):
    one, same, other = (
        contents(made(n, "--pose", "open", "-n", 2, "--seed", s)) for n, s in (("a", 4), ("b", 4), ("c", 5))
    )
    assert one.keys() == same.keys() == other.keys()
    assert one == same
    assert one["images/000001.png"] != other["images/000001.png"]


def test_a_data_set_gives_each_of_its_poses_once(made, tiny_set):
    source, written = CocoHands(tiny_set, "test"), CocoHands(made("a", "--pose", tiny_set, "--split", "test"))
    assert len(written) == len(source) == 16
    labels = source.labels(torch.arange(16))
    crops = move_labels(labels, crop_affines(labels, Crop(32), None, Noise(0)))
    assert crops.joints_2d is not None
    torch.testing.assert_close(written.labels(torch.arange(16)).joints_2d, crops.joints_2d, rtol=0, atol=0.01)


def test_a_data_set_gives_the_same_poses_in_any_layout(made, handvae, tiny_set, tmp_path):
    code, _, error = handvae("data", "convert", tiny_set, tmp_path / "shards", "--format", "parquet")
    assert code == 0, error
    own, shards = (
        made("a", "--pose", tiny_set, "--split", "test"),
        made("b", "--pose", tmp_path / "shards", "--split", "test"),
    )
    rows = torch.arange(16)
    torch.testing.assert_close(
        CocoHands(own).labels(rows).joints_2d, CocoHands(shards).labels(rows).joints_2d, rtol=0, atol=1e-3
    )


def test_hands_that_lack_a_joint_are_passed_over_until_there_are_enough(made, small_set):
    def hide(content):
        content["annotations"][0]["keypoints"][-1] = 0

    poses = small_set(hide)
    one, two = made("a", "--pose", poses, "-n", 1), made("b", "--pose", poses)
    names = [
        json.loads((folder / "annotations.json").read_text())["images"][0]["provenance"]["pose"]
        for folder in (one, two)
    ]
    assert names == ["images/001.png"] * 2
    assert len(CocoHands(two)) == 2


def test_a_file_of_poses_is_fitted_to_the_crop_in_any_unit(made, tmp_path):
    joints = forward_kinematics(named_pose("claw"), HandShape.mean()).joints[:, [1, 0]] * torch.tensor(
        [1.0, -1.0]
    )
    for name, scale in (("small", 0.01), ("large", 40.0)):
        (tmp_path / f"{name}.json").write_text(json.dumps((joints * scale + 3).tolist()))
    small, large = (
        CocoHands(made(n, "--pose", tmp_path / f"{n}.json")).labels(torch.arange(1)).joints_2d
        for n in ("small", "large")
    )
    torch.testing.assert_close(small, large, rtol=0, atol=0.02)
    assert np.ptp(small.numpy(), axis=1).max() == pytest.approx(32 / 1.35, abs=0.02)


def test_poses_repeat_in_turn_until_there_are_enough(made, tiny_set):
    written = (
        CocoHands(made("a", "--pose", tiny_set, "--split", "test", "-n", 20))
        .labels(torch.arange(20))
        .joints_2d
    )
    assert written is not None
    torch.testing.assert_close(written[16:], written[:4])


def test_appearances_from_a_data_set_are_other_peoples(made, tiny_set):
    folder = made(
        "a", "--pose", tiny_set, "--split", "test", "--appearance", tiny_set, "--appearance-split", "test"
    )
    people = CocoHands(tiny_set, "test").labels(torch.arange(16)).subject
    notes = [
        image["provenance"]["appearance"]
        for image in json.loads((folder / "annotations.json").read_text())["images"]
    ]
    givers = torch.tensor([int(note.split("hand ")[1].split()[0]) for note in notes])
    assert people is not None
    assert len(set(givers.tolist())) > 3
    assert (people[givers] != people).all()


def test_one_photo_gives_all_pictures_its_appearance(made, tiny_set):
    folder = made("a", "--pose", "open", "-n", 2, "--appearance", tiny_set / "images" / "003.png")
    assert (folder / "images" / "000001.png").read_bytes() == (folder / "images" / "000002.png").read_bytes()
