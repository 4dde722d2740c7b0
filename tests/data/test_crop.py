import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.crop import (
    Crop,
    check_crop,
    crop_affines,
    cut,
    move_labels,
    to_crop_px,
    to_crop_units,
    warp,
)
from handvae.data.dataset import HandData
from handvae.data.hands import DataSpec, Hands
from handvae.errors import UserError
from handvae.geometry import crop_affine, project
from handvae.hand import LEFT, RIGHT
from handvae.noise import Noise

close = torch.testing.assert_close
SIDE = 160
WILD = Augment(rotation_deg=180.0, scale=0.3, shift=0.3, mirror=0.5)
STRETCHED = replace(WILD, stretch=0.3)


class Dots(HandData):
    """Black pictures of hands without bones: one joint each, another in every picture, is a bright dot."""

    def __init__(self, count: int = 21) -> None:
        generator = torch.Generator().manual_seed(3)
        self.joints = 30 + 100 * torch.rand(count, 21, 2, generator=generator)
        self.spec = DataSpec("dots", count, 0, ("image", "joints_2d"), "both")

    def __len__(self) -> int:
        return len(self.joints)

    def labels(self, rows: torch.Tensor) -> Hands:
        side = torch.where(rows % 2 == 0, RIGHT, LEFT)
        return Hands(
            joints_2d=self.joints[rows], joint_valid=torch.ones(len(rows), 21, dtype=torch.bool), side=side
        )

    def picture(self, row: int) -> np.ndarray:
        x, y = self.joints[row, row % 21].double().numpy() - 0.5  # distances are to the pixels' centres
        columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
        dot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.0**2))
        return np.repeat(dot.astype(np.uint8)[..., None], 3, axis=2)


def brightest(image: torch.Tensor) -> torch.Tensor:
    """Where a picture's bright dot lies, px."""
    weight = image.mean(0).double()
    centres = torch.arange(image.shape[-1], dtype=torch.float64) + 0.5
    return torch.stack([weight.sum(0) @ centres, weight.sum(1) @ centres]) / weight.sum()


def camera_hands(count: int, seed: int = 0) -> Hands:
    """Hands before a camera whose joints project to their labels exactly."""
    generator = torch.Generator().manual_seed(seed)
    joints = 60 * torch.randn(count, 21, 3, generator=generator) + torch.tensor([20.0, -30.0, 600.0])
    intrinsics = torch.tensor([[500.0, 0.0, 150.0], [0.0, 520.0, 130.0], [0.0, 0.0, 1.0]]).repeat(count, 1, 1)
    return Hands(
        joints_2d=project(joints, intrinsics),
        joints_3d=joints,
        joint_valid=torch.ones(count, 21, dtype=torch.bool),
        intrinsics=intrinsics,
        side=torch.arange(count) % 2,
    )


# -------------------------------------------------------------------------------------------------- labels
# move with pixels


@pytest.mark.parametrize(
    "augment", [None, WILD, STRETCHED], ids=["plain", "turned and mirrored", "stretched too"]
)
def test_a_joint_is_found_in_the_crop_where_its_label_went(augment):
    data = Dots()
    hands = cut(data, torch.arange(21), Crop(96, 2.0), augment, Noise(1))
    inside = 0
    for row in range(21):
        expected = hands.joints_2d[row, row]
        if (expected > 10).all() and (expected < 86).all():  # a dot at the edge has no centroid
            inside += 1
            assert (brightest(hands.image[row]) - expected).norm() < 0.7
    assert inside > 12


def test_without_augmentation_the_box_of_the_joints_fills_its_share_of_the_crop():
    hands = cut(Dots(), torch.arange(5), Crop(64, 1.5))
    low, high = hands.joints_2d.amin(1), hands.joints_2d.amax(1)
    close((high - low).amax(1), torch.full((5,), 64 / 1.5))
    close((low + high) / 2, torch.full((5, 2), 32.0))


@pytest.mark.parametrize("augment", [WILD, STRETCHED], ids=["similar", "stretched"])
def test_moved_joints_in_space_project_through_the_moved_camera_to_the_moved_pixels(augment):
    labels = camera_hands(30)
    moved = move_labels(labels, crop_affines(labels, Crop(64), augment, Noise(2)))
    close(project(moved.joints_3d, moved.intrinsics), moved.joints_2d, atol=1e-3, rtol=0)


def test_a_hand_in_space_keeps_its_size_and_distance_in_every_crop():
    labels = camera_hands(30)
    moved = move_labels(labels, crop_affines(labels, Crop(64), STRETCHED, Noise(2)))
    close(moved.joints_3d.norm(dim=-1), labels.joints_3d.norm(dim=-1))
    close(moved.joints_3d[..., 2], labels.joints_3d[..., 2])


