"""`handvae estimate`: poses from photos, with an overlay, JSON and the spread that the model claims."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from handvae.apps.drawing import draw_skeleton, enlarge
from handvae.apps.inputs import Photo, pictures_in, read_photo, recrop
from handvae.apps.options import parse
from handvae.data.hands import Hands
from handvae.data.pictures import write_picture
from handvae.data.view import in_own_crop, to_crop_px
from handvae.errors import UserError
from handvae.files import write_text_atomically
from handvae.geometry import apply_affine, invert_affine
from handvae.hand import JOINT_NAMES, LEFT, RIGHT
from handvae.systems.system import Prediction, Reader
from handvae.training.checkpoint import load_model


@dataclass(frozen=True)
class Options:
    """Read the pose of the hand in each photo."""

    photos: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures, or folders of pictures."""
    out: Path = Path("out/estimate")
    """Folder for overlays and estimate.json."""
    model: str = "detector-64"
    """A shipped model, a .safetensors file or a run folder."""
    box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H")] = None
    """Where the hand's joints are, px; else a COCO file beside the photo tells, else the whole picture is taken."""
    side: Annotated[str, tyro.conf.arg(metavar="left|right")] = "right"
    """Which hand it is; the other one is mirrored for the model and back."""


@dataclass(frozen=True)
class Estimate:
    """A hand read from a photo, in pixels of the whole picture."""

    photo: Photo
    joints_px: np.ndarray
    """(21, 2)."""
    spread_px: np.ndarray
    """(21,) standard deviation claimed by the model; not calibrated."""
    joints_bones: np.ndarray | None
    """(21, 3), root-relative, in bone units; only of a 3D model."""


def main(arguments: Sequence[str]) -> None:
    """Parse, read, write."""
    options = parse(Options, arguments, "handvae estimate")
    box = parse_box(options.box)
    if options.side not in ("left", "right"):
        raise UserError("--side", f"is {options.side!r}", "give left or right")
    system = load_model(options.model).reader
    if system.reads != ("image",):
        fault = f"reads {', '.join(system.reads) or 'joints'}, and photos are given"
        raise UserError(options.model, fault, "give a model that reads RGB pictures")
    paths = [path for given in options.photos for path in pictures_in(given)]
    if not paths:
        raise UserError("estimate", "no photo given", "name at least one picture")
    mirror = system.spec.sides != "both" and options.side != system.spec.sides
    photos = [read_photo(path, box, system.crop, mirror) for path in paths]  # every input is checked before anything is written
    options.out.mkdir(parents=True, exist_ok=True)
    hands = []
    for number, photo in enumerate(photos):
        found = estimate(system, photo, options.side)
        name = f"{number:04d}_{photo.path.stem}.png" if len(photos) > 1 else f"{photo.path.stem}.png"
        write_picture(options.out / name, overlay(found))
        hands.append(_entry(found, name))
        print(f"{photo.path}: crop from {found.photo.found_by}; spread {found.spread_px.mean():.1f} px; overlay {options.out / name}")
    text = json.dumps({"model": options.model, "joint_names": JOINT_NAMES, "hands": hands}, indent=1)
    write_text_atomically(options.out / "estimate.json", text)
    print(f"joints: {options.out / 'estimate.json'}")


def parse_box(text: str | None) -> tuple[float, float, float, float] | None:
    """x,y,width,height, or None."""
    if text is None:
        return None
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError("--box", f"{text!r} is not four numbers", "give x,y,width,height in pixels") from error
    return x, y, width, height


def estimate(system: Reader, photo: Photo, side: str = "right") -> Estimate:
    """Read one photo of a left or right hand; where the whole picture was taken, read again round the joints found."""
    prediction = _read(system, photo, side)
    if photo.found_by == "the whole picture" and system.pose == "2d":
        photo = recrop(photo, _in_picture(system, prediction, photo), system.crop)
        prediction = _read(system, photo, side)
    joints = _in_picture(system, prediction, photo)
    px = system.crop.size_px / 2 / float(torch.linalg.det(photo.affine[:, :2]).abs().sqrt())
    solid = None
    if system.pose == "3d":  # bone units; their size in the picture is known from where the joints lie there
        solid = (prediction.joints[0] * torch.tensor([-1.0 if photo.mirrored else 1.0, 1.0, 1.0])).numpy()
        px = float(
            (joints.amax(0) - joints.amin(0)).max() / (prediction.joints[0, :, :2].amax(0) - prediction.joints[0, :, :2].amin(0)).max()
        )
    spread = prediction.spread[0].square().mean(-1).sqrt() * px
    return Estimate(photo, joints.numpy(), spread.numpy(), solid)


def _read(system: Reader, photo: Photo, side: str) -> Prediction:
    """What the system reads in the crop; one whose crops show both sides is told which it is."""
    shown = system.spec.sides if system.spec.sides != "both" else side
    return system.estimate(Hands(image=photo.crop, side=torch.tensor([LEFT if shown == "left" else RIGHT])))


def overlay(found: Estimate, side: int = 512) -> np.ndarray:
    """The photo with skeleton and spread drawn on it."""
    large = enlarge(found.photo.pixels, side)
    zoom = max(large.shape[:2]) / max(found.photo.pixels.shape[:2])
    return draw_skeleton(large, found.joints_px * zoom, found.spread_px * zoom)


def _in_picture(system: Reader, prediction: Prediction, photo: Photo) -> torch.Tensor:
    flat = prediction.joints
    if system.pose == "3d":  # seen without perspective, filling the crop as the joints of every crop do
        flat = in_own_crop(flat[..., :2], system.crop.margin)
    in_crop = to_crop_px(flat, system.crop.size_px)
    return apply_affine(in_crop, invert_affine(photo.affine[None]))[0]


def _entry(found: Estimate, overlay_name: str) -> dict[str, object]:
    entry: dict[str, object] = {
        "photo": str(found.photo.path),
        "crop_from": found.photo.found_by,
        "overlay": overlay_name,
        "keypoints": np.round(found.joints_px, 3).tolist(),
        "spread_px": np.round(found.spread_px, 3).tolist(),
        "spread_is": "standard deviation claimed by the model, not calibrated",
    }
    if found.joints_bones is not None:
        entry["keypoints_3d_bone_units"] = np.round(found.joints_bones, 4).tolist()
    return entry
