"""Pictures: labels that agree with the pixels, in both qualities and at any size; the same scene from the
same numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from handvae.geometry import canonical_pose, from_canonical, project
from handvae.hand import LEFT, RIGHT, SEGMENTATION_CLASSES, scale_bone
from handvae.render.hand.skin import SkinRanges
from handvae.render.picture import CONTENT_FACTORS, FACTORS, POSE_FACTORS, SHAPE_FACTORS, VIEW_FACTORS, draw
from handvae.render.scene import CameraRanges, SceneRanges, posed_scene, sample_scene

BARE = SceneRanges(hidden=0.0, other_hand=0.0)
COUNT, SIZE = 500, 64


@pytest.fixture(scope="module")
def pictures():
    """500 random pictures without objects in front."""
    return [draw(sample_scene(3, index, BARE), SIZE) for index in range(COUNT)]


def under(picture, plane):
    """A plane's values under the joints, and which joints are in the picture."""
    pixel = np.floor(picture.joints_2d).astype(int)
    within = ((pixel >= 0) & (pixel < len(plane))).all(1)
    pixel = pixel.clip(0, len(plane) - 1)
    return plane[pixel[:, 1], pixel[:, 0]], within


def test_visible_joints_lie_on_the_hand(pictures):
    on_hand = []
    for picture in pictures:
        part, within = under(picture, picture.segmentation)
        assert not (picture.joint_visible & ~within).any()
        hit = part >= SEGMENTATION_CLASSES.index("palm")
        hit[0] |= part[0] == SEGMENTATION_CLASSES.index("forearm")  # the wrist is where they meet
        on_hand.append(hit[picture.joint_visible])
    assert np.concatenate(on_hand).mean() >= 0.99


def test_visible_joints_lie_a_finger_s_thickness_behind_the_skin(pictures):
    gaps, hidden = [], []
    for picture in pictures:
        depth, within = under(picture, picture.depth)
        gap = picture.joints_3d[:, 2] - depth
        gaps.append(gap[picture.joint_visible & (depth > 0)])
        hidden.append(gap[~picture.joint_visible & within & (depth > 0)])
    gaps = np.concatenate(gaps)
    assert 5 < np.median(gaps) < 12
    assert gaps.max() < 40
    assert np.concatenate(hidden).min() > 5
    assert np.median(np.concatenate(hidden)) > 15


def test_tips_lie_on_their_own_finger(pictures):
    right = []
    for picture in pictures:
        part, _ = under(picture, picture.segmentation)
        for number, tip in enumerate((4, 8, 12, 16, 20)):
            if picture.joint_visible[tip]:
                right.append(part[tip] == SEGMENTATION_CLASSES.index("thumb") + number)
    assert np.mean(right) > 0.94


def test_no_holes_in_the_skin(pictures):
    """A background pixel whose eight neighbours are one part's skin would be a hole in it; between two
    fingers there may be a gap."""
    holes = 0
    for picture in pictures:
        around = np.stack(
            [
                np.roll(picture.segmentation, (dy, dx), (0, 1))
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
                if dy or dx
            ]
        )
        enclosed = (picture.segmentation == 0) & (around[0] > 0) & (around == around[0]).all(0)
        holes += int(enclosed[1:-1, 1:-1].sum())
    assert holes == 0


def test_no_dark_rings(pictures):
    """Nothing on the skin is black but what is black all round: a ring would be a thin dark line on light
    skin."""
    rings = 0
    for picture in pictures:
        light = picture.image.astype(float).mean(2)
        skin = picture.segmentation >= SEGMENTATION_CLASSES.index("palm")
        middle = np.median(light[skin]) if skin.any() else 0
        if middle > 90:
            rings += int(((light < 6) & skin).sum() > 10)
    assert rings <= 2


def test_labels_follow_from_each_other(pictures):
    for picture in pictures[:100]:
        joints, intrinsics = torch.from_numpy(picture.joints_3d), torch.from_numpy(picture.intrinsics)
        torch.testing.assert_close(
            project(joints, intrinsics), torch.from_numpy(picture.joints_2d), atol=2e-3, rtol=0
        )
        assert picture.scale_mm == pytest.approx(float(scale_bone(joints)))
        split = canonical_pose(joints, torch.tensor(picture.side))
        np.testing.assert_allclose(picture.canonical, split.pose.numpy(), atol=1e-6)
        back = from_canonical(
            replace(split, pose=torch.from_numpy(picture.canonical)), torch.tensor(picture.side)
        )
        torch.testing.assert_close(back, joints, atol=1e-2, rtol=0)
        assert (picture.depth > 0).sum() == (picture.segmentation > 0).sum()


def test_everything_varies(pictures):
    factors = np.stack([picture.factors for picture in pictures])
    assert factors.shape == (COUNT, len(FACTORS))
    assert np.isfinite(factors).all()
    assert (factors.std(0) > 0).all(), [FACTORS[column] for column in np.flatnonzero(factors.std(0) == 0)]
    covered = sorted(
        index
        for part in (POSE_FACTORS, SHAPE_FACTORS, VIEW_FACTORS, CONTENT_FACTORS)
        for index in range(*part.indices(99))
    )
    assert covered == list(range(len(FACTORS)))
    assert {picture.side for picture in pictures} == {LEFT, RIGHT}
    brightness = np.array([picture.image.mean() for picture in pictures])
    assert brightness.std() > 20


