"""What all tests share: one thread, the real data where it is, a small labelled set drawn here, small models,
the command line."""

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start; before torch is imported

import cv2
import jaxtyping
import numpy as np
import pytest
import torch

from handvae.apps.cli import main
from handvae.data.crop import Crop, cut
from handvae.data.files.pictures import write_picture
from handvae.data.hands import DataSpec, Hands
from handvae.data.readers.coco import CocoHands
from handvae.geometry import VIEWS, orthographic_view, rotation_z
from handvae.hand import BONES, JOINT_NAMES, POSE_NAMES, HandShape, forward_kinematics, named_pose
from handvae.systems.srv_vae import SrvVae, SrvVaeConfig
from handvae.training.checkpoint import save_model
from true_layouts import laid_out, layout_of, own_copy, whole  # noqa: F401  fixtures

torch.set_num_threads(1)
PROJECT = Path(__file__).resolve().parents[1]

TINY_SET_SIDE = 96
TINY_SET_COUNT = 48

TINY = SrvVaeConfig(
    appearance_dims=4,
    latent="sample",
    pose_input="vector+maps",
    pose_head="heatmap",
    teacher_forcing=1.0,
    pose_stop_gradient=True,
    image_range="unit",
    likelihood_sigma=0.1,
    kl_weight=1.0,
    pose_weight=100.0,
    pose_variance="linear",
    norm="group",
    encoder_widths=(8, 16, 16, 16),
    encoder_kernel=4,
    encoder_slope=0.2,
    decoder_widths=(16, 16, 8, 8),
    decoder_kernel=4,
    to_rgb="transposed",
)
"""Our preset's structure at a size that steps in milliseconds."""

TINY_FLAGS = [
    *(
        "--crop.size-px",
        "32",
        "--system.appearance-dims",
        "4",
        "--system.norm",
        "group",
        "--system.encoder-hidden",
        "0",
    ),
    *(
        "--system.encoder-widths",
        "8",
        "16",
        "16",
        "16",
        "--system.decoder-widths",
        "16",
        "16",
        "8",
        "8",
        "--system.decoder-hidden",
        "0",
    ),
    *(
        "--train.no-compile",
        "--train.precision",
        "float32",
        "--train.batch",
        "8",
        "--train.workers",
        "1",
        "--train.warmup-steps",
        "5",
    ),
]
"""Flags after `train photos-64` that make it as small."""


# ----------------------------------------------------------------------------------------------- -- real data


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the shared real data; the test is skipped where there is none."""
    given = os.environ.get("HANDVAE_TEST_DATA")
    root = Path(given) if given else PROJECT.parent / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; set HANDVAE_TEST_DATA to the folder that holds photos/")
    return root


@pytest.fixture(scope="session")
def real_photos(data_root: Path) -> Path:
    """The `photos` data set: 1,859 labelled real pictures."""
    if not (data_root / "photos" / "annotations.json").is_file():
        pytest.skip(f"no photos/annotations.json under {data_root}")
    return data_root / "photos"


# ----------------------------------------------------------------------------------------------- - drawn data


def posed(index: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Joints of a named pose, turned in the picture plane: (21, 2) px and (21, 3) mm in the camera frame."""
    joints = forward_kinematics(named_pose(POSE_NAMES[index % len(POSE_NAMES)]), HandShape.mean()).joints
    seen = orthographic_view(joints, VIEWS["palm"].float(), margin=1.0)
    turn = rotation_z((torch.rand((), generator=generator) * 2 - 1) * math.pi / 3)
    reach = TINY_SET_SIDE * (0.26 + 0.06 * float(torch.rand((), generator=generator)))
    flat = seen.joints_2d @ turn[:2, :2].T * reach + TINY_SET_SIDE / 2
    return flat.numpy(), (seen.joints_mm @ turn.T).numpy()


