"""Feed damaged annotation and picture files to the readers: each is read, or refused as a `UserError`;
anything else is a crash.

    python fuzz/readers.py --seconds 60 [--seed 0] [--target pickle]

`TARGETS` maps names to (a sound file's bytes, a function of bytes), for coverage-guided fuzzers too. A crash
is written to fuzz/crashes.
"""

import argparse
import hashlib
import io
import json
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from handvae.data.files.mat import read_mat
from handvae.data.files.pickle import read_pickle
from handvae.data.files.pictures import read_picture
from handvae.data.readers.coco import CocoHands, check_coco
from handvae.data.readers.freihand import FreihandHands
from handvae.data.readers.icvl import IcvlHands
from handvae.data.readers.interhand import InterhandHands
from handvae.data.readers.mmpose import MmposeHands
from handvae.data.readers.msra import MsraHands
from handvae.errors import UserError

SCRATCH = Path(tempfile.mkdtemp(prefix="fuzz"))
CRASHES = Path(__file__).parent / "crashes"


def png(dtype: type = np.uint8, shape: tuple[int, ...] = (24, 32, 3)) -> bytes:
    """A small picture."""
    held = io.BytesIO()
    Image.fromarray(np.arange(np.prod(shape), dtype=dtype).reshape(shape)).save(held, "PNG")
    return held.getvalue()


def written(name: str, content: bytes) -> Path:
    """A file below the scratch folder."""
    path = SCRATCH / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def labels(reader: type, root: Path, split: str) -> None:
    """Open and read every label."""
    data = reader(root, split)
    data.labels(torch.arange(len(data)))


def of_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    """Write the bytes to a file and read it."""

    def target(content: bytes) -> None:
        read(written(name, content))

    return target


KEYPOINTS = [number for joint in range(21) for number in (3.0 + joint / 2, 4.0 + joint % 5, 2)]
COCO = {
    "images": [
        {"id": i, "file_name": f"{i}.png", "width": 32, "height": 24, "split": "train"} for i in range(2)
    ],
    "annotations": [
        {"id": i, "image_id": i, "keypoints": KEYPOINTS, "keypoints_3d": [[1.0, 2.0, 3.0]] * 21}
        for i in range(2)
    ],
}
FRAME = {"world_coord": [[float(i), 2.0, 900.0 + i] for i in range(42)], "joint_valid": [[1]] * 42}
INTERHAND = {
    "data": {
        "images": [
            {"id": 0, "file_name": "0.png", "capture": 0, "camera": "4", "frame_idx": 5, "subject": 1}
        ],
        "annotations": [{"id": 0, "image_id": 0, "joint_valid": [[1]] * 42, "hand_type": "interacting"}],
    },
    "camera": {
        "0": {
            "campos": {"4": [0, 0, 0]},
            "camrot": {"4": np.eye(3).tolist()},
            "focal": {"4": [9, 9]},
            "princpt": {"4": [1, 1]},
        }
    },
    "joint_3d": {"0": {"5": FRAME}},
}
HAND = " ".join(f"{number:.2f}" for number in range(63))


def coco(content: bytes) -> None:
    """The reader and the check."""
    path = written("coco/annotations.json", content)
    check_coco(path.parent)
    CocoHands(path.parent)


def interhand(part: str) -> Callable[[bytes], None]:
    """One of the three files damaged, the others sound."""

    def target(content: bytes) -> None:
        for name, sound in INTERHAND.items():
            written(f"interhand/test_{name}.json", content if name == part else json.dumps(sound).encode())
        labels(InterhandHands, SCRATCH / "interhand", "test")

    return target


def freihand(content: bytes) -> None:
    """Damaged joints."""
    for part, sound in (("K", [np.eye(3).tolist()] * 2), ("scale", [0.03, 0.03])):
        written(f"freihand/evaluation_{part}.json", json.dumps(sound).encode())
    written("freihand/evaluation_xyz.json", content)
    labels(FreihandHands, SCRATCH / "freihand", "test")


def icvl(content: bytes) -> None:
    """One of the two label files damaged."""
    written("icvl/Testing/test_seq_1.txt", content)
    written("icvl/Testing/test_seq_2.txt", ("a.png " + " ".join(["100.5"] * 48) + "\n").encode())
    labels(IcvlHands, SCRATCH / "icvl", "test")


