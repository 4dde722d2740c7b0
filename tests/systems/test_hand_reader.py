"""The hand reader: what its losses count, what its numbers mean, and that it learns."""

from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop, to_crop_units
from handvae.data.hands import Hands
from handvae.geometry import mirror_3d, rotation_y
from handvae.hand import (
    LEFT,
    POSE_NAMES,
    RIGHT,
    HandShape,
    forward_kinematics,
    named_pose,
    scale_bone,
)
from handvae.noise import Noise
from handvae.systems.hand_reader import HandReader, HandReaderConfig, ReaderLosses, gaussian_maps, in_space

SMALL = HandReaderConfig(widths=(8, 16, 16, 16), blocks=(1, 0, 0), hidden=16, norm="group")


@pytest.fixture
def reader(tiny_spec) -> HandReader:
    """A small reader with seeded weights."""
    torch.manual_seed(0)
    return HandReader(SMALL, tiny_spec, Crop(32))


@pytest.fixture
def crops() -> Hands:
    """Eight crops with labels drawn at random, hands of both sides."""
    generator = torch.Generator().manual_seed(1)
    return Hands(
        image=torch.rand(8, 3, 32, 32, generator=generator),
        joints_2d=4 + 24 * torch.rand(8, 21, 2, generator=generator),
        joints_3d=60 * torch.randn(8, 21, 3, generator=generator),
        side=torch.tensor([LEFT, RIGHT] * 4),
        present=torch.ones(8, dtype=torch.bool),
    )


def losses(reader: HandReader, crops: Hands) -> ReaderLosses:
    (phase,) = reader.step(crops, "all", Noise(0))
    assert isinstance(phase.losses, ReaderLosses)
    return phase.losses


def test_heat_maps_to_learn_sum_to_one_and_lie_on_the_joint():
    joints = torch.tensor([[[0.0, 0.0], [-0.5, 0.25]]])
    maps = gaussian_maps(joints, 32, 1.0).unflatten(2, (32, 32))
    centres = (torch.arange(32) + 0.5) / 16 - 1

    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(1, 2))
    torch.testing.assert_close(maps.sum(2) @ centres, joints[..., 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(maps.sum(3) @ centres, joints[..., 1], atol=1e-4, rtol=0)


def test_reads_joints_relative_to_the_wrist(reader, crops):
    reading = reader.eval().read(crops.require("image"))

    assert reading.joints.shape == (8, 21, 3)
    assert reading.heat.shape == (8, 21, 8, 8)
    assert (reading.joints[..., :2].abs() <= 1).all()
    assert (reading.joints[:, 0, 2] == 0).all()
    assert reading.side.shape == reading.presence.shape == (8,)


def test_a_picture_without_a_hand_teaches_presence_alone(reader, crops):
    absent = replace(crops, present=torch.zeros(8, dtype=torch.bool))
    term = losses(reader.eval(), absent)

    for name in ("heat", "joints", "depth", "side", "spread"):
        assert float(getattr(term, name).detach()) == 0, name
    assert term.presence > 0
    assert not reader.labelled(absent).any()


def test_a_hand_of_unknown_side_teaches_no_side(reader, crops):
    unknown = replace(crops, side=torch.tensor([-1] * 8))
    term = losses(reader.eval(), unknown)

    assert term.side == 0
    assert term.joints > 0


def test_joints_outside_of_the_crop_teach_their_depth_alone(reader, crops):
    outside = replace(crops, joints_2d=crops.require("joints_2d") + 200)
    term = losses(reader.eval(), outside)

    assert term.joints == 0
    assert term.depth > 0


def test_labels_count_less_the_more_their_makers_disagree(reader, crops):
    joints = crops.require("joints_2d")
    size = (joints.amax(1) - joints.amin(1)).prod(1).sqrt()
    half = (SMALL.label_scale * size)[:, None].expand(8, 21)
    weights = reader.plane_and_depth_weights(replace(crops, joint_spread=half))

    torch.testing.assert_close(weights[..., 0], torch.full((8, 21), 0.5))
    torch.testing.assert_close(weights[..., 1], torch.full((8, 21), SMALL.pseudo_depth))
    exact = reader.plane_and_depth_weights(replace(crops, joint_spread=torch.zeros(8, 21)))
    assert (exact == 1).all()


def test_the_gradient_of_the_spread_moves_its_own_layer_alone(reader, crops):
    term = losses(reader, crops)
    term.spread.backward()

    moved = {name for name, value in reader.named_parameters() if value.grad is not None}
    assert moved == {"log_variance.weight", "log_variance.bias"}


def test_depth_is_in_bone_units_and_mirrors_with_nothing(reader, crops):
    target = reader.targets(crops)
    joints = crops.require("joints_3d")
    bone = (joints[:, 10] - joints[:, 9]).norm(dim=1)

    expected = (joints[..., 2] - joints[:, :1, 2]) / bone[:, None]
    torch.testing.assert_close(target[..., 2], expected)
    torch.testing.assert_close(target[..., :2], to_crop_units(crops.require("joints_2d"), 32))


def test_learns_where_a_spot_is_which_side_it_says_and_whether_it_is_there(tiny_spec):
    """A spot stands for all joints: right hands are wide, left ones high; dark crops show none."""
    torch.manual_seed(0)
    reader = HandReader(replace(SMALL, norm="batch", side_weight=3.0), tiny_spec, Crop(32))
    generator = torch.Generator().manual_seed(0)

    def batch(count: int) -> Hands:
        place = 6 + 20 * torch.rand(count, 2, generator=generator)
        side = torch.randint(0, 2, (count,), generator=generator)
        present = torch.rand(count, generator=generator) > 0.3
        grid = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="xy"), -1) + 0.5
        square = (grid - place[:, None, None]).square()
        wide, high = square @ torch.tensor([0.03, 0.3]), square @ torch.tensor([0.3, 0.03])
        spot = torch.where((side == RIGHT)[:, None, None], wide, high).neg().exp() * present[:, None, None]
        return Hands(
            image=spot[:, None].expand(count, 3, 32, 32),
            joints_2d=place[:, None].expand(count, 21, 2),
            joints_3d=torch.eye(3).repeat(1, 7, 1).expand(count, 21, 3),
            side=side,
            present=present,
        )

    optimiser = torch.optim.Adam(reader.parameters(), 3e-3)
    for _ in range(200):
        optimiser.zero_grad()
        losses(reader, batch(32)).total.backward()
        optimiser.step()

    term = losses(reader.eval(), batch(256))
    assert float(term.error.detach()) < 0.15
    assert term.side_right > 0.95
    assert term.presence_right > 0.95


