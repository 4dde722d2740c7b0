"""`handvae estimate`: poses from photos, depth pictures or 2D joints, with an overlay, a 3D plot, JSON and
their spread."""

import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from handvae.apps.options import parse
from handvae.apps.progress import counted
from handvae.choices import Encoding
from handvae.data.crop import in_own_crop, to_crop_px, to_crop_units
from handvae.data.files.depth import is_plane
from handvae.data.files.pictures import write_picture
from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.files import write_text_atomically
from handvae.geometry import apply_affine, invert_affine
from handvae.hand import JOINT_NAMES, LEFT, RIGHT, HandShape
from handvae.inference.depth_input import see_depth
from handvae.inference.drawing import draw_skeleton, enlarge
from handvae.inference.inputs import Box, Seen, pictures_in, read_photo, recrop
from handvae.inference.joints_input import FlatHand, read_flat_hands, see_joints
from handvae.inference.plot_3d import plot_joints
from handvae.inference.solid import write_solid
from handvae.noise import Noise
from handvae.systems.system import Input, PoseEstimator, Prediction
from handvae.training.checkpoint import load_model

DETECTOR, LIFTER = "detector-64", "lifting"
"""The shipped models that read photos, and 2D joints."""
DEPTH_PRESET = "rendered-depth-64"
"""What to train for depth pictures."""
FAR_APART = 1.0
"""Bone units between what two inputs tell of one hand, from which on it is said."""
LIKELY = 16
"""Draws from what was read in 2D whose lifted joints tell how unsure it leaves the 3D joints."""
WORDS: dict[Input, str] = {
    "image": "a photo",
    "depth": "a depth picture",
    "joints_2d": "a JSON file of 2D joints",
}
"""What models read."""


@dataclass(frozen=True)
class Options:
    """Read the pose of the hand in each photo, depth picture or file of 2D joints, whichever the model
    reads."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Photos or depth pictures (PNG), folders of them, or JSON files of 2D joints: 21 pairs [x, y], or COCO
    keypoints."""
    out: Path = Path("out/estimate")
    """Folder for overlays, 3D plots and estimate.json."""
    model: str | None = None
    """A shipped model, a .safetensors file or a run folder. Without: detector-64, or lifting for files of 2D
    joints."""
    lift: bool = True
    """Where the model reads 2D joints, read 3D joints from these (by the shipped model lifting)."""
    box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H")] = None
    """Where the hand's joints are, px; else a COCO file beside a photo tells, else the whole picture or the
    nearest thing is taken."""
    side: Annotated[str, tyro.conf.arg(metavar="left|right")] = "right"
    """Which hand it is; the other one is mirrored for the model and back."""
    together: bool = False
    """All files show one hand: what a model reads in its photo, its depth and its joints is fused."""
    depth_encoding: Encoding = "plane"
    """How depth pictures are packed: one channel of 16 bits, or into colours as a data set does it."""
    depth_unit_mm: float = 1.0
    """What one unit of a 16-bit depth picture stands for."""
    focal: float = 0.0
    """Focal length of the depth camera, px; 0 guesses."""
    bone_mm: float = 0.0
    """Length of the hand's bone from the middle finger's base to its next joint: joints are then also given
    in mm."""


@dataclass(frozen=True)
class Estimate:
    """A hand that was read, in pixels of the whole picture, or in the unit of the joints that were given."""

    photo: Seen
    joints_px: np.ndarray
    """(21, 2)."""
    spread_px: np.ndarray
    """(21,) standard deviation of a coordinate."""
    joints_bones: np.ndarray | None
    """(21, 3), root-relative, in bone units; only of a 3D model."""
    spread_bones: np.ndarray | None = None
    """(21, 3) standard deviations, likewise."""
    calibrated_on: str = ""
    """Of the spread, see `Prediction`."""
    lifted_on: str | None = None
    """The same of the 3D joints' spread, where another model read them."""


