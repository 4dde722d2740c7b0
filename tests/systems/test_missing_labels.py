"""What labels that are missing, or a network's, teach: nothing at all, or less."""

from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop
from handvae.losses import LABEL_SCALE
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


# ------------------------------------------------------------------------------------- labels of a network


@pytest.mark.parametrize("name", ["l1", "l2", "nll", "srv_vae"])
def test_labels_that_weigh_half_teach_half(name, tiny_spec, tiny_config, crops):
    torch.manual_seed(0)
    if name == "srv_vae":
        system = SrvVae(replace(tiny_config, pose="2d"), tiny_spec, Crop(32))
    else:
        small = DetectorConfig(head="linear", widths=(8, 16, 16, 16), hidden=32, norm="group", loss=name)
        system = Detector(small, tiny_spec, Crop(32))

    hands = replace(crops[:8], joint_spread=None)
    joints = hands.require("joints_2d")
    size = (joints.amax(1) - joints.amin(1)).prod(1).sqrt()
    spread = (LABEL_SCALE * size)[:, None].expand(8, 21)
    system.prepare(hands)

    def pose_term(labels):
        return next(system.step(labels, system.stages[0].name, Noise(0))).losses.pose

    certain = pose_term(hands)
    torch.testing.assert_close(pose_term(replace(hands, joint_spread=spread)), certain / 2)
    assert torch.equal(pose_term(replace(hands, joint_spread=torch.zeros(8, 21))), certain)
