"""`handvae data convert`: a data set in another format."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from handvae.apps.options import parse
from handvae.apps.progress import counted
from handvae.data.export.formats import FormatName, check_spec, warning, write_data
from handvae.data.export.stream import samples_of
from handvae.data.open import open_data
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT


@dataclass(frozen=True)
class Convert:
    """Write a data set in another format; one warning line names what that format cannot hold."""

    source: tyro.conf.Positional[Path]
    """The data set."""
    out: tyro.conf.Positional[Path]
    """Folder to write."""
    format: FormatName = "coco"
    """Layout to write."""
    split: str | None = None
    """Only this split."""
    limit: int | None = None
    """At most so many hands, the first ones."""
    side: Literal["left", "right"] | None = None
    """Which hand it shows, for a data set that does not tell."""
    overwrite: bool = False
    """Replace the data set if it is there."""


def main(arguments: Sequence[str]) -> None:
    """Parse, check, convert."""
    options = parse(Convert, arguments, "handvae data convert")
    if options.limit is not None and options.limit < 1:
        raise UserError("--limit", f"is {options.limit}", "give at least 1")
    if options.source.resolve().is_relative_to(
        options.out.resolve()
    ):  # else --overwrite would remove what is read
        raise UserError(options.out, "is the data set itself, or holds it", "write to another folder")
    data = open_data(options.source, options.split)
    side = None if options.side is None else LEFT if options.side == "left" else RIGHT
    told = "side" in data.spec.modalities
    spec = data.spec if told or options.side is None else replace(data.spec, sides=options.side)
    check_spec(options.format, spec, options.source)
    lost = warning(options.format, spec)
    if lost:
        print(f"warning: {lost}", file=sys.stderr)
    rows = range(min(len(data), options.limit or len(data)))
    hands = counted(samples_of(data, rows, side, options.split or ""), "hands", len(rows))
    description = f"{spec.name}, converted by handvae; licence: {spec.licence or 'not known'}"
    written = write_data(options.out, options.format, spec, hands, description, options.overwrite)
    left_out = (
        f"; {written.left_out} left out: they lack joints that {options.format} needs"
        if written.left_out
        else ""
    )
    print(f"{written.count} hands as {options.format}: {options.out}{left_out}")
