import numpy as np
import torch

from handvae.data.crop import Crop, cut
from handvae.data.readers.coco import CocoHands, check_coco
from handvae.geometry import procrustes_align
from handvae.hand import RIGHT, bone_lengths
from handvae.reproduction.picture_table import hold_out


def labels(root, split):
    data = CocoHands(root, split)
    return data.labels(torch.arange(len(data)))


def test_the_split_is_the_published_one_and_shares_no_person(real_photos):
    train, test = labels(real_photos, "train"), labels(real_photos, "test")
    assert (len(train), len(test)) == (1516, 343)
    assert set(train.subject.tolist()).isdisjoint(test.subject.tolist())


def test_the_ten_digits_are_gestures_that_can_be_held_out(real_photos):
    whole = CocoHands(real_photos, "train")
    poses = hold_out(whole, ["2", "7"])
    assert whole.spec.gestures == tuple("0123456789")
    assert len(poses.seen) + len(poses.unseen) == 1516
    assert {poses.unseen.name(row)[len("images/")] for row in range(len(poses.unseen))} == {
        "2",
        "7",
    }  # the files say it too


def test_every_hand_is_a_right_one_with_all_joints_in_the_plane_and_in_space(real_photos):
    hands = labels(real_photos, None)
    assert len(hands) == 1859
    assert (hands.side == RIGHT).all()
    assert hands.joint_valid.all()
    assert (hands.joints_3d[:, 0] == 0).all()  # wrist-relative


def test_no_label_of_the_photos_is_refused(real_photos):
    assert [problem for problem in check_coco(real_photos) if problem.fatal] == []


def test_joints_in_space_project_onto_the_joints_in_the_plane(real_photos):
    """Scaled orthographic: the two agree up to a scale and a shift, and far better than with another
    hand's."""
    hands = labels(real_photos, None)
    flat, solid = (
        joints[..., :2] - joints[..., :2].mean(1, keepdim=True)
        for joints in (hands.joints_2d, hands.joints_3d)
    )

    def residual_px(solid: torch.Tensor) -> torch.Tensor:
        scale = (flat * solid).sum((1, 2)) / solid.square().sum((1, 2))
        return (flat - scale[:, None, None] * solid).norm(dim=-1).mean(1)

    assert residual_px(solid).median() < 2
    assert residual_px(solid.roll(931, 0)).median() > 5


def test_hands_in_space_have_a_hands_bones(real_photos):
    lengths = bone_lengths(labels(real_photos, None).joints_3d)
    assert 60 < lengths[:, 8].median() < 110  # wrist to middle MCP, mm


def test_a_hand_is_the_same_in_space_whatever_its_crop(real_photos):
    data = CocoHands(real_photos, "test")
    rows = torch.arange(20)
    mirrored = cut(data, rows, Crop(64, sides="left"))
    whole = data.labels(rows)
    flipped = mirrored.joints_3d * torch.tensor([-1.0, 1.0, 1.0])
    assert (procrustes_align(flipped, whole.joints_3d) - whole.joints_3d).norm(dim=-1).max() < 0.01


def test_crops_of_real_photos_are_pictures(real_photos):
    hands = cut(CocoHands(real_photos, "test"), torch.arange(32), Crop(64))
    assert hands.image.shape == (32, 3, 64, 64)
    assert hands.image.std(dim=(1, 2, 3)).min() > 0.02
    assert ((hands.joints_2d > 0) & (hands.joints_2d < 64)).all()
    # skin is redder than blue where the joints are
    at = hands.joints_2d.long().clamp(0, 63)
    colours = torch.stack([hands.image[i][:, at[i, :, 1], at[i, :, 0]].mean(1) for i in range(32)])
    assert np.mean((colours[:, 0] > colours[:, 2]).numpy()) > 0.9
