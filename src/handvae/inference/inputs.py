"""What users name on the command line - a pose, a photo, a box - as tensors for a model; each says which
reading it took."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from handvae.data.crop import (
    Crop,
    check_crop,
    crop_affines,
    cut,
    in_own_crop,
    move_labels,
    to_crop_units,
    warp,
)
from handvae.data.dataset import HandData
from handvae.data.files.frames import PICTURE_SUFFIXES
from handvae.data.files.pictures import read_picture
from handvae.data.hands import Hands
from handvae.data.open import is_data_set, open_data
from handvae.data.readers.coco import CocoHands, Number
from handvae.errors import UserError
from handvae.geometry import VIEWS, crop_affine, mirror_3d, orthographic_view
from handvae.hand import POSE_NAMES, HandShape, forward_kinematics, named_pose, to_bone_units
from handvae.noise import Noise
from handvae.systems.system import PoseEstimator
from handvae.training.appearances import read_named_appearances
from handvae.training.checkpoint import Model

Box = tuple[float, float, float, float]
"""x, y, width, height, px."""
BLOCK = 4096
"""Labels that are read of a data set at once."""
LARGEST_BOX = 10
"""Side of a box over the picture's; a larger one is a slip."""


@dataclass(frozen=True)
class Poses:
    """Asked-for poses as a model takes them."""

    joints: Float[Tensor, "pose joint axis"]
    """Crop units (2D models) or bone units (3D models)."""
    joints_2d: Float[Tensor, "pose joint 2"]
    """Crop units: what the picture will show."""
    joints_mm: Float[Tensor, "pose joint 3"] | None
    names: tuple[str, ...]
    subjects: Int[Tensor, " pose"] | None = None


def read_poses(
    text: str, split: str | None, view: str, model: PoseEstimator, most: int | None = None
) -> Poses:
    """A pose's name, a file of poses or a data set as poses.

    Args:
        text: what the user names.
        split: of a data set.
        view: of a named pose.
        model: that is to take them.
        most: of a data set, no more than so many are read; None reads all.

    Raises:
        UserError: it is none of them, or holds no pose that the model can take.
    """
    path = Path(text)
    if text in POSE_NAMES:
        return _named(text, view, model)
    if path.is_dir() or path.name == "annotations.json" or path.suffix == ".parquet":
        return _from_data(path, split, model, most)
    if path.is_file():
        return _from_file(path, model)
    raise UserError(text, "is no pose's name, file or data set", f"named poses are {', '.join(POSE_NAMES)}")


def _named(name: str, view: str, model: PoseEstimator) -> Poses:
    if view not in VIEWS:
        raise UserError("--view", f"no view {view!r}", f"there are {', '.join(VIEWS)}")
    joints = forward_kinematics(named_pose(name)[None], HandShape.mean()).joints
    seen = orthographic_view(joints, VIEWS[view].to(joints.dtype)[None], margin=model.crop.margin)
    flat, solid = seen.joints_2d, seen.joints_mm
    if model.spec.sides == "left":
        flat, solid = flat * torch.tensor([-1.0, 1.0]), mirror_3d(solid)
    return _choose(model, flat, solid, (name,), name)


def _from_data(path: Path, split: str | None, model: PoseEstimator, most: int | None) -> Poses:
    """The poses of the first hands whose joints are all labelled."""
    data = open_data(path, split)
    if data.spec.joints != model.spec.joints:
        raise UserError(
            path,
            f"has {data.spec.joints} joints a hand, and the model {model.spec.joints}",
            "give poses of as many",
        )
    check_crop(data, model.crop, path)
    whole: list[Hands] = []
    names: list[str] = []
    for rows in torch.arange(len(data)).split(BLOCK if most is None else min(BLOCK, most)):
        labels = data.labels(rows)
        keep = (
            torch.ones(len(rows), dtype=torch.bool)
            if labels.joint_valid is None
            else labels.joint_valid.all(1)
        )
        keep &= keep.cumsum(0) <= (len(data) if most is None else most) - len(names)
        whole.append(labels[keep])
        names += [data.name(row) for row in rows[keep].tolist()]
        if most is not None and len(names) >= most:
            break
    if not names:
        raise UserError(path, "no hand has all 21 keypoints labelled", "give poses with all joints")
    labels = Hands.cat(whole)
    moved = move_labels(labels, crop_affines(labels, model.crop, None, Noise(0)))
    joints_2d = moved.require("joints_2d")
    poses = _choose(
        model, to_crop_units(joints_2d, model.crop.size_px), moved.joints_3d, tuple(names), str(path)
    )
    return replace(poses, subjects=moved.subject)


