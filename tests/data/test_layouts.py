"""Each data set, in the true layout, gives the hands that were written."""

import pytest
import torch

from handvae.data import summary
from handvae.data.crop import Crop, cut
from handvae.data.open import open_data, recognise
from handvae.data.readers import icvl, msra, nyu, stb
from handvae.data.readers.rhd import RhdHands
from handvae.errors import UserError
from handvae.geometry import project
from handvae.hand import LEFT, RIGHT, SEGMENTATION_CLASSES

close = torch.testing.assert_close
NAMES = ("rhd", "stb", "interhand", "freihand", "nyu", "icvl", "msra", "ho3d")


def everything(data):
    return data.labels(torch.arange(len(data)))


@pytest.mark.parametrize("name", NAMES)
def test_a_layout_is_recognised(name, laid_out):
    root, _ = laid_out(name)
    assert recognise(root) == name
    assert open_data(root).spec.name == name


@pytest.mark.parametrize("name", NAMES)
def test_every_reader_keeps_its_promises(name, laid_out):
    """The spec names what is there; joints in space project onto those in the plane; crops of all fields can
    be cut; rows agree."""
    data = open_data(laid_out(name)[0])
    hands = everything(data)
    pictures = [
        field for field in ("image", "depth", "segmentation", "mask") if field in data.spec.modalities
    ]
    assert set(data.spec.modalities) == {field for field, _ in hands.items()} | set(pictures)
    assert len(hands) == len(data) == data.spec.count
    assert hands.joints_2d.shape[1] == data.spec.joints == len(data.spec.joint_names)
    assert data.spec.licence
    valid = hands.joint_valid
    close(project(hands.joints_3d, hands.intrinsics)[valid], hands.joints_2d[valid], atol=0.05, rtol=0)
    rows = torch.tensor([len(data) - 2, 0])
    assert torch.equal(data.labels(rows).joints_2d, hands[rows].joints_2d)
    crops = cut(data, rows, Crop(32), fields=tuple(pictures))
    assert all(getattr(crops, field).shape[-2:] == (32, 32) for field in pictures)
    assert {data.name(row) for row in range(len(data))}


@pytest.mark.parametrize("name", NAMES)
def test_the_side_is_the_one_the_joints_have(name, laid_out):
    """Fingers bend to the palm: the sign of their bend along (distal x radial) tells a right hand from a left
    one."""
    data = open_data(laid_out(name)[0])
    hands = everything(data)[:8]
    if data.spec.joints != 21:
        pytest.skip("other joints; the side was measured on the published labels, see the readers' headers")
    hands = hands[hands.joint_valid.all(1)]
    joints = hands.joints_3d
    distal, radial = joints[:, [5, 9, 13, 17]].mean(1) - joints[:, 0], joints[:, 5] - joints[:, 17]
    dorsal = torch.linalg.cross(distal, radial)
    bend = ((joints[:, [8, 12, 16, 20]] - joints[:, [5, 9, 13, 17]]) * dorsal[:, None]).sum(-1).mean(1)
    assert torch.equal(bend < 0, hands.side == RIGHT)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_knows_its_split(name, laid_out):
    root, _ = laid_out(name)
    whole = open_data(root)
    for split in ("train", "test") if name != "ho3d" else ("train",):
        part = open_data(root, split)
        assert {part.split_of(row) for row in range(len(part))} == {split}
        assert sum(whole.split_of(row) == split for row in range(len(whole))) == len(part)


# ------------------------------------------------------------------------------------------------ ------- RHD


@pytest.mark.parametrize("matlab", [False, True], ids=["pickle", "mat"])
def test_rhd_gives_the_hand_with_more_mask_pixels(matlab, own_copy):
    root, both = own_copy("rhd", matlab=matlab)
    hands = everything(open_data(root, "test"))
    assert hands.side.tolist() == [LEFT, RIGHT, LEFT, RIGHT]
    close(hands.joints_3d, both[torch.arange(4), torch.arange(4) % 2], atol=1e-3, rtol=0)


def test_rhd_both_gives_every_visible_hand(laid_out):
    root, both = laid_out("rhd")
    data = open_data(root, "test", "both")
    hands = everything(data)
    assert len(data) == 7  # the first frame's right hand is not visible
    assert hands.side[:3].tolist() == [LEFT, LEFT, RIGHT]
    close(hands.joints_3d[1:3], both[1], atol=1e-3, rtol=0)


