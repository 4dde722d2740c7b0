"""More pictures of a labelled set: its poses, or new ones near them, with other appearances.

Each picture is read by an independent detector. All pictures are kept in the shards, with whether they pass.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.choices import PoseKind
from handvae.data.crop import crop_affines, move_labels
from handvae.data.dataset import HandData
from handvae.data.files.pictures import as_pixels
from handvae.data.hands import DataSpec, Hands
from handvae.data.sample import Sample
from handvae.errors import UserError
from handvae.evaluation.detection import HandDetector
from handvae.evaluation.pose import hand_size, joint_errors
from handvae.noise import Noise, Stream
from handvae.systems.system import Generator
from handvae.upsampling.appearances import Appearances, ChosenAppearances
from handvae.upsampling.plan import UpsamplePlan
from handvae.upsampling.poses import Neighbourhood, movable_labels, perturbed


def usable_rows(data: HandData, system: Generator) -> Int[Tensor, " hand"]:
    """Hands that the generator can draw again: those with all joints labelled.

    Raises:
        UserError: there is none, or the data set lacks a label, or the system's crops are no square round
            the joints.
    """
    name, modalities = data.spec.name, data.spec.modalities
    if system.crop.box != "joints":
        fault = f"cuts hands out by {system.crop.box}, not by their joints"
        raise UserError("--model", fault, "give a model whose crop.box is joints")
    if not {"image", "joints_2d", "side"} <= set(modalities):
        fault = f"has {', '.join(modalities)}; pictures, joints_2d and side are needed"
        raise UserError(name, fault, "add them to its labels")
    if system.pose == "3d" and "joints_3d" not in modalities:
        raise UserError(name, "has 2D poses only, and this model takes 3D", "use a 2D model")

    rows = torch.arange(len(data))
    valid = data.labels(rows).joint_valid
    if valid is not None:
        rows = valid.all(1).nonzero()[:, 0]
    if not len(rows):
        raise UserError(name, "no hand has all its joints labelled", "give poses with all joints")

    return rows


@dataclass(frozen=True)
class Upsampler:
    """Makes the pictures of a plan."""

    plan: UpsamplePlan
    system: Generator
    detector: HandDetector
    appearances: Appearances
    data: HandData
    """The split of the plan."""
    rows: Int[Tensor, " hand"]
    """Its hands with all joints labelled."""
    neighbourhood: Neighbourhood | None
    """To interpolate poses in, if the plan asks for it."""

    @classmethod
    def of(
        cls,
        plan: UpsamplePlan,
        system: Generator,
        detector: HandDetector,
        appearances: Appearances,
        data: HandData,
    ) -> "Upsampler":
        """The maker of a plan's pictures; errors as `usable_rows`."""
        rows = usable_rows(data, system)
        neighbourhood = None
        if "interpolated" in plan.poses:
            labels = movable_labels(data.labels(rows), data.spec.has_camera)
            neighbourhood = Neighbourhood(labels, Noise(plan.seed, stream=Stream.NEIGHBOURS))
        return cls(plan, system, detector, appearances, data, rows, neighbourhood)

    @property
    def spec(self) -> DataSpec:
        """What the pictures are."""
        source = self.data.spec
        modalities = ["image", "joints_2d", "joint_valid", "joint_spread", "side"]
        modalities += [name for name in ("joints_3d", "subject") if name in source.modalities]
        if source.has_camera:
            modalities.append("intrinsics")

        licence = source.licence or "licence not known"
        return DataSpec(
            name=f"{source.name}, upsampled",
            count=self.plan.count,
            size_px=self.system.crop.size_px,
            modalities=tuple(modalities),
            sides=source.sides,
            root=source.root,
            joint_names=source.joint_names,
            licence=f"synthetic pictures of the poses of {source.name} ({licence})",
        )

    # ---------------------------------------------------------------------------------------------- one shard

    @torch.no_grad()
    def shard(self, number: int) -> Iterator[Sample]:
        """The pictures of a shard, including those that the detector reads badly."""
        numbers = torch.tensor(list(self.plan.numbers(number)))
        rows = self._rows_of(numbers)
        hands, changes = self._poses(numbers, rows, number)
        appearances = self.appearances.draw(rows, Noise(self.plan.seed, number, Stream.APPEARANCES))

        # the generator's crop may mirror hands; the written labels keep their side
        crop = self.system.crop
        affines = crop_affines(hands, crop, None, Noise(0))
        mirrored = torch.linalg.det(affines[:, :, :2]) < 0
        targets = move_labels(hands, affines)
        written = move_labels(hands, crop_affines(hands, replace(crop, sides="keep"), None, Noise(0)))

        # rounded to bytes: the detector sees what is written
        generated = self.system.synthesize(self.system.joints_of(targets), appearances.appearance)
        pictures = (generated * 255).round() / 255
        spread, errors = self.check(pictures, targets.require("joints_2d"))

        people = self.data.labels(rows).subject
        sides = written.require("side")

        for i, error in enumerate(errors.tolist()):
            person = None if people is None else int(people[i])
            provenance = {
                "number": int(numbers[i]),
                "pose": _pose_source(self.data.name(int(rows[i])), person, changes[i]),
                "appearance": _appearance_source(appearances, i),
                "model": self.plan.model,
                "seed": self.plan.seed,
                "detector": self.plan.detector,
                "check_error": round(error, 5) if math.isfinite(error) else None,
                "kept": error <= self.plan.max_error,
            }

            # who a picture shows is whose appearance it has; a random one is nobody else's
            subject = None
            if people is not None:
                subject = -1 - int(numbers[i]) if appearances.people is None else appearances.people[i]

            picture = pictures[i].flip(2) if mirrored[i] else pictures[i]
            labels: dict[str, Any] = {
                name: value[i].numpy() for name, value in written.items() if name != "side"
            }
            yield Sample(
                **labels,
                side=int(sides[i]),
                image=as_pixels(picture.numpy()),
                joint_spread=spread[i].numpy(),
                subject=subject,
                split=self.plan.split,
                provenance=json.dumps(provenance),
            )

    def check(
        self, pictures: Float[Tensor, "batch 3 size size"], joints_px: Float[Tensor, "batch joint 2"]
    ) -> tuple[Float[Tensor, "batch joint"], Float[Tensor, " batch"]]:
        """Compare the detector's joints with the target joints.

        Returns:
            A standard deviation of each joint's coordinates in px, 0 where no hand is found; and each hand's
            mean error over its size, NaN where no hand is found.
        """
        prediction = self.detector.detect([pictures], self.system.crop)
        every_joint = torch.ones(joints_px.shape[:2], dtype=torch.bool)
        distance = joint_errors(prediction.joints_px.nan_to_num(), joints_px, every_joint)
        errors = distance.mean(1) / hand_size(joints_px, every_joint)

        # a distance is sqrt(2) deviations of each of its two coordinates
        missed = ~prediction.found
        spread = (distance / math.sqrt(2)).masked_fill(missed[:, None], 0.0)

        return spread, errors.masked_fill(missed, float("nan"))

    def _rows_of(self, numbers: Int[Tensor, " picture"]) -> Int[Tensor, " picture"]:
        """Whose pose each picture has: every copy of the set visits its hands in another order."""
        count = len(self.rows)
        copies, places = numbers // count, numbers % count

        orders = {}

        for copy in copies.unique().tolist():
            noise = Noise(self.plan.seed, copy, Stream.UPSAMPLING_ORDER)
            orders[copy] = torch.randperm(count, generator=noise.generator)

        pairs = zip(copies.tolist(), places.tolist(), strict=True)
        return self.rows[torch.stack([orders[copy][place] for copy, place in pairs])]

    def _poses(
        self, numbers: Int[Tensor, " picture"], rows: Int[Tensor, " picture"], shard: int
    ) -> tuple[Hands, list[dict[str, Any]]]:
        """The hands to draw, and how each pose was changed."""
        hands = movable_labels(self.data.labels(rows), self.data.spec.has_camera)
        copies = (numbers // len(self.rows)).tolist()
        kinds = [self.plan.poses[copy % len(self.plan.poses)] for copy in copies]
        changes: list[dict[str, Any]] = [{"kind": kind} for kind in kinds]

        noise = Noise(self.plan.seed, shard, Stream.POSES)
        if "perturbed" in kinds:
            hands = _where(kinds, "perturbed", perturbed(hands, noise), hands)

        if "interpolated" in kinds:
            assert self.neighbourhood is not None
            mixed = self.neighbourhood.mixed(hands, noise)
            hands = _where(kinds, "interpolated", mixed.hands, hands)

            for i, kind in enumerate(kinds):
                if kind != "interpolated":
                    continue

                other = int(mixed.other[i])
                if other < 0:
                    changes[i] = {"kind": "same"}
                    continue

                name = self.data.name(int(self.rows[other]))
                changes[i] = {"kind": kind, "with": name, "share": round(float(mixed.share[i]), 4)}

        return hands, changes


def _pose_source(hand: str, person: int | None, change: dict[str, Any]) -> dict[str, Any]:
    """The provenance of a pose."""
    source: dict[str, Any] = {"hand": hand}
    if person is not None:
        source["person"] = person
    return source | change


def _appearance_source(appearances: ChosenAppearances, place: int) -> dict[str, Any]:
    """The provenance of an appearance."""
    source: dict[str, Any] = {"name": appearances.names[place]}
    if appearances.people is not None:
        source["person"] = appearances.people[place]
    return source


def _where(kinds: Sequence[PoseKind], kind: PoseKind, changed: Hands, others: Hands) -> Hands:
    """The changed hands where they are of that kind, the others elsewhere."""
    chosen = torch.tensor([one == kind for one in kinds])
    fields = {}
    for (name, new), (_, old) in zip(changed.items(), others.items(), strict=True):
        mask = chosen.view(-1, *[1] * (new.ndim - 1))
        fields[name] = torch.where(mask, new, old)
    return Hands(**fields)