def main(arguments: Sequence[str]) -> None:
    """Parse, read, write."""
    options = parse(Options, arguments, "handvae estimate")
    box = parse_box(options.box)
    if options.side not in ("left", "right"):
        raise UserError("--side", f"is {options.side!r}", "give left or right")
    for name, value in (
        ("--depth-unit-mm", options.depth_unit_mm),
        ("--focal", options.focal),
        ("--bone-mm", options.bone_mm),
    ):
        if not 0 <= value < float("inf") or (name == "--depth-unit-mm" and not value):
            raise UserError(name, f"is {value}", "give a positive number")
    paths = [path for given in options.files for path in pictures_in(given)]
    if not paths:
        raise UserError("estimate", "no photo given", "name at least one picture or file of joints")
    name = options.model or (LIFTER if paths[0].suffix.lower() == ".json" else DETECTOR)
    system = load_model(name).reader
    if system.spec.joints != len(JOINT_NAMES):
        fault = f"reads {system.spec.joints} joints of its own data, and hands of {len(JOINT_NAMES)} are drawn and written here"
        raise UserError(name, fault, "measure it with handvae evaluate")
    flat = options.lift and system.pose == "2d"
    lifter = load_model(LIFTER).reader if flat else system

    def see(path: Path) -> list[tuple[Seen, str]]:
        return _see(options, name, system, path, box)

    if options.together or len(paths) == 1:
        seen = [pair for path in paths for pair in see(path)]
        groups = iter([_one_hand(seen)] if options.together else [[pair] for pair in seen])
        count = 1 if options.together else len(seen)
    else:  # every file is checked before anything is written, then read again: a folder of photos is larger than memory
        count = sum(len(see(path)) for path in counted(paths, "files checked", len(paths)))
        groups = ([pair] for path in paths for pair in see(path))
    options.out.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, group in enumerate(groups):
        (photo, side), beside = group[0], [other for other, _ in group[1:]]
        found = estimate(system, photo, side, beside)
        if flat:
            found = lifted(found, lifter, side)
        stem = f"{number:04d}_{photo.path.stem}" if count > 1 else photo.path.stem
        write_picture(options.out / f"{stem}.png", overlay(found))
        entries.append(_entry(found, f"{stem}.png", side, options.bone_mm or lifter.unit_mm))
        if beside:
            entries[-1]["inputs_apart_bone_units"] = round(_apart(system, [photo, *beside], side), 3)
        if found.joints_bones is not None and found.spread_bones is not None:
            entries[-1] |= {"plot_3d": f"{stem}_3d.png", "root": lifter.root}
            write_picture(
                options.out / f"{stem}_3d.png",
                plot_joints(found.joints_bones, found.spread_bones, "bone units"),
            )
            entries[-1] |= write_solid(
                options.out / stem, lifter, photo, found.joints_bones, side, options.bone_mm or lifter.unit_mm
            )
        unit = "" if photo.hands.joints_2d is not None else " px"
        spread = f"spread {found.spread_px.mean():.3g}{unit}"
        print(
            f"{photo.path}: crop from {found.photo.found_by}; {spread}; overlay {options.out / f'{stem}.png'}"
        )
    text = json.dumps({"model": name, "joint_names": JOINT_NAMES, "hands": entries}, indent=1)
    write_text_atomically(options.out / "estimate.json", text)
    print(f"joints: {options.out / 'estimate.json'}")


