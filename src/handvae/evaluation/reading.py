"""What a model reads in the pictures of a data set, and how well it paints them again: what most metrics start from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from handvae.data.reader import HandData
from handvae.data.view import Crop, cut, to_crop_px
from handvae.evaluation.pose import hand_size, joint_errors
from handvae.hand import scale_bone
from handvae.systems.system import Generator, Reader

BATCH = 64


@dataclass(frozen=True)
class Reading:
    """Poses asked and read, hand by hand, in pixels of the crop (2D models) or root-relative bone units (3D models)."""

    crop: Crop
    truth: Float[Tensor, "batch joint axis"]
    predicted: Float[Tensor, "batch joint axis"]
    spread: Float[Tensor, "batch joint axis"]
    """Standard deviation that the model claims."""
    valid: Bool[Tensor, "batch joint"]
    squared_error: Float[Tensor, " batch"]
    """Mean over the picture of the squared error of its reconstruction; NaN for a hand with joints missing, which cannot be asked for,
    and of systems that make no pictures."""
    appearance: Float[Tensor, "batch appearance"] | None
    """What the system says of its looks; None of systems that make no pictures."""
    subject: Int[Tensor, " batch"] | None
    scale_mm: Float[Tensor, " batch"] | None
    """Length of the true scale bone; None for 2D models."""

    @property
    def flat(self) -> bool:
        """Whether poses are 2D."""
        return self.truth.shape[-1] == 2

    @property
    def unit(self) -> str:
        """Of `truth`, `predicted` and `spread`."""
        return "px" if self.flat else "bone"

    @property
    def errors(self) -> Float[Tensor, "batch joint"]:
        """Error of each joint, NaN where it has no label: in % of hand size (2D) or mm (3D)."""
        errors = joint_errors(self.predicted, self.truth, self.valid)
        if self.scale_mm is not None:
            return errors * self.scale_mm[:, None]
        size = hand_size(self.truth, self.valid)[:, None]
        return 100 * errors / size.masked_fill(size <= 0, float("nan"))  # labelled joints on one line give a hand no size

    @property
    def error_unit(self) -> str:
        """Of `errors`."""
        return "% of hand size" if self.flat else "mm"

    @property
    def whole(self) -> Int[Tensor, " rows"]:
        """Rows whose joints are all labelled: poses that a picture can be asked for."""
        return self.valid.all(1).nonzero()[:, 0]


@torch.no_grad()
def read(system: Reader, data: HandData) -> Reading:
    """Read every hand of a data set and, if the system can, paint it again from its true pose and its own appearance."""
    parts = [_read(system, data, rows) for rows in torch.arange(len(data)).split(BATCH)]
    subject = data.labels(torch.arange(len(data))).subject

    def joined(name: str) -> Any:
        return None if getattr(parts[0], name) is None else torch.cat([getattr(part, name) for part in parts])

    names = ("truth", "predicted", "spread", "valid", "squared_error", "appearance", "scale_mm")
    return Reading(system.crop, **{name: joined(name) for name in names}, subject=subject)


def _read(system: Reader, data: HandData, rows: Tensor) -> Reading:
    hands = cut(data, rows, system.crop)
    image, valid = hands.need("image", "joint_valid")
    joints, prediction = system.joints_of(hands), system.predict(image)
    appearance, squared = None, torch.full((len(rows),), float("nan"))
    if isinstance(system, Generator):
        appearance = system.appearance_of(image)
        again = system.synthesize(joints, appearance)
        squared = (again - image).square().flatten(1).mean(1).masked_fill(~valid.all(1), float("nan"))
    if system.pose == "2d":
        size = system.crop.size_px
        truth, predicted, spread, scale = to_crop_px(joints, size), to_crop_px(prediction.joints, size), prediction.spread * size / 2, None
    else:
        (solid,) = hands.need("joints_3d")
        truth, predicted, spread, scale = joints, prediction.joints, prediction.spread, scale_bone(solid)
        valid = valid & valid[:, [0, 9, 10]].all(1, keepdim=True)  # without root or scale bone, bone units mean nothing
    return Reading(system.crop, truth, predicted, spread, valid, squared, appearance, hands.subject, scale)


def pictures(data: HandData, rows: Int[Tensor, " rows"], crop: Crop) -> Iterator[Float[Tensor, "batch 3 size size"]]:
    """Crops of the rows, batch by batch."""
    for batch in rows.split(BATCH):
        (image,) = cut(data, batch, crop).need("image")
        yield image
