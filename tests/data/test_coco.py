import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from handvae.data.export.formats import write_data
from handvae.data.export.stream import samples_of
from handvae.data.hands import DataSpec
from handvae.data.mixture import Mixture
from handvae.data.readers.coco import CocoHands, check_coco
from handvae.data.sample import Sample
from handvae.errors import ResultWarning, UserError
from handvae.files import MANIFEST
from handvae.hand import LEFT, RIGHT

close = torch.testing.assert_close


def labelled(count: int, solid: bool = True) -> list[Sample]:
    generator = np.random.default_rng(2)
    return [
        Sample(
            image=generator.integers(0, 255, (40, 50, 3), np.uint8),
            joints_2d=generator.uniform(1, 39, (21, 2)).astype(np.float32),
            side=LEFT if number % 2 else RIGHT,
            joints_3d=generator.normal(0, 60, (21, 3)).astype(np.float32) if solid else None,
        )
        for number in range(count)
    ]


def write_coco(folder: Path, hands: Iterable[Sample], description: str, overwrite: bool = False) -> int:
    spec = DataSpec("made", 0, 0, ("image", "joints_2d", "joints_3d", "side"), "both")
    return write_data(folder, "coco", spec, hands, description, overwrite).count


def everything(data: CocoHands) -> torch.Tensor:
    return data.labels(torch.arange(len(data)))


# ------------------------------------------------------------------------------------------- - there and back


def test_what_is_written_is_read_again(tmp_path):
    written = labelled(5)
    assert write_coco(tmp_path / "set", written, "a test") == 5
    data = CocoHands(tmp_path / "set")
    labels = everything(data)
    close(
        labels.joints_2d, torch.from_numpy(np.stack([hand.joints_2d for hand in written])), atol=0.01, rtol=0
    )
    close(
        labels.joints_3d, torch.from_numpy(np.stack([hand.joints_3d for hand in written])), atol=0.01, rtol=0
    )
    assert labels.joint_valid.all()
    assert labels.side.tolist() == [RIGHT, LEFT, RIGHT, LEFT, RIGHT]
    assert all(np.array_equal(data.picture(row), written[row].image) for row in range(5))


def test_a_written_set_has_no_fault(tmp_path):
    write_coco(tmp_path / "set", labelled(2), "a test")
    assert [problem for problem in check_coco(tmp_path / "set") if problem.fatal] == []


def test_the_written_box_holds_the_keypoints(tmp_path):
    write_coco(tmp_path / "set", labelled(1), "a test")
    row = json.loads((tmp_path / "set" / "annotations.json").read_text())["annotations"][0]
    joints = np.array(row["keypoints"]).reshape(21, 3)[:, :2]
    x, y, width, height = row["bbox"]
    assert np.allclose([x, y], joints.min(0), atol=2e-3)
    assert np.allclose([x + width, y + height], joints.max(0), atol=2e-3)
    assert row["area"] == pytest.approx(width * height, rel=1e-3)


def test_hands_without_joints_in_space_are_written_without_them(tmp_path):
    write_coco(tmp_path / "set", labelled(2, solid=False), "a test")
    assert everything(CocoHands(tmp_path / "set")).joints_3d is None


# ---------------------------------------------------------------------------------------- whole or not at all


def test_a_folder_that_holds_something_is_not_written_into(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="already exists"):
        write_coco(tmp_path / "set", labelled(1), "a test")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_written_into(tmp_path):
    (tmp_path / "set").mkdir()
    assert write_coco(tmp_path / "set", labelled(1), "a test") == 1