def lifted(found: Estimate, lifter: PoseEstimator, side: str) -> Estimate:
    """The same hand with 3D joints, read from its 2D joints.

    Their variance is the lifter's, given 2D joints, and that of the 3D joints lifted from others that the 2D
    reading holds as likely.
    """
    mirror = lifter.spec.sides != "both" and side != lifter.spec.sides

    def lift(joints_px: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
        hand = FlatHand(torch.from_numpy(joints_px), torch.ones(len(joints_px), dtype=torch.bool), side)
        solid = estimate(lifter, see_joints(found.photo.path, hand, None, lifter.crop, mirror), side)
        assert solid.joints_bones is not None and solid.spread_bones is not None  # noqa: PT018 (for the type checker)
        return solid.joints_bones, solid.spread_bones, solid.calibrated_on

    joints, spread, lifted_on = lift(found.joints_px)
    draws = Noise(0).normal(LIKELY, *found.joints_px.shape).numpy() * found.spread_px[:, None]
    likely = np.stack([lift(found.joints_px + draw)[0] for draw in draws])
    return replace(
        found,
        joints_bones=joints,
        spread_bones=np.sqrt(np.square(spread) + likely.var(0, ddof=1)),
        lifted_on=lifted_on,
    )


def parse_box(text: str | None) -> Box | None:
    """x,y,width,height, or None."""
    if text is None:
        return None
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(
            "--box", f"{text!r} is not four numbers", "give x,y,width,height in pixels"
        ) from error
    return x, y, width, height


def _see(
    options: Options, name: str, system: PoseEstimator, path: Path, box: Box | None
) -> list[tuple[Seen, str]]:
    """The hands of a file and which side each is.

    Raises:
        UserError: the file is damaged, or the model does not read this kind of file.
    """
    joints = path.suffix.lower() == ".json"
    packed = options.depth_encoding != "plane" or ("image" not in system.inputs and "depth" in system.inputs)
    kind: Input = "joints_2d" if joints else "depth" if packed or is_plane(path) else "image"
    if kind not in system.inputs:
        can = " or ".join(WORDS[one] for one in system.inputs)
        fault = f"is {WORDS[kind]}, and {name} reads {can}"
        own = (
            f" (your own: none is shipped, handvae train {DEPTH_PRESET} makes one)" if kind == "depth" else ""
        )
        raise UserError(path, fault, f"give {can}, or a model that reads {WORDS[kind]}{own}")

    def mirror(side: str) -> bool:
        return system.spec.sides != "both" and side != system.spec.sides

    if kind == "joints_2d":
        sides = [(hand, hand.side or options.side) for hand in read_flat_hands(path)]
        return [(see_joints(path, hand, box, system.crop, mirror(side)), side) for hand, side in sides]
    if kind == "depth":
        packing = (options.depth_encoding, options.depth_unit_mm, options.focal)
        return [(see_depth(path, system.crop, mirror(options.side), box, *packing), options.side)]
    return [(read_photo(path, box, system.crop, mirror(options.side)), options.side)]


def _one_hand(seen: list[tuple[Seen, str]]) -> list[tuple[Seen, str]]:
    """The same, if they can be of one hand: one of each kind."""
    kinds = [name for photo, _ in seen for name, _ in photo.hands.items() if name in WORDS]
    twice = [said for name, said in WORDS.items() if kinds.count(name) > 1]
    if twice:
        raise UserError(
            "--together",
            f"several hands are given, each by {twice[0]}",
            "give one file of each kind, of one hand",
        )
    return seen


def estimate(
    system: PoseEstimator, photo: Seen, side: str = "right", beside: Sequence[Seen] = ()
) -> Estimate:
    """Read a left or right hand; where a whole photo was taken, 2D models read again round the joints found.

    Args:
        system: reads.
        photo: what the hand is read from, and seen in.
        side: which hand it is.
        beside: other kinds of input that show the same hand, fused with it.
    """
    prediction = _read(system, [photo, *beside], side)
    if photo.found_by == "the whole picture" and system.pose == "2d":
        photo = recrop(photo, _in_picture(system, prediction, photo), system.crop)
        prediction = _read(system, [photo, *beside], side)
    joints = _in_picture(system, prediction, photo)
    px = system.crop.size_px / 2 / float(torch.linalg.det(photo.affine[:, :2]).abs().sqrt())
    if system.pose == "2d":
        spread = prediction.spread[0].square().mean(-1).sqrt() * px
        return Estimate(photo, joints.numpy(), spread.numpy(), None, calibrated_on=prediction.calibrated_on)
    # bone units; their size in the picture is known from where the joints lie there
    solid = (prediction.joints[0] * torch.tensor([-1.0 if photo.mirrored else 1.0, 1.0, 1.0])).numpy()
    extent = (prediction.joints[0, :, :2].amax(0) - prediction.joints[0, :, :2].amin(0)).max()
    spread = prediction.spread[0].square().mean(-1).sqrt() * float(
        (joints.amax(0) - joints.amin(0)).max() / extent
    )
    return Estimate(
        photo, joints.numpy(), spread.numpy(), solid, prediction.spread[0].numpy(), prediction.calibrated_on
    )


def _read(system: PoseEstimator, photos: Sequence[Seen], side: str) -> Prediction:
    """What the system reads in the crops; one whose crops show both sides is told which it is."""
    shown = system.spec.sides if system.spec.sides != "both" else side
    fields = {name: value for photo in photos for name, value in photo.hands.items()}
    hands = Hands(**fields, side=torch.tensor([LEFT if shown == "left" else RIGHT]))
    return system.predict(hands, [one for one in system.inputs if one in fields])


def _apart(system: PoseEstimator, photos: Sequence[Seen], side: str) -> float:
    """How far the joints that each input tells alone lie from one another, mean over joints, of the two that
    differ most; warns."""
    alone = [_read(system, [photo], side).joints[0] for photo in photos]
    pairs = [
        (float((a - b).norm(dim=1).mean()), i, j)
        for (i, a), (j, b) in itertools.combinations(enumerate(alone), 2)
    ]
    apart, i, j = max(pairs)
    if apart > FAR_APART:
        first, second = photos[i].path, photos[j].path
        print(
            f"warning: {first} and {second} are {apart:.1f} bones apart: they may show different hands",
            file=sys.stderr,
        )
    return apart


def overlay(found: Estimate, side: int = 512) -> np.ndarray:
    """The picture with skeleton and spread drawn on it."""
    photo = found.photo
    large = enlarge(photo.pixels, side)
    zoom = photo.zoom * max(large.shape[:2]) / max(photo.pixels.shape[:2])
    return draw_skeleton(large, (found.joints_px - np.array(photo.corner)) * zoom, found.spread_px * zoom)


def _in_picture(system: PoseEstimator, prediction: Prediction, photo: Seen) -> torch.Tensor:
    flat = prediction.joints if system.pose == "2d" else _flattened(system, prediction.joints, photo)
    in_crop = to_crop_px(flat, system.crop.size_px)
    return apply_affine(in_crop, invert_affine(photo.affine[None]))[0]


def _flattened(system: PoseEstimator, joints: torch.Tensor, photo: Seen) -> torch.Tensor:
    """3D joints in crop units, without perspective: on the 2D joints if those are given, else as the joints
    of every crop lie."""
    flat, crop = joints[..., :2], system.crop
    given, valid = photo.hands.joints_2d, photo.hands.joint_valid
    if given is not None and valid is not None:  # the scale and shift that fit best
        target = to_crop_units(given, crop.size_px)[:, valid[0]]
        source = flat[:, valid[0]]
        middle, goal = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
        scale = ((source - middle) * (target - goal)).sum() / (source - middle).square().sum().clamp_min(1e-9)
        return (flat - middle) * scale.clamp_min(1e-3) + goal
    if crop.box == "cube":  # about the joints' mean, and of known size
        bone_mm = system.unit_mm or float(HandShape.mean().lengths_mm[2, 0])
        return (flat - flat.mean(1, keepdim=True)) * (2 * bone_mm / crop.cube_mm)
    if crop.box == "hand3d":  # about joint 9, as far as the farthest joint
        centred = flat - flat[:, 9:10]
        return centred / centred.abs().amax((1, 2), keepdim=True).clamp_min(1e-6)
    return in_own_crop(flat, crop.margin)


def _entry(found: Estimate, overlay_name: str, side: str, unit_mm: float | None) -> dict[str, object]:
    entry: dict[str, object] = {
        "photo": str(found.photo.path),
        "crop_from": found.photo.found_by,
        "hand_side": side,
        "overlay": overlay_name,
        "keypoints": _numbers(found.joints_px, 3),
        "spread_px": _numbers(found.spread_px, 3),
        "spread_is": _said(found.calibrated_on),
    }
    if found.joints_bones is not None and found.spread_bones is not None:
        named = {"keypoints_3d": found.joints_bones, "spread_3d": found.spread_bones}
        entry |= {f"{name}_bone_units": _numbers(values, 4) for name, values in named.items()}
        if unit_mm:
            entry |= {f"{name}_mm": _numbers(values * unit_mm, 3) for name, values in named.items()}
    if found.lifted_on is not None:
        entry["spread_3d_is"] = f"{_said(found.lifted_on)}; what the 2D joints are unsure of is added"
    return entry


def _numbers(values: np.ndarray, digits: int) -> list[object]:
    """An array for JSON, in float64: 45.608, not 45.608001708984375."""
    return np.round(values.astype(np.float64), digits).tolist()


def _said(calibrated_on: str) -> str:
    """What a spread is, for people."""
    return (
        f"standard deviation, calibrated on {calibrated_on}"
        if calibrated_on
        else "standard deviation claimed by the model, not calibrated"
    )
