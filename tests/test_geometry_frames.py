import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from handvae.geometry import (
    PALM_TO_CAMERA,
    VIEWS,
    canonical_pose,
    from_canonical,
    mirror_3d,
    orthographic_view,
    project,
    random_rotation,
    undo_view_normalise,
    view_normalise,
)
from handvae.hand import (
    ANGLE_LIMITS,
    LEFT,
    RIGHT,
    HandShape,
    forward_kinematics,
    named_pose,
    sample_shape,
    scale_bone,
    to_internal,
)

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


def sides(side: int, count: int = 4) -> torch.Tensor:
    return torch.full((count,), side)


# -------------------------------------------------------------------------------------------- canonical frame
# and views


@properties
@given(seeds, st.sampled_from([LEFT, RIGHT]), st.sampled_from(["palm", "wrist"]))
def test_canonical_pose_stands_as_stated_and_comes_back(seed: int, side: int, root_kind):
    joints = hands(seed) if side == RIGHT else mirror_3d(hands(seed))
    canonical = canonical_pose(joints, sides(side), root_kind)
    pose = canonical.pose
    assert canonical.valid.all()
    close(pose[:, 9, [0, 2]], torch.zeros(4, 2, dtype=torch.float64))
    assert (pose[:, 9, 1] < 0).all()
    close(pose[:, 17, 2], torch.zeros(4, dtype=torch.float64))
    assert (pose[:, 17, 0] > 0).all()
    close(scale_bone(pose), torch.ones(4, dtype=torch.float64))
    close(canonical.viewpoint @ canonical.viewpoint.mT, EYE.expand(4, 3, 3))
    close(canonical.viewpoint.det(), torch.ones(4, dtype=torch.float64))
    close(from_canonical(canonical, sides(side)), joints)


@properties
@given(seeds)
def test_canonical_pose_forgets_viewpoint_place_and_size(seed: int):
    joints = hands(seed)
    turn = random_rotation(4, generator(seed + 1), torch.float64)
    first = canonical_pose(joints, sides(RIGHT))
    second = canonical_pose(0.7 * joints @ turn.mT + 30, sides(RIGHT))
    close(second.pose, first.pose)
    close(second.viewpoint, turn @ first.viewpoint)
    close(second.scale, 0.7 * first.scale)


@properties
@given(seeds)
def test_a_right_hand_and_its_mirror_image_share_their_canonical_pose(seed: int):
    joints = hands(seed)
    close(canonical_pose(mirror_3d(joints), sides(LEFT)).pose, canonical_pose(joints, sides(RIGHT)).pose)


def test_canonical_z_points_out_of_the_back_of_the_hand():
    fist = forward_kinematics(named_pose("fist", torch.float64), HandShape.mean(torch.float64)).joints
    assert (canonical_pose(fist, torch.tensor(RIGHT)).pose[[8, 12, 16, 20], 2] < 0).all()


def degenerate_hands() -> torch.Tensor:
    joints = hands(3, 6)
    joints[1, 10] = joints[1, 9]  # no scale bone
    joints[2, 9] = joints[2, 0]  # no -y
    joints[3, 17] = joints[3, 0] + 2 * (joints[3, 9] - joints[3, 0])  # root, 9 and 17 on a line
    joints[4] = joints[4, 0].clone()  # one point
    joints[5] = 0
    return joints


def test_degenerate_hands_are_marked_hold_no_nan_and_come_back():
    joints = degenerate_hands()
    canonical = canonical_pose(joints, sides(RIGHT, 6))
    assert canonical.valid.tolist() == [True, False, False, False, False, False]
    assert all(value.isfinite().all() for value in vars(canonical).values())
    close(from_canonical(canonical, sides(RIGHT, 6)), joints)
    close(canonical.viewpoint.det(), torch.ones(6, dtype=torch.float64))


def test_degenerate_hands_have_finite_gradients():
    joints = degenerate_hands().requires_grad_()
    canonical = canonical_pose(joints, sides(LEFT, 6))
    (canonical.pose.sum() + canonical.viewpoint.sum() + canonical.scale.sum()).backward()
    assert joints.grad is not None
    assert joints.grad.isfinite().all()


@properties
@given(seeds)
def test_view_normalisation_puts_the_centre_on_the_axis_and_comes_back(seed: int):
    joints = hands(seed) * torch.tensor([1, 1, [-1, 1][seed % 2]])  # a centre behind the camera, too
    centre = joints[:, 9]
    turned, rotation = view_normalise(joints, centre)
    distance = centre.norm(dim=-1)
    close(
        turned[:, 9],
        torch.stack([torch.zeros_like(distance), torch.zeros_like(distance), distance], -1),
        atol=1e-9,
        rtol=0,
    )
    close(rotation @ rotation.mT, EYE.expand(4, 3, 3))
    close(rotation.det(), torch.ones(4, dtype=torch.float64))
    close(undo_view_normalise(turned, rotation), joints)
    about_y = Rotation.from_euler("y", -torch.atan2(centre[:, :1], centre[:, 2:]).numpy())
    about_x = Rotation.from_euler(
        "x", torch.atan2(centre[:, 1:2], centre[:, [0, 2]].norm(dim=-1, keepdim=True)).numpy()
    )
    close(rotation, torch.from_numpy((about_x * about_y).as_matrix()))


# ------------------------------------------------------------------------------------------- ---- plain views


