"""A joint without a label teaches nothing and spoils nothing, whatever number stands in its place."""

from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop
from handvae.noise import Noise
from handvae.systems.detector import Detector, DetectorConfig
from handvae.systems.srv_vae import SrvVae


@pytest.fixture(params=["detector", "srv_vae"])
def solid(request, tiny_spec, tiny_config):
    """A small system that reads poses in space."""
    torch.manual_seed(0)
    if request.param == "detector":
        return Detector(
            DetectorConfig(pose="3d", head="linear", widths=(8, 16, 16, 16), hidden=32, norm="group"),
            tiny_spec,
            Crop(32),
        )
    return SrvVae(
        replace(tiny_config, pose="3d", pose_input="vector", pose_head="linear"), tiny_spec, Crop(32)
    )


def spoil(crops, joints, number):
    """Eight hands whose chosen joints of the first two have no label, and that number instead."""
    hands = crops[:8]
    valid, solid = hands.joint_valid.clone(), hands.joints_3d.clone()
    for joint in joints:
        valid[:2, joint], solid[:2, joint] = False, number
    return replace(hands, joint_valid=valid, joints_3d=solid)


def losses_of(system, hands):
    system.prepare(hands)
    return next(system.step(hands, system.stages[0].name, Noise(0))).losses.total


@pytest.mark.parametrize(
    "joints", [(4,), (0,), (9, 10), tuple(range(21))], ids=["tip", "wrist", "scale bone", "all"]
)
def test_what_stands_for_a_missing_joint_in_space_does_not_matter(joints, solid, crops):
    first, second = (losses_of(solid, spoil(crops, joints, number)) for number in (0.0, 1e6))
    assert torch.isfinite(first)
    assert torch.equal(first, second)


@pytest.mark.parametrize("joints", [(0,), (9,), (10,)])
def test_without_wrist_or_scale_bone_no_joint_has_bone_units(joints, solid, crops):
    labelled = solid.labelled(spoil(crops, joints, 0.0))
    assert not labelled[:2].any()
    assert labelled[2:].all()


def test_another_missing_joint_leaves_the_others(solid, crops):
    assert (~solid.labelled(spoil(crops, (4,), 0.0))).nonzero().tolist() == [[0, 4], [1, 4]]
