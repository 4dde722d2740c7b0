"""Files made to harm: nothing in them runs, nothing outside the root is read, and each is refused in one
line."""

import io
import json
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from handvae.data import dataset as reader
from handvae.data.crop import Crop, cut
from handvae.data.dataset import require_numbers
from handvae.data.files import json as jsonfiles
from handvae.data.files import mat as matfiles
from handvae.data.files.mat import read_mat
from handvae.data.open import open_data
from handvae.data.readers import ho3d, mmpose, msra
from handvae.data.readers.mmpose import MmposeHands
from handvae.errors import DataWarning, UserError


def refusal(read) -> str:
    """What the user is told, or nothing where `read` goes through; any other exception fails the test."""
    with warnings.catch_warnings():
        # what is left out is said; here it counts that nothing else is raised
        warnings.simplefilter("ignore", DataWarning)
        try:
            read()
        except UserError as error:
            return str(error)
    return ""


thorough = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


# ------------------------------------------------------------------------------------------------ other files


def test_a_matlab_array_of_absurd_size_is_refused_before_it_is_decompressed(tmp_path, monkeypatch):
    monkeypatch.setattr(matfiles, "MAX_NUMBERS", 1000)
    savemat(tmp_path / "a.mat", {"handPara": np.zeros((3, 21, 1500))}, do_compression=True)
    with pytest.raises(UserError, match="handPara has more than 1,000 numbers"):
        read_mat(tmp_path / "a.mat", "handPara")


@pytest.mark.parametrize("content", [b"", b"nothing", b"MATLAB 5.0 MAT-file" + b" " * 200, bytes(4096)])
def test_what_is_no_matlab_file_is_refused_in_one_line(content, tmp_path):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(UserError) as raised:
        read_mat(tmp_path / "a.mat", "handPara")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([[1.0, float("nan")]], "not finite"),
        ([[1e300, 1.0]], "not finite"),
        ([["1", "2"]], "no array of numbers"),
        ([[1.0, 2.0], [3.0]], "is no array"),
        ([[[1.0]]], "has shape"),
        (None, "no array of numbers"),
        ({"a": 1}, "no array of numbers"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(value, fault, tmp_path):
    with pytest.raises(UserError, match=fault):
        require_numbers(tmp_path, "xyz", value, (None, 2))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(23),
        struct.pack("<6I", 320, 240, 10, 10, 20, 20) + bytes(399),
        struct.pack("<6I", 320, 240, 0, 0, 2**31, 2**31) + bytes(64),
        struct.pack("<6I", 2**31, 2**31, 0, 0, 10, 10) + bytes(400),
        struct.pack("<6I", 320, 240, 20, 20, 10, 10) + bytes(400),
    ],
)
def test_a_depth_file_whose_header_lies_is_refused(content, own_copy):
    root, _ = own_copy("msra")
    data = open_data(root, "test")
    (root / "P0" / "1" / "000000_depth.bin").write_bytes(content)
    with pytest.raises(UserError, match=r"000000_depth\.bin"):
        data.depth(0)


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises a size and whose content is small."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("name", ["rhd", "stb", "interhand", "nyu", "icvl", "ho3d"])
@pytest.mark.parametrize("harm", ["bomb", "cut", "text"])
def test_a_harmful_picture_is_refused_when_it_is_asked_for(name, harm, own_copy):
    root, _ = own_copy(name)
    data = open_data(root, "train")
    read = data.picture if "image" in data.spec.modalities else data.depth
    path = next(
        path
        for path in sorted(root.rglob("*.png"))
        if path.as_posix().endswith(data.name(0)) and "test" not in path.parts
    )
    path.write_bytes(
        {"bomb": png(60_000, 60_000), "cut": path.read_bytes()[:-20], "text": b"no picture"}[harm]
    )
    with pytest.raises(UserError) as raised:
        read(0)
    assert "\n" not in str(raised.value)


# ----------------------------------------------------------------------------------------------------- paths
# and documents


def plain_form(count: int = 3) -> dict:
    """A small set in mmpose's form."""
    keypoints = [number for joint in range(21) for number in (5.0 + joint, 9.0 + joint % 4, 1)]
    return {
        "info": {"description": "OneHand10K"},
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in range(count)],
        "annotations": [{"id": i, "image_id": i, "keypoints": list(keypoints)} for i in range(count)],
    }


