"""Labels that would be wrong without a word: joints in another order, sides, sizes that do not fit."""

import warnings

import cv2
import numpy as np
import pytest
import torch

from handvae.data.files.pictures import declared_factor, read_picture, write_picture
from handvae.data.joint_order import OURS, order_by_names, shuffled_share
from handvae.data.left_out import strict
from handvae.data.open import open_data
from handvae.data.readers.coco import CocoHands
from handvae.data.subset import with_known_sides
from handvae.errors import DataWarning, UserError
from handvae.hand import JOINT_NAMES, LEFT, ORDERS, RIGHT, UNKNOWN

SPELLINGS = {
    "ours": JOINT_NAMES,
    "MediaPipe": ["WRIST"]
    + [f"THUMB_{part}" for part in ("CMC", "MCP", "IP", "TIP")]
    + [f"{f}_FINGER_{part}" for f in ("INDEX", "MIDDLE", "RING") for part in ("MCP", "PIP", "DIP", "TIP")]
    + [f"PINKY_{part}" for part in ("MCP", "PIP", "DIP", "TIP")],
    "COCO-WholeBody": ["left_hand_root"]
    + [
        f"left_{finger}{place}"
        for finger in ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
        for place in (1, 2, 3, 4)
    ],
    "numbered": ["wrist"]
    + [f"{finger}{i}" for finger in ("thumb", "index", "middle", "ring", "little") for i in (1, 2, 3, 4)],
    "camel": ["Wrist", "ThumbCMC", "ThumbMCP", "ThumbIP", "ThumbTip"]
    + [f"{f}{p}" for f in ("Index", "Middle", "Ring", "Pinky") for p in ("MCP", "PIP", "DIP", "Tip")],
    "numbers": [str(i) for i in range(21)],
    "numbers from one": [str(i + 1) for i in range(21)],
}


# ------------------------------------------------------------------------------------------- order of joints


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_spellings_of_other_tools_are_known(spelling):
    assert order_by_names(tuple(SPELLINGS[spelling])) == OURS


@pytest.mark.parametrize("name", [name for name, order in ORDERS.items() if sorted(order) == list(range(21))])
def test_joints_come_into_our_order_by_their_names(name):
    """Internal[i] = source[order[i]], for the orders that data sets have."""
    order = ORDERS[name]
    source = tuple(JOINT_NAMES[order.index(place)] for place in range(21))
    assert order_by_names(source).order == order


def test_a_palm_in_place_of_the_wrist_keeps_its_name():
    assert order_by_names(("palm", *JOINT_NAMES[1:])).names[0] == "palm"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (JOINT_NAMES[:20], "20 joints"),
        (("nose", *JOINT_NAMES[1:]), "nose"),
        (("index_tip", *JOINT_NAMES[1:]), "one joint: index_tip"),
        (("thumb_5", *JOINT_NAMES[1:]), "thumb_5"),
        (("", *JOINT_NAMES[1:]), "unknown names"),
    ],
)
def test_names_that_tell_no_order_are_refused_by_name(names, words):
    with pytest.raises(ValueError, match=words):
        order_by_names(tuple(names))


def in_order(order):
    """Moves every label of a file to another order of joints."""

    def spoil(content):
        content["categories"] = [{"id": 1, "name": "hand", "keypoints": [JOINT_NAMES[i] for i in order]}]
        for annotation in content["annotations"]:
            triples = np.array(annotation["keypoints"]).reshape(21, 3)
            annotation["category_id"] = 1
            annotation["keypoints"] = triples[list(order)].ravel().tolist()
            annotation["keypoints_3d"] = [annotation["keypoints_3d"][i] for i in order]
            annotation["keypoints_spread"] = [float(i) for i in order]

    return spoil