def msra(content: bytes) -> None:
    """The first person's first gesture damaged."""
    path = SCRATCH / "msra" / "P0"
    if not path.exists():
        from handvae.data.readers.msra import GESTURES

        for gesture in GESTURES:
            written(f"msra/P0/{gesture}/joint.txt", f"1\n{HAND}\n".encode())
            written(f"msra/P0/{gesture}/000000_depth.bin", bytes(40))
    written("msra/P0/1/joint.txt", content)
    labels(MsraHands, SCRATCH / "msra", "test")


def mat() -> bytes:
    """A small MATLAB file."""
    held = io.BytesIO()
    savemat(held, {"handPara": np.ones((3, 21, 2)), "frame0": {"K": np.eye(3)}})
    return held.getvalue()


ONEHAND = {"info": {"description": "onehand10k"}, **{name: COCO[name] for name in ("images", "annotations")}}
FRAMES = {0: {"K": np.eye(3, dtype=np.float32), "xyz": np.ones((42, 3))}}
TARGETS: dict[str, tuple[bytes, Callable[[bytes], None]]] = {
    "pickle": (pickle.dumps(FRAMES, protocol=2), of_file("a.pickle", read_pickle)),
    "mat": (mat(), of_file("a.mat", read_mat)),
    "png": (png(), of_file("a.png", read_picture)),
    "coco": (json.dumps(COCO).encode(), coco),
    "mmpose": (json.dumps(ONEHAND).encode(), of_file("mmpose/onehand10k_train.json", MmposeHands)),
    "interhand data": (json.dumps(INTERHAND["data"]).encode(), interhand("data")),
    "interhand camera": (json.dumps(INTERHAND["camera"]).encode(), interhand("camera")),
    "interhand joints": (json.dumps(INTERHAND["joint_3d"]).encode(), interhand("joint_3d")),
    "freihand": (json.dumps([[[0.1, 0.2, 0.5]] * 21] * 2).encode(), freihand),
    "icvl": (("a.png " + " ".join(["100.5"] * 48) + "\n").encode(), icvl),
    "msra": (f"1\n{HAND}\n".encode(), msra),
}
INTERESTING = (
    b"",
    b"NaN",
    b"1e999",
    b"-1",
    b"null",
    b"[]",
    b"{}",
    b'"a"',
    b"\x00",
    b"\xff" * 4,
    b"99999999999999999999",
    b"../",
    b"true",
)


def damaged(sound: bytes, random: np.random.Generator) -> bytes:
    """Bytes flipped, pieces cut, repeated or replaced."""
    content = bytearray(sound)
    for _ in range(random.integers(1, 5)):
        start = int(random.integers(0, len(content) + 1))
        end = min(len(content), start + int(random.integers(0, 12)))
        match random.integers(0, 5):
            case 0 if content:
                content[start % len(content)] = int(random.integers(0, 256))
            case 1:
                content[start:end] = INTERESTING[random.integers(0, len(INTERESTING))]
            case 2:
                del content[start:end]
            case 3:
                content[start:start] = content[max(0, start - 40) : start]
            case _:
                del content[len(content) - len(content) // int(random.integers(2, 20)) :]
    return bytes(content)


def main() -> int:
    """Run; the exit code is 1 if anything crashed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=TARGETS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for folder in ("coco", "mmpose", "interhand"):
        for number in range(2):
            written(f"{folder}/{number}.png", png())
    (SCRATCH / "freihand" / "evaluation" / "rgb").mkdir(parents=True)
    written("freihand/evaluation/rgb/00000000.jpg", png())
    names = [options.target] if options.target else list(TARGETS)
    runs, refused, crashed = dict.fromkeys(names, 0), dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for name in names:
        sound, target = TARGETS[name]
        target(sound)  # a target that refuses its sound file tests nothing
    random, end = np.random.default_rng(options.seed), time.monotonic() + options.seconds
    while time.monotonic() < end:
        for name in names:
            sound, target = TARGETS[name]
            content = damaged(sound, random)
            runs[name] += 1
            try:
                target(content)
            except UserError as error:
                refused[name] += 1
                if "\n" in str(error):
                    raise
            except BaseException:
                crashed[name] += 1
                CRASHES.mkdir(exist_ok=True)
                path = CRASHES / f"{name.replace(' ', '-')}-{hashlib.sha256(content).hexdigest()[:12]}"
                path.write_bytes(content)
                print(f"{name}: {path}\n{traceback.format_exc()}")
    for name in names:
        print(f"{name:<18}{runs[name]:>7} files, {refused[name]:>7} refused, {crashed[name]:>3} crashes")
    return 1 if any(crashed.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
