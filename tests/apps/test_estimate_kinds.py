"""`handvae estimate` of depth pictures and 2D joints: every form that is understood, what is refused, what is
written."""

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from handvae.data.crop import Crop, cut
from handvae.data.files.depth import from_nyu, from_rhd, from_stb, read_depth
from handvae.data.hands import DataSpec
from handvae.data.left_out import strict
from handvae.data.readers.coco import CocoHands
from handvae.errors import DataWarning, UserError
from handvae.geometry import apply_affine
from handvae.hand import RIGHT, HandShape, forward_kinematics, named_pose, root
from handvae.inference.depth_input import DepthFormat, crop_depth
from handvae.inference.estimator import DEPTH_PRESET
from handvae.inference.joints_input import crop_joints, read_flat_hands
from handvae.inference.plot_3d import plot_joints
from handvae.inference.reading import read_hand
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.systems.system import Prediction
from handvae.training.checkpoint import load_model, save_model
from handvae.training.presets import find_preset

SPEC = DataSpec(
    "drawn",
    8,
    32,
    ("image", "depth", "joints_2d", "joints_3d", "joint_valid", "joint_visible", "intrinsics", "side"),
    "both",
)
SMALL = CmVaeConfig(
    variant=1,
    latent_dims=6,
    encoder=ResNetEncoder(8),
    decoder_width=16,
    hidden=32,
    norm="group",
    posterior_samples=4,
)
FOCAL, NEAR, WALL = 200.0, 500.0, 1500.0
close = torch.testing.assert_close


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Untrained models that read joints, depth, or all three, by name."""
    folder = tmp_path_factory.mktemp("models")
    kinds = {
        "joints": (replace(SMALL, input="2d"), Crop(32)),
        "depth": (replace(SMALL, input="depth"), Crop(32, box="cube")),
        "all": (replace(SMALL, more_pairs=("2d-3d", "depth-3d")), Crop(32)),
    }
    for name, (config, crop) in kinds.items():
        torch.manual_seed(0)
        system = CmVae(config, SPEC, crop).eval().requires_grad_(False)
        for layer in system.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.mul_(2.5)  # as they are, untrained layers forget what they read
        save_model(folder / f"{name}.safetensors", system)
    return {name: folder / f"{name}.safetensors" for name in kinds}


@pytest.fixture
def joints(tiny_set):
    """2D joints of a drawn hand, px."""
    return CocoHands(tiny_set).labels(torch.tensor([3])).joints_2d[0].double().numpy()


@pytest.fixture
def written(tmp_path):
    """Writes JSON and returns its path."""

    def write(content, name="keypoints.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture
def scene(tmp_path):
    """Writes a depth picture of a square thing at (140, 80) before a wall, mm; returns its path and the
    depth."""

    def write(name="depth.png", pack=lambda depth: depth.astype(np.uint16)):
        depth = np.full((160, 240), WALL, np.float32)
        depth[60:100, 120:160] = NEAR
        depth[:20, :20] = 0
        cv2.imwrite(str(tmp_path / name), pack(depth))
        return tmp_path / name, depth

    return write


def hands_of(folder):
    return json.loads((folder / "estimate.json").read_text())["hands"]


# ---------------------------------------------------------------------------------------------- ------ joints


def forms(joints):
    pairs = joints.tolist()
    flat = [number for x, y in pairs for number in (x, y, 2)]
    return {
        "pairs": pairs,
        "a list of poses": [pairs],
        "keypoints": {"keypoints": pairs},
        "an estimate": {"hands": [{"keypoints": pairs, "spread_px": [1.0] * 21}]},
        "COCO": {"images": [], "annotations": [{"keypoints": flat, "hand_side": "right"}]},
        "COCO results": [{"image_id": 0, "keypoints": flat, "score": 0.5}],
    }


@pytest.mark.parametrize(
    "form", ["pairs", "a list of poses", "keypoints", "an estimate", "COCO", "COCO results"]
)
def test_every_form_of_joints_gives_what_the_model_reads_in_them(
    form, handvae, models, joints, written, tiny_set, tmp_path
):
    code, _, error = handvae(
        "estimate", written(forms(joints)[form]), "--model", models["joints"], "--out", tmp_path / "out"
    )
    assert code == 0, error
    (hand,) = hands_of(tmp_path / "out")
    system = load_model(models["joints"]).pose_estimator
    read = system.predict(cut(CocoHands(tiny_set), torch.tensor([3]), system.crop, fields=()))
    close(torch.tensor(hand["keypoints_3d_bone_units"]), read.joints[0], atol=1e-3, rtol=0)
    close(torch.tensor(hand["spread_3d_bone_units"]), read.spread[0], atol=1e-3, rtol=0)


@pytest.mark.parametrize("unknown", ["null", "visibility 0"])
def test_a_joint_that_is_not_known_has_no_say(unknown, models, joints, written):
    system = load_model(models["joints"]).pose_estimator

    def content(at: float):
        pairs = joints.tolist()
        if unknown == "null":
            return [*pairs[:8], None, *pairs[9:]]
        pairs[8] = [at, at]
        return {
            "keypoints": [
                number for joint, (x, y) in enumerate(pairs) for number in (x, y, 0 if joint == 8 else 2)
            ]
        }

    def reading(given):
        (hand,) = read_flat_hands(written(given))
        return read_hand(system, crop_joints(written(given), hand, None, system.crop, False)).joints_3d

    assert np.array_equal(reading(content(5.0)), reading(content(-900.0)))
    assert not np.allclose(reading(content(5.0)), reading(joints.tolist()), atol=1e-2)


def test_the_unit_of_the_joints_does_not_matter(models, joints, written):
    system = load_model(models["joints"]).pose_estimator
    readings = []
    for factor in (1.0, 0.001, 40.0):
        path = written((joints * factor - 3).tolist())
        (hand,) = read_flat_hands(path)
        readings.append(read_hand(system, crop_joints(path, hand, None, system.crop, False)))
    for other in readings[1:]:
        size = np.abs(readings[0].joints_3d).max()  # of an untrained model: anything
        assert np.allclose(readings[0].joints_3d, other.joints_3d, rtol=0, atol=1e-4 * size)
    assert np.allclose((readings[1].joints_2d + 3) * 1000, readings[0].joints_2d + 3, atol=0.05)


def test_a_right_reading_lies_on_the_joints_it_was_read_from(models, written, monkeypatch):
    system = load_model(models["joints"]).pose_estimator
    solid = forward_kinematics(named_pose("victory")[None], HandShape.mean()).joints
    solid = (solid - root(solid, "palm")[:, None]) / 47
    monkeypatch.setattr(
        type(system), "predict", lambda self, hands, inputs: Prediction(solid, torch.full_like(solid, 0.1))
    )
    given = solid[0, :, :2] * 60 + torch.tensor([300.0, 200.0])
    path = written(given.tolist())
    (hand,) = read_flat_hands(path)
    found = read_hand(system, crop_joints(path, hand, None, system.crop, False))
    assert np.abs(found.joints_2d - given.numpy()).max() < 0.05
    assert found.spread_2d.mean() == pytest.approx(6.0, rel=1e-3)


def test_the_file_says_which_hand_it_is_and_else_the_option(handvae, models, joints, written, tmp_path):
    path = written(
        {"annotations": [{"keypoints": joints.tolist(), "hand_side": "left"}, {"keypoints": joints.tolist()}]}
    )
    assert (
        handvae("estimate", path, "--model", models["joints"], "--out", tmp_path / "out", "--side", "right")[
            0
        ]
        == 0
    )
    hands = hands_of(tmp_path / "out")
    assert [hand["hand_side"] for hand in hands] == ["left", "right"]
    assert hands[0]["keypoints_3d_bone_units"] != hands[1]["keypoints_3d_bone_units"]


def with_joint(value):
    return lambda pairs: [*pairs[:5], value, *pairs[6:]]


BAD_JOINTS = {
    "NaN": (with_joint([math.nan, 1.0]), ["joint 5 (index_mcp)", "finite"]),
    "infinity": (with_joint([1.0, -math.inf]), ["joint 5 (index_mcp)", "finite"]),
    "huge": (with_joint([1e30, 0.0]), ["joint 5", "finite"]),
    "text": (with_joint(["12", 3.0]), ["joint 5", "'12'"]),
    "truth": (with_joint([True, 3.0]), ["joint 5", "True"]),
    "three numbers": (with_joint([1.0, 2.0, 3.0]), ["joint 5", "3 numbers"]),
    "a number": (with_joint(7.0), ["joint 5", "no list"]),
    "twenty joints": (lambda pairs: pairs[:20], ["20 joints, not 21"]),
    "twenty-two joints": (lambda pairs: [*pairs, [0.0, 0.0]], ["22 joints, not 21"]),
    "COCO of twenty": (lambda pairs: {"keypoints": [1.0, 2.0, 2] * 20}, ["60 numbers, not 63"]),
    "one point": (lambda pairs: [[3.0, 4.0]] * 21, ["one point"]),
    "three known": (lambda pairs: [*pairs[:3], *[None] * 18], ["3 joints are known"]),
    "none known": (lambda pairs: [None] * 21, ["joints"]),
    "nothing": (lambda pairs: [], ["holds no hand"]),
    "no keypoints": (lambda pairs: {"joints": pairs}, ["holds no hand"]),
    "keypoints of text": (lambda pairs: {"keypoints": "many"}, ["keypoints is no list"]),
    "a side of its own": (
        lambda pairs: {"keypoints": pairs, "hand_side": "middle"},
        ["hand_side is 'middle'"],
    ),
    "the second hand": (lambda pairs: [pairs, pairs[:4]], ["hand 1", "4 joints"]),
    "no JSON": (lambda pairs: "{not json", ["Invalid JSON"]),
    "cut off": (lambda pairs: json.dumps(pairs)[:-40], ["Invalid JSON"]),
    "a number alone": (lambda pairs: 7, ["holds no hand"]),
    "deep": (lambda pairs: "[" * 100_000, ["Invalid JSON"]),
}


@pytest.mark.parametrize("fault", BAD_JOINTS)
def test_joints_with_a_fault_are_refused_before_anything_is_written(
    fault, refused, models, joints, written, tmp_path
):
    spoil, said = BAD_JOINTS[fault]
    line = refused(
        "estimate", written(spoil(joints.tolist())), "--model", models["joints"], "--out", tmp_path / "out"
    )
    assert all(part in line for part in said), line
    assert "keypoints.json" in line
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------------------------- ------- depth


def packed(depth, low, high):
    """Millimetres in two channels of blue, green, red, as OpenCV writes them."""
    units, picture = depth.astype(np.uint16), np.zeros((*depth.shape, 3), np.uint8)
    picture[..., low], picture[..., high] = units & 255, units >> 8
    return picture


def packed_rhd(depth):
    return packed(np.round(depth * 65535 / 5000), 1, 2)


@pytest.mark.parametrize(
    ("encoding", "unpack", "pack"),
    [
        ("nyu", from_nyu, lambda depth: packed(depth, 0, 1)),
        ("rhd", from_rhd, packed_rhd),
        ("stb", from_stb, lambda depth: packed(depth, 2, 1)),
    ],
)
def test_each_data_sets_packing_comes_back_in_millimetres(encoding, unpack, pack, scene):
    path, depth = scene(pack=pack)
    assert np.abs(read_depth(path, encoding) - depth).max() < 0.05
    assert np.abs(unpack(pack(depth)[..., ::-1]) - depth).max() < 0.05


def test_a_depth_picture_without_a_model_for_it_names_the_preset_to_train(
    scene, refused, tiny_model, tmp_path
):
    path, _ = scene()
    line = refused("estimate", path, "--model", tiny_model, "--out", tmp_path / "out")
    assert f"train {DEPTH_PRESET} " in line
    assert getattr(find_preset(DEPTH_PRESET).system, "input", None) == "depth"


def test_the_nearest_thing_is_cut_with_its_cube(scene):
    path, _ = scene()
    seen = crop_depth(path, Crop(32, box="cube"), False, None, DepthFormat(focal_px=FOCAL))
    close(
        apply_affine(torch.tensor([[140.0, 80.0]]), seen.affine)[0],
        torch.tensor([16.0, 16.0]),
        atol=0.02,
        rtol=0,
    )
    assert float(seen.affine[0, 0]) == pytest.approx(32 / (300 * FOCAL / NEAR), rel=1e-3)  # 300 mm across
    depth = seen.hands.require("depth")
    assert set(depth.unique().tolist()) == {0.0, NEAR}  # the wall is beyond the cube
    mirrored = crop_depth(path, Crop(32, box="cube"), True, None, DepthFormat(focal_px=FOCAL))
    close(mirrored.hands.depth, depth.flip(3))


def test_a_hand_before_a_body_is_the_nearer_one(tmp_path):
    depth = np.full((160, 240), 560.0, np.float32)  # a body of many pixels within the hand's cube
    depth[:, :100] = 2000
    depth[40:60, 20:50] = 500
    cv2.imwrite(str(tmp_path / "depth.png"), depth.astype(np.uint16))
    seen = crop_depth(tmp_path / "depth.png", Crop(32, box="cube"), False, None, DepthFormat(focal_px=100.0))
    centre = apply_affine(torch.tensor([[35.0, 50.0]]), seen.affine)[0]
    close(centre, torch.tensor([16.0, 16.0]), atol=0.05, rtol=0)


def test_a_box_says_where_the_hand_is(scene):
    path, _ = scene()
    seen = crop_depth(
        path, Crop(32, box="cube"), False, (20.0, 100.0, 40.0, 40.0), DepthFormat(focal_px=FOCAL)
    )
    depth = seen.hands.require("depth")
    assert depth.max() == WALL
    assert seen.located_by == "the given box"


@pytest.mark.parametrize("unit", [1.0, 0.125])
def test_depth_pictures_are_read_in_their_unit(unit, handvae, models, scene, tmp_path):
    path, _ = scene(pack=lambda depth: np.round(depth / unit).astype(np.uint16))
    words = (
        "--model",
        models["depth"],
        "--focal",
        FOCAL,
        "--depth-unit-mm",
        unit,
        "--bone-mm",
        40,
        "--out",
        tmp_path / "out",
    )
    code, said, error = handvae("estimate", path, *words)
    assert code == 0, error
    assert "nearest to the camera" in said
    (hand,) = hands_of(tmp_path / "out")
    system = load_model(models["depth"]).pose_estimator
    seen = crop_depth(path, system.crop, False, None, DepthFormat(unit_mm=unit, focal_px=FOCAL))
    read = system.predict(replace(seen.hands, side=torch.tensor([RIGHT])))
    close(torch.tensor(hand["keypoints_3d_bone_units"]), read.joints[0], atol=1e-3, rtol=0)
    close(torch.tensor(hand["keypoints_3d_mm"]), 40 * read.joints[0], atol=2e-3, rtol=1e-3)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "depth.png",
        "estimate.json",
    }


def eight_bits(depth):
    return (depth / 8).astype(np.uint8)


BAD_DEPTHS = {
    "8 bits": (eight_bits, (), "16 bits"),
    "colours": (lambda depth: packed(depth, 0, 1), (), "--depth-encoding"),
    "nothing known": (lambda depth: np.zeros_like(depth, np.uint16), (), "have a depth"),
    "another unit": (lambda depth: (depth * 8).astype(np.uint16), (), "--depth-unit-mm"),
    "metres as millimetres": (lambda depth: (depth / 1000).astype(np.uint16), (), "--depth-unit-mm"),
    "a box beyond": (lambda depth: depth.astype(np.uint16), ("--box", "900,900,50,50"), "does not lie in"),
    "a box of the unknown": (lambda depth: depth.astype(np.uint16), ("--box", "1,1,15,15"), "in --box"),
    "unit of nothing": (lambda depth: depth.astype(np.uint16), ("--depth-unit-mm", "0"), "give"),
    "focal length": (lambda depth: depth.astype(np.uint16), ("--focal", "nan"), "give a number"),
}


@pytest.mark.parametrize("fault", BAD_DEPTHS)
def test_depth_with_a_fault_is_refused_before_anything_is_written(fault, refused, models, scene, tmp_path):
    pack, words, said = BAD_DEPTHS[fault]
    path, _ = scene(pack=pack)
    assert said in refused("estimate", path, "--model", models["depth"], "--out", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [0, 30, 200])
def test_a_truncated_depth_picture_is_refused(kept, refused, models, scene, tmp_path):
    path, _ = scene()
    path.write_bytes(path.read_bytes()[:kept])
    refused("estimate", path, "--model", models["depth"], "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --------------------------------------------------------------------------------------------- kinds of input


def test_a_model_refuses_what_it_does_not_read(
    refused, models, tiny_model, tiny_set, scene, joints, written, tmp_path
):
    photo, (depth, _), flat = tiny_set / "images" / "000.png", scene(), written(joints.tolist())
    wrong = [(photo, "joints"), (depth, "joints"), (flat, "depth"), (depth, tiny_model), (flat, tiny_model)]
    for path, name in wrong:
        line = refused("estimate", path, "--model", models.get(name, name), "--out", tmp_path / "out")
        assert f"{path}: is a" in line
        assert "reads a" in line
    assert not (tmp_path / "out").exists()


def test_what_shows_one_hand_is_fused(handvae, models, tiny_set, joints, written, tmp_path):
    photo = tiny_set / "images" / "003.png"
    words = ("--model", models["all"], "--together", "--out", tmp_path / "out")
    code, _, error = handvae("estimate", photo, written(joints.tolist()), *words)
    assert code == 0, error
    (hand,) = hands_of(tmp_path / "out")
    system = load_model(models["all"]).pose_estimator
    hands = cut(CocoHands(tiny_set), torch.tensor([3]), system.crop)
    close(
        torch.tensor(hand["keypoints_3d_bone_units"]),
        system.predict(hands, ["image", "joints_2d"]).joints[0],
        atol=1e-3,
        rtol=0,
    )
    assert hand["overlay"] == "003.png"


def test_two_hands_are_not_fused(refused, models, joints, written, tmp_path):
    first, second = written(joints.tolist()), written(joints.tolist(), "second.json")
    line = refused(
        "estimate", first, second, "--model", models["all"], "--together", "--out", tmp_path / "out"
    )
    assert "several hands" in line


# ---------------------------------------------------------------------------------------------- ------- plots


def test_the_plot_shows_every_finger_and_wider_bars_for_a_wider_spread():
    joints = forward_kinematics(named_pose("open"), HandShape.mean()).joints.numpy() / 47
    narrow, wide = (
        plot_joints(joints, np.full((21, 3), spread, np.float32), "bone units") for spread in (0.001, 0.4)
    )
    assert narrow.shape == wide.shape == (500, 1000, 3)

    def inked(picture):
        return np.count_nonzero(np.ptp(picture.astype(int), axis=2) > 40)

    assert inked(wide) > 1.3 * inked(narrow)


FRACTIONS = [[0.1 + 0.03 * joint, 0.9 - 0.02 * joint] for joint in range(21)]


@pytest.mark.parametrize(
    "content",
    [
        FRACTIONS,
        [None, *FRACTIONS[1:]],
        {"hands": [{"keypoints": FRACTIONS}]},
        {"keypoints": [number for x, y in FRACTIONS for number in (x, y, 2)]},
    ],
    ids=["pairs", "a joint unknown", "as we write them", "coco"],
)
def test_joints_that_are_fractions_of_a_picture_are_noticed(content, tmp_path):
    path = tmp_path / "joints.json"
    path.write_text(json.dumps(content))
    with pytest.warns(DataWarning, match=r"joints\.json: all joints lie in 0 to 1.* multiply x by its width"):
        (hand,) = read_flat_hands(path)
    close(hand.joints[1:], torch.tensor(FRACTIONS[1:]))

    with strict(), pytest.raises(UserError, match="0 to 1"):
        read_flat_hands(path)


def test_only_the_hands_of_fractions_are_named(tmp_path):
    path = tmp_path / "joints.json"
    pixels = [[100 * x, 100 * y] for x, y in FRACTIONS]
    path.write_text(json.dumps([pixels, FRACTIONS]))
    with pytest.warns(DataWarning) as said:
        read_flat_hands(path)
    assert [str(one.message).count("hand 1") for one in said] == [1]
