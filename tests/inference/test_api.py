"""The Python API: what it takes, what it returns, what it refuses, and that importing it is cheap."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from PIL import Image

import handvae
from handvae.data.files.pictures import read_picture, write_picture
from handvae.hand import POSE_NAMES

close = np.testing.assert_allclose
PHOTOS = handvae.sample_photos()
PHOTO = PHOTOS[0]


@pytest.fixture(scope="module")
def hand():
    """The hand of a shipped photo."""
    (hand,) = handvae.estimate(PHOTO)
    return hand


@pytest.fixture(scope="module")
def picture():
    return handvae.synthesize("victory", appearance=PHOTO)


# --------------------------------------------------------------------------------------------------- import


def test_importing_the_package_is_fast_and_loads_neither_torch_nor_numpy():
    code = "import handvae, sys; print(*sys.modules)"
    command = [sys.executable, "-X", "importtime", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {"torch", "numpy", "PIL", "cv2"}.isdisjoint(run.stdout.split())
    cumulative = int(run.stderr.splitlines()[-1].split("|")[1])
    assert run.stderr.splitlines()[-1].endswith(" handvae")
    assert cumulative < 100_000  # microseconds


def test_dir_lists_what_the_package_exports_and_each_can_be_had():
    assert dir(handvae) == sorted(handvae.__all__)
    assert {"estimate", "synthesize", "transfer", "load_model", "models", "poses"} <= set(dir(handvae))
    assert all(getattr(handvae, name) is not None for name in handvae.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="estimat"):
        _ = handvae.estimat


# ------------------------------------------------------------------------------------------------- estimate


def test_a_hand_has_joints_in_2d_and_3d_with_their_spread(hand):
    assert hand.joints_2d.shape == (21, 2)
    assert hand.spread_2d.shape == (21,)
    assert hand.joints_3d.shape == hand.spread_3d.shape == (21, 3)
    assert (hand.spread_2d > 0).all()
    assert hand.side == "right"
    assert 0.5 < hand.score <= 1
    assert 0.5 <= hand.side_score <= 1
    assert hand.unit_mm is None
    assert hand.root == "wrist"
    x, y, width, height = hand.box
    assert 0 <= x < x + width <= 100
    assert 0 <= y < y + height <= 100


def test_a_real_hand_with_its_index_on_the_thumb_is_read_as_such(hand):
    """ok.jpg: the tips of thumb and index meet, those of the other fingers are far away."""
    tips = hand.joints_2d[[4, 8, 12, 16, 20]]
    apart = np.linalg.norm(tips - tips[0], axis=1)
    assert apart[1] < 12
    assert (apart[2:] > 30).all()


def test_path_array_and_pil_picture_give_the_same_joints(hand):
    pixels = read_picture(PHOTO)
    for source in (str(PHOTO), pixels, pixels / 255, Image.fromarray(pixels)):
        (again,) = handvae.estimate(source)
        close(again.joints_2d, hand.joints_2d, atol=1e-4)
        close(again.joints_3d, hand.joints_3d, atol=1e-4)


def test_a_list_of_inputs_gives_a_list_of_hands_for_each(hand):
    batch = handvae.estimate([PHOTO, read_picture(PHOTOS[1])], lift=False)
    assert [len(hands) for hands in batch] == [1, 1]
    close(batch[0][0].joints_2d, hand.joints_2d, atol=1e-4)
    assert np.abs(batch[1][0].joints_2d - hand.joints_2d).max() > 5
    assert handvae.estimate([]) == []


def test_without_lifting_there_are_no_3d_joints():
    (flat,) = handvae.estimate(PHOTO, "detector-64", lift=False)
    assert flat.joints_3d is None
    assert flat.spread_3d is None
    assert flat.fitted is None
    assert "keypoints_3d_bone_units" not in flat.to_dict()


def test_an_open_model_reads_like_its_name(hand):
    model = handvae.load_model("reader-128", device="cpu")
    (again,) = handvae.estimate(PHOTO, model=model)
    assert np.array_equal(again.joints_2d, hand.joints_2d)
    assert again.model == hand.model == "reader-128"


def test_the_box_of_a_hand_is_a_box_to_read_it_in(hand):
    for box in (hand.box, tuple(round(part) for part in hand.box)):
        (again,) = handvae.estimate(PHOTO, box=box)
        assert np.linalg.norm(again.joints_2d - hand.joints_2d, axis=1).mean() < 1.5
        assert again.to_dict()["crop_from"] == "the given box"


def test_a_left_hand_is_the_mirror_image_of_a_right_one(hand):
    mirrored = np.ascontiguousarray(read_picture(PHOTO)[:, ::-1])
    (left,) = handvae.estimate(mirrored, side="left")
    assert left.side == "left"
    close(left.joints_2d[:, 0], 100 - hand.joints_2d[:, 0], atol=0.5)
    assert left.fitted.error_mm == pytest.approx(hand.fitted.error_mm, abs=1)


def test_labels_beside_a_photo_tell_which_hand_it_is(small_set):
    def turn(content):
        content["annotations"][1]["hand_side"] = "left"

    folder = small_set(turn)
    (right,) = handvae.estimate(folder / "images" / "000.png", lift=False)
    (left,) = handvae.estimate(folder / "images" / "001.png", lift=False)
    assert (right.side, left.side) == ("right", "left")
    assert "annotations.json" in left.to_dict()["crop_from"]


def test_the_fitted_hand_is_near_the_joints_and_found_once(hand):
    fitted = hand.fitted
    assert hand.fitted is fitted
    assert fitted.angles_deg.shape == (5, 4)
    assert fitted.bone_lengths_mm.shape == (5, 3)
    assert fitted.joints_3d.shape == (21, 3)
    assert fitted.error_mm < 10


def test_a_known_bone_gives_millimetres():
    (hand,) = handvae.estimate(PHOTO, bone_mm=50)
    assert hand.unit_mm == 50
    entry = hand.to_dict()
    close(entry["keypoints_3d_mm"], 50 * np.array(entry["keypoints_3d_bone_units"]), atol=0.01)


def test_a_file_of_joints_is_lifted(hand, tmp_path):
    (flat,) = handvae.estimate(PHOTO, "detector-64")
    (tmp_path / "joints.json").write_text(json.dumps(flat.joints_2d.tolist()))
    (lifted,) = handvae.estimate(tmp_path / "joints.json")
    assert lifted.model == "lifting"
    close(lifted.joints_3d, flat.joints_3d, atol=1e-3)


# ------------------------------------------------------------------------------------- synthesize, transfer


def test_a_picture_comes_with_the_labels_of_its_pose(picture):
    assert picture.image.shape == (128, 128, 3)
    assert picture.image.dtype == np.uint8
    assert picture.joints_2d.shape == (21, 2)
    assert picture.joints_3d.shape == (21, 3)
    assert picture.pose == "victory"
    assert PHOTO.name in picture.appearance
    (hand,) = handvae.estimate(picture.image, box=_box(picture.joints_2d), lift=False)
    assert np.linalg.norm(hand.joints_2d - picture.joints_2d, axis=1).mean() < 8  # px of 128


def _box(joints):
    low, high = joints.min(0), joints.max(0)
    return (*low.tolist(), *(high - low).tolist())


def test_an_appearance_may_be_a_path_an_array_or_a_pil_picture(picture):
    pixels = read_picture(PHOTO)
    for source in (str(PHOTO), pixels, Image.fromarray(pixels)):
        again = handvae.synthesize("victory", appearance=source)
        assert np.abs(again.image.astype(int) - picture.image.astype(int)).max() <= 1


def test_random_appearances_follow_the_seed():
    one, same, other = (handvae.synthesize("open", seed=seed).image for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_one_is_a_picture_and_several_are_a_list():
    assert isinstance(handvae.synthesize("open"), handvae.LabelledPicture)
    assert [one.pose for one in handvae.synthesize(["open", "fist"])] == ["open", "fist"]
    assert [one.pose for one in handvae.synthesize("open", n=1)] == ["open"]
    assert [one.pose for one in handvae.synthesize(["open", "fist"], n=3)] == ["open", "fist", "open"]
    assert handvae.synthesize([]) == []


def test_a_named_appearance_and_all_of_them_in_turn():
    names = [one.appearance for one in handvae.synthesize("open", "library", n=2)]
    assert len(set(names)) == 2
    assert handvae.synthesize("open", names[1]).appearance == names[1]


def test_a_pose_may_be_an_array_of_any_unit(hand):
    one = handvae.synthesize(hand.joints_2d)
    two = handvae.synthesize(hand.joints_2d.astype(np.float64) * 7 - 3)
    close(one.joints_2d, two.joints_2d, atol=1e-3)
    assert one.joints_3d is None
    solid = handvae.synthesize(handvae.poses()[0].joints_3d)
    assert solid.joints_3d.shape == (21, 3)


def test_transfer_takes_the_pose_of_the_second_photo():
    picture = handvae.transfer(PHOTOS[0], PHOTOS[1])
    (hand,) = handvae.estimate(picture.image, box=_box(picture.joints_2d), lift=False)
    assert np.linalg.norm(hand.joints_2d - picture.joints_2d, axis=1).mean() < 8
    named = handvae.transfer(read_picture(PHOTOS[0]), "victory")
    close(named.joints_2d, handvae.synthesize("victory").joints_2d)


# -------------------------------------------------------------------------------------------------- results


def test_results_print_as_one_short_line(hand, picture):
    for result in (hand, picture, hand.fitted, handvae.poses()[0]):
        assert len(repr(result).splitlines()) == 1
        assert len(repr(result)) < 400
    assert "side='right'" in repr(hand)


def test_results_are_frozen(hand, picture):
    for result, name in ((hand, "side"), (hand, "joints_2d"), (picture, "image"), (hand.fitted, "error_mm")):
        with pytest.raises(FrozenInstanceError):
            setattr(result, name, None)


def test_results_are_json(hand, picture):
    for result in (hand, picture, hand.fitted, handvae.models()[0]):
        assert json.loads(json.dumps(result.to_dict())) == result.to_dict()
    close(np.array(hand.to_dict()["keypoints"]), hand.joints_2d, atol=1e-3)
    close(np.array(picture.to_dict()["keypoints"]), picture.joints_2d, atol=1e-3)


def test_estimate_json_holds_what_to_dict_gives(handvae_command, hand, tmp_path):
    handvae_command("estimate", PHOTO, "--out", tmp_path)
    (entry,) = json.loads((tmp_path / "estimate.json").read_text())["hands"]
    expected = hand.to_dict(fit=False)
    assert {name: entry[name] for name in expected} == expected


@pytest.fixture
def handvae_command(request):
    """The command line, under a name that leaves `handvae` to the package."""
    return request.getfixturevalue("handvae")


def test_results_draw_themselves(hand, picture):
    for drawn, side in ((hand.draw(), 512), (hand.draw(300), 300), (picture.draw(256), 256)):
        assert drawn.dtype == np.uint8
        assert drawn.shape == (side, side, 3)
        assert drawn.std() > 20
    rendered = hand.fitted.draw(128)
    assert rendered.shape == (128, 128, 3)


def test_a_wide_photo_is_drawn_wide(tmp_path):
    wide = np.pad(read_picture(PHOTO), ((0, 0), (40, 60), (0, 0)), mode="edge")
    write_picture(tmp_path / "wide.png", wide)
    (hand,) = handvae.estimate(tmp_path / "wide.png", box=(45, 0, 95, 100), lift=False)
    assert hand.draw(400).shape == (200, 400, 3)


# ----------------------------------------------------------------------------------------- models and poses


def test_every_shipped_model_has_a_card_and_opens():
    cards = handvae.models()
    assert {"detector-64", "lifting", "photos-128"} <= {card.name for card in cards}
    makers = {card.name for card in cards if card.makes_pictures}
    assert makers == {"photos-64", "photos-128", "rendered-128"}
    model = handvae.load_model("photos-64")
    assert model.name == "photos-64"
    assert next(card.system for card in cards if card.name == "photos-64") == model.header.system


def test_the_named_poses_are_those_that_synthesize_takes():
    poses = handvae.poses()
    assert tuple(pose.name for pose in poses) == POSE_NAMES
    assert all(pose.joints_3d.shape == (21, 3) for pose in poses)
    assert all(pose.angles_deg.shape == (5, 4) for pose in poses)
    flat = next(pose for pose in poses if pose.name == "flat")
    assert np.linalg.norm(flat.joints_3d[12] - flat.joints_3d[0]) == pytest.approx(188, abs=3)


# ------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("device", ["quantum", "cuda:99", "cpu:-1", ""])
def test_an_unknown_device_is_one_clear_error(device):
    calls = [
        lambda: handvae.load_model("detector-64", device=device),
        lambda: handvae.estimate(PHOTO, device=device),
        lambda: handvae.synthesize("open", device=device),
        lambda: handvae.transfer(PHOTO, "open", device=device),
    ]
    for call in calls:
        with pytest.raises(handvae.UserError, match="device"):
            call()


@pytest.mark.parametrize("device", ["cpu", "auto", torch.device("cpu")])
def test_a_device_may_be_named_or_given(device, hand):
    (again,) = handvae.estimate(PHOTO, device=device)
    close(again.joints_2d, hand.joints_2d, atol=1e-2)


def test_an_argument_that_does_not_fit_is_a_value_error_and_a_type_error():
    with pytest.raises(ValueError, match="side: is 'both'"):
        handvae.estimate(PHOTO, side="both")
    with pytest.raises(ValueError, match="bone_mm: is -1"):
        handvae.estimate(PHOTO, bone_mm=-1)
    with pytest.raises(TypeError, match="box: is"):
        handvae.estimate(PHOTO, box=(1, 2, 3))
    with pytest.raises(ValueError, match="n: is 0"):
        handvae.synthesize("open", n=0)
    with pytest.raises(TypeError, match="pose: is None"):
        handvae.synthesize(None)
    with pytest.raises(TypeError, match="source: is 7"):
        handvae.estimate(7)


@pytest.mark.parametrize(
    ("joints", "fault", "words"),
    [
        (np.zeros((20, 2)), ValueError, r"\(20, 2\)"),
        (np.zeros((21, 4)), ValueError, r"\(21, 4\)"),
        (np.full((21, 2), np.nan), ValueError, "finite"),
        (np.ones((21, 2)), ValueError, "one point"),
        (np.full((21, 2), "x"), TypeError, "<U1"),
    ],
)
def test_joints_of_another_shape_are_refused_by_it(joints, fault, words):
    with pytest.raises(fault, match=words):
        handvae.synthesize(joints)


def test_what_cannot_be_found_is_a_user_error(tmp_path):
    with pytest.raises(handvae.UserError, match=r"no_such\.jpg"):
        handvae.estimate(tmp_path / "no_such.jpg")
    with pytest.raises(handvae.UserError, match="detector-65"):
        handvae.estimate(PHOTO, model="detector-65")
    with pytest.raises(handvae.UserError, match="makes no pictures"):
        handvae.synthesize("open", model="detector-64")
    with pytest.raises(handvae.UserError, match=r"did you mean open\?"):
        handvae.synthesize("opne")
    with pytest.raises(handvae.UserError, match="does not lie in"):
        handvae.estimate(PHOTO, box=(500, 500, 20, 20))


def test_a_stack_of_poses_is_refused_because_one_picture_would_drop_the_others():
    with pytest.raises(ValueError, match=r"shape \(2, 21, 2\) holds several poses; .*a list"):
        handvae.synthesize(np.random.default_rng(0).random((2, 21, 2)))


def test_a_16_bit_pil_picture_is_to_be_scaled_first():
    with pytest.raises(ValueError, match=r"I;16.*scale its values"):
        handvae.estimate(Image.new("I;16", (64, 64)))
