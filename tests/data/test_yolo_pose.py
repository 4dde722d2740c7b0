"""YOLO pose sets of other people: their layouts, classes and faults."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from handvae.data.open import open_data, recognise
from handvae.errors import DataWarning, UserError
from handvae.hand import JOINT_NAMES, LEFT, RIGHT, UNKNOWN

WIDTH, HEIGHT = 64, 48
RNG = np.random.default_rng(0)
SHARES = RNG.uniform(0.1, 0.9, (4, 21, 2)).round(6)
ABOUT = "kpt_shape: [21, 3]\nnames: [hand]\ntrain: images/train\nval: images/train\n"


def line(kind: int, shares: np.ndarray, flag: int | None = 2) -> str:
    numbers = [kind, 0.5, 0.5, 0.8, 0.8]
    for x, y in shares:
        numbers += [x, y] if flag is None else [x, y, flag]
    return " ".join(str(number) for number in numbers)


def put(root: Path, name: str, lines: list[str] | None, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """A picture below `images`, and its labels below `labels`; None for a picture without."""
    picture = root / name
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 80, 70)).save(picture)
    if lines is not None:
        path = root / Path(name.replace("images", "labels")).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")


def pixels(row: int) -> np.ndarray:
    return SHARES[row] * [WIDTH, HEIGHT]


def test_two_hands_of_a_picture_are_two_rows_and_background_is_none(tmp_path):
    put(tmp_path, "images/train/a b ü.png", [line(0, SHARES[0]), line(0, SHARES[1], 1)])
    put(tmp_path, "images/train/nobody.png", None)
    put(tmp_path, "images/train/empty.png", [])
    (tmp_path / "data.yaml").write_text(ABOUT)
    assert recognise(tmp_path) == "yolo-pose"
    data = open_data(tmp_path)
    labels = data.labels(torch.arange(2))
    assert len(data) == 2
    assert np.allclose(labels.joints_2d.numpy(), [pixels(0), pixels(1)], atol=1e-4)
    assert data.picture_name(0) == data.picture_name(1) == "images/train/a b ü.png"
    assert labels.joint_visible[:, 0].tolist() == [True, False]
    assert labels.side is None
    assert data.picture(1).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("names", "sides"),
    [
        ("[left, right, hand]", [LEFT, RIGHT, UNKNOWN]),
        ("{0: Right_Hand, 1: hand-LEFT, 2: thumbs_up}", [RIGHT, LEFT, UNKNOWN]),
    ],
)
def test_classes_tell_the_side_where_they_name_one(tmp_path, names, sides):
    put(tmp_path, "images/train/a.png", [line(kind, SHARES[kind], None) for kind in range(3)])
    about = ABOUT.replace("[hand]", names).replace("21, 3", "21, 2")
    (tmp_path / "data.yaml").write_text(about, encoding="utf-8-sig")
    data = open_data(tmp_path)
    assert data.labels(torch.arange(3)).side.tolist() == sides
    assert data.spec.gestures == (("thumbs_up",) if "thumbs" in names else ())


def test_without_flags_a_joint_at_nought_is_not_labelled(tmp_path):
    shares = SHARES[0].copy()
    shares[4] = 0
    put(tmp_path, "images/train/a.png", [line(0, shares, None)])
    (tmp_path / "data.yaml").write_text(ABOUT.replace("21, 3", "21, 2"))
    valid = open_data(tmp_path).labels(torch.tensor([0])).joint_valid[0]
    assert (~valid).nonzero().ravel().tolist() == [4]


def test_folders_of_other_tools_are_found_and_splits_are_kept(tmp_path):
    put(tmp_path, "train/images/a.jpg", [line(0, SHARES[0])])
    put(tmp_path, "valid/images/b.jpg", [line(0, SHARES[1])])
    about = "train: ../train/images\nval: ../valid/images\npath: /home/somebody/else\nnc: 1\n"
    (tmp_path / "data.yaml").write_text(about + "names: ['hand']\nkpt_shape: [21, 3]\n")
    data = open_data(tmp_path)
    assert [data.split_of(row) for row in range(2)] == ["train", "val"]
    assert np.allclose(
        open_data(tmp_path, "val").labels(torch.tensor([0])).joints_2d[0], pixels(1), atol=1e-4
    )
    with pytest.raises(UserError, match="names no split 'test'; use train or val"):
        open_data(tmp_path, "test")


def test_a_file_that_lists_the_pictures_is_read(tmp_path):
    put(tmp_path, "images/a.png", [line(0, SHARES[0])])
    (tmp_path / "list.txt").write_text("./images/a.png\nimages\\a.png\n")
    (tmp_path / "data.yaml").write_text("train: list.txt\nkpt_shape: [21, 3]\nnames: [hand]\n")
    assert len(open_data(tmp_path)) == 1

    (tmp_path / "list.txt").write_text("images/a.png\nimages/gone.png\n")
    with pytest.raises(UserError, match=r"images/gone\.png"):
        open_data(tmp_path)


def test_joints_are_put_in_our_order_by_their_names(tmp_path):
    order = RNG.permutation(21)
    put(tmp_path, "images/train/a.png", [line(0, SHARES[0][order])])
    names = [JOINT_NAMES[joint].replace("_", " ").title() for joint in order]
    (tmp_path / "data.yaml").write_text(f"{ABOUT}kpt_names: {{0: {names}}}\n")
    joints = open_data(tmp_path).labels(torch.tensor([0])).joints_2d[0]
    assert np.allclose(joints.numpy(), pixels(0), atol=1e-4)

    (tmp_path / "data.yaml").write_text(f"{ABOUT}kpt_names: {{0: {['nose', *names[1:]]}}}\n")
    with pytest.raises(UserError, match="kpt_names cannot be used: joints of unknown names: nose"):
        open_data(tmp_path)


def test_a_picture_that_is_turned_when_shown_is_measured_as_shown(tmp_path):
    put(tmp_path, "images/train/a.jpg", [line(0, SHARES[0])])
    turned = Image.new("RGB", (HEIGHT, WIDTH))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "images/train/a.jpg", exif=exif)
    (tmp_path / "data.yaml").write_text(ABOUT)
    data = open_data(tmp_path)
    assert data.picture(0).shape == (HEIGHT, WIDTH, 3)
    assert np.allclose(data.labels(torch.tensor([0])).joints_2d[0], pixels(0), atol=1e-4)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("0 0.5 0.5 0.2 0.2", "hands have a box and no joints"),
        ("0 0.5 0.5 word", "lines are not 68 numbers"),
        (line(3, SHARES[0]), "lines have a class that is not in names"),
        (line(0, SHARES[0] * 100), "hands have joints outside 0 to 1"),
        (line(0, SHARES[0], 7), "hands have a flag other than 0, 1 and 2"),
        (line(0, SHARES[0], 0), "hands have fewer than two labelled joints"),
    ],
)
def test_lines_that_cannot_be_used_are_left_out_counted_and_named(tmp_path, bad, reason):
    put(tmp_path, "images/train/a.png", [bad, line(0, SHARES[1])])
    (tmp_path / "data.yaml").write_text(ABOUT)
    with pytest.warns(DataWarning, match=reason):
        data = open_data(tmp_path)
    assert len(data) == 1
    assert data.remarks[0].startswith(f"1 {reason}")
    assert "labels/train/a.txt" in data.remarks[0]

    put(tmp_path, "images/train/a.png", [bad])
    with pytest.raises(UserError, match=f"no hand of it can be used: 1 {reason}"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("about", "fault"),
    [
        (ABOUT.replace("21, 3", "17, 3"), r"kpt_shape is \[17, 3\], hands have"),
        (ABOUT.replace("names: [hand]\n", ""), "names is no list of classes"),
        (ABOUT + "x: [", "is no YAML"),
        (ABOUT.replace("images/train", "../../up"), "is no folder or file below"),
        ("kpt_shape: [21, 3]\nnames: [hand]\n", "names no pictures"),
    ],
)
def test_a_description_with_a_fault_is_refused_in_one_line(tmp_path, about, fault):
    put(tmp_path, "images/train/a.png", [line(0, SHARES[0])])
    (tmp_path / "data.yaml").write_text(about)
    with pytest.raises(UserError, match=fault) as caught:
        open_data(tmp_path)
    assert "\n" not in str(caught.value)
