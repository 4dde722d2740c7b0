"""The options of `handvae render`, apart from the ranges of its scenes, whose modules are heavy."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from handvae.apps.options import JsonOption, QuietOption, Rare
from handvae.choices import PICTURE, Between, PlanName, Quality, Side
from handvae.errors import UserError


@dataclass(frozen=True)
class Options:
    """Draw hands from nothing but a seed: a data set of them with every label, or a sheet of one pose."""

    out: Path
    """Folder of the data set, or a .png file for a sheet."""
    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"]), Between(1, 10**8)] = None
    """Number of hands in the data set; 48 by default."""
    size: Annotated[int | None, Between(16, 1024)] = None
    """Side of the pictures in pixels; 64 in a data set, 192 on a sheet by default."""
    seed: Annotated[int | None, Between(0, 2**62)] = None
    """The same seed gives the same hands; on a sheet it draws another person."""
    test: Annotated[int, Between(0)] = 0
    """The last hands, this many, are the test split: other persons in other poses."""
    quality: Quality = "fast"
    """`fast` draws a baked mesh, `reference` traces the exact surface with four rays a pixel."""
    pose: str | None = None
    """Draw a sheet of this pose."""
    view: Annotated[int, Between(1, 360)] = 6
    """Views on a sheet, all round the hand."""
    side: Side = "right"
    """The hand on a sheet."""
    preset: Rare[PlanName | None] = None
    """A data set that has a name: its number of hands, seed, size and test split."""
    cloud: Rare[Annotated[int, Between(0, 10**5)]] = 256
    """Points of the visible surface that are kept with each picture."""
    shard: Rare[str] = "0/1"
    """i/n: write every n-th shard, beginning with number i."""
    workers: Rare[Annotated[int, Between(1, 1024)]] = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes; the pictures do not depend on it."""
    plan_only: Rare[bool] = False
    """Write the plan alone; the folder then opens as a data set whose hands are drawn when they are read."""
    json: JsonOption = False
    quiet: QuietOption = False


DATA_ONLY: Mapping[str, Any] = {
    "n": None,
    "preset": None,
    "test": 0,
    "cloud": 256,
    "shard": "0/1",
    "plan_only": False,
}
SHEET_ONLY: Mapping[str, Any] = {"view": 6, "side": "right"}
"""Options that the other kind of output has no use for, with their defaults."""


def check_kind(options: Options) -> None:
    """Refuse options of a data set for a sheet, and options of a sheet for a data set.

    Raises:
        UserError: one of them is given.
    """
    if options.pose is not None:
        useless, reason = DATA_ONLY, "is for a data set, and --pose draws a sheet"
    else:
        useless, reason = SHEET_ONLY, "is for a sheet, and no --pose is given"
        if options.out.suffix.lower() in PICTURE.allowed:
            fault = f"is called {options.out.suffix}, and a data set is a folder"
            raise UserError(options.out, fault, "give the name of a folder, or --pose for a sheet")

    values = vars(options)
    for name, default in useless.items():
        if values[name] != default:
            flag = "-n" if name == "n" else f"--{name.replace('_', '-')}"
            raise UserError(flag, reason, "leave it out")


def check_size(size: int) -> int:
    """The size in pixels, if it can be drawn.

    Raises:
        UserError: it cannot.
    """
    if not 16 <= size <= 1024:
        raise UserError("--size", f"is {size}", "give 16 to 1024 px")
    return size
