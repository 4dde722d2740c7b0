"""Which pictures an upsampling makes, and the folder in which its unfinished work is kept.

Pictures are made in shards of `SHARD_PICTURES`. A shard depends on the plan and on its number alone: any
number of jobs make shards in any order, a killed one is made again, and the bytes are the same.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handvae.choices import PoseKind
from handvae.errors import UserError
from handvae.files import write_text_atomically

SHARD_PICTURES = 256
"""Pictures of a shard: what a killed job loses at most."""

PLAN_FILE = "plan.json"

WRITING = "writing"
"""A file in the folder of the shards: the data set is being put together."""


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
    """Where poses come from; the copies of the set take these in turn."""
    appearances: str
    model: str
    detector: str
    max_error: float
    """Mean error of the detector's joints, over hand size, above which a picture is dropped."""
    seed: int

    @property
    def shards(self) -> range:
        """Numbers of the shards."""
        return range(math.ceil(self.count / SHARD_PICTURES))

    def numbers(self, shard: int) -> range:
        """Numbers of the pictures of a shard."""
        first = shard * SHARD_PICTURES
        return range(first, min(first + SHARD_PICTURES, self.count))

    def to_json(self) -> dict[str, Any]:
        """As it is written, and compared."""
        return json.loads(json.dumps(asdict(self)))


def shards_folder(out: Path, plan: UpsamplePlan) -> Path:
    """The folder next to `out` in which its shards are kept until the set is whole.

    The first edition called it OUT.parts: that folder is renamed if it holds this plan.
    """
    out = out.resolve()
    folder = out.with_name(f"{out.name}.shards")
    older = out.with_name(f"{out.name}.parts")
    if not folder.exists() and _plan_text(older) == _as_text(plan):
        older.rename(folder)
    return folder


def begin(folder: Path, plan: UpsamplePlan) -> None:
    """Write the plan into the folder of the shards, unless it is there.

    Raises:
        UserError: the folder holds the shards of another plan.
    """
    text = _plan_text(folder)
    if text is None:
        write_text_atomically(folder / PLAN_FILE, _as_text(plan))
    elif text != _as_text(plan):
        remedy = "give the same options to continue it, or delete it"
        raise UserError(folder, "holds unfinished work of other options", remedy)

    # the first edition's names
    for path in folder.glob("part-*.parquet"):
        path.rename(folder / path.name.replace("part-", "shard-"))


def _as_text(plan: UpsamplePlan) -> str:
    return json.dumps(plan.to_json(), indent=1) + "\n"


def _plan_text(folder: Path) -> str | None:
    """The plan that a folder holds; None where there is none."""
    path = folder / PLAN_FILE
    return path.read_text() if path.is_file() else None


def shard_file(folder: Path, number: int) -> Path:
    """Where a shard is kept."""
    return folder / f"shard-{number:05d}.parquet"


def missing_shards(folder: Path, plan: UpsamplePlan) -> int:
    """How many shards are still to be made."""
    return sum(not shard_file(folder, number).is_file() for number in plan.shards)