def _from_file(path: Path, model: PoseEstimator) -> Poses:
    """A JSON list of poses, or one, each 21 pairs (any unit; y down) or triples (mm, camera frame); or what
    `estimate` writes."""
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            content = (
                [hand["keypoints"] for hand in content["hands"]]
                if "hands" in content
                else content["keypoints"]
            )
        if content and isinstance(content[0][0], (int, float)):
            content = [content]
        values = TypeAdapter(
            list[Annotated[list[list[Number]], Field(min_length=21, max_length=21)]]
        ).validate_python(content)
        joints = torch.tensor(values, dtype=torch.float32)
    except (OSError, ValidationError, ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        fault = f"holds no poses{_place(error) if isinstance(error, ValidationError) else ''}"
        raise UserError(
            path, fault, "give JSON: 21 pairs (x, y) or triples (x, y, z), or a list of such poses"
        ) from error
    if not len(joints):
        raise UserError(path, "holds no pose", "give 21 pairs (x, y) or triples (x, y, z) a pose")
    if joints.ndim != 3 or joints.shape[-1] not in (2, 3):
        raise UserError(
            path,
            f"holds poses of shape {tuple(joints.shape)}",
            "give 21 pairs (x, y) or triples (x, y, z) a pose",
        )
    if ((joints[..., :2].amax(1) - joints[..., :2].amin(1)).amax(-1) <= 0).any():
        raise UserError(path, "a pose has all joints on one point", "give distinct joints")
    flat = in_own_crop(joints[..., :2], model.crop.margin)
    solid = joints if joints.shape[-1] == 3 else None
    return _choose(model, flat, solid, tuple(f"{path.stem}_{i}" for i in range(len(joints))), str(path))


def _place(error: ValidationError) -> str:
    """Where the first fault of a file of poses is, counted from 0, and what it is."""
    first = error.errors()[0]
    place = ", ".join(
        f"{what} {number}" for what, number in zip(("pose", "joint", "number"), first["loc"], strict=False)
    )
    return f": {place}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _choose(
    model: PoseEstimator, flat: Tensor, solid: Tensor | None, names: tuple[str, ...], where: str
) -> Poses:
    if model.pose == "2d":
        return Poses(flat, flat, solid, names)
    if solid is None:
        raise UserError(
            where, "has 2D poses only, and this model takes 3D", "give joints in mm, or use a 2D model"
        )
    if model.root == "centre":
        raise UserError(
            where,
            "is to be given in bone units, and this model's poses have none",
            "use a model whose root is the palm or wrist",
        )
    return Poses(to_bone_units(solid, model.root), flat, solid, names)


@dataclass(frozen=True)
class Seen:
    """A hand cut out of a user's picture, depth picture or file of joints."""

    path: Path
    pixels: np.ndarray
    """The whole picture, RGB, for people; of depth and joints, one that is drawn of them."""
    affine: Float[Tensor, "2 3"]
    """Picture to crop."""
    hands: Hands
    """One crop, with the field that models read."""
    found_by: str
    """Which crop was used, for the user."""
    mirrored: bool = False
    corner: tuple[float, float] = (0.0, 0.0)
    """Where the left upper corner of `pixels` lies, in the unit of the user's coordinates: pixels of a
    picture, anything of joints."""
    zoom: float = 1.0
    """Pixels of `pixels` for one of that unit."""

    @property
    def crop(self) -> Float[Tensor, "1 3 size size"]:
        """The crop of a photo."""
        return self.hands.require("image")


