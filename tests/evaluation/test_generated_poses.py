"""Pose consistency and leakage on a system whose leaks are known."""

import math

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec
from handvae.evaluation.consistency import pose_consistency
from handvae.evaluation.detection import Detections, HandDetector
from handvae.evaluation.generation_inputs import GenerationInputs
from handvae.evaluation.leakage import CLEAR, clear_of_hand, leakage
from handvae.evaluation.pose import hand_size
from handvae.systems.system import Generator

SIDE = 64
COUNT = 400


class Mixer(Generator):
    """Writes its numbers into the picture: the pose turned by some angle towards the appearance, and the
    other way about."""

    pose = "2d"

    def __init__(self, pose_leak: float = 0.0, code_leak: float = 0.0, picture_leak: float = 0.0) -> None:
        super().__init__()
        self.crop, self.spec = Crop(SIDE), DataSpec("any", 1, SIDE, ("image", "joints_2d"), "right")
        self.pose_leak, self.code_leak, self.picture_leak = pose_leak, code_leak, picture_leak

    def synthesize(self, joints, appearance):
        flat = joints.flatten(1)
        picture = torch.zeros(len(joints), 3, SIDE, SIDE)
        picture[:, 0, 0, :42] = math.cos(self.pose_leak) * flat + math.sin(self.pose_leak) * appearance
        picture[:, 1, 0, :42] = math.cos(self.code_leak) * appearance + math.sin(self.code_leak) * flat
        level = math.cos(self.picture_leak) * appearance[:, :1] + math.sin(self.picture_leak) * flat[:, :1]
        picture[:, 2] = level[:, :, None]
        return picture

    def appearance_of(self, image):
        return image[:, 1, 0, :42]

    def random_appearance(self, count, noise, source="prior"):
        return noise.normal(count, 42)

    stages = groups = property(lambda self: ())
    prepare = step = summarise = sample_sheet = joints_of = predict_uncalibrated = None


class Decoder(HandDetector):
    """Reads the pose that the mixer wrote; finds nothing in some pictures, and is off by a share of hand
    size."""

    def __init__(self, off: float = 0.0, lost: tuple[int, ...] = ()) -> None:
        self.off, self.lost = off, lost

    def detect(self, pictures, crop):
        joints = (torch.cat(list(pictures))[:, 0, 0, :42].reshape(-1, 21, 2) + 1) * (SIDE / 2)
        size = hand_size(joints, torch.ones(joints.shape[:2], dtype=torch.bool))
        found = ~torch.isin(torch.arange(len(joints)), torch.tensor(self.lost))
        moved = joints + torch.stack([self.off * size, torch.zeros_like(size)], 1)[:, None]
        return Detections(moved.masked_fill(~found[:, None, None], float("nan")), found)

    def relation(self, model):
        return "detector decoder"


def hands(system: Mixer, count: int = COUNT) -> GenerationInputs:
    """Independent poses and appearances of one distribution, three hands a person."""
    generator = torch.Generator().manual_seed(0)
    joints, appearances = (
        torch.randn(count, 21, 2, generator=generator),
        torch.randn(count, 42, generator=generator),
    )
    return GenerationInputs(
        system, torch.arange(count), joints, (joints + 1) * (SIDE / 2), appearances, torch.arange(count) // 3
    )


def values(system: Mixer) -> dict[str, float]:
    return {m.name: m.value for m in leakage(hands(system), Decoder()).measures}


def test_nothing_leaks_where_pose_and_appearance_are_apart():
    found = values(Mixer())
    assert found["leak_appearance_to_pose"] == found["leak_pose_to_appearance_code"] == 0
    assert found["leak_pose_to_background"] < 0.03  # the numbers of the pose stand in the first row


