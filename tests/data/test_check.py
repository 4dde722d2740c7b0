"""What `data check` finds: each kind of slip, planted in sound hands, and nothing in the sound ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from handvae.data.check import bend, find_oddities, flat_bone_limits
from handvae.data.export.formats import write_data
from handvae.data.hands import DataSpec
from handvae.data.missing import missing_files
from handvae.data.open import open_data, reader_of
from handvae.data.sample import Sample
from handvae.data.subset import Subset
from handvae.geometry import mirror_3d
from handvae.hand import LEFT, POSE_NAMES, RIGHT, HandShape, forward_kinematics, named_pose

SIDE_PX = 100
SPEC = DataSpec("made", 0, 0, ("image", "joints_2d", "joints_3d", "joint_valid", "side"), "both")
COUNT = 40


def sound(number: int) -> Sample:
    """A hand in any pose from any side; odd numbers are left ones."""
    rng = np.random.default_rng(number)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    right = forward_kinematics(named_pose(POSE_NAMES[number % 10]), HandShape.mean()).joints
    solid = (mirror_3d(right) if number % 2 else right).numpy() @ turn.T
    flat = solid[:, :2] - (solid[:, :2].min(0) + solid[:, :2].max(0)) / 2
    return Sample(
        joints_2d=(flat * 0.4 + SIDE_PX / 2).astype(np.float32),
        side=LEFT if number % 2 else RIGHT,
        image=np.kron(rng.integers(0, 256, (10, 10, 3), np.uint8), np.ones((10, 10, 1), np.uint8)),
        joints_3d=solid.astype(np.float32),
    )


@pytest.fixture
def found(tmp_path) -> Callable[..., list[str]]:
    """What is odd about the sound hands after one of them, or the list, was spoilt: lines `number: fault`."""

    def run(
        spoilt: dict[int, Sample] | None = None, more: tuple[Sample, ...] = (), format: str = "parquet"
    ) -> list[str]:
        hands = [(spoilt or {}).get(number, sound(number)) for number in range(COUNT)]
        write_data(tmp_path / "set", format, SPEC, [*hands, *more], "made")
        problems = list(find_oddities(open_data(tmp_path / "set")))
        assert not any(problem.fatal for problem in problems)
        return [f"{problem.where.split()[-1]}: {problem.fault}" for problem in problems]

    return run


def test_sound_hands_are_not_odd(found):
    assert found() == []


def moved(field: str, joint: int, by: tuple[float, ...]) -> Sample:
    hand = sound(4)
    joints = getattr(hand, field).copy()
    joints[joint] += np.array(by, np.float32)
    return replace(hand, **{field: joints})


def test_a_joint_slipped_in_the_picture_makes_a_bone_too_long(found):
    extent = float(np.ptp(sound(4).joints_2d, axis=0).max())
    line = found({4: moved("joints_2d", 20, (0.9 * extent, 0))})[0]  # it also lies outside
    assert line.startswith("4: the bone to pinky_tip is ")


@pytest.mark.parametrize("factor", [0.1, 4.0])
def test_a_bone_of_impossible_length_in_space_is_named(found, factor):
    hand = sound(7)
    joints = hand.joints_3d.copy()
    joints[8] = joints[7] + factor * (joints[8] - joints[7])
    lines = found({7: replace(hand, joints_3d=joints)})
    assert [line.split(" has ")[0] for line in lines if "in space" in line] == ["7: the bone to index_tip"]


def test_a_bone_unlike_the_sets_own_is_named_though_anatomy_allows_it(found):
    hand = sound(7)
    joints = hand.joints_3d.copy()
    joints[8] = joints[7] + 1.8 * (joints[8] - joints[7])
    lines = found({7: replace(hand, joints_3d=joints)})
    assert lines == ["7: the bone to index_tip has 1.80 times its usual length in space"]


@pytest.mark.parametrize(("number", "wrong", "fault"), [(3, RIGHT, "a right hand"), (2, LEFT, "a left hand")])
def test_a_hand_called_by_the_other_side_is_named(found, number, wrong, fault):
    assert found({number: replace(sound(number), side=wrong)}) == [
        f"{number}: is called {fault}, and its fingers bend as a {'left' if wrong == RIGHT else 'right'} "
        "hand's do"
    ]


def test_the_side_is_told_by_bent_fingers_alone():
    joints = {
        name: forward_kinematics(named_pose(name), HandShape.mean()).joints[None] for name in POSE_NAMES
    }
    assert float(bend(joints["fist"])) > 5
    assert float(bend(mirror_3d(joints["fist"][0])[None])) == pytest.approx(
        -float(bend(joints["fist"])), rel=1e-4
    )
    assert abs(float(bend(joints["flat"]))) < 1.0  # which may be a hand of either side


def test_joints_outside_the_picture_are_counted(found):
    (line,) = found({4: replace(sound(4), joints_2d=sound(4).joints_2d + np.array([60, 0], np.float32))})
    assert line.startswith("4: ")
    assert "joints lie outside the 100 x 100 px picture" in line


def test_the_same_picture_under_another_name_is_named(found):
    assert found(more=(replace(sound(9), joints_2d=sound(9).joints_2d + 5),)) == [
        "40: is the same picture as shard-00000.parquet, hand 9"
    ]


def test_nearly_the_same_picture_with_the_same_joints_is_named(found):
    noisy = sound(9).image.astype(int) + np.random.default_rng(0).integers(-3, 4, (100, 100, 3))
    twin = replace(sound(9), image=np.clip(noisy, 0, 255).astype(np.uint8))
    assert found(more=(twin,)) == ["40: is nearly the same picture as shard-00000.parquet, hand 9"]


def test_the_same_background_with_another_hand_is_no_twin(found):
    noisy = np.clip(sound(9).image.astype(int) + 2, 0, 255).astype(np.uint8)
    assert found(more=(replace(sound(10), image=noisy),)) == []


def test_one_hand_labelled_twice_is_named_and_two_hands_of_a_picture_are_not(small_set):
    def spoil(content):
        first = content["annotations"][0]
        moved = [value - 30 if place % 3 == 0 else value for place, value in enumerate(first["keypoints"])]
        content["annotations"] += [
            first | {"id": 90},
            first | {"id": 91, "keypoints": moved, "hand_side": "right"},
        ]

    lines = [problem.fault for problem in find_oddities(open_data(small_set(spoil)), outside=False)]
    assert lines == ["the same hand of the same picture is labelled twice"]


def test_missing_joints_are_no_bones(found):
    """Half a hand's joints are zeros without a label: nothing is said of them."""
    valid = np.arange(21) < 11
    hand = sound(5)
    flat, solid = hand.joints_2d * valid[:, None], hand.joints_3d * valid[:, None]
    assert found({5: replace(hand, joints_2d=flat, joints_3d=solid, joint_valid=valid)}) == []


