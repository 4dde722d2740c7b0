"""Poses and appearances of real hands, as inputs of a generator, and the real pictures to compare with."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.data.crop import Crop, cut, to_crop_units
from handvae.data.dataset import HandData
from handvae.evaluation.model_predictions import BATCH, ModelPredictions
from handvae.noise import Noise, Stream
from handvae.systems.system import Generator, PoseEstimator

MOST_GENERATED = 2000
"""Most hands whose pictures are generated."""


@dataclass(frozen=True)
class GenerationInputs:
    """Fully labelled hands of a data set, as a generator takes them."""

    system: Generator
    rows: Int[Tensor, " batch"]
    """Rows of the data set."""
    joints: Float[Tensor, "batch joint axis"]
    """In the unit that the system takes."""
    joints_px: Float[Tensor, "batch joint 2"]
    """The same joints in pixels of the crop."""
    appearance: Float[Tensor, "batch appearance"]
    """Each hand's own appearance."""
    subject: Int[Tensor, " batch"] | None

    @classmethod
    def of(
        cls, system: PoseEstimator, predictions: ModelPredictions, seed: int, most: int = MOST_GENERATED
    ) -> "GenerationInputs":
        """All fully labelled hands; a random `most` of them where there are more.

        Raises:
            TypeError: the system makes no pictures, or the data have no 2D labels.
        """
        appearance = predictions.appearance
        joints_px = predictions.joints_px
        if not isinstance(system, Generator) or appearance is None or joints_px is None:
            raise TypeError(f"{type(system).__name__} makes no pictures, or these data have no 2D labels")

        rows = random_rows(predictions.fully_labelled, most, Noise(seed, stream=Stream.READ_ROWS))
        joints = predictions.target[rows]
        if predictions.is_2d:
            joints = to_crop_units(joints, predictions.crop.size_px)

        subject = None if predictions.subject is None else predictions.subject[rows]
        return cls(system, rows, joints, joints_px[rows], appearance[rows], subject)

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def synthesize(
        self,
        appearance: Float[Tensor, "batch appearance"],
        joints: Float[Tensor, "batch joint axis"] | None = None,
    ) -> Iterator[Float[Tensor, "some 3 size size"]]:
        """Pictures with the given appearances and the hands' own poses, or other poses, batch by batch."""
        poses = self.joints if joints is None else joints
        for some_poses, some_appearances in zip(poses.split(BATCH), appearance.split(BATCH), strict=True):
            yield self.system.synthesize(some_poses, some_appearances)

    def other_appearance(self, seed: int) -> Float[Tensor, "batch appearance"]:
        """For each hand the appearance of another hand, drawn at random.

        The other hand is another person's where the data name at least two people.
        """
        people = self.subject
        if people is None or len(people.unique()) < 2:
            people = torch.arange(len(self))

        # the highest score among the hands of other people wins
        scores = Noise(seed, stream=Stream.OTHER_APPEARANCES).uniform(len(self), len(self))
        same_person = people[:, None] == people[None]
        return self.appearance[scores.masked_fill(same_person, -1.0).argmax(1)]


def real_pictures(
    data: HandData, rows: Int[Tensor, " rows"], crop: Crop
) -> Iterator[Float[Tensor, "some 3 size size"]]:
    """Crops of these rows, batch by batch."""
    for batch in rows.split(BATCH):
        yield cut(data, batch, crop).require("image")


def random_rows(rows: Int[Tensor, " rows"], most: int, noise: Noise) -> Int[Tensor, " some"]:
    """At most `most` of the rows, drawn without replacement, in ascending order."""
    if len(rows) <= most:
        return rows
    chosen = torch.randperm(len(rows), generator=noise.generator)[:most]
    return rows[chosen].sort().values


def fully_labelled_rows(data: HandData) -> Int[Tensor, " rows"]:
    """Rows of a data set whose joints are all labelled: a generator can be given their poses."""
    valid = data.labels(torch.arange(len(data))).require("joint_valid")
    return valid.all(1).nonzero()[:, 0]