@pytest.fixture
def plain_set(tmp_path):
    """Makes that set with a spoilt annotation."""

    def make(spoil=lambda content: None):
        content = plain_form()
        for image in content["images"]:
            (tmp_path / image["file_name"]).write_bytes(picture)
        spoil(content)
        (tmp_path / "onehand10k_train.json").write_text(json.dumps(content))
        return tmp_path

    from PIL import Image

    held = io.BytesIO()
    Image.new("RGB", (40, 30), (90, 120, 60)).save(held, "PNG")
    picture = held.getvalue()
    return make


def test_the_plain_set_is_read(plain_set):
    data = open_data(plain_set(), "train")
    assert len(data) == 3
    assert data.spec.name == "onehand10k"
    assert torch.isfinite(cut(data, torch.arange(3), Crop(16)).image).all()


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../secret.png"])
@pytest.mark.parametrize("row", [0, 2])
def test_a_path_that_leaves_the_root_is_refused(name, row, plain_set, tmp_path):
    (tmp_path.parent / "secret.png").write_bytes(b"secret")
    root = plain_set(lambda content: content["images"][row].update(file_name=name))
    with pytest.raises(UserError, match="leaves the data set's folder"):
        MmposeHands(root).picture(row)


@pytest.mark.parametrize("name", ["interhand", "icvl", "ho3d"])
def test_a_path_in_an_official_annotation_does_not_leave_the_root_either(name, own_copy, tmp_path):
    root, _ = own_copy(name)
    (tmp_path / "secret.png").write_bytes(b"secret")
    match name:
        case "interhand":
            path = root / "annotations" / "test" / "InterHand2.6M_test_data.json"
            path.write_text(path.read_text().replace("Capture0/ROM/cam400/image0.png", "../../../secret.png"))
        case "icvl":
            path = root / "Testing" / "test_seq_1.txt"
            path.write_text(path.read_text().replace("test_seq_1/image_0000.png", "../../../secret.png"))
        case "ho3d":
            path = root / "train.txt"
            path.write_text("../0000\n" + path.read_text())

    def read():
        data = open_data(root, None if name == "ho3d" else "test")
        data.labels(torch.tensor([0]))
        (data.depth if name == "icvl" else data.picture)(0)

    assert refusal(read)


def spoil(path, value):
    def change(content):
        at = content
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("annotations", 0, "keypoints", 4), "12", "annotations.0.keypoints"),
        (("annotations", 0, "keypoints", 4), float("nan"), "annotations.0.keypoints"),
        (("annotations", 0, "keypoints", 4), 1e300, "annotations.0.keypoints"),
        (("annotations", 0, "keypoints"), [1.0] * 60, "annotations.0.keypoints"),
        (("annotations", 0, "keypoints"), [[1.0, 2.0]] * 21, "annotations.0.keypoints"),
        (("annotations", 0, "image_id"), 77, "image_id 77"),
        (("annotations", 0, "image_id"), "seven", "image_id seven"),
        (("images", 0, "file_name"), 3, "images.0.file_name"),
        (("images", 0, "file_name"), "a\0b", "images.0.file_name"),
        (("annotations", 0), None, "annotations.0"),
        (("annotations",), [], "no annotation"),
        (("images",), [], "not in images"),
    ],
)
def test_the_first_fault_is_named_where_nothing_is_left(path, value, fault, plain_set):
    def spoil_all(content):
        for row in range(3) if len(path) > 1 else [0]:
            spoil((path[0], row, *path[2:])[: len(path)], value)(content)

    with pytest.raises(UserError, match=fault) as raised:
        MmposeHands(plain_set(spoil_all))
    assert "\n" not in str(raised.value)


def test_pictures_of_one_id_are_told_apart_by_nothing(plain_set):
    def same(content):
        for image in content["images"]:
            image["id"] = 0

    with pytest.raises(UserError, match="two images have the id 0"):
        MmposeHands(plain_set(same))


def test_a_file_of_many_rows_is_read_in_the_memory_of_its_labels(tmp_path, plain_set, monkeypatch):
    """What grows while reading is the labels, a few hundred bytes a hand, not the parsed document."""
    import tracemalloc

    monkeypatch.setattr(mmpose, "_picture_folder", lambda *_: tmp_path)
    monkeypatch.setattr(jsonfiles, "CHUNK", 2**15)
    row = json.dumps(plain_form(1)["annotations"][0])
    count = 3_000
    with (tmp_path / "onehand10k_train.json").open("w") as handle:
        handle.write('{"info": {"description": "onehand10k"}, "images": [')
        handle.write(
            ", ".join(f'{{"id": {i}, "file_name": "{i}.png", "width": 9, "height": 9}}' for i in range(count))
        )
        handle.write('], "annotations": [')
        handle.write(
            ", ".join(
                row.replace('"id": 0', f'"id": {i}').replace('"image_id": 0', f'"image_id": {i}')
                for i in range(count)
            )
        )
        handle.write("]}")
    tracemalloc.start()
    data = MmposeHands(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data) == count
    assert peak / count < 1000  # bytes a hand, measured 745; the parsed document takes 2,500


