"""Finding and reading the hands of whole pictures: with networks that see bright squares as hands."""

import numpy as np
import pytest
import torch

from bright_hands import UNIT, picture
from handvae.data.crop import Crop
from handvae.data.files.pictures import write_picture
from handvae.data.over_photos import Photos
from handvae.data.readers.coco import CocoHands
from handvae.errors import DataWarning, UserError
from handvae.evaluation.finding import measure_false, measure_found, overlap
from handvae.inference.estimator import Estimator
from handvae.inference.finding import distinct, hand_score
from handvae.inference.locate import Located, Photo, PhotoCutter, one_hand, one_hand_each
from handvae.inference.square import Square
from handvae.systems.hand_reader import Observation

LEFT_ONE, RIGHT_ONE = (20, 30, 60, 70), (140, 40, 170, 80)


def box_of(hand):
    low, high = hand.joints_2d.min(0), hand.joints_2d.max(0)
    return [*low.tolist(), *high.tolist()]


def test_every_hand_of_every_picture_is_found_where_it_is(search):
    pictures = [picture(LEFT_ONE, RIGHT_ONE), picture(), picture(RIGHT_ONE, size=(300, 300))]
    found = search.find(pictures)
    assert [len(hands) for hands in found] == [2, 0, 1]
    boxes = sorted(box_of(hand) for hand in found[0])
    np.testing.assert_allclose(boxes, [LEFT_ONE, RIGHT_ONE], atol=2.5)
    np.testing.assert_allclose(box_of(found[2][0]), RIGHT_ONE, atol=2.5)


def test_a_hand_is_read_again_in_a_square_round_its_joints(search):
    (hands,) = search.find([picture(LEFT_ONE)])
    assert hands[0].square.side_px == pytest.approx(40 * search.reader.crop.margin, rel=0.1)
    assert np.allclose(hands[0].square.centre, (40, 50), atol=2)
    # 0.03 of half a crop
    assert hands[0].spread_2d.mean() == pytest.approx(0.03 * hands[0].square.side_px / 2, rel=1e-4)


def test_the_most_and_the_least_are_kept_to(search):
    pixels = picture(LEFT_ONE, RIGHT_ONE)
    assert len(search.find([pixels], most=1)[0]) == 1
    assert search.find([pixels], least=0.999) == [[]]


def test_two_readings_of_one_hand_count_once(search):
    squares = [Square((40.0, 50.0), 56.0), Square((42.0, 51.0), 60.0), Square((140.0, 50.0), 30.0)]
    (hands,) = search.look([picture(LEFT_ONE)], [squares])
    assert [hand.score > 0.9 for hand in hands] == [True, True, False]
    assert len(distinct(hands, 0.5)) == 1
    assert len(distinct(hands, 0.0)) == 2


def test_what_is_read_unsurely_is_less_likely_a_hand():
    def score(present, spread):
        joints = torch.zeros(1, 21, 3)
        joints[0, :, :2] = UNIT.reshape(21, 2) * 0.5
        values = torch.tensor([present])
        return float(hand_score(Observation(joints, torch.full((1, 21, 3), spread), values, values)))

    assert score(0.999, 0.02) > 0.9 > 0.5 > score(0.999, 0.5)
    assert score(0.999, 0.02) > score(0.9, 0.02) > score(0.1, 0.02)


def test_an_estimate_of_a_photo_is_all_its_hands_with_side_and_score(search, tmp_path):
    write_picture(tmp_path / "two.png", picture(LEFT_ONE, RIGHT_ONE, colour=(255, 120, 120)))
    estimator = Estimator("mine", search.reader)
    ((_, hands),) = estimator.read_all([tmp_path / "two.png"], Located())
    assert len(hands) == 2
    for hand in hands:
        assert (hand.side, hand.root, hand.model) == ("left", "wrist", "mine")
        assert hand.score > 0.9
        assert hand.side_score == pytest.approx(0.8)
        assert hand.joints_3d.shape == (21, 3)
        entry = hand.to_dict(fit=False)
        assert (entry["side_score"], entry["hand_side"]) == (0.8, "left")
        assert entry["score"] == pytest.approx(hand.score, abs=1e-4)

    ((_, told),) = estimator.read_all([tmp_path / "two.png"], Located("right"))
    assert [(hand.side, hand.side_score) for hand in told] == [("right", None)] * 2


