"""`handvae data info`: what a data set holds, and a sheet of its hands with their joints drawn."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from jaxtyping import Float, UInt8
from torch import Tensor

from handvae.apps.options import parse
from handvae.data.crop import Crop, PixelField, cut
from handvae.data.dataset import HandData
from handvae.data.files.pictures import write_picture
from handvae.data.hands import Hands
from handvae.data.open import open_data, recognise
from handvae.errors import UserError
from handvae.hand import FINGERS, LEFT
from handvae.inference.drawing import FINGER_COLOURS, grid

LOOKED_AT = 50
"""Pictures that are opened for their sizes and depths."""
LABELS = 2000
"""Labels that are read of a data set whose labels are slow to read."""
CHUNK = 4096
"""Labels that are read at once."""
TILE, MARGIN = 192, 2.0
PICTURES: tuple[PixelField, ...] = ("image", "depth", "segmentation", "mask")
PART_COLOURS = np.array([(0, 0, 0), (110, 110, 110), (240, 240, 240), *FINGER_COLOURS], np.uint8)


@dataclass(frozen=True)
class Info:
    """Say what a data set holds."""

    root: tyro.conf.Positional[Path]
    """Folder of a data set, in any layout of docs/data.md."""
    split: str | None = None
    """Only this split."""
    protocol: str | None = None
    """Which hands or which division, for data sets that have several."""
    out: Path | None = None
    """Write a sheet of hands with their joints drawn there (.png or .jpg)."""
    hands: int = 24
    """Hands on the sheet."""

    def __post_init__(self) -> None:
        if not 1 <= self.hands <= 500:
            raise UserError("--hands", f"is {self.hands}", "give 1 to 500")


def main(arguments: Sequence[str]) -> None:
    """Counts, modalities, ranges, licence; and the sheet."""
    options = parse(Info, arguments, "handvae data info")
    data = open_data(options.root, options.split, options.protocol)
    protocol = f"  protocol {options.protocol}" if options.protocol else ""
    print(f"{options.root}  layout {recognise(options.root)}  split {options.split or 'all'}{protocol}")
    for label, value in [*_of_labels(data), *_of_pictures(data)]:
        print(f"{label:<16}{value}")
    for remark in data.remarks:
        print(f"{'note':<16}{remark}")
    if options.out is not None:
        write_picture(options.out, sheet(data, options.hands))
        print(f"{'sheet':<16}{options.out}")


def _of_labels(data: HandData) -> Iterator[tuple[str, str]]:
    """What the labels of all hands say, or of some where they are slow to read; a chunk at a time so that
    memory stays flat."""
    count, spec = len(data), data.spec
    looked_at = min(count, LABELS) if data.slow_labels else count
    left, sided, valid, visible, joints = 0, 0, 0, 0, 0
    people: set[int] = set()
    extents, depths, names = [], [], ()
    for rows in torch.linspace(0, count - 1, looked_at, dtype=torch.float64).long().split(CHUNK):
        hands = data.labels(rows)
        names = tuple(name for name, _ in hands.items())
        flat, labelled = hands.require_all("joints_2d", "joint_valid")
        joints, valid = joints + labelled.numel(), valid + int(labelled.sum())
        visible += int(hands.joint_visible.sum()) if hands.joint_visible is not None else 0
        if hands.side is not None:
            left, sided = left + int((hands.side == LEFT).sum()), sided + len(rows)
        if hands.subject is not None:
            people.update(hands.subject.unique().tolist())
        extents.append(_extent(flat, labelled))
        if hands.joints_3d is not None and spec.root == "camera":
            depths.append(hands.joints_3d[..., 2][labelled])
    sides = f"{left} left, {looked_at - left} right" if sided == looked_at else "side not told"
    some = "" if looked_at == count else f" of {looked_at} looked at, as for all labels below"
    yield "hands", f"{count} ({sides}{some})"
    splits = Counter(data.split_of(row) for row in range(count))
    if set(splits) != {""}:
        yield "splits", ", ".join(f"{name or 'none'} {number}" for name, number in sorted(splits.items()))
    if people:
        yield "people", str(len(people))
    yield "pictures", ", ".join(field for field in PICTURES if field in spec.modalities)
    yield "labels", ", ".join(names)
    seen = f", visible {100 * visible / joints:.1f} %" if "joint_visible" in names else ""
    yield "labelled joints", f"{100 * valid / joints:.1f} %{seen}"
    if spec.joints != 21:
        yield "joints", f"{spec.joints}: {', '.join(spec.joint_names)}"
    extent = torch.cat(extents)
    extent = extent[extent > 0]
    if len(extent):
        yield "hand's extent", f"{extent.min():.0f} to {extent.max():.0f} px, median {extent.median():.0f}"
    if depths:
        z = torch.cat(depths)
        yield "joints' depth", f"{z.min():.0f} to {z.max():.0f} mm, median {z.median():.0f}"
    if spec.gestures:
        yield "gestures", ", ".join(spec.gestures)
    yield "licence", spec.licence or "not told; yours to know"


def _extent(joints: Float[Tensor, "hand joint 2"], valid: Tensor) -> Float[Tensor, " hand"]:
    """Larger side of the labelled joints' box, 0 where none is labelled."""
    low = joints.masked_fill(~valid[..., None], torch.inf).amin(1)
    high = joints.masked_fill(~valid[..., None], -torch.inf).amax(1)
    return (high - low).amax(1).clamp_min(0)