@pytest.mark.parametrize("at_end", [False, True])
def test_all_labels_follow_the_names_of_the_file(at_end, small_set):
    order = np.random.default_rng(0).permutation(21).tolist()
    flat, solid = [], []

    def spoil(content):
        for annotation in content["annotations"]:
            flat.append(np.array(annotation["keypoints"], np.float32).reshape(21, 3)[:, :2])
            solid.append(np.array(annotation["keypoints_3d"], np.float32))
        in_order(order)(content)
        # most tools write the categories last
        categories = content.pop("categories")
        if at_end:
            content["categories"] = categories
        else:
            rest = dict(content)
            content.clear()
            content.update({"categories": categories, **rest})

    labels = CocoHands(small_set(spoil)).labels(torch.arange(3))
    torch.testing.assert_close(labels.joints_2d, torch.from_numpy(np.stack(flat)))
    torch.testing.assert_close(labels.joints_3d, torch.from_numpy(np.stack(solid)))
    torch.testing.assert_close(labels.joint_spread, torch.arange(21.0).expand(3, 21))


def test_hands_of_a_category_of_unknown_joints_are_left_out_by_name(small_set):
    def spoil(content):
        content["categories"] = [
            {"id": 1, "name": "hand", "keypoints": list(JOINT_NAMES)},
            {"id": 2, "name": "claw", "keypoints": ["hook", *JOINT_NAMES[1:]]},
        ]
        for annotation, category in zip(content["annotations"], (1, 2, 1), strict=True):
            annotation["category_id"] = category

    with pytest.warns(DataWarning, match="claw.*hook"):
        assert len(open_data(small_set(spoil))) == 2


def test_a_file_of_unknown_joints_alone_is_refused_by_name(small_set):
    def spoil(content):
        content["categories"] = [{"id": 1, "name": "hand", "keypoints": ["hook", *JOINT_NAMES[1:]]}]
        for annotation in content["annotations"]:
            annotation["category_id"] = 1

    with pytest.raises(UserError, match="hook"):
        CocoHands(small_set(spoil))


def test_joints_in_another_order_without_names_are_noticed(small_set):
    def spoil(content):
        in_order(ORDERS["rhd"])(content)
        del content["categories"]

    with pytest.warns(DataWarning, match="another order"):
        open_data(small_set(spoil))


def test_joints_in_our_order_are_not_suspected(tiny_set):
    labels = CocoHands(tiny_set).labels(torch.arange(48))
    assert shuffled_share(labels.require("joints_2d"), labels.require("joint_valid")) == 0


# -------------------------------------------------------------------------------------------------- sides


@pytest.mark.parametrize(
    ("names", "sides"),
    [
        (("left", "right"), [LEFT, RIGHT, LEFT]),
        (("Left_Hand", "Right_Hand"), [LEFT, RIGHT, LEFT]),
        (("righthand", "lefthand"), [RIGHT, LEFT, RIGHT]),
        (("hand", "right hand"), [UNKNOWN, RIGHT, UNKNOWN]),
        (("left or right", "right"), [UNKNOWN, RIGHT, UNKNOWN]),
    ],
)
def test_the_side_is_that_of_the_category(names, sides, small_set):
    def spoil(content):
        content["categories"] = [{"id": number, "name": name} for number, name in enumerate(names)]
        for annotation, category in zip(content["annotations"], (0, 1, 0), strict=True):
            del annotation["hand_side"]
            annotation["category_id"] = category

    assert CocoHands(small_set(spoil)).labels(torch.arange(3)).require("side").tolist() == sides


def test_the_side_of_an_annotation_comes_before_that_of_its_category(small_set):
    def spoil(content):
        content["categories"] = [{"id": 1, "name": "left"}]
        for annotation in content["annotations"]:
            annotation |= {"category_id": 1, "hand_side": "right"}

    assert CocoHands(small_set(spoil)).labels(torch.arange(3)).require("side").tolist() == [RIGHT] * 3


def without_side(*which: int):
    def spoil(content):
        for number in which:
            del content["annotations"][number]["hand_side"]

    return spoil


def test_a_side_that_is_not_told_is_unknown(small_set):
    some = CocoHands(small_set(without_side(1)))
    assert some.labels(torch.arange(3)).require("side").tolist() == [RIGHT, UNKNOWN, RIGHT]
    assert some.spec.sides == "both"


