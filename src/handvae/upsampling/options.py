"""What an upsampling is asked for; nothing here imports torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from handvae.choices import Between, Folder, FormatName, PoseKind, Schedule


@dataclass(frozen=True)
class UpsamplingOptions:
    """More labelled pictures of a set: its poses with other appearances, each checked by a detector.

    Stop it and run it again at any time. Several jobs may share the work: `--shard 0/4` to `3/4`, then once
    without `--shard`, which puts the set together. Poses and appearances come only from the chosen split.
    """

    dataset: Path
    """The data set."""
    out: Annotated[Path, Folder()]
    """Folder to write; unfinished work is kept next to it, in OUT.shards."""
    times: Annotated[int, Between(1, 10**6)] = 1
    """New pictures for each hand of the split whose joints are all labelled."""
    model: str = "photos-128"
    """Makes the pictures: a shipped model, a .safetensors file or a run folder."""
    format: FormatName = "coco"
    """Layout of the folder."""
    poses: tuple[PoseKind, ...] = ("same",)
    """The set's own poses, perturbed ones, or ones between near neighbours. Several: the copies of the set
    take them in turn."""
    appearance: str = "random"
    """`random`; `dataset` (of another hand of the split, another person's where people are known); a named
    appearance of the model; a photo; or a folder of photos (their mean)."""
    detector: str = "detector-64"
    """The model that checks the pictures; not the one that makes them."""
    detector_command: str | None = None
    """A program that checks them instead: called with a folder of PNG files, it prints JSON, for each file's
    name 21 pairs [x, y] in px, or null."""
    max_error: float = 0.08
    """Drop a picture whose detected joints have a larger mean error, as a share of hand size."""
    split: str | None = "train"
    """The split to upsample; None for a set without splits."""
    limit: Annotated[int | None, Between(1)] = None
    """Make at most this many pictures, for a quick look."""
    shard: str = "0/1"
    """i/n: make only every n-th shard, beginning with number i."""
    include_real: bool = False
    """Also write the real pictures of the split, after the new ones."""
    downstream: Annotated[int, Between(0, 100)] = 0
    """Also train the small detector with and without the new pictures, with this many seeds, and test it on
    split test; takes minutes."""
    downstream_steps: Annotated[int, Between(10, 10**7)] = 1500
    """Steps of each of those trainings."""
    schedule: Schedule = "mix"
    """How to train on both, in these trainings and in the printed commands: mixed, or mixed first and then on
    the real pictures alone."""
    seed: Annotated[int, Between(0, 2**62)] = 0
    """Same seed, same bytes."""
    overwrite: bool = False
    """Replace the data set if it exists."""
