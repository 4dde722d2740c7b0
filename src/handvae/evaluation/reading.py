"""What a model reads in the pictures of a data set, and how well it paints them again: what most metrics
start from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from handvae.data.crop import Crop, cut, to_crop_px, to_crop_units
from handvae.data.dataset import HandData
from handvae.evaluation.pose import hand_size, joint_errors
from handvae.hand import scale_bone
from handvae.noise import Noise, Stream
from handvae.systems.system import Generator, PoseEstimator

BATCH = 64
MOST_ASKED = 2000
"""Hands whose pictures are generated, at most."""


@dataclass(frozen=True)
class Reading:
    """Poses asked and read, hand by hand, in pixels of the crop (2D models) or root-relative bone units (3D
    models)."""

    crop: Crop
    truth: Float[Tensor, "batch joint axis"]
    predicted: Float[Tensor, "batch joint axis"]
    spread: Float[Tensor, "batch joint axis"]
    """Standard deviation that the model gives."""
    calibrated_on: str
    """See `Prediction`."""
    valid: Bool[Tensor, "batch joint"]
    squared_error: Float[Tensor, " batch"]
    """Mean over the picture of the squared error of its reconstruction; NaN for a hand with joints missing,
    which cannot be asked for,
    and of systems that make no pictures."""
    appearance: Float[Tensor, "batch appearance"] | None
    """What the system says of its looks; None of systems that make no pictures."""
    subject: Int[Tensor, " batch"] | None
    scale_mm: Float[Tensor, " batch"] | None
    """Length of a bone unit: of the true scale bone, or what the model takes for all hands; None for 2D
    models."""
    joints_px: Float[Tensor, "batch joint 2"] | None
    """2D labels in pixels of the crop, whatever the model reads; None where there are none."""

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
        return (
            100 * errors / size.masked_fill(size <= 0, float("nan"))
        )  # labelled joints on one line give a hand no size

    @property
    def error_unit(self) -> str:
        """Of `errors`."""
        return "% of hand size" if self.flat else "mm"

    @property
    def whole(self) -> Int[Tensor, " rows"]:
        """Rows whose joints are all labelled: poses that a picture can be asked for."""
        return self.valid.all(1).nonzero()[:, 0]


@torch.no_grad()
def read(
    system: PoseEstimator, data: HandData, report: Callable[[int], object] = lambda hands: None
) -> Reading:
    """Read every hand of a data set and, if the system can, paint it again from its true pose and its own
    appearance.

    Args:
        system: reads.
        data: the hands.
        report: is told how many more hands are read.
    """
    parts = []
    for rows in torch.arange(len(data)).split(BATCH):
        parts.append(_read(system, data, rows))
        report(len(rows))
    subject = data.labels(torch.arange(len(data))).subject

    def joined(name: str) -> Any:
        return None if getattr(parts[0], name) is None else torch.cat([getattr(part, name) for part in parts])

    names = ("truth", "predicted", "spread", "valid", "squared_error", "appearance", "scale_mm", "joints_px")
    return Reading(
        system.crop,
        **{name: joined(name) for name in names},
        calibrated_on=parts[0].calibrated_on,
        subject=subject,
    )


def _read(system: PoseEstimator, data: HandData, rows: Tensor) -> Reading:
    hands = cut(data, rows, system.crop, fields=system.reads)
    valid = system.labelled(hands)
    joints, prediction = system.joints_of(hands), system.predict(hands)
    appearance, squared = None, torch.full((len(rows),), float("nan"))
    if isinstance(system, Generator):
        image = hands.require("image")
        appearance = system.appearance_of(image)
        again = system.synthesize(joints, appearance)
        squared = (again - image).square().flatten(1).mean(1).masked_fill(~valid.all(1), float("nan"))
    if system.pose == "2d":
        size = system.crop.size_px
        truth, predicted, spread, scale = (
            to_crop_px(joints, size),
            to_crop_px(prediction.joints, size),
            prediction.spread * size / 2,
            None,
        )
    else:
        solid = hands.require("joints_3d")
        truth, predicted, spread = joints, prediction.joints, prediction.spread
        scale = (
            scale_bone(solid) if system.unit_mm is None else torch.full_like(solid[:, 0, 0], system.unit_mm)
        )
    flat = hands.joints_2d
    if data.evaluated_joints:
        truth, predicted, spread, valid = (
            values[:, list(data.evaluated_joints)] for values in (truth, predicted, spread, valid)
        )
        flat = None if flat is None else flat[:, list(data.evaluated_joints)]
    about, more = prediction.calibrated_on, (squared, appearance, hands.subject, scale, flat)
    return Reading(system.crop, truth, predicted, spread, about, valid, *more)


def pictures(
    data: HandData, rows: Int[Tensor, " rows"], crop: Crop
) -> Iterator[Float[Tensor, "some 3 size size"]]:
    """Crops of the rows, batch by batch."""
    for batch in rows.split(BATCH):
        image = cut(data, batch, crop).require("image")
        yield image


@dataclass(frozen=True)
class Asked:
    """Hands whose joints are all labelled, as their pictures are asked of a system."""

    system: Generator
    rows: Int[Tensor, " batch"]
    """Which of the data set's hands they are."""
    joints: Float[Tensor, "batch joint axis"]
    """In the unit that the system takes."""
    joints_px: Float[Tensor, "batch joint 2"]
    """Where they lie in the crop."""
    appearance: Float[Tensor, "batch appearance"]
    """Each hand's own looks."""
    subject: Int[Tensor, " batch"] | None

    @classmethod
    def of(cls, system: PoseEstimator, reading: Reading, seed: int, most: int = MOST_ASKED) -> "Asked":
        """Whole hands of a data set, `most` of them drawn at random where there are more.

        Raises:
            TypeError: the system makes no pictures, or the data have no 2D labels.
        """
        if not isinstance(system, Generator) or reading.appearance is None or reading.joints_px is None:
            raise TypeError(f"{type(system).__name__} makes no pictures, or these data have no 2D labels")
        rows = reading.whole
        if len(rows) > most:
            rows = (
                rows[
                    torch.randperm(len(rows), generator=Noise(seed, stream=Stream.READ_ROWS).generator)[:most]
                ]
                .sort()
                .values
            )
        truth = reading.truth[rows]
        joints = to_crop_units(truth, reading.crop.size_px) if reading.flat else truth
        subject = None if reading.subject is None else reading.subject[rows]
        return cls(system, rows, joints, reading.joints_px[rows], reading.appearance[rows], subject)

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def pictures(
        self,
        appearance: Float[Tensor, "batch appearance"],
        joints: Float[Tensor, "batch joint axis"] | None = None,
    ) -> Iterator[Float[Tensor, "some 3 size size"]]:
        """Pictures with the given appearances, of the hands' own poses or others, batch by batch."""
        for pose, look in zip(
            (self.joints if joints is None else joints).split(BATCH), appearance.split(BATCH), strict=True
        ):
            yield self.system.synthesize(pose, look)

    def other_appearance(self, seed: int) -> Float[Tensor, "batch appearance"]:
        """For each hand the looks of another one drawn at random, of another person where people are known
        and there are several."""
        people = (
            torch.arange(len(self))
            if self.subject is None or len(self.subject.unique()) < 2
            else self.subject
        )
        scores = Noise(seed, stream=Stream.OTHER_APPEARANCES).uniform(len(self), len(self))
        return self.appearance[scores.masked_fill(people[:, None] == people[None], -1.0).argmax(1)]
