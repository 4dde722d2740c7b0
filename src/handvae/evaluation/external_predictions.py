"""Joints from other people's files, predictions or labels: npz, json (FreiHAND's too) and the text of public
result files."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.choices import CameraName, JointFileFormat
from handvae.errors import UserError

INTRINSICS: dict[CameraName, tuple[float, float, float, float]] = {
    "icvl":    (240.99, 240.96, 160.0, 120.0),
    "nyu":     (588.03, -587.07, 320.0, 240.0),
    "msra":    (241.42, 241.42, 160.0, 120.0),
    "hands17": (475.065948, 475.065857, 315.944855, 245.287079),
}  # fmt: skip
"""fx, fy, cx, cy (px) with which published errors of depth data sets were computed; their result files hold
u, v (px) and depth (mm)."""
JOINT_COUNTS: dict[CameraName, int] = {"icvl": 16, "nyu": 14, "msra": 21, "hands17": 21}


@dataclass(frozen=True)
class JointFile:
    """What a file of joints holds."""

    joints: Float[Tensor, "frame joint axis"]
    """As they stand in the file, float64."""
    valid: Bool[Tensor, "frame joint"]
    """Joints that have a label; all, where the file does not say."""
    visible: Bool[Tensor, "frame joint"] | None
    """Joints that can be seen, where the file says so."""


def read_joints(
    path: Path, kind: JointFileFormat | None = None, *, array: str = "", axes: int = 3
) -> JointFile:
    """Read joints, frame by frame.

    Args:
        path: npz: an array `joints`, or the only one, of shape (frame, joint, axis) or (frame, joint *
            axis), beside it perhaps `valid`
            and `visible` of shape (frame, joint). json: the same names in an object, or a nested list, or
            FreiHAND's `[xyz, verts]`.
            txt: a line a frame, its numbers apart by spaces or commas, a picture's name in front allowed.
        kind: format; None for that of the suffix.
        array: name of the joints' array in an npz or a JSON object.
        axes: numbers a joint, where the file does not say.

    Raises:
        UserError: the file is missing, of no known format, of uneven lines, or holds a labelled joint
            that is not a finite number.
    """
    kind = kind or _format(path)
    if not path.is_file():
        raise UserError(path, "there is no such file", "give a file of joints")

    match kind:
        case "npz":
            content: dict[str, Any] = _npz(path, array)
        case "json":
            content = _json(path, array)
        case "txt":
            content = {"joints": _text(path)}

    joints = _shaped(path, _numbers(path, content["joints"]), axes)
    flags = {
        name: _flags(path, name, content[name], joints.shape[:2])
        for name in ("valid", "visible")
        if name in content
    }
    valid = flags.get("valid", torch.ones(joints.shape[:2], dtype=torch.bool))
    spoilt = (~joints.isfinite()).any(-1) & valid

    if bool(spoilt.any()):
        frame, joint = spoilt.nonzero()[0].tolist()
        remedy = "give a number for every joint, or mark it False in an array `valid`"
        raise UserError(
            path, f"joint {joint} of frame {frame} (both counted from 0) is not a finite number", remedy
        )

    return JointFile(joints, valid, flags.get("visible"))


def back_projected(
    joints: Float[Tensor, "frame joint 3"], intrinsics: tuple[float, float, float, float]
) -> Float[Tensor, "frame joint 3"]:
    """Camera coordinates in mm, float64, of joints given as u, v (px) and depth (mm).

    Args:
        joints: u, v, depth.
        intrinsics: fx, fy, cx, cy in px; a negative fy turns y up.
    """
    focal_x, focal_y, centre_x, centre_y = intrinsics
    u, v, depth = joints.double().unbind(-1)
    return torch.stack([(u - centre_x) * depth / focal_x, (v - centre_y) * depth / focal_y, depth], -1)


def check_pair(prediction_path: Path, prediction: JointFile, truth_path: Path, truth: JointFile) -> None:
    """Refuse files that do not speak of the same frames and joints.

    Raises:
        UserError: they differ in frames, joints or axes.
    """
    mine, other = prediction.joints.shape, truth.joints.shape
    for name, given, wanted in zip(("frames", "joints a frame", "axes"), mine, other, strict=True):
        if given != wanted:
            fault = f"{given} {name}, and {truth_path} has {wanted}"
            raise UserError(
                prediction_path,
                fault,
                "give the prediction and the truth of the same frames and joints, in the same order",
            )


# ------------------------------------------------------------------------------------------------ --- formats


def _format(path: Path) -> JointFileFormat:
    match path.suffix.lower():
        case ".npz":
            return "npz"
        case ".json":
            return "json"
        case ".txt":
            return "txt"
    raise UserError(
        path, f"suffix {path.suffix!r} is none of .npz, .json, .txt", "name the format with --format"
    )


def _npz(path: Path, array: str) -> dict[str, Any]:
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError

            content = {
                name: arrays[name]
                for name in arrays.files
                if name in {array or "joints", "valid", "visible"} or len(arrays.files) == 1
            }
            names = arrays.files
    except (
        ValueError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:  # a broken archive, pickled objects
        raise UserError(path, "is not an npz file of plain arrays", "write it with numpy.savez") from error

    return _named(path, content, names, array)


def _json(path: Path, array: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(path, "is not JSON", "give a list of frames, each a list of joints") from error
    if isinstance(content, dict):
        return _named(path, content, list(content), array)
    while _depth(content) > 3:  # FreiHAND's pred.json is [xyz, verts]
        content = content[0]
    return {"joints": content}


def _named(path: Path, content: dict[str, Any], names: list[str], array: str) -> dict[str, Any]:
    others = [name for name in names if name not in {"valid", "visible"}]
    name = array or ("joints" if "joints" in names else others[0] if len(others) == 1 else "")
    if name not in names:
        fault = f"has no array {array!r}" if array else "has several arrays and none is called `joints`"
        shown = ", ".join(others[:8]) + (", ..." if len(others) > 8 else "")
        raise UserError(path, f"{fault}; it has {shown}", "name one with --prediction-array or --truth-array")
    return {key: content[key] for key in ("valid", "visible") if key in content} | {"joints": content[name]}


def _depth(content: Any) -> int:
    depth = 0
    while isinstance(content, list) and content:
        content, depth = content[0], depth + 1
    return depth


def _text(path: Path) -> list[list[float]]:
    frames: list[list[float]] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(path, "is not text", "give a line of numbers a frame") from error

    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if not words:
            continue

        numbers = words if _is_number(words[0]) else words[1:]  # a picture's name first
        odd = next((word for word in numbers if not _is_number(word)), None)
        if odd is not None:
            raise UserError(
                path, f"line {number} has {odd!r} where a number should be", "give a line of numbers a frame"
            )

        frames.append([float(word) for word in numbers])
        if len(frames[-1]) != len(frames[0]):
            fault = f"line {number} has {len(frames[-1])} numbers, and the first has {len(frames[0])}"
            raise UserError(path, fault, "give every frame the same joints")

    return frames


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------------------------------------ ---- shapes


def _numbers(path: Path, content: Any) -> Float[Tensor, "..."]:
    try:
        numbers = np.asarray(content)
        if numbers.dtype.kind not in "fiu":
            raise ValueError
    except ValueError:
        raise UserError(path, _ragged(content), "give every frame the same joints, each of numbers") from None
    return torch.from_numpy(numbers.astype(np.float64))


def _ragged(content: Any) -> str:
    """Which frame is the first that is not like frame 0."""
    if isinstance(content, list) and all(isinstance(frame, list) for frame in content):
        for index, frame in enumerate(content):
            if len(frame) != len(content[0]):
                return f"frame {index} has {len(frame)} joints, and frame 0 has {len(content[0])}"
    return "holds joints that are not all numbers, or not all of the same axes"


def _shaped(path: Path, numbers: Tensor, axes: int) -> Float[Tensor, "frame joint axis"]:
    if numbers.ndim == 2 and numbers.shape[1] and numbers.shape[1] % axes == 0:
        numbers = numbers.unflatten(1, (-1, axes))
    elif numbers.ndim == 2:
        raise UserError(
            path,
            f"{numbers.shape[1]} numbers a frame are no whole number of joints of {axes}",
            "give the right --axes",
        )

    if numbers.ndim != 3 or numbers.shape[2] not in (2, 3) or 0 in numbers.shape:
        raise UserError(
            path,
            f"joints of shape {tuple(numbers.shape)}",
            "give (frame, joint, axis) with 2 or 3 axes and at least one frame",
        )

    return numbers


def _flags(path: Path, name: str, content: Any, shape: torch.Size) -> Bool[Tensor, "frame joint"]:
    flags = np.asarray(content)
    if flags.shape != tuple(shape) or flags.dtype.kind not in "biuf":
        raise UserError(
            path,
            f"`{name}` has shape {flags.shape}, and the joints are {tuple(shape)}",
            "give a truth value a joint",
        )
    return torch.from_numpy(flags.astype(bool))
