"""Small data sets in the true layout of each; all hands are known, so a reader's answer can be compared."""

import inspect
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat

from handvae.data.export.formats import FormatName, write_data
from handvae.data.export.stream import samples_of
from handvae.data.files.pictures import write_picture
from handvae.data.open import open_data
from handvae.data.readers import icvl, msra, nyu, stb
from handvae.data.readers.rendered import RenderPlan, write_plan
from handvae.geometry import VIEWS, mirror_3d, orthographic_view, project, rotation_y
from handvae.hand import POSE_NAMES, HandShape, forward_kinematics, from_internal, named_pose


def right_hands(count: int, distance_mm: float = 500.0) -> torch.Tensor:
    """(count, 21, 3) mm in the camera frame, float32, each another pose and turn, in front of the camera."""
    poses = torch.stack([named_pose(POSE_NAMES[number % len(POSE_NAMES)]) for number in range(count)])
    turns = rotation_y(torch.linspace(-0.8, 0.8, count)) @ VIEWS["palm"].float()
    joints = orthographic_view(forward_kinematics(poses, HandShape.mean()).joints, turns).joints_mm
    return joints - joints.mean(1, keepdim=True) + torch.tensor([5.0, -8.0, distance_mm])


def left_hands(count: int, distance_mm: float = 500.0) -> torch.Tensor:
    return mirror_3d(right_hands(count, distance_mm))


def paint(width: int, height: int, joints_px: np.ndarray, values: np.ndarray, ground: int = 0) -> np.ndarray:
    """Squares of 7 px, the last on top, with `values` (joint,) or (joint, 3)."""
    canvas = np.full((height, width, *values.shape[1:]), ground, values.dtype)
    for (x, y), value in zip(np.floor(joints_px).astype(int).tolist(), values, strict=True):
        canvas[max(0, y - 3) : max(0, y + 4), max(0, x - 3) : max(0, x + 4)] = value
    return canvas