# ---------------------------------------------------------------------------------------------- - any content

junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=4),
        st.sampled_from([2**63, -(2**70), 1e308, "../x"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(content, path=()):
    inner = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else []
    )
    return [path, *(found for key, value in inner for found in places(value, (*path, key)))]


JSON_FILES = [
    ("interhand", "annotations/test/InterHand2.6M_test_data.json"),
    ("interhand", "annotations/test/InterHand2.6M_test_camera.json"),
    ("interhand", "annotations/test/InterHand2.6M_test_joint_3d.json"),
    ("freihand", "evaluation_xyz.json"),
    ("freihand", "evaluation_K.json"),
    ("freihand", "evaluation_scale.json"),
]


@settings(parent=thorough, max_examples=40)
@given(data=st.data())
@pytest.mark.parametrize(("name", "file"), JSON_FILES)
def test_any_value_anywhere_in_an_official_annotation_is_read_or_refused(
    name, file, data, laid_out, tmp_path_factory
):
    source, _ = laid_out(name)
    root = tmp_path_factory.mktemp("any") / name
    for part in source.iterdir():
        root.mkdir(exist_ok=True)
        if part.name != "annotations" and part.name != file:
            (root / part.name).symlink_to(part)
    for path in (source / "annotations").rglob("*.json") if (source / "annotations").is_dir() else []:
        (root / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        (root / path.relative_to(source)).symlink_to(path)
    content = json.loads((source / file).read_text())
    path, value = data.draw(st.sampled_from(places(content))), data.draw(junk)
    if path:
        spoil(path, value)(content)
    else:
        content = value
    (root / file).unlink(missing_ok=True)
    (root / file).write_text(json.dumps(content))

    def read():
        reader = open_data(root, "test")
        hands = reader.labels(torch.arange(len(reader)))
        assert torch.isfinite(hands.joints_2d[hands.joint_valid]).all()

    assert "\n" not in refusal(read)


@settings(parent=thorough, max_examples=60)
@given(text=st.text(alphabet="0123456789.-+e nanif\n\tab/", max_size=200))
@pytest.mark.parametrize(
    ("name", "file"), [("icvl", "Testing/test_seq_1.txt"), ("msra", "P0/1/joint.txt"), ("ho3d", "train.txt")]
)
def test_any_text_in_place_of_labels_is_read_or_refused(name, file, text, laid_out, tmp_path_factory):
    source, _ = laid_out(name)
    root = tmp_path_factory.mktemp("any")
    top = file.split("/")[0]
    for part in source.iterdir():
        if part.name != top:
            (root / part.name).symlink_to(part)
    for path in (source / top).rglob("*.txt") if (source / top).is_dir() else []:
        (root / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        (root / path.relative_to(source)).symlink_to(path)
    (root / file).unlink(missing_ok=True)
    (root / file).write_text(text)
    assert "\n" not in refusal(lambda: open_data(root).labels(torch.tensor([0])))


@pytest.mark.parametrize("name", ["plain", "mmpose", "icvl"])
def test_an_annotation_of_too_many_rows_is_refused_while_it_is_read(
    name, tiny_set, plain_set, own_copy, monkeypatch
):
    monkeypatch.setattr(reader, "MOST_ROWS", 2)
    root = {"plain": lambda: tiny_set, "mmpose": lambda: plain_set(), "icvl": lambda: own_copy("icvl")[0]}[
        name
    ]()
    assert "holds more than 2 " in refusal(lambda: open_data(root))


@pytest.mark.parametrize(
    ("name", "file", "module"), [("msra", "P0/1/joint.txt", msra), ("ho3d", "train.txt", ho3d)]
)
def test_a_text_of_absurd_size_is_refused_before_it_is_read(name, file, module, own_copy, monkeypatch):
    root, _ = own_copy(name)
    monkeypatch.setattr(module, "MOST_BYTES", (root / file).stat().st_size - 1)
    assert "is larger than" in refusal(lambda: open_data(root))