def read_photo(path: Path, box: Box | None, crop: Crop, mirror: bool = False) -> Seen:
    """Cut the hand out of a picture by `box` (x, y, width, height of the joints, px), by a COCO file beside
    it, or take it whole."""
    pixels = read_picture(path)
    height, width = pixels.shape[:2]
    if box is not None:
        need_box(path, box, width, height)
        x, y, across, down = box
        return _cut_square(
            path,
            pixels,
            (x + across / 2, y + down / 2),
            max(across, down) * crop.margin,
            crop,
            "--box",
            mirror,
        )
    labelled = _label_of(path)
    if labelled is not None:
        affine = crop_affines(
            _sufficient(labelled),
            replace(crop, box="joints" if crop.box == "cube" else crop.box),
            None,
            Noise(0),
        )[0]
        mirrored = bool(torch.linalg.det(affine[:, :2]) < 0)
        return Seen(
            path,
            pixels,
            affine,
            _warped(pixels, affine, crop),
            "the keypoints' box in annotations.json",
            mirrored,
        )
    return whole_picture(path, pixels, crop, "the whole picture", mirror)


def whole_picture(path: Path, pixels: np.ndarray, crop: Crop, found_by: str, mirror: bool = False) -> Seen:
    """A picture taken whole, its longer side as wide as the crop."""
    height, width = pixels.shape[:2]
    return _cut_square(
        path, pixels, (width / 2, height / 2), float(max(width, height)), crop, found_by, mirror
    )


def recrop(photo: Seen, joints_px: Float[Tensor, "joint 2"], crop: Crop) -> Seen:
    """The same photo cut again round joints that were found in it, in pixels of the whole picture."""
    low, high = joints_px.amin(0), joints_px.amax(0)
    centre, side = ((low + high) / 2).tolist(), float((high - low).max()) * crop.margin
    found_by = f"{photo.found_by}, then the box of the joints found there"
    return _cut_square(
        photo.path, photo.pixels, (centre[0], centre[1]), max(side, 8.0), crop, found_by, photo.mirrored
    )


def _cut_square(
    path: Path,
    pixels: np.ndarray,
    centre: tuple[float, float],
    side: float,
    crop: Crop,
    found_by: str,
    mirror: bool,
) -> Seen:
    affine = square_affine(centre, side, crop, mirror)
    return Seen(path, pixels, affine, _warped(pixels, affine, crop), found_by, mirror)


def square_affine(centre: tuple[float, float], side: float, crop: Crop, mirror: bool) -> Float[Tensor, "2 3"]:
    """From the picture to the crop of a square, in px, mirrored if that is asked for."""
    affine = crop_affine(torch.tensor([centre]), torch.tensor([side]), crop.size_px)[0]
    return torch.stack([torch.tensor([0.0, 0.0, crop.size_px]) - affine[0], affine[1]]) if mirror else affine


def need_box(path: Path, box: Box, width: int, height: int) -> None:
    """Refuse a box that does not lie in the picture."""
    x, y, across, down = box
    apart = x >= width or y >= height or x + across <= 0 or y + down <= 0
    if (
        not all(np.isfinite(box))
        or min(across, down) < 1
        or max(across, down) > LARGEST_BOX * max(width, height)
        or apart
    ):
        raise UserError(
            "--box",
            f"{box} does not lie in the {width} x {height} picture {path}",
            "give x,y,width,height in pixels",
        )


def _warped(pixels: np.ndarray, affine: Tensor, crop: Crop) -> Hands:
    return Hands(
        image=torch.from_numpy(warp(pixels, affine.numpy(), crop.size_px)).permute(2, 0, 1)[None].float()
        / 255
    )


def _sufficient(labels: Hands) -> Hands:
    """All joints are taken as visible where labels do not tell."""
    return labels if labels.joint_visible is not None else replace(labels, joint_visible=labels.joint_valid)