def test_one_content_is_one_background_skin_and_light(pictures):
    by_content = [pictures[start : start + 4] for start in range(0, 40, 4)]
    for group in by_content:
        assert len({picture.content for picture in group}) == 1
        content = np.stack([picture.factors[CONTENT_FACTORS] for picture in group])
        shape = np.stack([picture.factors[SHAPE_FACTORS] for picture in group])
        np.testing.assert_array_equal(content, content[:1].repeat(4, 0))
        np.testing.assert_array_equal(shape, shape[:1].repeat(4, 0))
        assert np.stack([picture.factors[POSE_FACTORS] for picture in group]).std(0).max() > 1
        one, two = group[0], group[1]
        both = (one.segmentation == 0) & (two.segmentation == 0)
        if both.any():
            assert (
                np.abs(one.image[both].astype(int) - two.image[both]).mean() < 6
            )  # blur and JPEG carry a little of the hand there
    assert len({group[0].content for group in by_content}) == len(by_content)


def test_the_same_numbers_give_the_same_bytes():
    one, two = (draw(sample_scene(11, 5), 64) for _ in range(2))
    assert one.image.tobytes() == two.image.tobytes()
    assert one.depth.tobytes() == two.depth.tobytes()
    assert not np.array_equal(one.image, draw(sample_scene(12, 5), 64).image)


def test_the_same_scene_at_another_size():
    scene = sample_scene(4, 8, BARE)
    small, large = draw(scene, 64), draw(scene, 128)
    np.testing.assert_allclose(large.joints_2d, 2 * small.joints_2d, atol=1e-3)
    np.testing.assert_allclose(large.joints_3d, small.joints_3d)
    coarse = (large.segmentation > 0).reshape(64, 2, 64, 2).mean((1, 3)) > 0.5
    union = (coarse | (small.segmentation > 0)).sum()
    assert (coarse & (small.segmentation > 0)).sum() / union > 0.93


@pytest.mark.parametrize("index", [0, 1, 2, 7, 9, 14])
def test_fast_and_reference_show_the_same(index):
    scene = sample_scene(6, index, BARE)
    fast, exact = draw(scene, 96), draw(scene, 96, "reference")
    both, either = (
        (fast.segmentation > 0) & (exact.segmentation > 0),
        (fast.segmentation > 0) | (exact.segmentation > 0),
    )
    assert both.sum() / either.sum() > 0.95
    assert np.median(np.abs(fast.depth - exact.depth)[both]) < 1
    assert (fast.segmentation == exact.segmentation)[both].mean() > 0.9
    assert np.abs(fast.image.astype(int) - exact.image)[both].mean() < 14
    np.testing.assert_array_equal(fast.joints_3d, exact.joints_3d)


def test_a_left_hand_is_a_mirrored_right_one():
    right, left = (draw(posed_scene("victory", 20, side), 64) for side in (RIGHT, LEFT))
    np.testing.assert_allclose(left.joints_2d[:, 0], 64 - right.joints_2d[:, 0], atol=1e-4)
    np.testing.assert_array_equal(left.segmentation, right.segmentation[:, ::-1])
    np.testing.assert_allclose(left.canonical, right.canonical, atol=1e-4)  # canonical poses are of one side
    assert left.viewpoint.shape == (3, 3)


def test_the_palm_view_shows_the_palm():
    """Fingers up, a right hand's thumb to the right, the palm's side lighter than the back."""
    palm = draw(posed_scene("open", 0), 128)
    joints = palm.joints_2d
    assert (joints[[4, 8, 12, 16, 20], 1] < joints[0, 1]).all()
    assert joints[4, 0] > joints[20, 0]
    assert joints[8, 0] > joints[16, 0]


def test_an_object_hides_what_lies_behind_it():
    ranges = SceneRanges(hidden=1.0, other_hand=0.0)
    hidden = [draw(sample_scene(3, index, ranges), SIZE) for index in range(30)]
    free = [draw(sample_scene(3, index, BARE), SIZE) for index in range(30)]
    assert sum((one.segmentation > 0).sum() for one in hidden) < 0.97 * sum(
        (two.segmentation > 0).sum() for two in free
    )
    assert sum(one.joint_visible.sum() for one in hidden) < sum(two.joint_visible.sum() for two in free)
    for one, two in zip(hidden, free, strict=True):
        assert not (one.joint_visible & ~two.joint_visible).any()
        np.testing.assert_array_equal(one.joints_2d, two.joints_2d)


def test_another_hand_leaves_the_labels_alone():
    ranges = SceneRanges(hidden=0.0, other_hand=1.0)
    crowded, alone = (draw(sample_scene(3, 1, some), SIZE) for some in (ranges, BARE))
    np.testing.assert_array_equal(crowded.segmentation, alone.segmentation)
    assert not np.array_equal(crowded.image, alone.image)


def test_ranges_are_respected():
    ranges = SceneRanges(
        camera=CameraRanges(left=1.0, distance_mm=(500.0, 500.0)),
        skin=SkinRanges(melanin=(1.0, 1.0), sleeve=0),
        per_content=1,
    )
    scenes = [sample_scene(0, index, ranges) for index in range(10)]
    assert all(
        scene.side == LEFT and scene.hand.skin.melanin == 1.0 and scene.hand.skin.sleeve_mm == -999
        for scene in scenes
    )
    assert len({scene.content for scene in scenes}) == 10
    for scene in scenes:
        joints = scene.hand.body.joints @ scene.hand.rotation.T + scene.hand.translation
        assert (joints[:, 2].min() + joints[:, 2].max()) / 2 == pytest.approx(500)
    with pytest.raises(ValueError, match="per_content"):
        SceneRanges(per_content=0)
