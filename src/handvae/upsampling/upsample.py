"""More pictures of a labelled set: its poses, or poses beside them, with other looks, each read again by an
independent detector.

Pictures are made in parts of `SHARD_PICTURES`. A part depends on the plan and on its number alone, so parts may be made
in any order by any number
of jobs, be killed and be made again: the bytes are the same. All pictures are kept in the parts; which of
them pass is told beside them.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.choices import PoseKind
from handvae.data.crop import crop_affines, move_labels
from handvae.data.dataset import HandData
from handvae.data.files.pictures import as_pixels
from handvae.data.files.shards import write_shard
from handvae.data.hands import DataSpec, Hands
from handvae.data.readers.shards import ShardHands
from handvae.data.sample import Sample
from handvae.errors import UserError
from handvae.evaluation.detection import HandDetector
from handvae.evaluation.pose import hand_size, joint_errors
from handvae.files import write_text_atomically
from handvae.noise import Noise, Stream
from handvae.systems.system import Generator
from handvae.upsampling.appearances import Appearances
from handvae.upsampling.poses import Neighbourhood, perturbed, plain

SHARD_PICTURES = 256
"""Pictures a part: what a killed job loses at most."""
PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class UpsamplePlan:
    """Which pictures are made: the same plan gives the same pictures, to the last byte."""

    dataset: str
    split: str
    hands: int
    """Hands whose poses are used."""
    count: int
    """Pictures to make."""
    poses: tuple[PoseKind, ...]
    """What is done to the poses; the copies of the set take these in turn."""
    appearances: str
    model: str
    detector: str
    max_error: float
    """Mean error of what the detector reads, over hand size, above which a picture is dropped."""
    seed: int

    @property
    def shards(self) -> range:
        """Numbers of the parts."""
        return range(math.ceil(self.count / SHARD_PICTURES))

    def numbers(self, shard: int) -> range:
        """Numbers of the pictures of a part."""
        return range(shard * SHARD_PICTURES, min((shard + 1) * SHARD_PICTURES, self.count))

    def to_json(self) -> dict[str, Any]:
        """As it is written, and compared."""
        return json.loads(json.dumps(asdict(self)))


def whole_rows(data: HandData, system: Generator) -> Int[Tensor, " hand"]:
    """Hands that a picture can be asked of: those with all joints labelled.

    Raises:
        UserError: there is none, or the data set lacks a label, or the system's crops are no square round
            the joints.
    """
    name, has = data.spec.name, data.spec.modalities
    if system.crop.box != "joints":
        raise UserError(
            "--model",
            f"cuts hands out by {system.crop.box}, not by their joints",
            "give a model whose crop.box is joints",
        )
    if not {"image", "joints_2d", "side"} <= set(has):
        raise UserError(
            name, f"has {', '.join(has)}; pictures, joints_2d and side are needed", "add them to its labels"
        )
    if system.pose == "3d" and "joints_3d" not in has:
        raise UserError(name, "has 2D poses only, and this model takes 3D", "use a 2D model")
    valid = data.labels(torch.arange(len(data))).joint_valid
    rows = torch.arange(len(data)) if valid is None else valid.all(1).nonzero()[:, 0]
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
    near: Neighbourhood | None
    """To mix poses with, if the plan asks for it."""

    @classmethod
    def of(
        cls,
        plan: UpsamplePlan,
        system: Generator,
        detector: HandDetector,
        appearances: Appearances,
        data: HandData,
    ) -> "Upsampler":
        """The maker of a plan's pictures; errors as `whole_rows`."""
        rows = whole_rows(data, system)
        mixes = "interpolated" in plan.poses
        near = (
            Neighbourhood(
                plain(data.labels(rows), data.spec.has_camera), Noise(plan.seed, stream=Stream.NEIGHBOURS)
            )
            if mixes
            else None
        )
        return cls(plan, system, detector, appearances, data, rows, near)

    @property
    def spec(self) -> DataSpec:
        """What the pictures are."""
        has = self.data.spec.modalities
        labels = [name for name in ("joints_3d", "subject") if name in has] + (
            ["intrinsics"] if self.data.spec.has_camera else []
        )
        given = ("image", "joints_2d", "joint_valid", "joint_spread", "side", *labels)
        sides, root = self.data.spec.sides, self.data.spec.root
        licence = f"synthetic pictures of the poses of {self.data.spec.name} ({self.data.spec.licence or 'licence not known'})"
        return DataSpec(
            f"{self.data.spec.name}, upsampled",
            self.plan.count,
            self.system.crop.size_px,
            given,
            sides,
            root=root,
            licence=licence,
        )

    # ----------------------------------------------------------------------------------------------- one part

    @torch.no_grad()
    def shard(self, number: int) -> Iterator[Sample]:
        """The pictures of a part, those that the detector reads badly included."""
        numbers = torch.tensor(list(self.plan.numbers(number)))
        rows = self._rows_of(numbers)
        hands, stories = self._poses(numbers, rows, number)
        drawn = self.appearances.draw(rows, Noise(self.plan.seed, number, Stream.APPEARANCES))
        affine = crop_affines(hands, self.system.crop, None, Noise(0))
        asked = move_labels(hands, affine)
        written = move_labels(
            hands, crop_affines(hands, replace(self.system.crop, sides="keep"), None, Noise(0))
        )  # a left hand stays one
        mirrored = torch.linalg.det(affine[:, :, :2]) < 0
        made = self.system.synthesize(self.system.joints_of(asked), drawn.appearance)
        pictures = (made * 255).round() / 255  # the detector sees what is written
        truth = asked.require("joints_2d")
        apart, errors = self.check(pictures, truth)
        people = self.data.labels(rows).subject
        for i, error in enumerate(errors.tolist()):
            appearance: dict[str, Any] = {"name": drawn.names[i]}
            pose: dict[str, Any] = {"hand": self.data.name(int(rows[i]))}
            person = None
            if people is not None:
                pose["person"] = int(people[i])
                person = (
                    -1 - int(numbers[i]) if drawn.people is None else drawn.people[i]
                )  # random looks are nobody else's
            if drawn.people is not None:
                appearance["person"] = drawn.people[i]
            story = {
                "number": int(numbers[i]), "pose": pose | stories[i], "appearance": appearance, "model": self.plan.model, "seed": self.plan.seed,
                "detector": self.plan.detector, "check_error": round(error, 5) if math.isfinite(error) else None,
                "kept": error <= self.plan.max_error,
            }  # fmt: skip
            labels = {name: value for name, value in _row(written, i).items() if name != "side"}
            pixels = as_pixels((pictures[i].flip(2) if mirrored[i] else pictures[i]).numpy())
            side = written.require("side")
            yield Sample(
                **labels, side=int(side[i]), image=pixels, joint_spread=apart[i].numpy(), subject=person, split=self.plan.split,
                provenance=json.dumps(story),
            )  # fmt: skip

    def check(
        self, pictures: Float[Tensor, "batch 3 size size"], joints_px: Float[Tensor, "batch joint 2"]
    ) -> tuple[Float[Tensor, "batch joint"], Float[Tensor, " batch"]]:
        """How far what the detector reads lies from the joints: a standard deviation of each joint's
        coordinates in px, 0 where no hand is
        found, and each hand's mean error over its size, NaN where no hand is found."""
        found = self.detector.detect([pictures], self.system.crop)
        everything = torch.ones(joints_px.shape[:2], dtype=torch.bool)
        apart = joint_errors(found.joints_px.nan_to_num(), joints_px, everything)
        errors = (apart.mean(1) / hand_size(joints_px, everything)).masked_fill(~found.found, float("nan"))
        return (apart / math.sqrt(2)).masked_fill(~found.found[:, None], 0.0), errors

    def _rows_of(self, numbers: Int[Tensor, " picture"]) -> Int[Tensor, " picture"]:
        """Whose pose each picture has: every copy of the set goes through its hands in an order of its
        own."""
        copies, places = numbers // len(self.rows), numbers % len(self.rows)
        orders = {
            c: torch.randperm(
                len(self.rows), generator=Noise(self.plan.seed, c, Stream.UPSAMPLING_ORDER).generator
            )
            for c in copies.unique().tolist()
        }
        chosen = torch.stack([orders[c][p] for c, p in zip(copies.tolist(), places.tolist(), strict=True)])
        return self.rows[chosen]

    def _poses(
        self, numbers: Int[Tensor, " picture"], rows: Int[Tensor, " picture"], shard: int
    ) -> tuple[Hands, list[dict[str, Any]]]:
        """The hands to be drawn, and what was done to each."""
        hands = plain(self.data.labels(rows), self.data.spec.has_camera)
        kinds = [
            self.plan.poses[copy % len(self.plan.poses)] for copy in (numbers // len(self.rows)).tolist()
        ]
        stories: list[dict[str, Any]] = [{"kind": kind} for kind in kinds]
        noise = Noise(self.plan.seed, shard, Stream.POSES)
        if "perturbed" in kinds:
            hands = _where(kinds, "perturbed", perturbed(hands, noise), hands)
        if "interpolated" in kinds:
            assert self.near is not None
            mixed = self.near.mixed(hands, noise)
            hands = _where(kinds, "interpolated", mixed.hands, hands)
            for i in (place for place, kind in enumerate(kinds) if kind == "interpolated"):
                other, share = int(mixed.other[i]), round(float(mixed.share[i]), 4)
                name = self.data.name(int(self.rows[other]))
                stories[i] = (
                    {"kind": "same"} if other < 0 else {"kind": "interpolated", "with": name, "share": share}
                )
        return hands, stories


def _where(kinds: list[PoseKind], kind: str, changed: Hands, others: Hands) -> Hands:
    """The changed hands where they are of that kind."""
    chosen = torch.tensor([one == kind for one in kinds])
    pairs = zip(changed.items(), others.items(), strict=True)
    return Hands(
        **{
            name: torch.where(chosen.view(-1, *[1] * (new.ndim - 1)), new, old)
            for (name, new), (_, old) in pairs
        }
    )


def _row(hands: Hands, place: int) -> dict[str, Any]:
    return {name: value[place].numpy() for name, value in hands.items()}


# ----------------------------------------------------------------------------------------------- ------ parts


def begin(folder: Path, plan: UpsamplePlan) -> None:
    """Say in the folder of the parts which pictures it is to hold.

    Raises:
        UserError: it already holds those of another plan.
    """
    path, text = folder / PLAN_FILE, json.dumps(plan.to_json(), indent=1) + "\n"
    if path.is_file():
        if path.read_text() != text:
            raise UserError(
                folder,
                "holds unfinished work of other options",
                "give the same ones to go on with it, or delete it",
            )
        return
    write_text_atomically(path, text)


def shard_file(folder: Path, number: int) -> Path:
    """Where a part is kept."""
    return folder / f"part-{number:05d}.parquet"


def write_shards(
    folder: Path, maker: Upsampler, shard: int, shards: int, report: Callable[[int], None]
) -> int:
    """Make the parts that are not there yet, every `shards`-th beginning with number `shard`; returns the
    number of pictures made.

    Args:
        folder: of the parts; see `begin`.
        maker: of the pictures.
        part, parts: which ones.
        report: called with the number of pictures after each part, those that were there included.
    """
    made = 0
    for number in maker.plan.shards[shard::shards]:
        path = shard_file(folder, number)
        if not path.is_file():
            made += write_shard(
                path, maker.spec, maker.shard(number), f"handvae upsample, {maker.plan.model}"
            )
        report(len(maker.plan.numbers(number)))
    return made


def missing_shards(folder: Path, plan: UpsamplePlan) -> int:
    """How many parts are not there yet."""
    return sum(not shard_file(folder, number).is_file() for number in plan.shards)


@dataclass(frozen=True)
class GeneratedSet:
    """All pictures of a plan, read from its parts."""

    data: ShardHands
    error: Float[Tensor, " picture"]
    """Mean error of what the detector reads, over hand size; NaN where it finds no hand."""
    kept: Int[Tensor, " kept"]
    dropped: Int[Tensor, " dropped"]
    """The worst first; those in which no hand was found before all others."""
    kinds: tuple[str, ...]
    """What was done to the pose of each."""

    @classmethod
    def of(cls, folder: Path) -> "GeneratedSet":
        """Read the finished parts."""
        data = ShardHands(folder)
        stories = [json.loads(data.provenance_of(row)) for row in range(len(data))]
        error = torch.tensor(
            [float("nan") if story["check_error"] is None else story["check_error"] for story in stories]
        )
        kept = torch.tensor([story["kept"] for story in stories], dtype=torch.bool)
        order = error.nan_to_num(float("inf")).argsort(descending=True, stable=True)
        kinds = tuple(str(story["pose"]["kind"]) for story in stories)
        return cls(data, error, kept.nonzero()[:, 0], order[~kept[order]], kinds)