def _of_pictures(data: HandData) -> Iterator[tuple[str, str]]:
    """Sizes and depths of a few pictures, spread over the set."""
    rows = range(0, len(data), max(1, len(data) // LOOKED_AT))
    if "image" in data.spec.modalities:
        sizes = Counter(data.picture(row).shape[1::-1] for row in rows)
    else:
        sizes = Counter(data.depth(row).shape[::-1] for row in rows)
    yield (
        "picture sizes",
        f"{', '.join(f'{w} x {h}' for (w, h), _ in sizes.most_common(5))} (of {sum(sizes.values())} looked at)",
    )
    if "depth" in data.spec.modalities:
        depth = np.concatenate([values[values > 0] for values in (data.depth(row) for row in rows[::5])])
        low, middle, high = np.percentile(depth, [1, 50, 99]) if len(depth) else (0, 0, 0)
        yield "depth", f"{low:.0f} to {high:.0f} mm (1st to 99th percentile), median {middle:.0f}"


# ----------------------------------------------------------------------------------------------- ------ sheet


def sheet(data: HandData, count: int) -> UInt8[np.ndarray, "height width 3"]:
    """Hands spread over the set, each in every kind of picture that the set has, with its joints and its
    side."""
    rows = torch.linspace(0, len(data) - 1, min(count, len(data))).long()
    fields: tuple[PixelField, ...] = tuple(
        field for field in PICTURES if field != "mask" and field in data.spec.modalities
    )
    drawable = data.labels(rows).require("joint_valid").sum(1) >= 2
    hands = cut(data, rows[drawable], Crop(TILE, margin=MARGIN), fields=fields)
    tiles = [
        _tile(hands, number, field, data.spec.joint_names) for number in range(len(hands)) for field in fields
    ]
    if not tiles:
        raise UserError(
            data.spec.name, "none of the chosen hands has two labelled joints", "look at its labels"
        )
    columns = len(fields) * max(1, 8 // len(fields))
    return grid([tiles[start : start + columns] for start in range(0, len(tiles), columns)])


def _tile(
    hands: Hands, number: int, field: PixelField, names: tuple[str, ...]
) -> UInt8[np.ndarray, "side side 3"]:
    match field:
        case "image":
            image = hands.require("image")
            pixels = (image[number].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        case "depth":
            depth = hands.require("depth")
            pixels = _grey_depth(depth[number, 0].numpy(), hands, number)
        case _:
            segmentation = hands.require("segmentation")
            pixels = PART_COLOURS[segmentation[number, 0].numpy()]
    canvas = np.ascontiguousarray(pixels)
    if field != "segmentation":
        _draw_joints(canvas, hands, number, names)
    if hands.side is not None:
        letter = "L" if hands.side[number] == LEFT else "R"
        cv2.putText(canvas, letter, (5, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.putText(canvas, letter, (5, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return canvas


def _grey_depth(depth: np.ndarray, hands: Hands, number: int) -> UInt8[np.ndarray, "side side 3"]:
    """Near is bright, 200 mm before the hand's middle to 200 mm behind; unknown is black."""
    (solid, valid) = hands.require_all("joints_3d", "joint_valid")
    middle = float(solid[number, valid[number], 2].median())
    grey = np.where(depth > 0, np.clip((middle + 200 - depth) / 400, 0, 1) * 200 + 30, 0)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)


def _draw_joints(canvas: np.ndarray, hands: Hands, number: int, names: tuple[str, ...]) -> None:
    """Dots, and lines from each joint of a finger to the next; joints without a label are left out, hidden
    ones are hollow."""
    flat, valid = hands.require_all("joints_2d", "joint_valid")
    seen = hands.joint_visible[number].tolist() if hands.joint_visible is not None else [True] * len(names)
    points = [(round(x * 16), round(y * 16)) for x, y in (flat[number] - 0.5).tolist()]
    drawn = valid[number].tolist()
    fingers = [FINGERS.index(finger) if (finger := name.split("_")[0]) in FINGERS else None for name in names]
    for joint in range(1, len(names)):
        finger = fingers[joint]
        before = joint - 1 if fingers[joint - 1] == finger else 0 if names[0] in ("wrist", "palm") else joint
        if finger is not None and drawn[joint] and drawn[before]:
            cv2.line(canvas, points[before], points[joint], FINGER_COLOURS[finger], 2, cv2.LINE_AA, 4)
    for joint, finger in enumerate(fingers):
        if drawn[joint]:
            colour = (250, 250, 250) if finger is None else FINGER_COLOURS[finger]
            cv2.circle(canvas, points[joint], 48, colour, -1 if seen[joint] else 1, cv2.LINE_AA, 4)
