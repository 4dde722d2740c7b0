"""Visible joints where labels do not tell: valid and inside the picture; every layout can be cut by every
paper's crop."""

from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop, check_crop, crop_affines
from handvae.data.dataset import camera_labels, pinhole
from handvae.data.hands import Hands
from handvae.data.open import LAYOUTS, OWN_LAYOUTS, open_data
from handvae.data.visibility import with_visibility
from handvae.geometry import HAND3D_PX, apply_affine
from handvae.hand import LEFT
from handvae.noise import Noise

WITHOUT_21_JOINTS = ("nyu", "icvl")
"""hand3d's rule centres on joint 9 of 21; their papers cut cubes."""


def flat(*points: tuple[float, float], valid: bool = True) -> Hands:
    joints = torch.tensor([points], dtype=torch.float32)
    return Hands(joints_2d=joints, joint_valid=torch.full((1, len(points)), valid))


def test_a_joint_is_visible_inside_the_picture_up_to_its_edge():
    hands = flat((0, 0), (40, 30), (40.5, 1), (1, 30.5), (-0.5, 1))
    assert with_visibility(hands, (40, 30)).joint_visible.tolist() == [[True, True, False, False, False]]


def test_each_picture_has_its_own_size():
    hands = Hands.cat([flat((35, 5)), flat((35, 5))])
    visible = with_visibility(hands, torch.tensor([[40.0, 30.0], [30.0, 40.0]])).joint_visible
    assert visible.tolist() == [[True], [False]]


def test_a_joint_that_is_not_labelled_is_not_visible():
    assert not with_visibility(flat((5, 5), valid=False), (40, 30)).joint_visible.any()


def test_labels_that_tell_are_kept():
    hidden = replace(flat((5, 5)), joint_visible=torch.tensor([[False]]))
    assert with_visibility(hidden, (40, 30)) is hidden


def test_without_a_size_the_labelled_joints_count():
    assert with_visibility(flat((500, 5)), None).joint_visible.all()


def test_a_joint_outside_a_cameras_picture_is_labelled_and_not_visible():
    joints = torch.tensor([[[0.0, 0.0, 500.0], [0.0, 300.0, 500.0], [0.0, 0.0, -1.0]]])
    labels = camera_labels(joints, pinhole(500.0, 500.0, 320.0, 240.0)[None], LEFT, (640, 480))
    assert labels.joint_valid.tolist() == [[True, True, False]]
    assert labels.joint_visible.tolist() == [[True, False, False]]


@pytest.mark.parametrize("name", OWN_LAYOUTS)
def test_every_published_layout_tells_which_joints_are_visible(name, laid_out):
    hands = open_data(laid_out(name)[0]).labels(torch.arange(2))
    assert hands.joint_visible.any()
    assert not (hands.joint_visible & ~hands.joint_valid).any()


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in WITHOUT_21_JOINTS])
def test_the_visible_joints_of_every_layout_lie_in_a_crop_by_hand3ds_rule(name, layout_of, tmp_path):
    data = open_data(layout_of(name, tmp_path, 12))
    crop = Crop(32, box="hand3d")
    check_crop(data, crop, name)
    labels = data.labels(torch.arange(2))
    visible = with_visibility(labels, None).joint_visible
    # of a hand of more than 256 px the ends are cut off, as by their rule
    reach = (labels.joints_2d - labels.joints_2d[:, 9:10]).abs().amax(-1)
    near = visible & (reach < HAND3D_PX / 2)
    shown = apply_affine(labels.joints_2d, crop_affines(labels, crop, None, Noise(0)))[near]
    assert len(shown) > 20
    assert shown.min() >= -0.01
    assert shown.max() <= 32.01


def test_a_joint_outside_the_picture_does_not_widen_a_crop():
    points = torch.full((1, 21, 2), 100.0)
    # a fingertip beyond the left edge, and one inside at 40 px
    points[0, 20, 0], points[0, 16, 0] = -20.0, 60.0
    hands = Hands(joints_2d=points, joint_valid=torch.ones(1, 21, dtype=torch.bool))

    def side_px(labels: Hands) -> float:
        return 32 / float(crop_affines(labels, Crop(32, box="hand3d"), None, Noise(0))[0, 0, 0])

    assert side_px(with_visibility(hands, (640, 480))) == pytest.approx(80)
    assert side_px(hands) == pytest.approx(200)  # the box is clipped at the edge, 100 px away


@pytest.mark.parametrize("size_px", [64, 128, 256])
def test_a_crop_of_any_size_shows_as_much_of_the_hand(size_px):
    points = torch.full((1, 21, 2), 300.0)
    points[0, 12, 1] = 200.0
    hands = Hands(joints_2d=points, joint_valid=torch.ones(1, 21, dtype=torch.bool))
    affine = crop_affines(hands, Crop(size_px, box="hand3d"), None, Noise(0))
    assert float(affine[0, 0, 0]) == pytest.approx(size_px / 200)
