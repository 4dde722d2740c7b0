"""Data sets that are part of one: whole gestures held out."""

import pytest
import torch

from handvae.data.mixture import open_training_data
from handvae.data.open import DataOptions
from handvae.data.readers.coco import CocoHands
from handvae.data.subset import split_by_gesture
from handvae.errors import UserError


def named(*gestures):
    """A change that gives the first pictures these gestures."""

    def edit(content):
        for image, gesture in zip(content["images"], gestures, strict=False):
            image["gesture"] = gesture

    return edit


def gestures_of(data):
    numbers = data.labels(torch.arange(len(data))).gesture
    return [data.spec.gestures[number] if number >= 0 else "" for number in numbers]


def test_a_set_is_divided_by_gesture(small_set):
    """Hands of no gesture are among the others."""
    others, those = split_by_gesture(CocoHands(small_set(named("open", "fist"))), ["open"], "--data.hold-out")
    assert gestures_of(those) == ["open"]
    assert gestures_of(others) == ["fist", ""]


def test_training_leaves_held_out_gestures_out(small_set):
    data = open_training_data(DataOptions(small_set(named("open", "fist", "open")), hold_out=("open",)))
    assert gestures_of(data) == ["fist"]
    assert data.spec.count == 1


@pytest.mark.parametrize(
    ("gestures", "complaint"),
    [
        (["wave"], "there are fist, open"),
        (["open", "fist"], "3 hands of gestures open, fist, of 3"),
        ([], "0 hands"),
    ],
)
def test_gestures_that_leave_one_side_empty_are_refused(gestures, complaint, small_set):
    with pytest.raises(UserError, match=complaint):
        split_by_gesture(CocoHands(small_set(named("open", "fist", "open"))), gestures, "--data.hold-out")


def test_a_set_without_gestures_says_what_to_add(refused, small_set, tmp_path):
    line = refused(
        "train", "photos-64", "--data.root", small_set(), "--data.hold-out", "open", "--out", tmp_path / "run"
    )
    assert "names no gestures" in line
    assert "--data.hold-out" in line
    assert not (tmp_path / "run").exists()