def test_the_hand_in_space_turns_with_the_picture():
    """From the first joint to the second, the way in the picture and the way in space (seen from far) keep
    the same angle."""
    joints = torch.tensor([[0.0, 0.0], [30.0, 10.0]]).repeat(20, 11, 1)[:, :21]
    flat = torch.cat([joints, torch.zeros(20, 21, 1)], -1)
    labels = Hands(
        joints_2d=joints + 70,
        joints_3d=flat,
        joint_valid=torch.ones(20, 21, dtype=torch.bool),
        side=torch.full((20,), RIGHT),
    )
    moved = move_labels(labels, crop_affines(labels, Crop(64), WILD, Noise(4)))
    seen = moved.joints_2d[:, 1] - moved.joints_2d[:, 0]
    solid = moved.joints_3d[:, 1, :2] - moved.joints_3d[:, 0, :2]
    close(torch.cosine_similarity(seen, solid), torch.ones(20))
    assert (seen / seen.norm(dim=1, keepdim=True)).std(0).min() > 0.3  # they did turn


def test_mirroring_swaps_the_side_and_nothing_else_does():
    labels = camera_hands(40)
    affine = crop_affines(labels, Crop(64), WILD, Noise(5))
    mirrored = torch.linalg.det(affine[:, :, :2]) < 0
    assert 5 < mirrored.sum() < 35
    moved = move_labels(labels, affine)
    assert torch.equal(moved.side != labels.side, mirrored)


@pytest.mark.parametrize(("asked", "side"), [("left", LEFT), ("right", RIGHT)])
def test_a_view_of_one_side_shows_every_hand_as_that_side(asked, side):
    hands = cut(Dots(), torch.arange(6), Crop(64, 2.0, asked))
    assert (hands.side == side).all()


def test_labels_that_a_crop_does_not_touch_stay():
    labels = camera_hands(4)
    moved = move_labels(labels, crop_affines(labels, Crop(64), WILD, Noise(6)))
    assert torch.equal(moved.joint_valid, labels.joint_valid)
    assert {name for name, _ in moved.items()} == {name for name, _ in labels.items()}


def test_joints_without_a_label_do_not_widen_the_crop():
    labels = camera_hands(3)
    far = labels.joints_2d.clone()
    far[:, 4] = 5000
    valid = labels.joint_valid.clone()
    valid[:, 4] = False
    near = Hands(joints_2d=labels.joints_2d, joint_valid=valid, side=labels.side)
    spoilt = Hands(joints_2d=far, joint_valid=valid, side=labels.side)
    close(crop_affines(spoilt, Crop(64), None, Noise(0)), crop_affines(near, Crop(64), None, Noise(0)))


def test_an_augment_without_ranges_leaves_the_crop_as_it_is():
    still = Augment(rotation_deg=0.0, scale=0.0, shift=0.0)
    plain, augmented = (
        cut(Dots(), torch.arange(4), Crop(64)),
        cut(Dots(), torch.arange(4), Crop(64), still, Noise(9)),
    )
    close(augmented.image, plain.image)
    close(augmented.joints_2d, plain.joints_2d)


def test_crop_units_run_from_minus_one_to_one_over_the_crop():
    px = torch.tensor([[0.0, 0.0], [64.0, 32.0]])
    close(to_crop_units(px, 64), torch.tensor([[-1.0, -1.0], [1.0, 0.0]]))
    close(to_crop_px(to_crop_units(px, 64), 64), px)


@pytest.mark.parametrize(
    "wrong", [{"size_px": 4}, {"size_px": 10**6}, {"margin": 0.9}, {"margin": float("nan")}]
)
def test_a_crop_that_cannot_hold_a_hand_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Crop(**wrong)


# ----------------------------------------------------------------------------------------------- ------- warp


def whole(picture: np.ndarray, size_px: int) -> np.ndarray:
    side = float(max(picture.shape[:2]))
    centre = torch.tensor([[picture.shape[1] / 2, picture.shape[0] / 2]])
    return crop_affine(centre, torch.tensor([side]), size_px)[0].numpy()


@pytest.mark.parametrize("side", [400, 401, 1000])
def test_a_strongly_reduced_chequerboard_is_grey(side):
    board = (np.indices((side, side)).sum(0) % 2 * 255).astype(np.uint8)
    small = warp(np.repeat(board[..., None], 3, 2), whole(board, 40), 40)
    assert np.abs(small.astype(int) - 127).max() < 12


