"""`handvae data info`: what a data set holds, and a sheet of its hands with their joints drawn."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from handvae.apps.options import JsonOption, QuietOption, parse
from handvae.apps.output import output, result_text
from handvae.choices import PICTURE, Between
from handvae.errors import DataWarning, UserError


@dataclass(frozen=True)
class Info:
    """Show what a data set holds."""

    root: tyro.conf.Positional[Path]
    """Folder of a data set, in any layout of docs/data.md."""
    split: str | None = None
    """Only this split."""
    protocol: str | None = None
    """Which hands or which division, for data sets that have several."""
    out: Annotated[Path | None, PICTURE] = None
    """Write a sheet of hands with their joints drawn there (.png or .jpg)."""
    hands: Annotated[int, Between(1, 500)] = 24
    """Hands on the sheet."""
    json: JsonOption = False
    quiet: QuietOption = False

    def __post_init__(self) -> None:
        if not 1 <= self.hands <= 500:
            raise UserError("--hands", f"is {self.hands}", "give 1 to 500")


def main(arguments: Sequence[str]) -> None:
    """Parse, summarise, draw."""
    options = parse(Info, arguments, "handvae data info")

    from handvae.data.files.pictures import write_picture
    from handvae.data.left_out import partial
    from handvae.data.open import open_data, recognise
    from handvae.data.summary import summarise
    from handvae.inference.data_sheet import data_sheet

    with output(options.quiet, options.json, options.out) as result:
        # it looks at what is there, and prints among its notes what is missing
        with partial(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            data = open_data(options.root, options.split, options.protocol)
        layout = recognise(options.root)
        protocol = f"  protocol {options.protocol}" if options.protocol else ""
        print(f"{options.root}  layout {layout}  split {options.split or 'all'}{protocol}")

        lines = list(summarise(data))
        remarks = [("note", remark) for remark in data.remarks]
        with result_text():
            for label, text in [*(line[:2] for line in lines), *remarks]:
                print(f"{label:<16}{text}")

        result({"root": options.root, "layout": layout, "count": len(data)})
        result({**{line.key: line.value for line in lines}, "notes": list(data.remarks)})

        if options.out is not None:
            write_picture(options.out, data_sheet(data, options.hands))
            result({"sheet": options.out})
            print(f"{'sheet':<16}{options.out}")
