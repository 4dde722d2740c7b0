"""`handvae data convert`: a data set in another format."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from handvae.apps.options import JsonOption, QuietOption, parse
from handvae.apps.output import output
from handvae.apps.progress import counted
from handvae.choices import FormatName, Side
from handvae.errors import UserError


@dataclass(frozen=True)
class Convert:
    """Write a data set in another format; a warning names what that format cannot hold."""

    source: tyro.conf.Positional[Path]
    """The data set."""
    out: tyro.conf.Positional[Path]
    """Folder to write."""
    format: FormatName = "coco"
    """Layout to write."""
    split: str | None = None
    """Only this split."""
    limit: int | None = None
    """Only the first hands, at most this many."""
    side: Side | None = None
    """Which hand it shows, for a data set without that label."""
    overwrite: bool = False
    """Replace the data set if it exists."""
    json: JsonOption = False
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, check, convert."""
    options = parse(Convert, arguments, "handvae data convert")
    if options.limit is not None and options.limit < 1:
        raise UserError("--limit", f"is {options.limit}", "give at least 1")
    # --overwrite would remove what is read
    if options.source.resolve().is_relative_to(options.out.resolve()):
        raise UserError(options.out, "is the data set itself, or holds it", "write to another folder")

    with output(options.quiet, options.json) as result:
        result(_convert(options))


def _convert(options: Convert) -> dict[str, object]:
    """Write the data set; gives its counts."""
    from handvae.data.export.formats import check_spec, warning, write_data
    from handvae.data.export.stream import samples_of
    from handvae.data.open import open_data
    from handvae.hand import LEFT, RIGHT

    # What the new data set is told to hold
    data = open_data(options.source, options.split)
    spec, side = data.spec, None

    if options.side is not None:
        side = LEFT if options.side == "left" else RIGHT
        if "side" not in spec.modalities:
            spec = replace(spec, sides=options.side)

    check_spec(options.format, spec, options.source)
    lost = warning(options.format, spec)
    if lost:
        print(f"warning: {lost}", file=sys.stderr)

    rows = range(min(len(data), options.limit or len(data)))
    hands = counted(samples_of(data, rows, side, options.split or ""), "hands", len(rows))
    about = f"{spec.name}, converted by handvae; licence: {spec.licence or 'not known'}"
    written = write_data(options.out, options.format, spec, hands, about, options.overwrite)

    left_out = ""
    if written.left_out:
        left_out = f"; {written.left_out} left out: they lack joints that {options.format} needs"

    print(f"{written.count} hands as {options.format}: {options.out}{left_out}")
    return {"out": options.out, "hands": written.count, "left_out": written.left_out}
