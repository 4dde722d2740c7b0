import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from handvae.geometry import (
    apply_affine,
    back_project,
    canonical_pose,
    compose_affine,
    crop_affine,
    crop_intrinsics,
    from_canonical,
    hand3d_crop,
    invert_affine,
    joints_box,
    mirror_2d,
    mirror_3d,
    mirror_intrinsics,
    nearest_rotation,
    orthographic_view,
    pixel_index_affine,
    procrustes_align,
    project,
    random_rotation,
    rotation_x,
    rotation_y,
    rotation_z,
    undo_view_normalise,
    view_normalise,
)
from handvae.hand import ANGLE_LIMITS, bone_lengths, forward_kinematics, sample_shape

close = torch.testing.assert_close
seeds = st.integers(0, 2**31)
properties = settings(max_examples=20, deadline=None)
EYE = torch.eye(3, dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(seed: int, low: float, high: float, *shape: int) -> torch.Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator(seed), dtype=torch.float64)


def hands(seed: int, count: int = 4) -> torch.Tensor:
    """Right hands in the camera frame, in mm: random shapes, poses and rotations, about half a metre away."""
    lower, upper = ANGLE_LIMITS
    shape = sample_shape(count, generator(seed), dtype=torch.float64)
    joints = forward_kinematics(lower + (upper - lower) * uniform(seed, 0, 1, count, 5, 4), shape).joints
    place = uniform(seed + 1, -80, 80, count, 1, 3) + torch.tensor([0, 0, 550], dtype=torch.float64)
    return joints @ random_rotation(count, generator(seed), torch.float64).mT + place


def cameras(seed: int, count: int = 4) -> torch.Tensor:
    intrinsics = EYE.repeat(count, 1, 1)
    intrinsics[:, [0, 1], [0, 1]] = uniform(seed, 250, 1300, count, 2)
    intrinsics[:, :2, 2] = uniform(seed + 1, 100, 300, count, 2)
    intrinsics[:, 0, 1] = uniform(seed + 2, -3, 3, count)
    return intrinsics


def affines(seed: int, count: int = 4) -> torch.Tensor:
    return crop_affine(
        uniform(seed, 0, 300, count, 2),
        uniform(seed + 1, 40, 400, count),
        128,
        uniform(seed + 2, -3, 3, count),
    )


# ------------------------------------------------------------------------------------------------ - rotations


@pytest.mark.parametrize(("rotation", "axis"), [(rotation_x, "x"), (rotation_y, "y"), (rotation_z, "z")])
def test_rotations_about_the_axes_agree_with_scipy(rotation, axis: str):
    angle = torch.linspace(-4, 4, 9, dtype=torch.float64)
    np.testing.assert_allclose(
        rotation(angle), Rotation.from_euler(axis, angle[:, None].numpy()).as_matrix(), atol=1e-15
    )


