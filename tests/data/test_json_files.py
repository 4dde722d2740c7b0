import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handvae.data.files import json as jsonfiles
from handvae.data.files.json import members, read_json
from handvae.errors import UserError

floats = st.floats(allow_nan=False, allow_infinity=False)
leaves = st.one_of(st.none(), st.integers(), floats, st.text(max_size=9))
documents = st.dictionaries(
    st.text(max_size=5),
    st.one_of(
        leaves,
        st.lists(st.recursive(leaves, st.lists), max_size=4),
        st.dictionaries(st.text(max_size=3), st.lists(floats, max_size=4), max_size=4),
    ),
    max_size=4,
)


def expected(document):
    for key, value in document.items():
        inner = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        yield from ((key, name, item) for name, item in inner)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(document=documents, indent=st.sampled_from([None, 1]), chunk=st.integers(1, 40))
def test_members_come_as_from_a_whole_reading_whatever_the_window(
    document, indent, chunk, tmp_path, monkeypatch
):
    monkeypatch.setattr(jsonfiles, "CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document, indent=indent))
    assert list(members(path)) == list(expected(document))


@pytest.mark.parametrize(
    "text",
    [
        *("", "[1]", "3", '{"a": [1, 2}', '{"a": [1', '{"a" [1]}', "{1: [1]}", '{"a": [1]} x'),
        '{"a": ' + "[" * 100_000,
    ],
    ids=["empty", "list", "number", "mismatched", "cut", "no colon", "no key", "trailing", "deep"],
)
def test_what_is_no_json_object_is_refused_in_one_line(text, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.json: Invalid JSON") as raised:
        list(members(path))
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": ["\xff\xfe"]}')
    for read in (read_json, lambda path: list(members(path))):
        with pytest.raises(UserError, match="Invalid JSON"):
            read(path)


@pytest.mark.parametrize("read", [read_json, lambda path: list(members(path))], ids=["whole", "members"])
def test_a_file_of_absurd_size_is_refused_unread(read, tmp_path):
    path = tmp_path / "a.json"
    with path.open("wb") as handle:
        handle.truncate(2**33)  # takes no room on the disk
    with pytest.raises(UserError, match="larger than"):
        read(path)


def test_a_member_without_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonfiles, "MAX_MEMBER_CHARACTERS", 1000)
    monkeypatch.setattr(jsonfiles, "CHUNK", 100)
    path = tmp_path / "a.json"
    path.write_text('{"a": ["' + "x" * 10_000 + '"]}')
    with pytest.raises(UserError, match="does not end"):
        list(members(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"b\.json: cannot be read"):
        read_json(tmp_path / "b.json")


def test_nan_is_handed_on_to_whoever_can_name_its_field(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [NaN]}')
    assert math.isnan(read_json(tmp_path / "a.json")["a"][0])
    assert math.isnan(next(members(tmp_path / "a.json"))[2])
