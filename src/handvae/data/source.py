"""From what a user names to a reader."""

from dataclasses import dataclass
from pathlib import Path

from handvae.data.coco import CocoHands
from handvae.data.reader import HandData
from handvae.data.shard_hands import ShardHands


@dataclass(frozen=True)
class Source:
    """A data set on disk."""

    root: Path
    """Folder with annotations.json and the pictures it names (COCO keypoints)."""
    split: str | None = "train"
    """Only pictures whose `split` field is this; None for all."""
    also: tuple[Path, ...] = ()
    """Further data sets to mix in."""
    also_split: str | None = "train"
    """Split of the further data sets."""
    shares: tuple[float, ...] = ()
    """Share of each data set in training, in any unit, the root's first; without them every hand counts once."""


def open_data(root: Path, split: str | None = None) -> HandData:
    """The reader for a folder: parquet shards, else COCO keypoints.

    Raises:
        UserError: it is not there, or its labels have a fault.
    """
    if root.suffix == ".parquet" or (root.is_dir() and any(root.glob("*.parquet"))):
        return ShardHands(root, split)
    return CocoHands(root, split)