def test_rhds_parts_and_depth_lie_under_the_joints(laid_out):
    data = open_data(laid_out("rhd")[0], "train")
    for row in range(4):
        hand = data.labels(torch.tensor([row]))
        x, y = hand.joints_2d[0].long().unbind(-1)
        segmentation, mask = data.segmentation(row)[y, x], data.mask(row)[y, x]
        # where two joints' squares overlap the later one is on top, so most agree, and a joint's neighbour
        # may be another part
        expected = [
            SEGMENTATION_CLASSES.index("palm"),
            *(SEGMENTATION_CLASSES.index("thumb") + (joint - 1) // 4 for joint in range(1, 21)),
        ]
        assert (segmentation == expected).mean() > 0.8
        assert (mask == 1).all()
        depth = torch.from_numpy(data.depth(row)[y, x])
        assert ((depth - hand.joints_3d[0, :, 2]).abs() < 0.1).float().mean() > 0.6


def test_joints_behind_the_camera_are_not_valid(own_copy):
    import pickle

    root, _ = own_copy("rhd")
    path = root / "training" / "anno_training.pickle"
    frames = pickle.loads(path.read_bytes())
    frames[1]["xyz"][21 + 4, 2] = -0.1  # the right thumb's base joint
    path.write_bytes(pickle.dumps(frames))
    valid = everything(open_data(root, "train")).joint_valid
    assert (~valid).nonzero().tolist() == [[1, 1]]


# ------------------------------------------------------------------------------------------------ ------- STB


@pytest.mark.parametrize(
    ("protocol", "split", "sequences"),
    [
        ("pose/bb-left", "test", {"B1Counting", "B1Random"}),
        ("pose/bb-left", "train", {f"B{n}{kind}" for n in range(2, 7) for kind in ("Counting", "Random")}),
        ("srv/bb-left", "test", {f"B{n}Counting" for n in range(1, 7)}),
        ("srv/bb-left", "train", {f"B{n}Random" for n in range(1, 7)}),
        ("srv/sk", None, set(stb.SEQUENCES)),
    ],
)
def test_stb_divides_its_sequences_as_the_papers_do(protocol, split, sequences, laid_out):
    data = open_data(laid_out("stb")[0], split, protocol)
    assert {data.name(row).split("/")[-2] for row in range(len(data))} == sequences


def test_stbs_two_views_see_one_hand_from_two_places(laid_out):
    root, joints = laid_out("stb")
    left, right, both = (
        open_data(root, "test", f"pose/{camera}") for camera in ("bb-left", "bb-right", "bb")
    )
    assert len(both) == len(left) + len(right) == 8
    close(everything(left).joints_3d[:2], joints)
    shift = everything(left).joints_3d - everything(right).joints_3d
    close(shift, torch.tensor([120.054, 0.0, 0.0]).expand_as(shift))
    assert all("BB_right" in right.name(row) for row in range(4))


def test_stbs_colour_camera_sees_the_depth_cameras_joints_moved(laid_out):
    root, joints = laid_out("stb")
    colour = everything(open_data(root, "test", "pose/sk")).joints_3d[:2]
    close(colour @ stb.SK_TURN.T + stb.SK_SHIFT_MM, joints, atol=1e-3, rtol=0)  # X_depth = R X_colour + t
    assert 20 < (colour - joints).norm(dim=-1).min() < 30


def test_stbs_depth_lies_under_the_joints_of_its_camera(laid_out):
    data = open_data(laid_out("stb")[0], "test", "pose/sk-depth")
    hand = data.labels(torch.tensor([0]))
    x, y = hand.joints_2d[0].long().unbind(-1)
    depth = torch.from_numpy(data.depth(0)[y, x])
    assert ((depth - hand.joints_3d[0, :, 2]).abs() <= 0.5).float().mean() > 0.6
    with pytest.raises(ValueError, match="stb has no image"):
        data.picture(0)


def test_stbs_first_joint_is_called_the_palm(laid_out):
    assert open_data(laid_out("stb")[0]).spec.joint_names[:2] == ("palm", "thumb_cmc")


# ------------------------------------------------------------------------------------------------ - InterHand


@pytest.mark.parametrize(
    ("protocol", "sides"),
    [
        ("right", [RIGHT]),
        ("left", [LEFT]),
        ("single", [RIGHT, LEFT]),
        ("interacting", [RIGHT, LEFT]),
        ("all", [RIGHT, LEFT, RIGHT, LEFT]),
    ],
)
def test_interhand_gives_the_hands_of_its_protocol(protocol, sides, laid_out):
    root, hands = laid_out("interhand")
    read = everything(open_data(root, "val", protocol))
    assert read.side.tolist() == sides
    close(read.joints_3d, hands[[0 if side == RIGHT else 1 for side in sides]], atol=1e-2, rtol=0)
    assert read.subject.tolist() == [7] * len(sides)


def test_interhands_splits_are_read_one_after_the_other(laid_out):
    data = open_data(laid_out("interhand")[0])
    assert len(data) == 12
    rows = torch.tensor([11, 0, 5])
    assert torch.equal(data.labels(rows).joints_2d, everything(data).joints_2d[rows])
    assert all(data.picture(row).shape == (51, 33, 3) for row in (0, 5, 11))


def test_a_joint_that_interhand_does_not_label_is_not_valid(own_copy):
    import json

    root, _ = own_copy("interhand")
    path = root / "annotations" / "test" / "InterHand2.6M_test_data.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["joint_valid"][3] = [0]  # the thumb's base
    path.write_text(json.dumps(content))
    hands = everything(open_data(root, "test", "right"))
    assert (~hands.joint_valid).nonzero().tolist() == [[0, 1]]
    assert cut(open_data(root, "test", "right"), torch.tensor([0]), Crop(16)).image.isfinite().all()


# ------------------------------------------------------------------------------------------------ -- FreiHAND


def test_freihands_versions_share_their_labels(laid_out):
    root, joints = laid_out("freihand")
    data = open_data(root, "train")
    hands = everything(data)
    assert len(data) == 12
    assert data.name(7) == "training/rgb/00000007.jpg"
    close(hands.joints_3d, joints.repeat(4, 1, 1), atol=1e-3, rtol=0)
    close(hands.scale_mm, (hands.joints_3d[:, 10] - hands.joints_3d[:, 9]).norm(dim=-1), atol=1e-2, rtol=0)


@pytest.mark.parametrize(("version", "first"), [("gs", 0), ("hom", 3), ("sample", 6), ("auto", 9)])
def test_one_version_of_freihand_has_its_own_pictures(version, first, laid_out):
    data = open_data(laid_out("freihand")[0], "train", version)
    assert [data.name(row)[-12:] for row in range(len(data))] == [
        f"{number:08d}.jpg" for number in range(first, first + 3)
    ]
    assert ("mask" in data.spec.modalities) == (version == "gs")


def test_freihands_masks_lie_under_its_joints(laid_out):
    data = open_data(laid_out("freihand")[0], "train", "gs")
    x, y = data.labels(torch.tensor([1])).joints_2d[0].long().unbind(-1)
    assert data.mask(1)[y, x].all()
    assert data.mask(1)[:10].max() == 0


def test_freihands_evaluation_has_one_version(laid_out):
    assert len(open_data(laid_out("freihand")[0], "test")) == 2


# ------------------------------------------------------------------------------------------------ ----- depth


@pytest.mark.parametrize(("name", "split"), [("nyu", "test"), ("icvl", "train"), ("msra", "test")])
def test_depth_under_the_joints_is_that_of_the_joints(name, split, laid_out):
    data = open_data(laid_out(name)[0], split)
    for row in (0, 1):
        hand = data.labels(torch.tensor([row]))
        x, y = hand.joints_2d[0].long().unbind(-1)
        depth = torch.from_numpy(data.depth(row)[y, x])
        assert (
            (depth - hand.joints_3d[0, :, 2]).abs() <= 0.5
        ).float().mean() > 0.6  # the rest is under another joint's square


def test_nyus_evaluation_joints_are_named_for_what_they_are(laid_out):
    root, measured = laid_out("nyu")
    data = open_data(root, "test", "14")
    expected = (
        "pinky_knu3a",
        "pinky_knu2b",
        "ring_knu3a",
        "ring_knu2b",
        "middle_knu3a",
        "middle_knu2b",
        "index_knu3a",
        "index_knu2b",
    )
    assert data.spec.joint_names == (
        *expected,
        "thumb_knu3a",
        "thumb_knu3b",
        "thumb_knu2b",
        "palm_1",
        "palm_2",
        "palm_3",
    )
    close(everything(data).joints_2d, measured[:, list(nyu.EVALUATION_JOINTS), :2], atol=1e-3, rtol=0)


def test_nyus_picture_is_offered_where_it_is(own_copy):
    root, _ = own_copy("nyu")
    assert "image" not in open_data(root, "test").spec.modalities
    for number in (1, 2):
        (root / "test" / f"rgb_1_{number:07d}.png").write_bytes(
            (root / "test" / f"depth_1_{number:07d}.png").read_bytes()
        )
    assert open_data(root, "test").picture(1).shape == (480, 640, 3)


def test_icvls_turned_copies_are_read_only_when_asked_for(laid_out):
    root, measured = laid_out("icvl")
    original, everyone, test = (
        open_data(root, "train"),
        open_data(root, "train", "all"),
        open_data(root, "test"),
    )
    assert (len(original), len(everyone), len(test)) == (2, 4, 4)
    assert all("/2014" in original.name(row) for row in range(2))
    close(everything(test).joints_2d[2:], measured[..., :2], atol=1e-3, rtol=0)
    assert original.spec.joint_names == icvl.JOINT_NAMES


def test_msra_leaves_one_person_out(laid_out):
    root, joints = laid_out("msra")
    test, train, whole = open_data(root, "test", "P3"), open_data(root, "train", "P3"), open_data(root)
    assert set(everything(test).subject.tolist()) == {3}
    assert set(everything(train).subject.tolist()) == set(range(9)) - {3}
    assert (len(test), len(train), len(whole)) == (33, 272, 305)  # one file is empty
    assert "1 frames have an empty depth file" in test.remarks[0]
    close(everything(train).joints_3d[:2], joints, atol=1e-3, rtol=0)
    assert test.spec.gestures == msra.GESTURES


def test_ho3ds_frame_without_labels_has_no_valid_joint(laid_out):
    root, joints = laid_out("ho3d")
    hands = everything(open_data(root))
    assert hands.joint_valid.all(1).tolist() == [True, True, False]
    assert not hands.joint_valid[2].any()
    close(hands.joints_3d[:2], joints, atol=1e-3, rtol=0)


# -------------------------------------------------------------------------------------------- what is missing


@pytest.mark.parametrize(
    ("name", "gone", "split"),
    [
        ("rhd", "evaluation/anno_evaluation.pickle", "test"),
        ("stb", "labels/B1Random_BB.mat", "test"),
        ("interhand", "annotations/val/InterHand2.6M_val_camera.json", "val"),
        ("interhand", "annotations/val/InterHand2.6M_val_joint_3d.json", "val"),
        ("freihand", "training_xyz.json", "train"),
        ("freihand", "evaluation_K.json", "test"),
        ("nyu", "test/joint_data.mat", "test"),
        ("icvl", "Testing/test_seq_2.txt", "test"),
        ("ho3d", "train.txt", "train"),
    ],
)
def test_a_missing_file_is_named_with_where_its_authors_publish_it(name, gone, split, own_copy):
    root, _ = own_copy(name)
    (root / gone).unlink()
    with pytest.raises(UserError, match="its authors publish it at https://") as raised:
        open_data(root, split)
    assert raised.value.where == str(root / gone)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_split_or_protocol_lists_the_known_ones(name, laid_out):
    root, _ = laid_out(name)
    with pytest.raises(UserError, match=r"no split 'validation'.*use .*train"):
        open_data(root, "validation")
    with pytest.raises(UserError, match="no protocol 'best'"):
        open_data(root, None, "best")


def test_info_reads_labels_of_some_hands_only_where_each_needs_a_picture(handvae, laid_out, monkeypatch):
    root, _ = laid_out("rhd")
    opened = []
    real = RhdHands._mask_values
    monkeypatch.setattr(RhdHands, "_mask_values", lambda data, row: opened.append(row) or real(data, row))
    monkeypatch.setattr(summary, "SLOW_LABELS", 3)
    code, said, error = handvae("data", "info", root)
    assert code == 0, error
    assert opened == [0, 3, 7]  # of eight
    assert "hands           8 (1 left, 2 right of 3 read, as for all labels below)" in said
    assert "splits          test 4, train 4" in said
    assert handvae("data", "info", root, "--protocol", "both")[1].startswith(f"{root}  layout rhd")
    assert opened == [0, 3, 7]