def test_hands_of_fourteen_joints_are_looked_at_for_what_they_have(tmp_path):
    spec = DataSpec(
        "nyu", 0, 0, ("image", "joints_2d", "side"), "right", joints=14, joint_names=tuple("abcdefghijklmn")
    )
    hand = Sample(
        joints_2d=np.linspace(1, 120, 28, dtype=np.float32).reshape(14, 2), side=RIGHT, image=sound(0).image
    )
    write_data(tmp_path / "set", "parquet", spec, [hand], "made")
    assert [problem.fault.split()[2] for problem in find_oddities(open_data(tmp_path / "set"))] == ["lie"]


def test_the_longest_bones_of_a_picture_are_the_palms():
    assert set(flat_bone_limits().topk(4).indices.tolist()) == {4, 8, 12, 16}


def test_real_photos_have_no_flip_no_twin_and_few_odd_bones(real_photos):
    faults = [problem.fault for problem in find_oddities(open_data(real_photos), outside=False)]
    assert not [
        fault for fault in faults if "called" in fault or "same picture" in fault or "in the picture" in fault
    ]
    assert len(faults) <= 10


def test_real_hands_of_both_sides_are_told_apart(data_root: Path):
    if not (data_root / "rhd").is_dir():
        pytest.skip(f"no rhd under {data_root}")
    data = reader_of(data_root / "rhd", "test", "both")
    gone = dict(missing_files(data))
    data = Subset(data, [row for row in range(len(data)) if row not in gone])
    labels = data.labels(torch.arange(len(data)))
    solid, side = labels.require_all("joints_3d", "side")
    told = bend(solid) * torch.where(side == RIGHT, 1.0, -1.0)
    assert set(side.tolist()) == {LEFT, RIGHT}
    assert (told > -1).all()
    assert (told > 1).float().mean() > 0.8