def test_the_folder_one_stands_in_can_be_written_into(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_coco(Path("."), labelled(1), "a test")
    assert sorted(path.name for path in Path(".").iterdir()) == [MANIFEST, "annotations.json", "images"]
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_data_set_is_replaced_when_asked(tmp_path):
    write_coco(tmp_path / "set", labelled(3), "old")
    write_coco(tmp_path / "set", labelled(1), "new", overwrite=True)
    assert len(CocoHands(tmp_path / "set")) == 1
    assert [path.name for path in (tmp_path / "set" / "images").iterdir()] == ["000001.png"]


def test_a_folder_that_is_no_data_set_is_kept_under_another_name(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("keep")
    with pytest.warns(ResultWarning, match=r"set\.old"):
        write_coco(tmp_path / "set", labelled(1), "a test", overwrite=True)
    assert (tmp_path / "set.old" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_way_is_refused_and_kept(tmp_path, overwrite):
    (tmp_path / "set").write_text("keep")
    with pytest.raises(UserError):
        write_coco(tmp_path / "set", labelled(1), "a test", overwrite)
    assert (tmp_path / "set").read_text() == "keep"


def failing(count: int):
    yield from labelled(count)
    raise RuntimeError("the model broke")


def test_an_exception_half_way_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="broke"):
        write_coco(tmp_path / "set", failing(2), "a test")
    assert list(tmp_path.iterdir()) == []


def test_an_exception_half_way_keeps_the_set_that_was_to_be_replaced(tmp_path):
    write_coco(tmp_path / "set", labelled(3), "old")
    with pytest.raises(RuntimeError, match="broke"):
        write_coco(tmp_path / "set", failing(1), "new", overwrite=True)
    assert len(CocoHands(tmp_path / "set")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


# -------------------------------------------------------------------------------------------- ------- reading


def test_a_split_holds_its_pictures_only(tiny_set):
    train, test, whole = (CocoHands(tiny_set, split) for split in ("train", "test", None))
    assert (len(train), len(test), len(whole)) == (32, 16, 48)
    assert set(train.file_names).isdisjoint(test.file_names)
    assert set(everything(test).subject.tolist()) == {4, 5}


def test_the_annotation_file_itself_may_be_named(tiny_set):
    assert len(CocoHands(tiny_set / "annotations.json")) == 48


def test_labels_come_in_the_order_asked_for(tiny_set):
    data = CocoHands(tiny_set)
    labels = data.labels(torch.tensor([7, 2]))
    close(labels.joints_2d, everything(data).joints_2d[[7, 2]])


def test_a_joint_with_visibility_zero_has_no_label(small_set):
    def hide(content):
        content["annotations"][1]["keypoints"][12:15] = [0, 0, 0]

    valid = everything(CocoHands(small_set(hide))).joint_valid
    assert (~valid).nonzero().tolist() == [[1, 4]]


def test_a_field_that_some_hands_lack_is_a_field_of_none(small_set):
    def drop(content):
        del content["annotations"][0]["keypoints_3d"]
        del content["images"][1]["person"]

    labels = everything(CocoHands(small_set(drop)))
    assert labels.joints_3d is None
    assert labels.subject is None


def test_two_hands_of_one_picture_are_two_rows(small_set):
    def second(content):
        content["annotations"].append(content["annotations"][0] | {"id": 99, "hand_side": "left"})

    data = CocoHands(small_set(second))
    assert len(data) == 4
    assert data.file_names[3] == data.file_names[0]
    assert data.spec.sides == "both"


def test_fields_of_other_tools_are_passed_over(small_set):
    def add(content):
        content["annotations"][0] |= {"bbox": [1, 2, 3, 4], "iscrowd": 0, "score": 0.5}
        content["videos"] = []

    assert len(CocoHands(small_set(add))) == 3


def gestures(content) -> None:
    """A word, a digit, and none."""
    first, second, _ = content["images"]
    first["gesture"], second["digit"] = "victory", 5


def test_gestures_are_words_or_digits_and_the_same_in_every_split(small_set):
    def spoil(content):
        gestures(content)
        content["images"][1]["split"] = "test"

    folder = small_set(spoil)
    whole, test = CocoHands(folder), CocoHands(folder, "test")
    assert whole.spec.gestures == test.spec.gestures == ("5", "victory")
    assert whole.labels(torch.arange(3)).gesture.tolist() == [1, 0, -1]
    assert test.labels(torch.arange(1)).gesture.tolist() == [0]


def test_a_set_without_gestures_has_no_such_label(small_set):
    data = CocoHands(small_set())
    assert data.labels(torch.arange(3)).gesture is None
    assert "gesture" not in data.spec.modalities


def test_hands_of_no_gesture_have_none_in_a_mixture_either(small_set, tmp_path):
    data = CocoHands(small_set(gestures))
    assert Mixture([data, data]).labels(torch.arange(6)).gesture.tolist() == [1, 0, -1, 1, 0, -1]


def test_gestures_are_written_and_read_again(small_set, tmp_path):
    data = CocoHands(small_set(gestures))
    write_data(tmp_path / "again", "coco", data.spec, samples_of(data, range(3)), "again")
    again = CocoHands(tmp_path / "again")
    assert again.spec.gestures == data.spec.gestures
    assert again.labels(torch.arange(3)).gesture.tolist() == [1, 0, -1]


def test_the_spec_says_what_the_set_has(tiny_set):
    spec = CocoHands(tiny_set, "train").spec
    assert (spec.name, spec.count, spec.sides, spec.joints) == ("tiny", 32, "right", 21)
    assert set(spec.modalities) == {"image", "joints_2d", "joints_3d", "joint_valid", "side", "subject"}


def test_a_slipped_label_is_odd_but_readable(small_set):
    def slip(content):
        content["annotations"][2]["keypoints"][24:26] = [1, 95]

    root = small_set(slip)
    assert len(CocoHands(root)) == 3
    assert [(p.fatal, "index_tip" in p.fault) for p in check_coco(root)] == [(False, True)]


def test_a_check_lists_every_fault_at_once(small_set):
    def spoil(content):
        content["annotations"][0]["keypoints"] = [1, 2, 3]
        content["annotations"][1]["image_id"] = 77
        content["images"][2]["width"] = 95

    faults = "\n".join(problem.fault for problem in check_coco(small_set(spoil)))
    assert "keypoints has 3 numbers" in faults
    assert "image_id 77" in faults
    assert "says 95 x 96" in faults


def test_annotations_may_stand_before_their_pictures(small_set):
    def turn(content):
        images = content.pop("images")
        content["images"] = images

    root = small_set(turn)
    assert (root / "annotations.json").read_text().index('"annotations"') < (
        root / "annotations.json"
    ).read_text().index('"images"')
    assert len(CocoHands(root)) == 3
    assert check_coco(root) == []


def test_the_licences_of_a_file_are_the_data_sets(small_set):
    data = CocoHands(
        small_set(lambda content: content.update(licenses=[{"id": 1, "name": "CC0"}, {"id": 2, "url": "x"}]))
    )
    assert data.spec.licence == "CC0"