def draw(joints_px: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Thick lines for the bones of one colour on a plain ground of another."""
    dark, light = torch.rand(2, 3, generator=generator)
    ground, skin = (dark * 80 + 10).int().tolist(), (light * 120 + 130).int().tolist()
    canvas = np.full((TINY_SET_SIDE, TINY_SET_SIDE, 3), ground, np.uint8)
    points = (
        np.round((joints_px - 0.5) * 16).astype(int).tolist()
    )  # OpenCV counts from the first pixel's centre, in sixteenths
    for parent, child in BONES:
        cv2.line(canvas, points[parent], points[child], skin, 5, cv2.LINE_AA, 4)
    return canvas


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO-keypoints folder of 48 drawn hands: persons 0 to 3 in train (32), 4 and 5 in test (16). Not to
    be changed."""
    folder = tmp_path_factory.mktemp("drawn") / "tiny"
    (folder / "images").mkdir(parents=True)
    generator = torch.Generator().manual_seed(7)
    images, annotations = [], []
    for index in range(TINY_SET_COUNT):
        joints_px, joints_mm = posed(index, generator)
        name, person = f"images/{index:03d}.png", index // 8
        write_picture(folder / name, draw(joints_px, generator))
        split = "train" if person < 4 else "test"
        images.append(
            {
                "id": index,
                "file_name": name,
                "width": TINY_SET_SIDE,
                "height": TINY_SET_SIDE,
                "split": split,
                "person": person,
            }
        )
        keypoints = [round(float(value), 3) for joint in joints_px for value in (*joint, 2)]
        annotations.append(
            {
                "id": index,
                "image_id": index,
                "keypoints": keypoints,
                "keypoints_3d": joints_mm.tolist(),
                "hand_side": "right",
            }
        )
    categories = [{"id": 1, "name": "hand", "keypoints": list(JOINT_NAMES)}]
    (folder / "annotations.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return folder


@pytest.fixture
def small_set(tiny_set: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of the first three drawn hands whose annotation, already parsed, the given function has
    spoilt."""

    def make(spoil: Callable[[dict[str, Any]], object] = lambda content: None) -> Path:
        folder = tmp_path / "set"
        (folder / "images").mkdir(parents=True)
        content = json.loads((tiny_set / "annotations.json").read_text())
        content["images"], content["annotations"] = content["images"][:3], content["annotations"][:3]
        for picture in content["images"]:
            (folder / picture["file_name"]).write_bytes((tiny_set / picture["file_name"]).read_bytes())
        spoil(content)
        (folder / "annotations.json").write_text(json.dumps(content))
        return folder

    return make


# ----------------------------------------------------------------------------------------------- small models


@pytest.fixture(scope="session")
def tiny_spec() -> DataSpec:
    return DataSpec(
        "tiny",
        TINY_SET_COUNT,
        32,
        ("image", "joints_2d", "joints_3d", "joint_valid", "side", "subject"),
        "right",
    )


@pytest.fixture(scope="session")
def crops(tiny_set: Path) -> Hands:
    """The drawn hands as crops of 32 px."""
    return cut(CocoHands(tiny_set), torch.arange(TINY_SET_COUNT), Crop(32))


@pytest.fixture(scope="session")
def tiny_config() -> SrvVaeConfig:
    return TINY


@pytest.fixture
def build(tiny_spec: DataSpec, crops: Hands) -> Callable[..., SrvVae]:
    """Builds a system with seeded weights, prepared on the drawn hands."""

    def make(config: SrvVaeConfig = TINY, seed: int = 0) -> SrvVae:
        torch.manual_seed(seed)
        system = SrvVae(config, tiny_spec, Crop(32))
        system.prepare(crops)
        return system

    return make


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_spec: DataSpec, crops: Hands) -> Path:
    """A model file with random weights and measured moments. Not to be changed."""
    torch.manual_seed(1)
    system = SrvVae(TINY, tiny_spec, Crop(32))
    system.prepare(crops)
    system.eval()
    summary = system.summarise([crops])
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(path, system, steps=2, preset="photos-64", summary=summary)
    return path


@pytest.fixture(scope="session")
def tiny_flags() -> list[str]:
    return TINY_FLAGS


# ----------------------------------------------------------------------------------------------- command line


@pytest.fixture
def handvae(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process; returns exit code, standard output and standard error, OpenCV's own
    included."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def refused(handvae: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """Runs a command that must end as a user's error: exit code 2 and one line, which is returned."""

    def run(*arguments: object) -> str:
        code, _, error = handvae(*arguments)
        lines = error.splitlines()
        assert code == 2, error
        assert len(lines) == 1, error
        assert lines[0].startswith("handvae"), lines[0]
        assert ";" in lines[0], f"no remedy: {lines[0]}"
        return lines[0]

    return run


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """A run sets its process to flush denormals; the next test's numbers are whole again."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Shape annotations are not checked, as outside tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def project() -> Path:
    """The checkout."""
    return PROJECT
