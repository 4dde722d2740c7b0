"""Poses that a caller names - a word, a file of joints, a data set, an array - as a model takes them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from handvae.data.crop import check_crop, crop_affines, in_own_crop, move_labels, to_crop_units
from handvae.data.hands import Hands
from handvae.data.open import open_data
from handvae.data.readers.coco import Number
from handvae.data.subset import with_known_sides
from handvae.errors import UserError
from handvae.geometry import VIEWS, mirror_3d, orthographic_view
from handvae.hand import POSE_NAMES, HandShape, forward_kinematics, named_pose, to_bone_units
from handvae.noise import Noise
from handvae.systems.system import PoseEstimator
from handvae.words import nearest_or_all

BLOCK = 4096
"""Labels that are read of a data set at once."""
GIVE = "give 21 pairs (x, y) or triples (x, y, z) a pose"


@dataclass(frozen=True, eq=False)
class Poses:
    """Poses as a model takes them."""

    joints: Float[Tensor, "pose joint axis"]
    """Crop units (2D models) or bone units (3D models)."""
    joints_2d: Float[Tensor, "pose joint 2"]
    """Crop units: where the picture will show them."""
    joints_mm: Float[Tensor, "pose joint 3"] | None
    names: tuple[str, ...]
    subjects: Int[Tensor, " pose"] | None = None


def read_poses(
    text: str, split: str | None, view: str, model: PoseEstimator, most: int | None = None
) -> Poses:
    """Read poses from a pose's name, a JSON file of joints, or a data set.

    Args:
        text: what the caller names.
        split: of a data set.
        view: what of a named pose faces the camera: `palm`, `back`, `side_thumb`, `side_pinky`.
        model: which takes them.
        most: how many hands to read of a data set; None reads all.

    Raises:
        UserError: it is none of these, or holds no pose that the model can take.
    """
    path = Path(text)
    if text in POSE_NAMES:
        return _named(text, view, model)
    if path.is_dir() or path.name == "annotations.json" or path.suffix == ".parquet":
        return _from_data(path, split, model, most)
    if path.is_file():
        return _from_file(path, model)

    raise UserError(text, "is no pose's name, file or data set", nearest_or_all(text, POSE_NAMES))


def poses_of_joints(joints: np.ndarray, model: PoseEstimator, name: str = "joints") -> Poses:
    """Poses from an array of joints: (21, 2) of any unit, y down, or (21, 3) in mm, camera frame; or several.

    Raises:
        TypeError: the array holds no real numbers.
        ValueError: it has another shape, is not finite, or all joints of a pose lie on one point.
        UserError: the model cannot take such poses.
    """
    array = np.asarray(joints)
    described = f"an array of shape {array.shape}, dtype {array.dtype}"
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{described} holds no joints; {GIVE}")
    if array.ndim not in (2, 3) or array.shape[-2] != 21 or array.shape[-1] not in (2, 3) or not len(array):
        raise ValueError(f"{described} holds no poses; {GIVE}")
    if not np.isfinite(array).all():
        raise ValueError(f"{described} has joints that are not finite; {GIVE}")

    batch = torch.from_numpy(np.array(array, np.float32)).reshape(-1, 21, array.shape[-1])
    if _any_on_one_point(batch):
        raise ValueError(f"{described} has a pose with all joints on one point; {GIVE}")

    names = (name,) if len(batch) == 1 else tuple(f"{name}_{row}" for row in range(len(batch)))
    return _of_joints(batch, names, name, model)


def join_poses(groups: list[Poses]) -> Poses:
    """Poses of several sources as one; joints in mm only where all have them."""
    if len(groups) == 1:
        return groups[0]
    solids = [group.joints_mm for group in groups if group.joints_mm is not None]
    return Poses(
        joints=torch.cat([group.joints for group in groups]),
        joints_2d=torch.cat([group.joints_2d for group in groups]),
        joints_mm=torch.cat(solids) if len(solids) == len(groups) else None,
        names=tuple(name for group in groups for name in group.names),
    )


def _named(name: str, view: str, model: PoseEstimator) -> Poses:
    """A named pose of the mean hand, seen from one side without perspective."""
    if view not in VIEWS:
        raise UserError("--view", f"no view {view!r}", f"there are {', '.join(VIEWS)}")

    # without perspective: the pose is the same at every distance
    joints = forward_kinematics(named_pose(name)[None], HandShape.mean()).joints
    rotation = VIEWS[view].to(joints.dtype)[None]
    projected = orthographic_view(joints, rotation, margin=model.crop.margin)
    flat, solid = projected.joints_2d, projected.joints_mm

    # named poses are of right hands
    if model.spec.sides == "left":
        flat = flat * torch.tensor([-1.0, 1.0])
        solid = mirror_3d(solid)

    return _for_model(model, flat, solid, (name,), name)


def _from_data(path: Path, split: str | None, model: PoseEstimator, most: int | None) -> Poses:
    """The poses of the first hands whose joints are all labelled."""
    data = with_known_sides(open_data(path, split), path)
    if data.spec.joints != model.spec.joints:
        fault = f"has {data.spec.joints} joints a hand, and the model {model.spec.joints}"
        raise UserError(path, fault, "give poses of as many")

    check_crop(data, model.crop, path)

    # labels are read block by block until there are enough: a data set can be larger than memory
    limit = len(data) if most is None else most
    whole: list[Hands] = []
    names: list[str] = []

    for rows in torch.arange(len(data)).split(BLOCK if most is None else min(BLOCK, most)):
        labels = data.labels(rows)
        keep = torch.ones(len(rows), dtype=torch.bool)
        if labels.joint_valid is not None:
            keep = labels.joint_valid.all(1)

        keep &= keep.cumsum(0) <= limit - len(names)

        whole.append(labels[keep])
        names += [data.name(row) for row in rows[keep].tolist()]
        if most is not None and len(names) >= most:
            break

    if not names:
        raise UserError(path, "no hand has all 21 keypoints labelled", "give poses with all joints")

    # the poses as training would see them: in the crop, mirrored to the model's side
    labels = Hands.cat(whole)
    moved = move_labels(labels, crop_affines(labels, model.crop, None, Noise(0)))
    flat = to_crop_units(moved.require("joints_2d"), model.crop.size_px)
    poses = _for_model(model, flat, moved.joints_3d, tuple(names), str(path))
    return replace(poses, subjects=moved.subject)


def _from_file(path: Path, model: PoseEstimator) -> Poses:
    """Poses of a JSON file: one or a list, as pairs (any unit, y down) or triples (mm, camera frame).

    What `handvae estimate` writes is understood too.
    """
    give_json = "give JSON: 21 pairs (x, y) or triples (x, y, z), or a list of such poses"
    try:
        values = _POSE_LIST.validate_python(_pose_entries(json.loads(path.read_bytes())))
        joints = torch.tensor(values, dtype=torch.float32)
    except ValidationError as error:
        raise UserError(path, f"holds no poses: {_first_fault(error)}", give_json) from error
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise UserError(path, "holds no poses", give_json) from error

    if not len(joints):
        raise UserError(path, "holds no pose", GIVE)
    if joints.ndim != 3 or joints.shape[-1] not in (2, 3):
        raise UserError(path, f"holds poses of shape {tuple(joints.shape)}", GIVE)
    if _any_on_one_point(joints):
        raise UserError(path, "a pose has all joints on one point", "give distinct joints")

    names = tuple(f"{path.stem}_{row}" for row in range(len(joints)))
    return _of_joints(joints, names, str(path), model)


_POSE_LIST = TypeAdapter(list[Annotated[list[list[Number]], Field(min_length=21, max_length=21)]])


def _pose_entries(content: object) -> object:
    """The list of poses in a file's content."""
    if isinstance(content, dict):
        if "hands" in content:
            content = [hand["keypoints"] for hand in content["hands"]]
        else:
            content = content["keypoints"]
    if isinstance(content, list) and content and isinstance(content[0][0], int | float):
        return [content]
    return content