def test_random_rotations_are_rotations_and_uniform():
    rotations = random_rotation(20_000, generator(), torch.float64)
    close(rotations @ rotations.mT, EYE.expand(20_000, 3, 3))
    close(rotations.det(), torch.ones(20_000, dtype=torch.float64))
    # Haar measure: every entry has mean 0 and mean square 1/3, and the turn's angle has mean pi/2 + 2/pi.
    assert rotations.mean(0).abs().max() < 0.02
    assert (rotations.square().mean(0) - 1 / 3).abs().max() < 0.01
    angle = ((rotations.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos()
    assert angle.mean() == pytest.approx(math.pi / 2 + 2 / math.pi, abs=0.02)


def test_random_rotations_repeat_with_their_seed():
    assert torch.equal(random_rotation(5, generator(1)), random_rotation(5, generator(1)))
    assert torch.equal(
        random_rotation(5, generator(1)), random_rotation(5, generator(1), torch.float64).float()
    )


@properties
@given(seeds)
def test_nearest_rotation_is_a_rotation_nearer_than_any_other(seed: int):
    matrix = uniform(seed, -1, 1, 4, 3, 3)  # half of them have a negative determinant
    nearest = nearest_rotation(matrix)
    close(nearest @ nearest.mT, EYE.expand(4, 3, 3))
    close(nearest.det(), torch.ones(4, dtype=torch.float64))
    others = torch.cat(
        [
            random_rotation(200, generator(seed), torch.float64),
            nearest @ rotation_x(uniform(seed, -0.01, 0.01, 4)),
        ]
    )
    distance = (others[:, None] - matrix).norm(dim=(-2, -1)).amin(0)
    assert ((nearest - matrix).norm(dim=(-2, -1)) <= distance + 1e-12).all()


def test_nearest_rotation_keeps_a_rotation_and_mends_a_reflection():
    rotation = random_rotation(8, generator(), torch.float64)
    close(nearest_rotation(rotation), rotation)
    close(nearest_rotation(1.5 * rotation), rotation)
    close(nearest_rotation(torch.diag(torch.tensor([3.0, 2.0, -1.0]))), torch.eye(3))


# ------------------------------------------------------------------------------------------------ --- cameras


@properties
@given(seeds)
def test_back_projection_inverts_projection(seed: int):
    joints, intrinsics = hands(seed), cameras(seed)
    close(back_project(project(joints, intrinsics), joints[..., 2], intrinsics), joints)


def test_projection_is_the_pinhole_formula_and_takes_one_camera_for_a_batch():
    joints, intrinsics = (
        hands(0),
        torch.tensor([[600.0, 0, 320], [0, 500, 240], [0, 0, 1]], dtype=torch.float64),
    )
    expected = torch.stack(
        [600 * joints[..., 0] / joints[..., 2] + 320, 500 * joints[..., 1] / joints[..., 2] + 240], -1
    )
    close(project(joints, intrinsics), expected)
    close(back_project(expected, joints[..., 2], intrinsics), joints)


# ------------------------------------------------------------------------------------------------ ----- crops


def test_crop_affine_maps_the_squares_corners_to_the_crops_corners():
    affine = crop_affine(torch.tensor([100.0, 60.0]), torch.tensor(40.0), 128)
    corners = torch.tensor([[80.0, 40.0], [120.0, 40.0], [120.0, 80.0], [80.0, 80.0], [100.0, 60.0]])
    close(
        apply_affine(corners, affine),
        torch.tensor([[0.0, 0.0], [128.0, 0.0], [128.0, 128.0], [0.0, 128.0], [64.0, 64.0]]),
    )


def test_crop_affine_turns_the_square_from_right_to_down():
    affine = crop_affine(torch.tensor([100.0, 60.0]), torch.tensor(40.0), 128, math.pi / 2)
    # A quarter turn carries the square's top left corner to the top right and its right edge to the bottom.
    close(
        apply_affine(torch.tensor([[120.0, 40.0], [100.0, 80.0]]), affine),
        torch.tensor([[0.0, 0.0], [128.0, 64.0]]),
    )


@properties
@given(seeds)
def test_affines_invert_and_compose(seed: int):
    first, second, points = affines(seed), affines(seed + 9), uniform(seed, -50, 400, 4, 7, 2)
    close(apply_affine(apply_affine(points, first), invert_affine(first)), points)
    close(
        apply_affine(points, compose_affine(first, second)), apply_affine(apply_affine(points, first), second)
    )
    identity = torch.eye(2, 3, dtype=torch.float64).expand(4, 2, 3)
    close(compose_affine(first, invert_affine(first)), identity, atol=1e-9, rtol=0)
    close(compose_affine(invert_affine(first), first), identity, atol=1e-9, rtol=0)


@properties
@given(seeds)
def test_cropped_intrinsics_project_to_cropped_pixels(seed: int):
    joints, intrinsics, affine = hands(seed), cameras(seed), affines(seed)
    cropped = crop_intrinsics(intrinsics, affine)
    close(project(joints, cropped), apply_affine(project(joints, intrinsics), affine))
    close(back_project(project(joints, cropped), joints[..., 2], cropped), joints)
    close(cropped[:, 2], EYE[2].expand(4, 3))


def test_pixel_index_affine_warps_with_opencv_as_the_affine_maps_areas():
    cv2 = pytest.importorskip("cv2")
    picture = np.random.default_rng(0).random((12, 12)).astype(np.float32)
    # Halving a picture puts each crop pixel's centre between four source pixels: the warp must give their
    # mean.
    half = crop_affine(torch.tensor([6.0, 6.0]), torch.tensor(12.0), 6)
    warped = cv2.warpAffine(
        picture, pixel_index_affine(half).double().numpy(), (6, 6), flags=cv2.INTER_LINEAR
    )
    np.testing.assert_allclose(warped, picture.reshape(6, 2, 6, 2).mean((1, 3)), atol=1e-6)
    close(pixel_index_affine(torch.eye(2, 3)), torch.eye(2, 3))


def test_joints_box_is_the_valid_joints_square():
    joints = torch.tensor([[[10.0, 20.0], [50.0, 30.0], [900.0, -900.0], [math.nan, math.nan]]])
    valid = torch.tensor([[True, True, False, False]])
    centre, side = joints_box(joints, valid, 1.5)
    close(centre, torch.tensor([[30.0, 25.0]]))
    close(side, torch.tensor([60.0]))
    close(joints_box(joints[:, :3])[1], torch.tensor([930.0]))


def test_joints_box_of_no_joints_is_empty_and_finite():
    centre, side = joints_box(torch.ones(2, 21, 2), torch.zeros(2, 21, dtype=torch.bool), 1.2)
    assert not centre.any()
    assert not side.any()


@pytest.mark.parametrize(
    ("seen", "side"),
    [
        ([(180, 150), (60, 30)], 180.0),  # joint 9 at (100, 120) reaches 90 px up
        ([(180, 150), (60, 130)], 160.0),  # 80 px right
        ([(-50, 120), (110, 125)], 200.0),  # the box stops at the left edge, 100 px away
        ([(101, 120), (600, 125)], 256.0),  # at the right edge, 220 px away: 440, but zoom is at least 1
        ([(101, 400)], 240.0),  # at the bottom edge, 120 px away
        ([(110, 125), (95, 118)], 50.0),  # 20 px would be too small
        ([], 200.0),  # nothing visible
    ],
)
def test_hand3d_crop_gives_the_hand_made_numbers(seen: list[tuple[float, float]], side: float):
    joints = torch.full((1, 21, 2), 5000.0)  # invisible joints must not count
    joints[0, 9] = torch.tensor([100.0, 120.0])
    visible = torch.zeros(1, 21, dtype=torch.bool)
    for joint, place in enumerate(seen):
        joints[0, joint], visible[0, joint] = torch.tensor(place), True
    centre, measured = hand3d_crop(joints, visible, (320, 240))
    close(centre, torch.tensor([[100.0, 120.0]]))
    close(measured, torch.tensor([side]))


def test_hand3d_crop_takes_at_most_256_pixels():
    joints, visible = torch.full((21, 2), 1000.0), torch.ones(21, dtype=torch.bool)
    assert hand3d_crop(joints, visible, (2000, 2000))[1] == 50
    joints[0] = 1400
    assert hand3d_crop(joints, visible, (2000, 2000))[1] == 256


# ------------------------------------------------------------------------------------------------ --- mirrors


@properties
@given(seeds)
def test_mirrors_agree_with_projection_and_twice_is_the_identity(seed: int):
    joints, intrinsics = hands(seed), crop_intrinsics(cameras(seed), affines(seed))
    pixels = project(joints, intrinsics)
    close(project(mirror_3d(joints), mirror_intrinsics(intrinsics, 128)), mirror_2d(pixels, 128))
    close(mirror_2d(mirror_2d(pixels, 128), 128), pixels)
    close(mirror_3d(mirror_3d(joints)), joints)
    close(mirror_intrinsics(mirror_intrinsics(intrinsics, 128), 128), intrinsics)


def test_mirrored_pixels_lie_where_the_flipped_picture_has_them():
    picture = torch.zeros(4, 6)
    picture[1, 2] = 1
    row, column = picture.flip(-1).nonzero()[0].tolist()
    close(mirror_2d(torch.tensor([[2.5, 1.5]]), 6), torch.tensor([[column + 0.5, row + 0.5]]))


# -------------------------------------------------------------------------------------------------- alignment


@properties
@given(seeds)
def test_procrustes_undoes_a_similarity(seed: int):
    target = hands(seed)
    turn = random_rotation(4, generator(seed + 1), torch.float64)
    moved = uniform(seed, 0.2, 5, 4, 1, 1) * target @ turn.mT + uniform(seed, -500, 500, 4, 1, 3)
    close(procrustes_align(moved, target), target)
    close(procrustes_align(target @ turn.mT + 40, target, scale=False), target)


@properties
@given(seeds)
def test_procrustes_leaves_no_better_similarity_nearby(seed: int):
    target = hands(seed)
    prediction = target + 20 * torch.randn(4, 21, 3, generator=generator(seed), dtype=torch.float64)
    aligned = procrustes_align(prediction, target)
    best = (aligned - target).square().sum((-2, -1))
    assert (best <= (prediction - target).square().sum((-2, -1))).all()
    assert (
        best <= (procrustes_align(prediction, target, scale=False) - target).square().sum((-2, -1)) + 1e-9
    ).all()
    centre = aligned.mean(-2, keepdim=True)
    for step in (-0.01, 0.01):
        angle = torch.full((4,), step, dtype=torch.float64)
        for other in (
            aligned + 100 * step,
            centre + (1 + step) * (aligned - centre),
            *(
                centre + (aligned - centre) @ rotation(angle)
                for rotation in (rotation_x, rotation_y, rotation_z)
            ),
        ):
            assert (best < (other - target).square().sum((-2, -1))).all()


def test_procrustes_without_scale_keeps_bone_lengths():
    prediction, target = 1.3 * hands(1), hands(2)
    close(bone_lengths(procrustes_align(prediction, target, scale=False)), bone_lengths(prediction))


def test_procrustes_never_reflects():
    target = hands(5)
    assert ((procrustes_align(mirror_3d(target), target) - target).norm(dim=-1).mean(-1) > 3).all()


def test_procrustes_of_coinciding_points_is_their_shift():
    target = hands(6)
    aligned = procrustes_align(torch.ones_like(target), target)
    close(aligned, target.mean(-2, keepdim=True).expand_as(target))


# ----------------------------------------------------------------------------------------- batches and dtypes


def everything(joints: torch.Tensor, intrinsics: torch.Tensor, side: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every function of this module that takes a batch, on hands of any leading dimensions."""
    pixels = project(joints, intrinsics)
    seen = pixels[..., 0] > 100
    (centre, px), (box_centre, box_px) = hand3d_crop(pixels, seen, (320, 240)), joints_box(pixels, seen, 1.3)
    affine = crop_affine(centre, px, 128, px / 100)
    canonical = canonical_pose(joints, side)
    turned, rotation = view_normalise(joints, joints[..., 9, :])
    view = orthographic_view(joints, rotation)
    return {
        "pixels": pixels,
        "points": back_project(pixels, joints[..., 2], intrinsics),
        "centre": centre,
        "side_px": px,
        "box_centre": box_centre,
        "box_side_px": box_px,
        "affine": affine,
        "cropped": apply_affine(pixels, affine),
        "inverse": compose_affine(invert_affine(affine), pixel_index_affine(affine)),
        "cropped_intrinsics": crop_intrinsics(intrinsics, affine),
        "pose": canonical.pose,
        "viewpoint": canonical.viewpoint,
        "restored": from_canonical(canonical, side),
        "turned": turned,
        "turned_back": undo_view_normalise(turned, rotation),
        "mirrored": mirror_2d(pixels, 320),
        "mirrored_3d": mirror_3d(joints),
        "mirrored_intrinsics": mirror_intrinsics(intrinsics, 320),
        "aligned": procrustes_align(joints, turned),
        "nearest": nearest_rotation(intrinsics),
        "view": view.joints_2d,
        "view_mm": view.joints_mm,
    }


def test_leading_dimensions_do_not_change_results():
    joints, intrinsics, side = hands(8, 6), cameras(8, 6), torch.arange(6) % 2
    flat = everything(joints, intrinsics, side)
    grid = everything(joints.unflatten(0, (2, 3)), intrinsics.unflatten(0, (2, 3)), side.unflatten(0, (2, 3)))
    last = everything(joints[5], intrinsics[5], side[5])
    for name, values in flat.items():
        close(grid[name].flatten(0, 1), values, msg=name)
        close(last[name], values[5], msg=name)


def test_float32_stays_float32_and_near_float64():
    joints, intrinsics, side = hands(9), cameras(9), torch.arange(4) % 2
    single, double = (
        everything(joints.float(), intrinsics.float(), side),
        everything(joints, intrinsics, side),
    )
    for name, values in single.items():
        assert values.dtype == torch.float32, name
        close(values.double(), double[name], atol=2e-2, rtol=1e-4, msg=name)
