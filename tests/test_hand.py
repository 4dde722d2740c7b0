import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from handvae.errors import UserError
from handvae.hand import (
    ANGLE_LIMITS,
    BONES,
    FINGERS,
    FINGERTIPS,
    JOINT_NAMES,
    LEFT,
    ORDERS,
    PARENTS,
    POSE_NAMES,
    RIGHT,
    HandShape,
    axis_rotation,
    bone_lengths,
    clamp_to_limits,
    forward_kinematics,
    from_internal,
    named_pose,
    palm_centre,
    root,
    sample_shape,
    scale_bone,
    to_bone_units,
    to_internal,
    wrist_from_palm,
)

seeds = st.integers(0, 2**31)
MEAN = HandShape.mean(torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_angles(seed: int, *batch: int) -> torch.Tensor:
    lower, upper = ANGLE_LIMITS
    return lower + (upper - lower) * torch.rand(*batch, 5, 4, generator=generator(seed), dtype=torch.float64)


def random_joints(seed: int, *batch: int) -> torch.Tensor:
    return 100 * torch.randn(*batch, 21, 3, generator=generator(seed), dtype=torch.float64)


# ------------------------------------------------------------------------------------------------- - the tree


def test_joints_run_from_base_to_tip_finger_by_finger():
    assert len(JOINT_NAMES) == len(set(JOINT_NAMES)) == 21
    assert [JOINT_NAMES[joint] for joint in (0, 1, 3, 5, 9, 10, 13, 17)] == [
        "wrist", "thumb_cmc", "thumb_ip", "index_mcp", "middle_mcp", "middle_pip", "ring_mcp", "pinky_mcp",
    ]  # fmt: skip
    assert [JOINT_NAMES[joint] for joint in FINGERTIPS] == [f"{finger}_tip" for finger in FINGERS]
    assert (LEFT, RIGHT) == (0, 1)


def test_every_bone_stays_within_its_finger_or_starts_at_the_wrist():
    assert [child for _, child in BONES] == list(range(1, 21))
    for parent, child in BONES:
        assert PARENTS[child] == parent < child
        assert parent == 0 or JOINT_NAMES[parent].split("_")[0] == JOINT_NAMES[child].split("_")[0]
    assert sum(parent == 0 for parent, _ in BONES) == 5


# ------------------------------------------------------------------------------------------------- --- orders


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_is_a_bijection_that_there_and_back_undoes(order: str):
    assert sorted(ORDERS[order]) == list(range(21))
    joints = random_joints(0, 2, 3)
    assert torch.equal(from_internal(to_internal(joints, order), order), joints)
    assert torch.equal(to_internal(from_internal(joints, order), order), joints)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_runs_along_each_finger(order: str):
    fingers = torch.tensor(ORDERS[order][1:]).unflatten(0, (5, 4))
    steps = fingers.diff(dim=-1).sign()
    assert (steps == steps[0, 0]).all()


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("rhd", "wrist thumb_tip thumb_ip thumb_mcp thumb_cmc index_tip"),
        ("stb", "wrist pinky_mcp pinky_pip pinky_dip pinky_tip ring_mcp"),
        ("interhand", "thumb_tip thumb_ip thumb_mcp thumb_cmc index_tip index_dip"),
        ("msra", "wrist index_mcp index_pip index_dip index_tip middle_mcp"),
        ("ho3d", "wrist index_mcp index_pip index_dip middle_mcp middle_pip"),
        ("fpha", "wrist thumb_cmc index_mcp middle_mcp ring_mcp pinky_mcp thumb_mcp"),
        ("freihand", "wrist thumb_cmc thumb_mcp thumb_ip thumb_tip index_mcp"),
    ],
)
def test_an_order_lists_the_joints_that_its_data_set_lists_first(order: str, names: str):
    source = from_internal(torch.arange(21)[:, None], order)[:, 0].tolist()
    assert [JOINT_NAMES[joint] for joint in source][: len(names.split())] == names.split()


@pytest.mark.parametrize("convert", [to_internal, from_internal])
def test_an_unknown_order_names_the_near_ones(convert):
    with pytest.raises(UserError, match=r"joint order 'interhands'.*did you mean interhand\b"):
        convert(torch.zeros(21, 3), "interhands")


# ------------------------------------------------------------------------------------------------- roots and
# bone units


