"""Readers on the real files at hand."""

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop, cut
from handvae.data.files.depth import from_nyu
from handvae.data.files.json import read_json
from handvae.data.files.pictures import read_picture
from handvae.data.left_out import partial
from handvae.data.open import open_data
from handvae.data.readers.interhand import InterhandHands
from handvae.data.readers.mmpose import MmposeHands
from handvae.data.readers.nyu import EVALUATION_JOINTS
from handvae.data.readers.rhd import read_annotation
from handvae.errors import DataWarning, UserError
from handvae.geometry import project
from handvae.hand import LEFT, RIGHT, SEGMENTATION_CLASSES, scale_bone


@pytest.fixture(scope="module")
def sample(data_root):
    """Finds a folder of the shared data, or skips."""

    def find(name):
        if not (data_root / name).is_dir():
            pytest.skip(f"no {name} under {data_root}")
        return data_root / name

    return find


def everything(data):
    return data.labels(torch.arange(len(data)))


# ------------------------------------------------------------------------------------------------ ------- RHD


def rhd_sample(sample):
    """All frames are annotated, and 104 have a picture."""
    root = sample("rhd")
    with pytest.raises(UserError, match=r"2,624 files are missing.*--partial"):
        open_data(root)
    with partial(), pytest.warns(DataWarning, match="2,624 of 2,728 hands"):
        return open_data(root)


def test_rhds_annotation_reprojects_to_a_tenth_of_a_pixel(sample):
    annotation = {
        name: torch.from_numpy(values)
        for name, values in read_annotation(sample("rhd") / "evaluation").items()
    }
    assert len(annotation["K"]) == 2728
    before = annotation["xyz"][..., 2] > 0
    error = (project(annotation["xyz"], annotation["K"]) - annotation["uv_vis"][..., :2]).norm(dim=-1)[before]
    assert error.median() < 0.1
    assert error.quantile(0.99) < 1


def test_rhds_hands_have_the_size_that_was_published(sample):
    hands = everything(rhd_sample(sample))
    assert len(hands) == 104
    size = scale_bone(hands.joints_3d)
    assert 34 < size.mean() < 38
    assert 2 < size.std() < 6


