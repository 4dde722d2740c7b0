"""Writers: COCO to each format and back, what each cannot hold, folders that are whole or absent."""

import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from handvae.data.export.formats import FORMATS, warning, write_data
from handvae.data.export.json_file import Spool, write_json
from handvae.data.hands import DataSpec, Hands
from handvae.data.open import open_data
from handvae.data.sample import Sample
from handvae.errors import UserError
from handvae.hand import LEFT, POSE_NAMES, RIGHT, HandShape, forward_kinematics, named_pose

WIDTH, HEIGHT, COUNT = 80, 60, 8
LABELS = ("joints_2d", "joints_3d", "joint_valid", "joint_visible", "intrinsics", "side", "subject")
SPEC = DataSpec("made", COUNT, 0, ("image", *LABELS), "both", root="camera", licence="CC0")
FLAT = DataSpec("flat", COUNT, 0, ("image", "joints_2d", "joint_valid", "side"), "right")


def sample(number: int, whole: bool = False) -> Sample:
    """A hand half a metre before a camera of its own; every third lacks a fingertip."""
    rng = np.random.default_rng(number)
    turn = torch.linalg.qr(torch.from_numpy(rng.normal(size=(3, 3)).astype(np.float32)))[0]
    solid = (
        forward_kinematics(named_pose(POSE_NAMES[number % 10]), HandShape.mean()).joints @ turn
    ).numpy() + np.array([0, 0, 950])
    camera = np.array([[120.0 + number, 0, 41], [0, 121.0 + number, 29], [0, 0, 1]])
    flat = solid @ camera.T
    valid = np.ones(21, bool)
    valid[8] = whole or number % 3 != 2
    return Sample(
        joints_2d=(flat[:, :2] / flat[:, 2:]).astype(np.float32),
        side=LEFT if number % 4 == 1 else RIGHT,
        image=np.kron(rng.integers(0, 256, (6, 8, 3), np.uint8), np.ones((10, 10, 1), np.uint8)),
        joints_3d=solid.astype(np.float32),
        joint_valid=valid,
        joint_visible=rng.random(21) < 0.6,
        intrinsics=camera.astype(np.float32),
        subject=number // 2,
        split="test" if number > 5 else "train",
        provenance=json.dumps({"number": number}),
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The hands as COCO: what every round trip starts from."""
    write_data(tmp_path / "coco", "coco", SPEC, map(sample, range(COUNT)), "made")
    return tmp_path / "coco"


@pytest.fixture
def there_and_back(handvae, source, tmp_path):
    """COCO to a format and back to COCO; returns the source's labels, those that came back, and what was
    said."""

    def run(name: str, *words: object) -> tuple[Hands, Hands, str]:
        said = ""
        for start, end, format in ((source, "there", name), (tmp_path / "there", "back", "coco")):
            code, out, error = handvae(
                "data",
                "convert",
                start,
                tmp_path / end,
                "--format",
                format,
                *(words if end == "there" else ()),
            )
            assert code == 0, error
            said += out + error
        return everything(source), everything(tmp_path / "back"), said

    return run


def everything(root: Path) -> Hands:
    data = open_data(root)
    return data.labels(torch.arange(len(data)))


def same(before: Hands, after: Hands, *names: str) -> None:
    """Joints to 0.01 px and 0.01 mm where they are labelled; the rest exactly."""
    valid = before.joint_valid
    assert valid is not None
    for name in names:
        one, other = getattr(before, name), getattr(after, name)
        if name in ("joints_2d", "joints_3d"):
            one, other = one[valid], other[valid]
        assert torch.allclose(one.float(), other.float(), rtol=0, atol=0.01), name


# ------------------------------------------------------------------------------------------ COCO -> X -> COCO


@pytest.mark.parametrize("name", ["coco", "parquet"])
def test_these_hold_all_labels_and_the_pictures_bit_for_bit(there_and_back, source, tmp_path, name):
    before, after, said = there_and_back(name)
    same(before, after, *LABELS)
    assert said.count("warning") == said.count("warning: coco cannot hold joints outside their picture\n")
    one, other = open_data(source), open_data(tmp_path / "back")
    assert one.spec.root == other.spec.root == "camera"
    for row in range(COUNT):
        assert np.array_equal(one.picture(row), other.picture(row))
        assert (one.split_of(row), one.provenance_of(row)) == (other.split_of(row), other.provenance_of(row))


def test_interhand_holds_joints_camera_side_and_people(there_and_back, source, tmp_path):
    before, after, said = there_and_back("interhand")
    same(before, after, "joints_2d", "joints_3d", "joint_valid", "intrinsics", "side", "subject")
    assert "warning: interhand cannot hold which joints are visible\n" in said
    assert np.array_equal(open_data(source).picture(7), open_data(tmp_path / "back").picture(7))
    assert [open_data(tmp_path / "back").split_of(row) for row in (5, 6)] == ["train", "test"]


def test_mmpose_holds_joints_camera_and_side(there_and_back):
    before, after, said = there_and_back("mmpose", "--split", "train")
    same(before[:6], after, "joints_2d", "joints_3d", "joint_valid", "intrinsics", "side")
    assert "warning: mmpose cannot hold which joints are visible, people\n" in said


def test_freihand_holds_whole_hands_and_mirrors_left_ones(there_and_back):
    before, after, said = there_and_back("freihand")
    assert before.joint_valid is not None
    assert "2 hands lack joints that freihand needs and are left out" in said
    assert "left hands (they are mirrored to right ones)" in said
    whole = before[before.joint_valid.all(1)]
    left = whole.side == LEFT
    assert (after.side == RIGHT).all()
    same(whole[~left], after[~left], "joints_2d", "joints_3d", "intrinsics")
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    assert torch.allclose(after.joints_3d[left], whole.joints_3d[left] * mirror, atol=0.01)
    assert torch.allclose(
        after.joints_2d[left], whole.joints_2d[left] * mirror[:2] + torch.tensor([WIDTH, 0.0]), atol=0.01
    )


def test_a_mirrored_left_hands_picture_moves_with_its_joints(there_and_back, source, tmp_path):
    there_and_back("freihand")
    before, after = (
        open_data(source).picture(1),
        open_data(tmp_path / "there").picture(1),
    )  # hand 1 is a left one
    assert np.abs(after.astype(int) - before[:, ::-1].astype(int)).mean() < 12  # a JPEG


def test_yolo_pose_holds_joints_flags_and_splits(handvae, source, tmp_path):
    code, _, error = handvae("data", "convert", source, tmp_path / "yolo", "--format", "yolo-pose")
    assert code == 0
    assert (
        error == "warning: yolo-pose cannot hold joints in space, the camera, people, joints outside their "
        "picture\n"
    )
    labels = everything(source)
    for row in range(COUNT):
        split = "test" if row > 5 else "train"
        kind, *numbers = (tmp_path / "yolo" / "labels" / split / f"{row + 1:06d}.txt").read_text().split()
        values = np.array(numbers, float)
        joints, size = values[4:].reshape(21, 3), [WIDTH, HEIGHT]
        valid = labels.joint_valid[row].numpy()
        assert int(kind) == labels.side[row]
        assert np.allclose((joints[:, :2] * size)[valid], labels.joints_2d[row].numpy()[valid], atol=0.01)
        assert np.array_equal(joints[:, 2], np.where(valid, np.where(labels.joint_visible[row], 2, 1), 0))
        (x, y), extent = values[:2] * size, values[2:4] * size
        assert np.allclose(
            [x - extent[0] / 2, y - extent[1] / 2], labels.joints_2d[row].numpy()[valid].min(0), atol=0.01
        )
        assert cv2.imread(str(tmp_path / "yolo" / "images" / split / f"{row + 1:06d}.png")).shape == (
            HEIGHT,
            WIDTH,
            3,
        )
    lines = (tmp_path / "yolo" / "data.yaml").read_text().splitlines()
    assert {"train: images/train", "test: images/test", "val: images/test", "kpt_shape: [21, 3]"} <= set(
        lines
    )


def test_webdataset_holds_every_field_in_bytes_that_repeat(handvae, source, tmp_path):
    for name in ("one", "two"):
        assert handvae("data", "convert", source, tmp_path / name, "--format", "webdataset")[0] == 0
    assert (tmp_path / "one" / "data-000000.tar").read_bytes() == (
        tmp_path / "two" / "data-000000.tar"
    ).read_bytes()
    labels, data = everything(source), open_data(source)
    with tarfile.open(tmp_path / "one" / "data-000000.tar") as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}
    assert list(content)[:3] == [
        "00000000.png",
        "00000000.json",
        "00000001.png",
    ]  # a hand's files follow one another
    for row in range(COUNT):
        told = json.loads(content[f"{row:08d}.json"])
        (hand,) = told["hands"]
        for name in LABELS:
            assert np.allclose(hand[name], getattr(labels, name)[row].numpy(), atol=1e-4), name
        assert told["split"] == data.split_of(row)
        pixels = cv2.imdecode(np.frombuffer(content[f"{row:08d}.png"], np.uint8), cv2.IMREAD_COLOR_RGB)
        assert np.array_equal(pixels, data.picture(row))
    assert json.loads((tmp_path / "one" / "spec.json").read_text())["count"] == COUNT


# ------------------------------------------------------------------------------------------------------- what
# has no camera


def orthographic(number: int) -> Sample:
    """As our own model labels: joints about the wrist, seen without perspective, all of them labelled."""
    solid = forward_kinematics(named_pose(POSE_NAMES[number % 10]), HandShape.mean()).joints.numpy()[
        :, [1, 0, 2]
    ]
    return Sample(
        joints_2d=solid[:, :2] * 0.25 + [40, 10],
        side=RIGHT,
        image=np.full((HEIGHT, WIDTH, 3), 9, np.uint8),
        joints_3d=solid,
    )


@pytest.mark.parametrize("name", ["freihand", "interhand"])
def test_a_hand_without_a_camera_keeps_its_pixels_and_nearly_its_shape(tmp_path, name):
    spec = DataSpec("ours", 3, 0, ("image", "joints_2d", "joints_3d", "side"), "right")
    write_data(tmp_path / "set", name, spec, map(orthographic, range(3)), "made")
    labels = everything(tmp_path / "set")
    for row in range(3):
        hand = orthographic(row)
        assert np.allclose(labels.joints_2d[row].numpy(), hand.joints_2d, atol=0.01)
        relative = (labels.joints_3d[row] - labels.joints_3d[row, :1]).numpy()
        assert np.abs(relative - (hand.joints_3d - hand.joints_3d[0])).max() < 1.5
        assert np.allclose(relative[:, 2], hand.joints_3d[:, 2] - hand.joints_3d[0, 2], atol=0.01)
    assert "hands without a camera" in str(warning(name, spec))


@pytest.mark.parametrize("name", ["freihand", "interhand"])
def test_a_set_without_joints_in_space_is_refused_where_there_are_no_others(tmp_path, name):
    with pytest.raises(UserError, match=f"has no joints in space, and {name} holds no others; use coco"):
        write_data(tmp_path / "set", name, FLAT, [], "made")


def test_mmpose_without_a_camera_holds_pixels_and_side(tmp_path):
    hands = [
        Sample(joints_2d=sample(n).joints_2d, side=sample(n).side, image=sample(n).image) for n in range(3)
    ]
    write_data(tmp_path / "set", "mmpose", FLAT, hands, "freihand in other clothes")
    labels = everything(tmp_path / "set")
    assert np.allclose(labels.joints_2d.numpy(), [hand.joints_2d for hand in hands], atol=0.01)
    assert labels.side.tolist() == [RIGHT, LEFT, RIGHT]


def test_a_turned_camera_is_refused_where_it_cannot_be_held(tmp_path):
    turned = np.array([[100, 20, 40], [-20, 100, 30], [0, 0, 1]], np.float32)
    hand = Sample(**{**sample(0, whole=True).__dict__, "intrinsics": turned})
    with pytest.raises(UserError, match="a camera is turned or skewed, which interhand cannot hold"):
        write_data(tmp_path / "set", "interhand", SPEC, [hand], "made")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------- hands that
# leave the picture


@pytest.mark.parametrize(
    ("name", "column", "labelled"),
    [("coco", 8, True), ("coco", 9, False), ("yolo-pose", 0, True), ("yolo-pose", 1, False)],
)
def test_a_joint_too_far_outside_its_picture_is_written_as_not_labelled(tmp_path, name, column, labelled):
    hand = sample(0, whole=True)
    hand.joints_2d[5] = (WIDTH + column, 20)
    write_data(tmp_path / "set", name, SPEC, [hand], "made")
    if name == "coco":
        flag = bool(everything(tmp_path / "set").joint_valid[0, 5])
    else:
        flag = (tmp_path / "set" / "labels" / "train" / "000001.txt").read_text().split()[
            5 + 5 * 3 + 2
        ] != "0"
    assert flag == labelled


def test_a_hand_of_one_point_is_left_out(tmp_path):
    point = Sample(**{**sample(0, whole=True).__dict__, "joints_2d": np.full((21, 2), 20.0)})
    written = write_data(tmp_path / "set", "coco", SPEC, [point, sample(1)], "made")
    assert (written.count, written.left_out) == (1, 1)


# ------------------------------------------------------------------------------------------ refusals, folders


def test_depth_joints_go_only_where_any_hand_goes(tmp_path):
    spec = DataSpec(
        "nyu", 1, 0, ("image", "joints_2d"), "right", joints=14, joint_names=tuple("abcdefghijklmn")
    )
    with pytest.raises(UserError, match="has 14 joints a hand, coco holds 21; use parquet or webdataset"):
        write_data(tmp_path / "set", "coco", spec, [], "made")
    hands = [Sample(joints_2d=np.ones((14, 2), np.float32), side=RIGHT, image=np.zeros((4, 4, 3), np.uint8))]
    assert write_data(tmp_path / "set", "parquet", spec, hands, "made").count == 1


def test_a_split_that_climbs_out_of_the_folder_is_refused(tmp_path):
    hand = Sample(**{**sample(0).__dict__, "split": "../../up"})
    with pytest.raises(UserError, match="is no name for a split"):
        write_data(tmp_path / "set", "yolo-pose", SPEC, [hand], "made")
    assert list(tmp_path.iterdir()) == []


def test_no_hand_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match="no hand to write: 1 lack joints that freihand needs"):
        write_data(tmp_path / "set", "freihand", SPEC, [sample(2)], "made")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_set_of_any_format_is_replaced_when_asked(tmp_path, name):
    for count in (3, 1):
        written = write_data(
            tmp_path / "set",
            name,
            SPEC,
            (sample(n, whole=True) for n in range(count)),
            "made",
            overwrite=True,
        )
        assert written.count == count


def test_convert_does_not_write_over_its_source(refused, source):
    assert "which is read" in refused("data", "convert", source, source, "--format", "coco", "--overwrite")


def test_convert_keeps_what_is_there_unless_asked(refused, source, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    assert "already exists" in refused("data", "convert", source, tmp_path / "mine", "--format", "parquet")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep"


def test_a_limit_takes_the_first_hands(handvae, source, tmp_path):
    assert handvae("data", "convert", source, tmp_path / "few", "--format", "parquet", "--limit", "3")[0] == 0
    assert everything(tmp_path / "few").subject.tolist() == [0, 0, 1]


def test_a_spool_larger_than_memory_would_like_is_one_json_file(tmp_path):
    with Spool() as items, Spool() as members:
        for number in range(1000):
            items.item([number])
            members.member(f"key {number}", {"value": number})
        write_json(tmp_path / "a.json", '{"items": [', items, '], "members": {', members, "}}")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["items"] == [[number] for number in range(1000)]
    assert content["members"]["key 999"] == {"value": 999}