def test_roots_are_the_joints_they_are_named_for():
    joints = random_joints(1, 4)
    assert torch.equal(root(joints, "wrist"), joints[:, 0])
    assert torch.equal(root(joints, "middle_mcp"), joints[:, 9])
    assert torch.equal(root(joints, "palm"), palm_centre(joints))
    torch.testing.assert_close(palm_centre(joints), (joints[:, 0] + joints[:, 9]) / 2)


@pytest.mark.parametrize(
    ("rule", "weight"), [("ring_mcp", {13: -1.0}), ("middle_mcp", {9: -1.0}), ("middle_mcp_2.2", {9: -1.2}),
                         ("fingers_2.25", dict.fromkeys((5, 9, 13, 17), -1.25 / 4))],
)  # fmt: skip
def test_wrist_from_palm_extrapolates_away_from_its_knuckles(rule, weight: dict[int, float]):
    joints = random_joints(2, 3)
    expected = (1 - sum(weight.values())) * joints[:, 0] + sum(
        factor * joints[:, joint] for joint, factor in weight.items()
    )
    torch.testing.assert_close(wrist_from_palm(joints, rule), expected)


def test_middle_mcp_rule_inverts_the_palm_centre_and_the_default_is_the_ring_rule():
    joints = random_joints(3)
    stb = torch.cat([palm_centre(joints)[None], joints[1:]])
    torch.testing.assert_close(wrist_from_palm(stb, "middle_mcp"), joints[0])
    torch.testing.assert_close(wrist_from_palm(stb), 2 * stb[0] - stb[13])


def test_bone_units_put_the_root_at_zero_and_give_the_scale_bone_length_one():
    joints = random_joints(4, 2, 3)
    for kind in ("palm", "wrist", "middle_mcp"):
        units = to_bone_units(joints, kind)
        torch.testing.assert_close(scale_bone(units), torch.ones(2, 3, dtype=torch.float64))
        torch.testing.assert_close(root(units, kind), torch.zeros(2, 3, 3, dtype=torch.float64))
        torch.testing.assert_close(
            units * scale_bone(joints)[..., None, None] + root(joints, kind)[..., None, :], joints
        )


# ------------------------------------------------------------------------------------------------ ----- shape


def test_mean_shape_is_the_sample_without_variation():
    shape = sample_shape(3, generator(), amount=0, dtype=torch.float64)
    for name in ("base_mm", "lengths_mm", "radii_mm", "size", "width", "thickness"):
        torch.testing.assert_close(getattr(shape, name), getattr(MEAN, name).expand_as(getattr(shape, name)))


def test_same_seed_same_hands_whatever_the_dtype():
    single, double = sample_shape(8, generator(5)), sample_shape(8, generator(5), dtype=torch.float64)
    assert single.base_mm.dtype == torch.float32
    assert torch.equal(single.lengths_mm, double.lengths_mm.float())
    assert not torch.equal(single.size, sample_shape(8, generator(6)).size)


def test_sampled_factors_have_the_stated_spread_and_are_cut_at_two_deviations():
    shape = sample_shape(20_000, generator(), dtype=torch.float64)
    cut = 0.9596  # standard deviation of a standard normal clamped to +-2
    for values, deviation in ((shape.size, 0.06), (shape.width, 0.05), (shape.thickness, 0.07)):
        assert abs(values.mean() - 1) < 0.002
        assert values.std() == pytest.approx(cut * deviation, rel=0.02)
        assert (values - 1).abs().max() <= 2 * deviation + 1e-12


def test_sampled_millimetres_follow_the_factors():
    shape = sample_shape(20_000, generator(), dtype=torch.float64)
    cut, size = 0.9596, shape.size[:, None, None]
    stretch = torch.stack([shape.size, shape.size * shape.width, shape.size], -1)
    torch.testing.assert_close(shape.base_mm, MEAN.base_mm * stretch[:, None])
    radii = shape.radii_mm / MEAN.radii_mm / (size * shape.thickness[:, None, None])
    torch.testing.assert_close(radii, radii[..., :1].expand_as(radii))
    assert radii[..., 0].std(0).numpy() == pytest.approx(cut * 0.025, rel=0.02)
    bones = (shape.lengths_mm / MEAN.lengths_mm / size).log()  # shared by a hand, by a finger, by a bone
    assert bones.mean((-2, -1)).std() == pytest.approx(
        cut * (0.03**2 + 0.04**2 / 5 + 0.025**2 / 15) ** 0.5, rel=0.02
    )
    assert bones.std(0).numpy() == pytest.approx(cut * (0.03**2 + 0.04**2 + 0.025**2) ** 0.5, rel=0.03)


