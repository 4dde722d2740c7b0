"""`handvae data convert`: a data set in another format."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from handvae.apps.options import JsonOption, QuietOption, parse
from handvae.apps.output import output
from handvae.apps.progress import counted
from handvae.choices import Between, Folder, FormatName, Side
from handvae.errors import UserError
from handvae.words import plural


@dataclass(frozen=True)
class Convert:
    """Write a data set in another format; a warning names what that format cannot hold.

    Pictures stay whole, and the hands of a picture stay together: COCO, mmpose, webdataset and YOLO pose
    write it once with all its hands, InterHand once for a left and a right hand, FreiHAND once for each
    hand; parquet repeats it in the row of each hand and keeps its name. `--crop` cuts every hand out instead.
    """

    source: tyro.conf.Positional[Path]
    """The data set."""
    out: tyro.conf.Positional[Annotated[Path, Folder()]]
    """Folder to write."""
    format: FormatName = "coco"
    """Layout to write."""
    split: str | None = None
    """Only this split."""
    protocol: str | None = None
    """Which hands, for a data set with several protocols; without it every hand of each picture."""
    crop: Annotated[int | None, Between(8, 2048)] = None
    """Cut each hand out as a square picture of this many pixels; without it pictures stay whole."""
    limit: Annotated[int | None, Between(1)] = None
    """Only the first hands, at most this many."""
    side: Side | None = None
    """Which hand it shows, for hands without that label; without it their side stays unknown."""
    overwrite: bool = False
    """Replace the data set if it exists."""
    json: JsonOption = False
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, check, convert."""
    options = parse(Convert, arguments, "handvae data convert")
    if options.limit is not None and options.limit < 1:
        raise UserError("--limit", f"is {options.limit}", "give at least 1")
    if options.crop is not None and not 8 <= options.crop <= 2048:
        raise UserError("--crop", f"is {options.crop}", "give 8 to 2048 px")
    from handvae.data.export.folder import check_free

    check_free(options.out, options.overwrite, (options.source,))

    with output(options.quiet, options.json, options.out) as result:
        result(_convert(options))


def _convert(options: Convert) -> dict[str, object]:
    """Write the data set; gives its counts."""
    from handvae.data.crop import Crop
    from handvae.data.export.crops import cut_out
    from handvae.data.export.formats import check_spec, warning, write_data
    from handvae.data.export.stream import samples_of
    from handvae.data.open import EVERY_HAND, open_data, recognise
    from handvae.hand import LEFT, RIGHT

    # What the new data set is told to hold
    protocol = options.protocol or EVERY_HAND.get(recognise(options.source))
    data = open_data(options.source, options.split, protocol)
    spec, side = data.spec, None

    if options.side is not None:
        side = LEFT if options.side == "left" else RIGHT
        if "side" not in spec.modalities:
            spec = replace(spec, sides=options.side, modalities=(*spec.modalities, "side"))

    check_spec(options.format, spec, options.source)
    lost = warning(options.format, spec)
    if lost:
        print(f"warning: {lost}", file=sys.stderr)

    rows = range(min(len(data), options.limit or len(data)))
    hands = samples_of(data, rows, side, options.split or "")
    if options.crop is not None:
        hands = cut_out(hands, Crop(options.crop))
    hands = counted(hands, "hands", len(rows))
    about = f"{spec.name}, converted by handvae; licence: {spec.licence or 'not known'}"
    written = write_data(
        options.out, options.format, spec, hands, about, options.overwrite, (options.source,)
    )

    for remark in written.remarks():
        print(f"warning: {remark}", file=sys.stderr)

    hands_written = plural(written.count, "hand")
    print(f"{hands_written} as {options.format}: {options.out}")
    return {"out": options.out, "hands": written.count, "left_out": written.left_out + written.sideless}