def test_predicts_2d_joints_with_their_spread(reader, crops):
    prediction = reader.eval().predict(crops)
    assert prediction.joints.shape == prediction.spread.shape == (8, 21, 2)
    assert (prediction.spread > 0).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"widths": (8, 8)}, "three numbers"),
        ({"blocks": (1, 1)}, "each stage"),
        ({"blocks": (1, 1, 99)}, "0 to 16"),
        ({"joint_weight": -1.0}, "not negative"),
        ({"heat_sigma": 0.0}, "positive"),
    ],
)
def test_refuses_choices_that_make_no_network(change, words):
    with pytest.raises(ValueError, match=words):
        replace(SMALL, **change)


def test_a_crop_that_cannot_be_halved_is_refused(tiny_spec):
    with pytest.raises(ValueError, match="halved"):
        HandReader(SMALL, tiny_spec, Crop(36))


def test_data_without_space_or_side_are_refused(tiny_spec):
    flat = replace(tiny_spec, modalities=("image", "joints_2d"))
    with pytest.raises(ValueError, match="keypoints_3d"):
        HandReader(SMALL, flat, Crop(32))


def test_a_mirrored_crop_is_seen_as_the_mirrored_hand(reader, crops):
    image = crops.require("image")
    seen, mirrored = reader.eval().observe(image), reader.observe(image.flip(-1))

    torch.testing.assert_close(mirrored.joints, mirror_3d(seen.joints), rtol=0, atol=1e-6)
    torch.testing.assert_close(mirrored.right, 1 - seen.right, rtol=0, atol=1e-6)
    torch.testing.assert_close(mirrored.present, seen.present, rtol=0, atol=1e-6)
    torch.testing.assert_close(mirrored.spread, seen.spread, rtol=1e-5, atol=0)
    assert not torch.allclose(seen.joints, reader.read(image).joints)  # the mean of two readings


@pytest.mark.parametrize("name", POSE_NAMES)
def test_a_flat_hand_with_depth_is_put_into_space(name):
    joints = forward_kinematics(named_pose(name)[None], HandShape.mean()).joints @ rotation_y(
        torch.tensor(0.5)
    )
    truth = (joints - joints[:, :1]) / scale_bone(joints)[:, None, None]

    # a crop unit is 2.5 bone units, and the hand lies off the crop's middle
    flat = torch.cat([truth[..., :2] / 2.5 + 0.1, truth[..., 2:]], 2)
    spread = torch.full((1, 21, 3), 0.04)
    found, spread_found = in_space(flat, spread)

    torch.testing.assert_close(found, truth, rtol=0, atol=1e-4)
    torch.testing.assert_close(spread_found[..., :2], spread[..., :2] * 2.5)
    torch.testing.assert_close(spread_found[..., 2], spread[..., 2])


def test_a_hand_seen_along_its_bones_still_has_a_size():
    joints = torch.zeros(1, 21, 3)
    joints[..., 2] = torch.arange(21) * 0.5
    found, _ = in_space(joints, torch.ones(1, 21, 3))
    assert found.isfinite().all()