def _label_of(path: Path) -> Hands | None:
    """The labels of a picture, where a COCO annotation in its folder, or the one above, names it."""
    for folder in (path.parent, path.parent.parent):
        if (folder / "annotations.json").is_file():
            data = CocoHands(folder)
            rows = [
                row for row, name in enumerate(data.file_names) if (folder / name).resolve() == path.resolve()
            ]
            if rows:
                return data.labels(torch.tensor(rows[:1]))
    return None


def pictures_in(path: Path) -> list[Path]:
    """A picture, or all pictures of a folder in order of name."""
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        if not found:
            raise UserError(
                path, "holds no picture", f"give a folder with {', '.join(sorted(PICTURE_SUFFIXES))} files"
            )
        return found
    if not path.is_file():
        raise UserError(path, "no such picture", "check the path")
    return [path]


def read_appearance(
    text: str, model: Model, box: Box | None = None, mirror: bool = False
) -> tuple[Float[Tensor, "1 appearance"], str]:
    """One appearance and where it comes from: a name of the model's library, a photo, or a folder of photos,
    whose mean it is.

    Args:
        text: what the user names.
        model: whose appearance it is.
        box: of the joints in the photos, px.
        mirror: whether the photos show the other hands than the model makes.

    Raises:
        UserError: it is none of them.
    """
    path = Path(text)
    if path.is_dir() or path.is_file():
        photos = [read_photo(one, box, model.generator.crop, mirror) for one in pictures_in(path)]
        mean = torch.cat([model.generator.appearance_of(photo.crop) for photo in photos]).mean(
            0, keepdim=True
        )
        return (
            mean,
            f"{path.name} ({photos[0].found_by})"
            if path.is_file()
            else f"mean of the {len(photos)} photos in {path.name}",
        )
    library = read_named_appearances(model)
    if text not in library:
        named = f"there are {', '.join(library)}" if library else f"{model.name} has no named ones"
        raise UserError(text, "is no photo, folder of photos or named appearance", f"check the path; {named}")
    return library[text].appearance[None], text


def read_appearances(
    text: str, split: str | None, count: int, model: Model, noise: Noise, source: str, subjects: Tensor | None
) -> tuple[Float[Tensor, "count appearance"], list[str]]:
    """Appearances for `count` pictures, and a note on each.

    `random` draws them; `library` gives the model's named ones in turn; a name, a photo or a folder of photos
    gives one to all; a data set
    gives each picture one of its hands at random, of another person than the pose's where both sides name
    their people.
    """
    system, path = model.generator, Path(text)
    if text == "random":
        drawn = system.random_appearance(count, noise, "aggregate" if source == "aggregate" else "prior")
        return drawn, [f"random from the {source}"] * count
    if text == "library":
        library = read_named_appearances(model)
        if not library:
            raise UserError(
                "--appearance library",
                f"{model.name} has no named appearances",
                "make them with runs/appearances.py",
            )
        names = [list(library)[number % len(library)] for number in range(count)]
        return torch.stack([library[name].appearance for name in names]), names
    if path.name != "annotations.json" and not (path.is_dir() and is_data_set(path)):
        appearance, said = read_appearance(text, model)
        return appearance.expand(count, -1), [said] * count
    data = open_data(path, split)
    check_crop(data, system.crop, path)
    people = data.labels(torch.arange(len(data))).subject
    scores = noise.uniform(count, len(data))
    if subjects is not None and people is not None:
        scores = scores.masked_fill(subjects[:, None] == people[None], -1.0)
    choice = scores.argmax(1)  # uniform among the people who are not the pose's own
    appearances = torch.cat(
        [system.appearance_of(_images(data, rows, system.crop)) for rows in choice.split(64)]
    )
    return appearances, [f"hand {row} of {path}" for row in choice.tolist()]


def _images(data: HandData, rows: Tensor, crop: Crop) -> Tensor:
    image = cut(data, rows, crop).require("image")
    return image