def test_open_hands_have_human_lengths():
    shape = sample_shape(2048, generator(), dtype=torch.float64)
    length = forward_kinematics(named_pose("open", torch.float64), shape).joints[:, 12].norm(dim=-1)
    assert length.mean() == pytest.approx(188, abs=1)
    assert length.quantile(0.01) > 159
    assert length.quantile(0.99) < 221
    assert length.min() > 145
    assert length.max() < 235


# ------------------------------------------------------------------------------------------------- kinematics


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_axis_rotation_agrees_with_scipy(axis):
    angle = torch.linspace(-4, 4, 9, dtype=torch.float64)
    np.testing.assert_allclose(
        axis_rotation(axis, angle), Rotation.from_euler(axis, angle[:, None].numpy()).as_matrix(), atol=1e-15
    )


def reference_finger(finger: int, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One finger of the mean hand by explicit products of scipy's rotations."""

    def about(axis: str, radians: float) -> np.ndarray:
        return Rotation.from_rotvec(radians * np.eye(3)["xyz".index(axis)]).as_matrix()

    if finger == 0:
        distal = np.array([0.74, 0.55, -0.40]) / np.linalg.norm([0.74, 0.55, -0.40])
        radial = np.cross([-0.25, 0.80, 0.50], distal)
        radial /= np.linalg.norm(radial)
        rest = np.stack([distal, radial, np.cross(distal, radial)], 1)
    else:
        yaw, roll = np.deg2rad([(3, -5), (0, 0), (-4, 7), (-9, 14)][finger - 1])
        rest = about("z", yaw) @ about("x", roll)
    first = rest @ about("z", angles[1]) @ about("y", angles[0])
    if finger == 0:
        first = first @ about("x", -1.1 * angles[0])
    frames = [first, first @ about("y", angles[2]), first @ about("y", angles[2]) @ about("y", angles[3])]
    points = [MEAN.base_mm[finger].numpy()]
    for bone, frame in enumerate(frames):
        points.append(points[-1] + frame @ [float(MEAN.lengths_mm[finger, bone]), 0, 0])
    return np.stack(frames), np.stack(points)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_kinematics_are_the_stated_products_of_rotations(seed: int):
    angles = random_angles(seed)
    posed = forward_kinematics(angles, MEAN)
    assert not posed.joints[0].any()
    for finger in range(5):
        frames, points = reference_finger(finger, angles[finger].numpy())
        np.testing.assert_allclose(posed.rotations[finger], frames, atol=1e-12)
        np.testing.assert_allclose(posed.joints[1 + 4 * finger : 5 + 4 * finger], points, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_posing_keeps_bone_lengths_and_the_palm_and_makes_rotations(seed: int):
    shape = sample_shape(4, generator(seed), dtype=torch.float64)
    posed = forward_kinematics(random_angles(seed, 4), shape)
    lengths = bone_lengths(posed.joints).unflatten(-1, (5, 4))
    torch.testing.assert_close(lengths[..., 1:], shape.lengths_mm)
    torch.testing.assert_close(posed.joints[:, 1::4], shape.base_mm)
    identity = torch.eye(3, dtype=torch.float64).expand(4, 5, 3, 3, 3)
    torch.testing.assert_close(posed.rotations @ posed.rotations.mT, identity)
    torch.testing.assert_close(posed.rotations.det(), torch.ones(4, 5, 3, dtype=torch.float64))


def test_flexion_goes_to_the_palm_and_abduction_to_the_thumbs_side():
    still = forward_kinematics(torch.zeros(5, 4, dtype=torch.float64), MEAN).joints
    for column, axis, sign in ((0, 2, -1), (1, 1, 1), (2, 2, -1), (3, 2, -1)):
        angles = torch.zeros(5, 4, dtype=torch.float64)
        angles[1:, column] = 0.3
        moved = (forward_kinematics(angles, MEAN).joints - still)[list(FINGERTIPS[1:])]
        assert (sign * moved[:, axis] > 1).all()


@pytest.mark.parametrize(
    ("angle_batch", "shape_batch"),
    [((), ()), ((3,), ()), ((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 1), (3,))],
)
def test_angles_and_shapes_broadcast(angle_batch: tuple[int, ...], shape_batch: tuple[int, ...]):
    shape = sample_shape(3, generator(), dtype=torch.float64) if shape_batch else MEAN
    angles = random_angles(0, *angle_batch)
    posed = forward_kinematics(angles, shape)
    batch = torch.broadcast_shapes(angle_batch, shape_batch)
    assert posed.joints.shape == (*batch, 21, 3)
    last = HandShape(*(value[-1] for value in vars(shape).values())) if shape_batch else shape
    one = forward_kinematics(angles.expand(*batch, 5, 4).reshape(-1, 5, 4)[-1], last)
    torch.testing.assert_close(posed.joints.reshape(-1, 21, 3)[-1], one.joints)
    torch.testing.assert_close(posed.rotations.reshape(-1, 5, 3, 3, 3)[-1], one.rotations)


def test_kinematics_keep_the_dtype_of_the_angles_and_pass_gradients():
    assert forward_kinematics(named_pose("open"), MEAN).joints.dtype == torch.float32
    angles = random_angles(7).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: forward_kinematics(values, MEAN).joints, angles)


# ----------------------------------------------------------------------------------------------------- limits
# and poses


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_clamping_leaves_allowed_angles_alone_and_brings_others_to_the_nearest_limit(seed: int):
    lower, upper = ANGLE_LIMITS
    allowed = random_angles(seed, 4)
    assert torch.equal(clamp_to_limits(allowed), allowed)
    wild = 4 * torch.randn(4, 5, 4, generator=generator(seed), dtype=torch.float64)
    clamped = clamp_to_limits(wild)
    assert ((lower <= clamped) & (clamped <= upper)).all()
    assert torch.equal(clamped, torch.minimum(torch.maximum(wild, lower), upper))


@pytest.mark.parametrize("name", POSE_NAMES)
def test_named_poses_lie_within_the_limits(name: str):
    angles = named_pose(name, torch.float64)
    assert ((ANGLE_LIMITS[0] <= angles) & (angles <= ANGLE_LIMITS[1])).all()
    assert named_pose(name).dtype == torch.float32


def test_there_are_ten_poses_and_no_two_are_alike():
    poses = torch.stack([named_pose(name, torch.float64) for name in POSE_NAMES]).flatten(1)
    assert len(POSE_NAMES) == 10
    assert (torch.cdist(poses, poses) + torch.eye(10) > 0.2).all()


@pytest.mark.parametrize(
    ("name", "straight"),
    [
        ("open", "index middle ring pinky"),
        ("flat", "index middle ring pinky"),
        ("point", "index"),
        ("victory", "index middle"),
        ("ok", "middle ring pinky"),
        ("fist", ""),
        ("thumbup", ""),
    ],
)
def test_named_poses_straighten_the_fingers_they_are_known_for(name: str, straight: str):
    joints = forward_kinematics(named_pose(name, torch.float64), MEAN).joints
    reach = (joints[list(FINGERTIPS[1:])] - joints[5::4]).norm(dim=-1) / MEAN.lengths_mm[1:].sum(-1)
    assert [
        finger for finger, share in zip(FINGERS[1:], reach, strict=True) if share > 0.9
    ] == straight.split()


def test_fists_fingertips_lie_at_the_palm_and_open_hands_do_not():
    for name, near in (("fist", True), ("open", False)):
        joints = forward_kinematics(named_pose(name, torch.float64), MEAN).joints
        distance = (joints[list(FINGERTIPS[1:])] - palm_centre(joints)).norm(dim=-1)
        assert (distance < 40).all() if near else (distance > 100).all()


def test_pinch_and_ok_bring_thumb_and_index_together():
    for name in ("pinch", "ok"):
        joints = forward_kinematics(named_pose(name, torch.float64), MEAN).joints
        assert (joints[4] - joints[8]).norm() < 20


def test_an_unknown_pose_names_the_near_ones_or_all():
    with pytest.raises(UserError, match=r"pose 'Fistt'.*did you mean fist\?"):
        named_pose("Fistt")
    with pytest.raises(UserError, match=r"give one of open, flat, .*claw"):
        named_pose("xyzzy")
