"""Whatever stands in an annotation file: it is read, or refused as the user's error, and what is read is fit
for training."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handvae.data.crop import Crop, cut
from handvae.data.readers.coco import CocoHands, check_coco
from handvae.errors import UserError

numbers = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, -1, 1e-30, 1e9, 2**31, 2**63, -(2**63), 1e308, 10**40])
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)

thorough = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in a JSON document."""
    inner = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else []
    )
    return [path, *(found for key, value in inner for found in places(value, (*path, key)))]


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    at = content
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return content


@pytest.fixture(scope="module")
def sound(tiny_set, tmp_path_factory):
    """A folder with three pictures, and its annotation."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "images").mkdir()
    content = json.loads((tiny_set / "annotations.json").read_text())
    content = {"images": content["images"][:3], "annotations": content["annotations"][:3]}
    for picture in content["images"]:
        (folder / picture["file_name"]).write_bytes((tiny_set / picture["file_name"]).read_bytes())
    return folder, content


def read(folder: Path, content: Any) -> CocoHands | str:
    """The reader of a folder with this annotation, or why it was refused."""
    (folder / "annotations.json").write_text(json.dumps(content))
    try:
        return CocoHands(folder)
    except UserError as error:
        return str(error)


@thorough
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(sound, data):
    folder, content = sound
    spoilt = put(copy.deepcopy(content), data.draw(st.sampled_from(places(content))), data.draw(values))
    reader = read(folder, spoilt)
    if isinstance(reader, str):
        assert "\n" not in reader
        return
    hands = cut(reader, torch.arange(len(reader)), Crop(16))
    assert torch.isfinite(hands.image).all()
    assert torch.isfinite(hands.joints_2d).all()
    check_coco(folder)


@thorough
@given(
    joints=st.lists(
        st.tuples(st.floats(-9, 105), st.floats(-9, 105), st.sampled_from([0, 1, 2])),
        min_size=21,
        max_size=21,
    )
)
def test_any_keypoints_near_the_picture_are_cropped_or_refused(sound, joints):
    folder, content = sound
    spoilt = copy.deepcopy(content)
    spoilt["annotations"][1]["keypoints"] = [number for joint in joints for number in joint]
    reader = read(folder, spoilt)
    if isinstance(reader, str):
        assert "labelled joints" in reader or "one point" in reader
        return
    hands = cut(reader, torch.tensor([1]), Crop(16))
    labelled = hands.joints_2d[hands.joint_valid]
    assert ((labelled > 0) & (labelled < 16)).all()