def test_an_unchanged_size_copies_the_pixels():
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    assert np.array_equal(warp(picture, whole(picture, 32), 32), picture)


@pytest.mark.parametrize("zoom", [0.05, 0.3, 0.7, 3.0])
def test_a_dot_lands_where_the_affine_says_at_every_zoom(zoom):
    """Also where the picture is averaged first, whose own scale is rounded to whole pixels."""
    side, at = 613, np.array([217.3, 401.8])
    size_px = round(side * zoom)
    columns, rows = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    radius = max(2.0, 1.5 / zoom)
    dot = (255 * np.exp(-((columns - at[0]) ** 2 + (rows - at[1]) ** 2) / (2 * radius**2))).astype(np.uint8)
    affine = whole(dot, size_px)
    small = warp(np.repeat(dot[..., None], 3, 2), affine, size_px)
    found = brightest(torch.from_numpy(small).permute(2, 0, 1).float())
    expected = affine[:, :2] @ at + affine[:, 2]
    assert np.abs(found.numpy() - expected).max() < 0.15


def test_beyond_the_picture_its_border_goes_on():
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[:, -1] = (10, 200, 30)
    outside = warp(
        picture, crop_affine(torch.tensor([[40.0, 10.0]]), torch.tensor([16.0]), 16)[0].numpy(), 16
    )
    assert (outside == np.array([10, 200, 30])).all()


def test_a_reduced_picture_equals_the_mean_of_its_blocks():
    picture = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (256, 256, 3), np.uint8), (0, 0), 6)
    small = warp(picture, whole(picture, 32), 32)
    blocks = picture.reshape(32, 8, 32, 8, 3).astype(float).mean((1, 3))
    assert np.abs(small - blocks).mean() < 3


def test_shift_and_scale_reach_their_ranges_and_stay_in_them():
    labels = camera_hands(400)
    still = Augment(rotation_deg=0.0, scale=0.0, shift=0.0)
    joints = labels.joints_2d
    box_centre = (joints.amin(1) + joints.amax(1)) / 2
    shifted = move_labels(
        Hands(joints_2d=box_centre[:, None]),
        crop_affines(labels, Crop(64), replace(still, shift=0.25), Noise(8)),
    ).joints_2d
    away = (shifted[:, 0] - 32).abs() / 32
    assert 0.24 < away.max() <= 0.25 + 1e-4
    scaled = (
        crop_affines(labels, Crop(64), replace(still, scale=0.2), Noise(8))[:, 0, 0]
        / crop_affines(labels, Crop(64), still, Noise(8))[:, 0, 0]
    )
    assert 1 / 1.2 - 1e-4 <= scaled.min() < 1 / 1.18
    assert 1 / 0.82 < scaled.max() <= 1 / 0.8 + 1e-4


def test_a_stretch_keeps_the_area_and_stays_within_its_share():
    labels = camera_hands(200)
    still = Augment(rotation_deg=0.0, scale=0.0, shift=0.0)
    before = crop_affines(labels, Crop(64), still, Noise(8))[:, :, :2]
    after = crop_affines(labels, Crop(64), replace(still, stretch=0.2), Noise(8))[:, :, :2]
    close(torch.linalg.det(after), torch.linalg.det(before))
    most = torch.linalg.svdvals(after @ torch.linalg.inv(before))[:, 0]
    assert 1.18 < most.max() <= 1.2 + 1e-5
    assert most.min() < 1.02


def test_rotation_turns_the_crop_by_at_most_the_asked_angle():
    labels = camera_hands(200)
    affine = crop_affines(labels, Crop(64), Augment(rotation_deg=20.0, scale=0.0, shift=0.0), Noise(8))
    angle = torch.atan2(affine[:, 1, 0], affine[:, 0, 0]).abs()
    assert math.radians(18) < angle.max() <= math.radians(20) + 1e-5


@pytest.mark.parametrize(
    ("crop", "lacking"),
    [
        (Crop(32), None),
        (Crop(32, sides="left"), None),
        (Crop(32, box="hand3d"), None),
        (Crop(32, box="picture"), "picture_size"),
        (Crop(32, box="cube"), "joints_3d, intrinsics"),
    ],
)
def test_a_data_set_that_lacks_what_a_crop_is_found_by_is_refused(crop, lacking):
    if lacking is None:
        check_crop(Dots(), crop, "dots")
        return
    with pytest.raises(
        UserError, match=f"dots: has no {lacking}, by which crops of box '{crop.box}' are found"
    ):
        check_crop(Dots(), crop, "dots")