@pytest.mark.parametrize("angle", [math.pi / 6, math.pi / 4, math.pi / 2])
def test_what_leaks_is_its_share_of_the_variance(angle):
    share = math.sin(angle) ** 2
    found = values(Mixer(angle, angle, angle))
    assert found["leak_appearance_to_pose"] == pytest.approx(share, abs=0.04)
    assert found["leak_pose_to_appearance_code"] == pytest.approx(share, abs=0.04)
    assert found["leak_pose_to_background"] == pytest.approx(share, abs=0.12)  # one number a picture


def test_each_leak_has_its_own_number():
    found = values(Mixer(pose_leak=math.pi / 2))
    assert found["leak_appearance_to_pose"] == pytest.approx(1, abs=0.04)
    assert found["leak_pose_to_appearance_code"] == 0
    assert found["leak_pose_to_background"] < 0.03


def test_pixels_of_the_hand_and_the_forearm_are_not_background():
    joints = torch.zeros(1, 21, 2)
    joints[..., 1] = torch.linspace(0.2, -0.8, 21)  # a stick upwards from the wrist
    clear = clear_of_hand(joints, SIDE)[0]
    centres = (torch.arange(SIDE) + 0.5) * (2 / SIDE) - 1
    across = centres.abs() > CLEAR
    assert clear[SIDE // 2].equal(across)  # beside the stick
    assert clear[-1].equal(across)  # below the wrist: the forearm
    assert clear[0, SIDE // 2] == (1 - 0.5 * 2 / SIDE - 0.8 > CLEAR)


@pytest.mark.parametrize("appearances", ["own", "random", "other"])
def test_the_error_is_in_percent_of_hand_size_and_over_the_found(appearances):
    inputs = hands(Mixer(), 30)
    found = pose_consistency(inputs, iter([]), Decoder(0.07, lost=(2, 5, 6)), appearances)
    measured = {m.name.removeprefix(f"consistency_{appearances}_"): m for m in found.measures()}
    assert measured["found"].value == pytest.approx(90)
    assert measured["found"].n == 30
    assert measured["error_median"].value == pytest.approx(7, rel=1e-3)
    assert measured["error_mean"].n == 27
    assert measured["within_10"].value == pytest.approx(90)
    far = pose_consistency(inputs, iter([]), Decoder(0.12), appearances).measures()
    assert next(m.value for m in far if m.name.endswith("within_10")) == 0


def test_real_pictures_are_the_floor():
    inputs = hands(Mixer(pose_leak=0.3), 30)
    real = [Mixer().synthesize(inputs.joints, inputs.appearance)]
    floor, own = (
        pose_consistency(inputs, iter(real), Decoder(), appearances) for appearances in ("real", "own")
    )
    assert floor.errors.max() < 1e-3
    assert own.errors.nanmean() > 1


def test_a_detector_that_finds_nothing_gives_no_error():
    found = {
        m.name: m
        for m in pose_consistency(hands(Mixer(), 4), iter([]), Decoder(lost=(0, 1, 2, 3)), "own").measures()
    }
    assert found["consistency_own_found"].value == 0
    assert math.isnan(found["consistency_own_error_median"].value)
    assert found["consistency_own_error_mean"].n == 0


def test_values_by_hand_stand_in_the_rows_of_the_data_set():
    inputs = hands(Mixer(), 3)
    kind = pose_consistency(inputs, iter([]), Decoder(0.05, lost=(1,)), "own")
    compared = {metric.name: metric for metric in kind.compared(torch.tensor([4, 6, 9]), 12)}
    assert np.flatnonzero(np.isfinite(compared["consistency_own_found"].values)).tolist() == [4, 6, 9]
    assert np.flatnonzero(np.isfinite(compared["consistency_own_error_mean"].values)).tolist() == [4, 9]
    for measure in kind.measures():
        assert compared[measure.name].value() == pytest.approx(measure.value)


def test_other_looks_are_of_other_people():
    inputs = hands(Mixer(), 60)
    other = inputs.other_appearance(seed=3)
    donor = (other[:, None] == inputs.appearance[None]).all(2).int().argmax(1)
    assert (inputs.subject[donor] != inputs.subject).all()
    assert len(donor.unique()) > 20
