"""Pickles of others: arrays come out, nothing in them runs."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handvae.data.files.pickle import read_pickle
from handvae.errors import UserError


class Call:
    """Unpickles as a call."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


class Shape(np.ndarray):
    """A subclass of an array."""


@pytest.mark.parametrize(
    "content",
    [
        Call(os.system, "touch harm"),
        Call(open, "harm", "w"),
        Call(eval, "open('harm', 'w')"),
        {"K": [np.zeros(3), Call(os.mkdir, "harm")]},
        Call(np.load, "harm"),
        np.array([Call(os.mkdir, "harm")], object),
        np.zeros(3).view(Shape),
        np.zeros(2, [("a", "f4")]),
    ],
    ids=["system", "open", "eval", "nested", "numpy function", "object array", "subclass", "structured"],
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_asks_for_more_than_arrays_is_refused_and_does_nothing(
    content, protocol, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(UserError, match=r"a\.pickle: is no pickle of numbers"):
        read_pickle(tmp_path / "a.pickle")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pickle"]


def same(read, written) -> bool:
    if isinstance(written, np.ndarray):
        return (
            isinstance(read, np.ndarray)
            and read.dtype == written.dtype
            and np.array_equal(read, written, equal_nan=written.dtype.kind == "f")
        )
    if isinstance(written, dict):
        return read.keys() == written.keys() and all(same(read[key], written[key]) for key in written)
    if isinstance(written, (list, tuple)):
        return type(read) is type(written) and all(same(a, b) for a, b in zip(read, written, strict=True))
    return read == written


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_all_kinds_come_back_from_a_pickle(protocol, tmp_path):
    content = {
        0: np.arange(6, dtype=np.float32).reshape(2, 3),
        1: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "list": [np.zeros((0, 3)), (True, None, "text", 3)],
        "scalar": np.float64(2.5),
        "words": np.array(["one", "three"]),
    }
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(content, protocol=protocol))
    assert same(read_pickle(tmp_path / "a.pickle"), content)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_pickle_is_read_or_refused(data, tmp_path_factory):
    whole = bytearray(
        pickle.dumps({0: {"K": np.eye(3, dtype=np.float32), "xyz": np.ones((2, 3))}}, protocol=2)
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("pickle") / "a.pickle"
    path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        read_pickle(path)
    except UserError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said


def test_a_pickle_of_absurd_size_is_refused_unread(tmp_path):
    with (tmp_path / "a.pickle").open("wb") as handle:
        handle.truncate(2**32)
    with pytest.raises(UserError, match="larger than 1024 MiB"):
        read_pickle(tmp_path / "a.pickle")


def test_a_pickle_that_holds_itself_is_refused(tmp_path):
    loop = []
    loop.append(loop)
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(loop))
    with pytest.raises(UserError, match="is no pickle of numbers"):
        read_pickle(tmp_path / "a.pickle")