def test_inputs_that_cannot_be_read_are_told_of_and_left_out(search, tmp_path):
    (tmp_path / "none.png").write_text("no picture")
    sources = [picture(LEFT_ONE), tmp_path / "none.png", picture()]
    faults = []
    estimator = Estimator("mine", search.reader)
    read = list(estimator.read_all(sources, Located(), on_fault=lambda source, error: faults.append(source)))
    assert [len(hands) for _, hands in read] == [1, 0]
    assert faults == [tmp_path / "none.png"]
    with pytest.raises(UserError, match=r"none\.png"):
        list(estimator.read_all(sources, Located()))


def test_a_model_of_one_side_sees_the_recognised_other_hand_mirrored(search, build):
    system = build()
    red = picture(LEFT_ONE, colour=(255, 120, 120))
    cutter = PhotoCutter(system.crop, "right")
    ((crop,),) = cutter.cut([Photo(None, red)], Located())
    assert (crop.side, crop.mirrored, crop.located_by) == ("left", True, "the hand finder")
    ((boxed,),) = cutter.cut([Photo(None, red)], Located(box=(20.0, 30.0, 40.0, 40.0)))
    assert (boxed.side, boxed.mirrored) == ("left", True)
    ((kept,),) = PhotoCutter(system.crop, None).cut([Photo(None, red)], Located())
    assert not kept.mirrored
    torch.testing.assert_close(crop.image, kept.image.flip(-1), atol=0.02, rtol=0)


def test_labels_tell_the_side_before_the_caller_does(search, small_set):
    def turn(content):
        content["annotations"][1]["hand_side"] = "left"

    folder = small_set(turn)
    photos = [Photo.read(folder / "images" / f"00{number}.png") for number in range(2)]
    cut = PhotoCutter(Crop(32), "right").cut(photos, Located("right"))
    assert [crops[0].side for crops in cut] == ["right", "left"]


def test_one_hand_of_a_photo_or_a_line_that_says_there_is_none(search, build):
    system = build()
    assert one_hand(picture(LEFT_ONE, RIGHT_ONE), system).image.shape == (1, 3, 32, 32)
    with pytest.raises(UserError, match="no hand is found in it; give the box"):
        one_hand(picture(), system)


def test_photos_without_a_hand_are_left_out_of_several(search, build, tmp_path):
    system = build()
    with pytest.warns(DataWarning, match="1 of 3 photos are left out: no hand is found in the picture"):
        crops = one_hand_each([picture(LEFT_ONE), picture(), picture(RIGHT_ONE)], system)
    assert len(crops) == 2
    with pytest.raises(UserError, match="nor in 1 others"):
        one_hand_each([picture(), picture()], system)


# ------------------------------------------------------------------------------------------------- measured


def test_overlap_is_that_of_the_joints_boxes():
    square = np.array([[0.0, 0.0], [2.0, 2.0]])
    assert overlap(square, square) == 1
    assert overlap(square, square + 1) == pytest.approx(1 / 7)
    assert overlap(square, square + 5) == 0


def test_found_hands_are_counted_against_the_labels(search, small_set):
    """Two labelled squares and one without a label; one label where nothing is to be seen."""
    seen = picture(LEFT_ONE, RIGHT_ONE)

    def label(content):
        grid = (UNIT.reshape(21, 2) + 1) / 2
        for annotation, (left, top, right, bottom) in zip(
            content["annotations"], (LEFT_ONE, RIGHT_ONE, (90, 0, 110, 20)), strict=True
        ):
            points = grid * torch.tensor([right - left, bottom - top]) + torch.tensor([left, top])
            annotation["keypoints"] = [value for x, y in points.tolist() for value in (x, y, 2)]
            annotation["image_id"] = content["images"][0]["id"]
            annotation["hand_side"] = "left" if left == 20 else "right"
            annotation.pop("keypoints_3d", None)
        content["images"][0].update(width=200, height=120)

    folder = small_set(label)
    write_picture(folder / "images" / "000.png", seen)
    measures = {measure.name: measure for measure in measure_found(search, CocoHands(folder), 0.5)}
    assert measures["recall"].value == pytest.approx(100 * 2 / 3)
    assert measures["recall"].n == 3
    assert measures["found_without_label"].value == 0
    assert measures["side_right_of_found"].value == 50  # white is read as right
    assert measures["error_over_hand_size_median"].value < 8
    assert measures["read_within_10_percent"].value == pytest.approx(100 * 2 / 3)


def test_all_that_is_found_without_hands_is_false(search, tmp_path):
    write_picture(tmp_path / "a.png", picture(LEFT_ONE, RIGHT_ONE))
    write_picture(tmp_path / "b.png", picture())
    measures = {measure.name: measure.value for measure in measure_false(search, Photos(tmp_path), 0.5)}
    assert measures == {"false_hands": 1.0, "photos_with_false_hands": 50.0}