def test_palm_view_shows_fingers_up_thumb_right_and_the_palm_in_front():
    joints = forward_kinematics(named_pose("relaxed", torch.float64), HandShape.mean(torch.float64)).joints
    view = orthographic_view(joints, VIEWS["palm"], 1.25)
    close(view.joints_mm, torch.stack([joints[:, 1], -joints[:, 0], joints[:, 2]], -1))
    assert (view.joints_2d[[8, 12, 16, 20], 1] < view.joints_2d[0, 1]).all()
    assert view.joints_2d[4, 0] > view.joints_2d[20, 0]
    assert (
        view.joints_mm[[8, 12, 16, 20], 2] < view.joints_mm[9, 2]
    ).all()  # flexed fingertips come towards the camera


def test_named_views_show_what_they_name():
    towards_camera = {
        "palm": (0, 0, -1),
        "back": (0, 0, 1),
        "side_thumb": (0, 1, 0),
        "side_pinky": (0, -1, 0),
    }  # hand axes
    assert set(VIEWS) == set(towards_camera)
    for name, axis in towards_camera.items():
        rotation = VIEWS[name] @ PALM_TO_CAMERA
        close(
            rotation @ torch.tensor(axis, dtype=torch.float64),
            torch.tensor([0.0, 0, -1], dtype=torch.float64),
        )
        close(rotation @ EYE[0], torch.tensor([0.0, -1, 0], dtype=torch.float64))  # fingers up
        close(rotation.det(), torch.tensor(1.0, dtype=torch.float64))


@properties
@given(seeds, st.floats(1, 2))
def test_orthographic_view_centres_and_fits_the_hand(seed: int, margin: float):
    joints = hands(seed)
    view = orthographic_view(joints, random_rotation(4, generator(seed), torch.float64), margin)
    low, high = view.joints_2d.amin(-2), view.joints_2d.amax(-2)
    close(low, -high)
    close(high.amax(-1), torch.full((4,), 1 / margin, dtype=torch.float64))
    # One scale for both axes: the 2D hand is similar to the turned one.
    scale = (view.joints_2d[:, 1:] - view.joints_2d[:, :1]).norm(dim=-1) / (
        view.joints_mm[:, 1:] - view.joints_mm[:, :1]
    )[..., :2].norm(dim=-1)
    close(scale, scale[:, :1].expand_as(scale))


# ------------------------------------------------------------------------------------------------ - real data


def read(*path: str):
    folder = Path(os.environ.get("HANDVAE_TEST_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
    file = folder.joinpath("formats", *path)
    if not file.is_file():
        pytest.skip(f"no real samples: {file} is missing (set HANDVAE_TEST_DATA to their folder)")
    return json.loads(file.read_text())


def real_rhd() -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]]:
    """3D joints in mm, 2D joints and camera as annotated, and the side of each sample."""
    labels = read("rhd", "test_rhd.json")
    pictures, found = {picture["id"]: picture for picture in labels["images"]}, []
    for label in labels["annotations"]:
        camera = pictures[label["image_id"]]["cam_param"]
        intrinsics = torch.eye(3, dtype=torch.float64)
        intrinsics[[0, 1], [0, 1]] = torch.tensor(camera["focal"], dtype=torch.float64)
        intrinsics[:2, 2] = torch.tensor(camera["princpt"], dtype=torch.float64)
        joints, pixels = (
            to_internal(torch.tensor(label[key], dtype=torch.float64), "rhd")
            for key in ("joint_cam", "keypoints")
        )
        found.append((joints, pixels[:, :2], intrinsics, LEFT if label["hand_type"] == "left" else RIGHT))
    return found


def real_interhand() -> list[tuple[torch.Tensor, torch.Tensor, list[float], int]]:
    """3D joints in mm in the camera frame, camera and box of each hand whose joints are all valid."""
    labels, cameras_of, joints_of = (
        read("interhand2.6m", f"test_interhand2.6m_{part}.json") for part in ("data", "camera", "joint_3d")
    )
    pictures, found = {picture["id"]: picture for picture in labels["images"]}, []
    for label in labels["annotations"]:
        picture = pictures[label["image_id"]]
        camera, name = cameras_of[str(picture["capture"])], picture["camera"]
        place, turn, focal, centre = (
            torch.tensor(camera[key][name]).double() for key in ("campos", "camrot", "focal", "princpt")
        )
        intrinsics = torch.eye(3, dtype=torch.float64)
        intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2] = focal, centre
        world = torch.tensor(
            joints_of[str(picture["capture"])][str(picture["frame_idx"])]["world_coord"]
        ).double()
        valid = torch.tensor(label["joint_valid"]).flatten().bool()
        for side, first in ((RIGHT, 0), (LEFT, 21)):
            if valid[first : first + 21].all():
                joints = to_internal((world[first : first + 21] - place) @ turn.mT, "interhand")
                found.append((joints, intrinsics, label["bbox"], side))
    return found


def test_rhd_samples_project_to_their_annotated_pixels():
    for joints, pixels, intrinsics, _ in real_rhd():
        assert (project(joints, intrinsics) - pixels).norm(dim=-1).max() < 0.1


def test_interhand_samples_project_into_their_boxes():
    found = real_interhand()
    assert len(found) >= 4
    for joints, intrinsics, (left, top, width, height), _ in found:
        pixels = project(joints, intrinsics)
        assert (pixels >= torch.tensor([left, top]) - 0.5).all()
        assert (pixels <= torch.tensor([left + width, top + height]) + 0.5).all()


@pytest.mark.parametrize("samples", [real_rhd, real_interhand])
def test_real_hands_have_human_bones_and_come_back_from_the_canonical_frame(samples):
    for sample in samples():
        joints, side = sample[0], torch.tensor(sample[-1])
        assert 25 < scale_bone(joints) < 60
        canonical = canonical_pose(joints, side)
        close(from_canonical(canonical, side), joints)
        # On both sides canonical z points out of the back of the hand: the thumb lies on the other side.
        assert canonical.pose[[2, 3, 4], 2].mean() < -0.3