def _first_fault(error: ValidationError) -> str:
    """Where the first fault of a file of poses is, counted from 0, and what it is."""
    first = error.errors()[0]
    levels = ("pose", "joint", "number")
    place = ", ".join(f"{level} {number}" for level, number in zip(levels, first["loc"], strict=False))
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _any_on_one_point(joints: Float[Tensor, "pose joint axis"]) -> bool:
    extent = joints[..., :2].amax(1) - joints[..., :2].amin(1)
    return bool((extent.amax(-1) <= 0).any())


def _of_joints(
    joints: Float[Tensor, "pose 21 axis"], names: tuple[str, ...], where: str, model: PoseEstimator
) -> Poses:
    """Poses of joints that know no crop: each lies in the crop round its own box."""
    flat = in_own_crop(joints[..., :2], model.crop.margin)
    solid = joints if joints.shape[-1] == 3 else None
    return _for_model(model, flat, solid, names, where)


def _for_model(
    model: PoseEstimator, flat: Tensor, solid: Tensor | None, names: tuple[str, ...], where: str
) -> Poses:
    """Poses in the unit of the model, from crop units and mm."""
    if model.pose == "2d":
        return Poses(flat, flat, solid, names)
    if solid is None:
        remedy = "give joints in mm, or use a 2D model"
        raise UserError(where, "has 2D poses only, and this model takes 3D", remedy)
    if model.root == "centre":
        fault = "is to be given in bone units, and this model's poses have none"
        raise UserError(where, fault, "use a model whose root is the palm or wrist")
    return Poses(to_bone_units(solid, model.root), flat, solid, names)