def test_a_set_that_tells_no_side_has_no_such_label(small_set):
    data = CocoHands(small_set(without_side(0, 1, 2)))
    assert data.labels(torch.arange(3)).side is None
    assert "side" not in data.spec.modalities


def test_hands_of_unknown_side_are_left_out_where_it_is_needed(small_set):
    data = CocoHands(small_set(without_side(1)))
    with pytest.warns(DataWarning, match="1 of unknown side"):
        assert len(with_known_sides(data, "the set")) == 2
    with strict(), pytest.raises(UserError, match="unknown side"):
        with_known_sides(data, "the set")


@pytest.mark.parametrize("missing", [(1,), (0, 1, 2)])
def test_the_user_may_give_the_side(missing, small_set):
    data = with_known_sides(CocoHands(small_set(without_side(*missing))), "the set", "left")
    sides = data.labels(torch.arange(3)).require("side").tolist()
    assert sides == [LEFT if number in missing else RIGHT for number in range(3)]
    assert "side" in data.spec.modalities


def test_evaluating_a_set_that_tells_no_side_says_which_it_takes(small_set, handvae):
    root = small_set(without_side(0, 1, 2))
    code, _, error = handvae("evaluate", "detector-64", root, "--split", "None", "--metrics", "pose")
    assert code == 0
    assert "taken for right ones" in error
    words = ("evaluate", "detector-64", root, "--split", "None", "--metrics", "pose", "--side", "right")
    assert handvae(*words)[::2] == (0, "")


# -------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("declared", "actual", "factor"),
    [
        (None, (64, 48), 1.0),
        ((64, 48), (64, 48), 1.0),
        ((64, 48), (128, 96), 2.0),
        ((640, 427), (320, 214), 0.5),
        ((64, 48), (48, 64), None),
        ((64, 48), (128, 48), None),
        ((100, 100), (200, 190), None),
    ],
)
def test_sizes_agree_on_one_factor_or_not(declared, actual, factor):
    assert declared_factor(declared, actual) == (None if factor is None else pytest.approx(factor, rel=0.01))


def resize(root, width: int, height: int, which=slice(None)):
    for path in sorted((root / "images").iterdir())[which]:
        write_picture(path, np.asarray(cv2.resize(read_picture(path), (width, height)), np.uint8))


def test_labels_follow_pictures_that_were_made_larger(small_set):
    def spread(content):
        for annotation in content["annotations"]:
            annotation["keypoints_spread"] = [1.0] * 21

    root = small_set(spread)
    before = CocoHands(root).labels(torch.arange(3))
    resize(root, 192, 192)
    with pytest.warns(DataWarning, match="192 x 192 px and declared as 96 x 96"):
        data = open_data(root)
    after = data.labels(torch.arange(3))

    torch.testing.assert_close(after.joints_2d, 2 * before.joints_2d)
    torch.testing.assert_close(after.joint_spread, 2 * before.joint_spread)
    torch.testing.assert_close(after.joints_3d, before.joints_3d)
    assert data.picture(0).shape == (192, 192, 3)


def test_pictures_that_were_stretched_are_left_out(small_set):
    root = small_set()
    resize(root, 192, 96, slice(0, 1))
    with pytest.warns(DataWarning, match="another size than declared"):
        assert len(open_data(root)) == 2
    resize(root, 192, 96)
    with pytest.raises(UserError, match="192 x 96 px and declared as 96 x 96"):
        CocoHands(root)


def test_strictly_nothing_is_scaled(small_set):
    root = small_set()
    resize(root, 192, 192)
    with strict(), pytest.raises(UserError, match="scaled to their files"):
        open_data(root)


def test_a_picture_that_changes_after_opening_is_refused_when_it_is_read(small_set):
    root = small_set()
    data = CocoHands(root)
    resize(root, 192, 192)
    with pytest.raises(UserError, match="192 x 192 px, and its labels are for 96 x 96"):
        data.picture(0)


def test_a_sound_set_gives_no_warning(tiny_set):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = open_data(tiny_set)
    assert data.left_out == ()
