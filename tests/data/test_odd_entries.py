"""Files of other tools: odd entries are read where they mean one thing, else left out and counted."""

import json
import math

import numpy as np
import pytest
import torch

from handvae.data.files.lenient import identity, labelled, yes_or_no
from handvae.data.files.pictures import write_picture
from handvae.data.left_out import strict
from handvae.data.open import open_data
from handvae.errors import DataWarning, UserError

JOINTS = [[5.0 + joint, 9.0 + joint % 4] for joint in range(21)]


def hand(shift: float = 0.0) -> list[float]:
    return [number for x, y in JOINTS for number in (x + shift, y, 1)]


def plain() -> dict:
    """Three hands in three pictures, as mmpose keeps OneHand10K."""
    return {
        "info": {"description": "OneHand10K"},
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in range(3)],
        "annotations": [{"id": i, "image_id": i, "keypoints": hand(i)} for i in range(3)],
    }


def people() -> dict:
    """Three people with a left hand each, as COCO-WholeBody's authors publish them."""
    content = plain()
    for i, annotation in enumerate(content["annotations"]):
        del annotation["keypoints"]
        annotation |= {"lefthand_kpts": hand(i), "righthand_kpts": [0.0] * 63}
        annotation |= {"lefthand_valid": True, "righthand_valid": False}
    return content


FORMS = {"onehand10k": (plain, "keypoints"), "coco_wholebody": (people, "lefthand_kpts")}
ODDITIES = {
    "a word among the numbers": lambda entry, image, field: entry[field].__setitem__(4, "12"),
    "NaN at a labelled joint": lambda entry, image, field: entry[field].__setitem__(4, math.nan),
    "twenty joints": lambda entry, image, field: entry.update({field: entry[field][:60]}),
    "no keypoints": lambda entry, image, field: entry.pop(field),
    "keypoints that are null": lambda entry, image, field: entry.update({field: None}),
    "no label": lambda entry, image, field: entry.update({field: [0.0] * 63}),
    "a picture that is not listed": lambda entry, image, field: entry.update(image_id=404),
    "a picture without a name": lambda entry, image, field: image.pop("file_name"),
    "a picture of another's id": lambda entry, image, field: (entry.update(image_id=0), image.update(id=0)),
}
HARMLESS = {
    "ids with a point": lambda entry, image, field: entry.update(id=1.0, image_id=1.0),
    "ids as text": lambda entry, image, field: (image.update(id="1"), entry.update(id="1")),
    "ids that are words": lambda entry, image, field: (
        image.update(id="img_1"),
        entry.update(id="b", image_id="img_1"),
    ),
    "an id twice": lambda entry, image, field: entry.update(id=0),
    "triples": lambda entry, image, field: entry.update(
        {field: [entry[field][at : at + 3] for at in range(0, 63, 3)]}
    ),
    "null where no label is": lambda entry, image, field: entry[field].__setitem__(
        slice(9, 12), [None, None, 0]
    ),
    "NaN where no label is": lambda entry, image, field: entry[field].__setitem__(
        slice(9, 12), [math.nan, math.nan, 0]
    ),
    "valid as numbers": lambda entry, image, field: entry.update(
        {name: int(value) for name, value in entry.items() if isinstance(value, bool)}
    ),
    "neither width nor height": lambda entry, image, field: [image.pop(side) for side in ("width", "height")],
}


@pytest.fixture(params=FORMS)
def make(request, tmp_path):
    """Writes that form with its second entry spoilt; with `everywhere`, all of them."""
    form, field = FORMS[request.param]

    def write(spoil=None, everywhere=False):
        content = form()
        for image in content["images"]:
            write_picture(tmp_path / image["file_name"], np.full((30, 40, 3), 90, np.uint8))
        for row in range(3) if everywhere else [1]:
            if spoil:
                spoil(content["annotations"][row], content["images"][row], field)
        (tmp_path / f"{request.param}_train.json").write_text(json.dumps(content))
        return tmp_path

    return write


@pytest.mark.parametrize("oddity", [name for name in ODDITIES if "another's" not in name])
def test_what_cannot_be_used_is_left_out_counted_and_the_rest_is_read(oddity, make):
    with pytest.warns(DataWarning, match="1 of 3 "):
        data = open_data(make(ODDITIES[oddity]), "train")
    x = data.labels(torch.arange(len(data))).require("joints_2d")[:, 0, 0]
    assert x.tolist() == [5.0, 7.0]
    assert [data.name(row) for row in range(len(data))] == ["0.png", "2.png"]


def test_hands_of_pictures_that_share_an_id_are_left_out(make):
    with pytest.warns(DataWarning, match="2 of 3 annotations are left out: 2 of pictures that share an id"):
        data = open_data(make(ODDITIES["a picture of another's id"]), "train")
    assert [data.name(row) for row in range(len(data))] == ["2.png"]


@pytest.mark.parametrize("oddity", ODDITIES)
def test_strictly_nothing_is_left_out(oddity, make):
    with strict(), pytest.raises(UserError, match="left out"):
        open_data(make(ODDITIES[oddity]), "train")


@pytest.mark.parametrize("oddity", ODDITIES)
def test_a_file_of_which_nothing_is_left_is_refused_in_one_line(oddity, make):
    with pytest.raises(UserError) as raised:
        open_data(make(ODDITIES[oddity], everywhere=True), "train")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("oddity", HARMLESS)
def test_every_hand_is_read_of_what_means_one_thing(oddity, make, recwarn):
    data = open_data(make(HARMLESS[oddity]), "train")
    joints, valid = data.labels(torch.arange(len(data))).require_all("joints_2d", "joint_valid")
    assert joints[:, 0, 0].tolist() == [5.0, 6.0, 7.0]
    assert torch.isfinite(joints).all()
    assert valid.sum(1).tolist() == [21, 20 if "no label" in oddity else 21, 21]
    assert not [one for one in recwarn if issubclass(one.category, DataWarning)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, 7), (7.0, 7), ("7", 7), ("007", 7), ("img_7", "img_7"), (7.5, 7.5), (None, None)],
)
def test_ids_are_numbers_where_they_can_be(value, expected):
    assert identity(value) == expected


@pytest.mark.parametrize("value", [True, False])
def test_an_id_is_neither_true_nor_false(value):
    with pytest.raises(ValueError, match="whole number or a text"):
        identity(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, True), (0, False), ("1", True), ("False", False), (True, True), ("maybe", "maybe"), (None, None)],
)
def test_yes_and_no_have_several_spellings(value, expected):
    assert yes_or_no(value) is expected


@pytest.mark.parametrize("visibility", [0, 0.0, None, False, math.nan])
def test_a_joint_that_is_not_labelled_is_nowhere(visibility):
    assert labelled([math.nan, None, visibility, 3, 4, 2]) == [0, 0, 0, 3, 4, 2]