def test_rhds_visible_joints_lie_on_their_own_hand_and_part(sample):
    """Sides and joint order at once: a wrong one puts joints on the other hand or on another finger."""
    data = rhd_sample(sample)
    fingers = [
        SEGMENTATION_CLASSES.index("palm"),
        *(SEGMENTATION_CLASSES.index("thumb") + (joint - 1) // 4 for joint in range(1, 21)),
    ]
    on_hand, on_part, on_wrong = [], [], []
    for row in range(0, len(data), 4):
        hand = data.labels(torch.tensor([row]))
        x, y = hand.joints_2d[0].long().clamp(0, 319).unbind(-1)
        seen = hand.joint_visible[0].numpy()
        segmentation = data.segmentation(row)[y, x]
        on_hand += (data.mask(row)[y, x] == 1)[seen].tolist()
        tips = np.isin(np.arange(21), [4, 8, 12, 16, 20]) & (
            segmentation > SEGMENTATION_CLASSES.index("palm")
        )  # others lie under the skin of the palm
        on_part += (segmentation == fingers)[seen & tips].tolist()
        on_wrong += (segmentation == fingers[:1] + fingers[:0:-1])[seen & tips].tolist()
    assert np.mean(on_hand) > 0.85
    assert np.mean(on_part) > 0.7  # fingers hide one another, and visible means inside the picture
    assert np.mean(on_wrong) < 0.3


def test_rhds_dominant_hand_is_nearly_always_the_one_with_more_visible_joints(sample):
    root = sample("rhd")
    sides = everything(rhd_sample(sample)).side
    visible = (
        torch.from_numpy(read_annotation(root / "evaluation")["uv_vis"])[:104, :, 2]
        .unflatten(1, (2, 21))
        .sum(-1)
    )
    clear = visible[:, LEFT] != visible[:, RIGHT]
    agree = sides == torch.where(visible[:, RIGHT] > visible[:, LEFT], RIGHT, LEFT)
    assert agree[clear].float().mean() > 0.93


# --------------------------------------------------------------------------------------------- mmpose's forms


@pytest.mark.parametrize(
    ("name", "count", "sides"),
    [
        ("coco", 10, {LEFT, RIGHT}),
        ("freihand", 8, {RIGHT}),
        ("onehand10k", 4, None),
        ("panoptic", 4, {LEFT, RIGHT}),
        ("rhd", 3, {LEFT, RIGHT}),
    ],
)
def test_mmposes_samples_are_read_with_joints_inside_their_pictures(name, count, sides, sample):
    data = MmposeHands(sample("formats") / name)
    hands = everything(data)
    assert len(data) == count
    assert (hands.side is None) if sides is None else (set(hands.side.tolist()) == sides)
    assert data.spec.licence
    for row in range(count):
        height, width = data.picture(row).shape[:2]
        joints = hands.joints_2d[row][hands.joint_valid[row]]
        assert ((joints >= 0) & (joints <= torch.tensor([width, height]))).all()
    crops = cut(data, torch.arange(count), Crop(32))
    labelled = crops.joints_2d[crops.joint_valid]
    assert ((labelled > 0) & (labelled < 32)).all()


def test_the_wrist_that_onehand10k_lacks_is_not_valid(sample):
    data = MmposeHands(sample("formats") / "onehand10k")
    row = [data.name(row) for row in range(len(data))].index("9.jpg")
    assert (~data.labels(torch.tensor([row])).joint_valid[0]).nonzero().flatten().tolist() == [0]


def test_panoptics_sides_are_in_its_file_names(sample):
    data = MmposeHands(sample("formats") / "panoptic")
    assert [data.name(row)[-5] for row in range(4)] == [
        "l" if side == LEFT else "r" for side in everything(data).side.tolist()
    ]


def test_mmposes_rhd_is_the_official_rhd(sample):
    """Frame 111 lies in both: the same hand in the same order and unit."""
    data = MmposeHands(sample("formats") / "rhd")
    hands = everything(data)
    assert (project(hands.joints_3d, hands.intrinsics) - hands.joints_2d).norm(dim=-1).max() < 0.1
    assert 28 < scale_bone(hands.joints_3d).min() < scale_bone(hands.joints_3d).max() < 45


# ------------------------------------------------------------------------------------------------ - InterHand


def test_interhands_sample_projects_inside_its_boxes(sample):
    root = sample("formats") / "interhand2.6m"
    data = InterhandHands(root)
    content = read_json(root / "test_interhand2.6m_data.json")
    boxes = {
        image["file_name"]: row["bbox"]
        for image, row in zip(content["images"], content["annotations"], strict=True)
    }
    hands = everything(data)
    assert hands.joint_valid.all()
    for row in range(len(data)):
        x, y, width, height = boxes[data.name(row)]
        low, high = hands.joints_2d[row].amin(0), hands.joints_2d[row].amax(0)
        assert (low >= torch.tensor([x, y])).all()
        assert (high <= torch.tensor([x + width, y + height])).all()


def test_the_sides_of_interhands_sample_are_those_its_fingers_bend_to(sample):
    hands = everything(InterhandHands(sample("formats") / "interhand2.6m", protocol="single"))
    assert sorted(hands.side.tolist()) == [LEFT, RIGHT]
    joints = hands.joints_3d
    dorsal = torch.linalg.cross(joints[:, 9] - joints[:, 0], joints[:, 5] - joints[:, 17])
    bend = ((joints[:, [8, 12, 16, 20]] - joints[:, [5, 9, 13, 17]]) * dorsal[:, None]).sum(-1).mean(1)
    assert torch.equal(bend < 0, hands.side == RIGHT)


# ------------------------------------------------------------------------------------------------ ----- depth


def test_nyus_first_test_frame_has_its_surface_before_its_joints(sample):
    """Published ground truth of the frame against the decoded depth: skin lies nearer to the camera than the
    joints in it."""
    depth = from_nyu(read_picture(sample("depth") / "nyu" / "depth_1_0000001.png"))
    assert depth.shape == (480, 640)
    truth = torch.from_numpy(
        np.load(sample("metrics") / "published_predictions.npz")["nyu_gt_uvd"][0]
    ).float()
    assert truth.shape == (len(EVALUATION_JOINTS), 3)
    x, y = truth[:, :2].long().unbind(-1)
    ahead = truth[:, 2] - torch.from_numpy(depth[y, x])
    assert 5 < ahead.median() < 30