def write_pixels(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.ndim == 3:
        write_picture(path, pixels)
    else:
        cv2.imwrite(str(path), pixels)


def white(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 200, np.uint8)


RHD_K = torch.tensor([[290.0, 0.0, 160.0], [0.0, 290.0, 160.0], [0.0, 0.0, 1.0]])


def write_rhd(root: Path, count: int = 4, matlab: bool = False) -> torch.Tensor:
    """Even frames show the left hand larger, odd ones the right; returns (count, 2, 21, 3) mm."""
    both = torch.stack(
        [left_hands(count) - torch.tensor([60.0, 0, 0]), right_hands(count) + torch.tensor([60.0, 0, 0])], 1
    )
    codes = np.array(
        [17, *(code for finger in range(5) for code in (4, 4, 3, 2) for code in [code + 3 * finger])],
        np.uint8,
    )
    for split in ("training", "evaluation"):
        frames = {}
        for number in range(count):
            pixels = project(both[number], RHD_K).numpy()
            dominant = number % 2
            mask = paint(320, 320, pixels[dominant], codes + 16 * dominant, ground=1)
            depth = paint(
                320,
                320,
                pixels[dominant],
                np.round(both[number, dominant, :, 2].numpy() / 5000 * 65535).astype(np.uint16),
            )
            for kind, picture in (
                ("color", white(320, 320)),
                ("mask", mask),
                ("depth", np.stack([depth >> 8, depth & 255, depth * 0], -1)),
            ):
                write_pixels(root / split / kind / f"{number:05d}.png", picture.astype(np.uint8))
            listed = from_internal(both[number], "rhd").reshape(42, 3)
            seen = torch.cat([project(listed, RHD_K), torch.ones(42, 1)], 1)
            if number == 0:
                seen[21:, 2] = 0  # a right hand that is not seen
            frames[number] = {"K": RHD_K.numpy(), "xyz": (listed / 1000).numpy(), "uv_vis": seen.numpy()}
        if matlab:
            savemat(
                root / split / f"anno_{split}.mat",
                {f"frame{number}": frame for number, frame in frames.items()},
            )
        else:
            (root / split / f"anno_{split}.pickle").write_bytes(pickle.dumps(frames, protocol=2))
    return both


def write_stb(root: Path, count: int = 2) -> torch.Tensor:
    """All sequences with the same hands; returns (count, 21, 3) mm in the left or depth camera."""
    joints = left_hands(count)
    joints[:, 0] = 0.5 * (joints[:, 0] + joints[:, 9])  # the palm
    listed = from_internal(joints, "stb").permute(2, 1, 0).double().numpy()
    depth = paint(
        640,
        480,
        project(joints[0], stb.INTRINSICS["SK_depth"]).numpy(),
        joints[0, :, 2].round().numpy().astype(np.int64),
    )
    for sequence in stb.SEQUENCES:
        (root / "labels").mkdir(parents=True, exist_ok=True)
        for device in ("BB", "SK"):
            savemat(root / "labels" / f"{sequence}_{device}.mat", {"handPara": listed})
        for number in range(count):
            for view in ("BB_left", "BB_right", "SK_color"):
                write_pixels(root / "images" / sequence / f"{view}_{number}.png", white(16, 12))
            coded = np.stack([depth % 256, depth // 256, depth * 0], -1).astype(np.uint8)
            write_pixels(root / "images" / sequence / f"SK_depth_{number}.png", coded)
    return joints


INTERHAND_CAMERA = {"campos": [100.0, -50.0, 20.0], "focal": [1270.0, 1260.0], "princpt": [170.0, 250.0]}


def write_interhand(root: Path, more: int = 0) -> torch.Tensor:
    """In each split a right hand, a left hand, both, a right hand without its wrist, and `more` right hands;
    returns right and left, (2, 21, 3) mm."""
    hands = torch.stack([right_hands(1, 900.0)[0] + 40, left_hands(1, 900.0)[0] - 40])
    turn = rotation_y(torch.tensor(0.4))
    world = from_internal(hands, "interhand").reshape(42, 3) @ turn + torch.tensor(INTERHAND_CAMERA["campos"])
    for split in ("train", "val", "test"):
        images, annotations, frames = [], [], {}
        for number, kind in enumerate(("right", "left", "interacting", "right", *["right"] * more)):
            valid = [[int(kind != "left")]] * 21 + [[int(kind != "right")]] * 21
            if number == 3:
                valid[20] = [0]
            coordinates = torch.where(
                torch.tensor(valid) > 0, world, 1.0
            )  # as theirs: ones where there is no label
            name = f"Capture0/ROM/cam400/image{number}.png"
            where = {"capture": 0, "camera": "400", "frame_idx": number, "seq_name": "ROM", "subject": 7}
            images.append({"id": number, "file_name": name, "width": 334, "height": 512, **where})
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "joint_valid": valid,
                    "hand_type": kind,
                    "hand_type_valid": 1,
                    "bbox": [0, 0, 9, 9],
                }
            )
            frames[str(number)] = {
                "world_coord": coordinates.tolist(),
                "joint_valid": valid,
                "hand_type": kind,
                "hand_type_valid": True,
            }
            write_pixels(root / "images" / split / name, white(33, 51))
        camera = {
            kind: {"400": value} for kind, value in (INTERHAND_CAMERA | {"camrot": turn.tolist()}).items()
        }
        folder = root / "annotations" / split
        folder.mkdir(parents=True)
        for part, content in (
            ("data", {"images": images, "annotations": annotations}),
            ("camera", {"0": camera}),
            ("joint_3d", {"0": frames}),
        ):
            (folder / f"InterHand2.6M_{split}_{part}.json").write_text(json.dumps(content))
    return hands


FREIHAND_K = [[480.0, 0.0, 112.0], [0.0, 480.0, 112.0], [0.0, 0.0, 1.0]]


def write_freihand(root: Path, count: int = 3) -> torch.Tensor:
    """Returns (count, 21, 3) mm; the evaluation has the first two hands."""
    joints = right_hands(count, 700.0)
    for split, number in (("training", count), ("evaluation", 2)):
        metres = joints[:number] / 1000
        scale = (metres[:, 10] - metres[:, 9]).norm(dim=-1)
        for part, content in (
            ("K", [FREIHAND_K] * number),
            ("xyz", metres.tolist()),
            ("scale", scale.tolist()),
        ):
            (root / f"{split}_{part}.json").parent.mkdir(parents=True, exist_ok=True)
            (root / f"{split}_{part}.json").write_text(json.dumps(content))
        for picture in range(number * (4 if split == "training" else 1)):
            write_pixels(root / split / "rgb" / f"{picture:08d}.jpg", white(224, 224))
            if split == "training" and picture < number:
                shown = paint(
                    224,
                    224,
                    project(joints[picture], torch.tensor(FREIHAND_K)).numpy(),
                    np.full((21, 3), 255, np.uint8),
                )
                write_pixels(root / split / "mask" / f"{picture:08d}.jpg", shown)
    return joints


def write_nyu(root: Path, count: int = 2) -> torch.Tensor:
    """Returns (count, 36, 3): u px, v px, depth mm."""
    hands = right_hands(count, 800.0)
    solid = torch.cat([hands, hands[:, :15] + torch.tensor([150.0, 0.0, 10.0])], 1)
    measured = torch.cat([project(solid, nyu.INTRINSICS), solid[..., 2:].round()], -1)
    for split in ("train", "test"):
        for number in range(count):
            pixels = measured[number].numpy()
            depth = paint(640, 480, pixels[:, :2], pixels[:, 2].astype(np.int64))
            write_pixels(
                root / split / f"depth_1_{number + 1:07d}.png",
                np.stack([depth * 0, depth // 256, depth % 256], -1).astype(np.uint8),
            )
        other_views = np.zeros((2, count, 36, 3))
        savemat(
            root / split / "joint_data.mat",
            {"joint_uvd": np.concatenate([measured.double().numpy()[None], other_views])},
        )
    return measured


def write_icvl(root: Path, count: int = 2) -> torch.Tensor:
    """Returns (count, 16, 3): u px, v px, depth mm; the training set has turned copies too."""
    solid = left_hands(count, 400.0)[:, [0, *(joint for joint in range(1, 21) if joint % 4 != 2)]]
    measured = torch.cat([project(solid, icvl.INTRINSICS), solid[..., 2:].round()], -1)
    sequences = {
        "Training/labels.txt": ("201405151126", "22-5/201405151126"),
        "Testing/test_seq_1.txt": ("test_seq_1",),
        "Testing/test_seq_2.txt": ("test_seq_2",),
    }
    for file, folders in sequences.items():
        lines = []
        for folder in folders:
            for number in range(count):
                depth = paint(
                    320,
                    240,
                    measured[number, :, :2].numpy(),
                    measured[number, :, 2].numpy().astype(np.uint16),
                )
                write_pixels(root / Path(file).parent / "Depth" / folder / f"image_{number:04d}.png", depth)
                numbers = " ".join(f"{value:.4f}" for value in measured[number].flatten().tolist())
                lines.append(f"{folder}/image_{number:04d}.png {numbers} ")
        (root / file).write_text("\n".join([*lines, "", ""]))
    return measured


def write_msra(root: Path, count: int = 2) -> torch.Tensor:
    """Every person's every gesture with the same hands, and one empty file; returns (count, 21, 3) mm."""
    joints = right_hands(count, 350.0)
    listed = from_internal(joints, "msra") * torch.tensor([1.0, -1.0, -1.0])
    lines = [" ".join(f"{value:.4f}" for value in hand.flatten().tolist()) for hand in listed]
    contents = []
    for hand in joints:
        depth = paint(320, 240, project(hand, msra.INTRINSICS).numpy(), hand[:, 2].numpy())
        rows, columns = depth.nonzero()
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        header = np.array([320, 240, left, top, right, bottom], "<u4")
        contents.append(header.tobytes() + depth[top:bottom, left:right].astype("<f4").tobytes())
    for person in msra.SUBJECTS:
        for gesture in msra.GESTURES:
            folder = root / person / gesture
            folder.mkdir(parents=True)
            (folder / "joint.txt").write_text("\n".join([str(count), *lines]) + "\n")
            for number, content in enumerate(contents):
                (folder / f"{number:06d}_depth.bin").write_bytes(content)
    (root / "P3" / "5" / "000001_depth.bin").write_bytes(b"")
    return joints


HO3D_K = np.array([[614.0, 0.0, 320.0], [0.0, 614.0, 240.0], [0.0, 0.0, 1.0]])


def write_ho3d(root: Path, count: int = 2) -> torch.Tensor:
    """Returns (count, 21, 3) mm; the last frame of the list has no labels."""
    joints = right_hands(count)
    for number in range(count + 1):
        metres = from_internal(joints[min(number, count - 1)], "ho3d").numpy() * np.array([1, -1, -1]) / 1000
        content = {
            "handJoints3D": None if number == count else metres,
            "camMat": HO3D_K,
            "objName": "021_bleach",
        }
        path = root / "train" / "ABF10" / "meta" / f"{number:04d}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(content, protocol=2))
        write_pixels(root / "train" / "ABF10" / "rgb" / f"{number:04d}.png", white(640, 480))
    (root / "train.txt").write_text("".join(f"ABF10/{number:04d}\n" for number in range(count + 1)))
    return joints


WRITERS: dict[str, Callable[[Path], torch.Tensor]] = {
    "rhd": write_rhd,
    "stb": write_stb,
    "interhand": write_interhand,
    "freihand": write_freihand,
    "nyu": write_nyu,
    "icvl": write_icvl,
    "msra": write_msra,
    "ho3d": write_ho3d,
}


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, torch.Tensor]]:
    """A data set by name, and its true joints. Not to be changed."""
    made: dict[str, tuple[Path, torch.Tensor]] = {}

    def get(name: str) -> tuple[Path, torch.Tensor]:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            made[name] = (root, WRITERS[name](root))
        return made[name]

    return get


@pytest.fixture
def own_copy(tmp_path: Path) -> Callable[..., tuple[Path, Any]]:
    """A data set by name, to be spoilt."""

    def make(name: str, **options: Any) -> tuple[Path, Any]:
        root = tmp_path / name
        root.mkdir()
        return root, WRITERS[name](root, **options)

    return make


def write_layout(name: str, root: Path, count: int, tiny_set: Path) -> Path:
    """A data set of any layout that `open_data` knows; of most of them with `count` hands or more."""
    folder = root / name
    if name in WRITERS:
        folder.mkdir()
        has_count = "count" in inspect.signature(WRITERS[name]).parameters and name != "msra"
        WRITERS[name](folder, **({"count": count} if has_count else {}))
    elif name == "plan":
        write_plan(folder, RenderPlan(count, size_px=16, cloud=0))
    else:
        data = open_data(tiny_set)
        spec = replace(data.spec, licence="ours")
        hands = samples_of(data, range(max(count, 12)))
        # mmpose's layout is named after the data set that it holds
        write_data(folder, cast(FormatName, name), spec, hands, "onehand10k")
    return folder


@pytest.fixture(scope="session")
def layout_of(tiny_set: Path) -> Callable[[str, Path, int], Path]:
    """Writes a data set: its layout, an empty folder, the number of hands."""
    return lambda name, root, count: write_layout(name, root, count, tiny_set)


@pytest.fixture(scope="module")
def whole(layout_of, tmp_path_factory):
    """A folder of each layout, made once; copied before it is spoilt."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = layout_of(name, tmp_path_factory.mktemp(f"whole-{name}"), 12)
        return made[name]

    return get
