"""What a data set holds, as lines of text: counts, labels, ranges, licence."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.data.crop import PixelField
from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.hand import LEFT

PICTURES: tuple[PixelField, ...] = ("image", "depth", "segmentation", "mask")
"""Kinds of pictures that a data set may have."""

SLOW_LABELS = 2000
"""Hands whose labels are read where labels are slow to read."""
CHUNK = 4096
"""Labels that are read at once, so that memory stays flat."""
OPENED_PICTURES = 50
"""Pictures that are opened for their sizes and depths."""


class Line(NamedTuple):
    """A name, and what the data set has of it: for a reader, and as numbers and lists."""

    name: str
    text: str
    value: Any

    @property
    def key(self) -> str:
        """The name in JSON."""
        return self.name.replace("'", "").replace(" ", "_")


def summarise(data: HandData) -> Iterator[Line]:
    """Counts, kinds of pictures and labels, ranges, licence."""
    yield from _label_lines(data)
    yield from _picture_lines(data)


@dataclass
class _Counts:
    """What is counted over the labels, a chunk at a time."""

    hands: int = 0
    left: int = 0
    with_side: int = 0
    joints: int = 0
    labelled_joints: int = 0
    visible_joints: int = 0
    people: set[int] = field(default_factory=set)
    fields: tuple[str, ...] = ()
    extents_px: list[Float[Tensor, " hand"]] = field(default_factory=list)
    depths_mm: list[Float[Tensor, " joint"]] = field(default_factory=list)

    def add(self, hands: Hands, in_camera: bool) -> None:
        """Count a chunk of labels; `in_camera` says whether 3D joints are in the frame of a camera."""
        joints_2d, label_mask = hands.require_all("joints_2d", "joint_valid")
        self.hands += len(joints_2d)
        self.joints += label_mask.numel()
        self.labelled_joints += int(label_mask.sum())
        self.fields = tuple(name for name, _ in hands.items())
        self.extents_px.append(_extent(joints_2d, label_mask))

        if hands.joint_visible is not None:
            self.visible_joints += int(hands.joint_visible.sum())
        if hands.side is not None:
            self.left += int((hands.side == LEFT).sum())
            self.with_side += len(hands.side)
        if hands.subject is not None:
            self.people.update(hands.subject.unique().tolist())
        if hands.joints_3d is not None and in_camera:
            self.depths_mm.append(hands.joints_3d[..., 2][label_mask])


def _label_lines(data: HandData) -> Iterator[Line]:
    """What the labels of all hands say, or of some where they are slow to read."""
    count, spec = len(data), data.spec
    read = min(count, SLOW_LABELS) if data.slow_labels else count
    counts = _Counts()
    # spread over the whole set: its beginning may be one person or one split
    for rows in torch.linspace(0, count - 1, read, dtype=torch.float64).long().split(CHUNK):
        counts.add(data.labels(rows), spec.root == "camera")

    # Hands, splits, people
    sides = (
        f"{counts.left} left, {read - counts.left} right" if counts.with_side == read else "side not known"
    )
    some = "" if read == count else f" of {read} read, as for all labels below"
    known = {"left": counts.left, "right": read - counts.left} if counts.with_side == read else {}
    yield Line("hands", f"{count} ({sides}{some})", {"count": count, "read": read, **known})
    splits = Counter(data.split_of(row) for row in range(count))
    if set(splits) != {""}:
        text = ", ".join(f"{name or 'none'} {number}" for name, number in sorted(splits.items()))
        yield Line("splits", text, dict(splits))
    if counts.people:
        yield Line("people", str(len(counts.people)), len(counts.people))

    # Pictures and labels
    kinds = [name for name in PICTURES if name in spec.modalities]
    yield Line("pictures", ", ".join(kinds), kinds)
    yield Line("labels", ", ".join(counts.fields), list(counts.fields))
    visible = ""
    if "joint_visible" in counts.fields:
        visible = f", visible {100 * counts.visible_joints / counts.joints:.1f} %"

    shares = {"labelled": counts.labelled_joints / counts.joints}
    if visible:
        shares["visible"] = counts.visible_joints / counts.joints
    yield Line("labelled joints", f"{100 * shares['labelled']:.1f} %{visible}", shares)
    if spec.joints != 21:
        yield Line("joints", f"{spec.joints}: {', '.join(spec.joint_names)}", list(spec.joint_names))

    # Ranges
    extent = torch.cat(counts.extents_px)
    # hands without a labelled joint have none
    extent = extent[extent > 0]
    if len(extent):
        yield _range("hand's extent", extent, "px")
    if counts.depths_mm:
        depth = torch.cat(counts.depths_mm)
        yield _range("joints' depth", depth, "mm")

    if spec.gestures:
        yield Line("gestures", ", ".join(spec.gestures), list(spec.gestures))

    missing = "not given; find out before you share anything"
    yield Line("licence", spec.licence or missing, spec.licence or None)


def _range(name: str, values: Float[Tensor, " value"], unit: str) -> Line:
    """The least, the largest and the middle of some lengths."""
    low, high, middle = float(values.min()), float(values.max()), float(values.median())
    text = f"{low:.0f} to {high:.0f} {unit}, median {middle:.0f}"
    return Line(name, text, {f"min_{unit}": low, f"max_{unit}": high, f"median_{unit}": middle})


def _extent(
    joints: Float[Tensor, "hand joint 2"], label_mask: Bool[Tensor, "hand joint"]
) -> Float[Tensor, " hand"]:
    """Larger side of the labelled joints' box, 0 where none is labelled."""
    low = joints.masked_fill(~label_mask[..., None], torch.inf).amin(1)
    high = joints.masked_fill(~label_mask[..., None], -torch.inf).amax(1)
    return (high - low).amax(1).clamp_min(0)


def _picture_lines(data: HandData) -> Iterator[Line]:
    """Sizes and depths of a few pictures, spread over the set."""
    rows = range(0, len(data), max(1, len(data) // OPENED_PICTURES))
    if "image" in data.spec.modalities:
        sizes = Counter(data.picture(row).shape[1::-1] for row in rows)
    else:
        sizes = Counter(data.depth(row).shape[::-1] for row in rows)

    common = ", ".join(f"{width} x {height}" for (width, height), _ in sizes.most_common(5))
    text = f"{common} (of {sum(sizes.values())} opened)"
    listed = [{"width": width, "height": height, "count": count} for (width, height), count in sizes.items()]
    yield Line("picture sizes", text, listed)

    if "depth" in data.spec.modalities:
        # a fifth of the opened rows: percentiles need few maps
        maps = [data.depth(row) for row in rows[::5]]
        depth = np.concatenate([values[values > 0] for values in maps])
        low, middle, high = np.percentile(depth, [1, 50, 99]) if len(depth) else (0, 0, 0)
        text = f"{low:.0f} to {high:.0f} mm (1st to 99th percentile), median {middle:.0f}"
        percentiles = {"p1_mm": float(low), "median_mm": float(middle), "p99_mm": float(high)}
        yield Line("depth", text, percentiles)
