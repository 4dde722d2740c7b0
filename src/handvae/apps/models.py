"""`handvae models`: the shipped models, as a table and as a sheet of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from handvae.apps.options import GENERATOR, JsonOption, QuietOption, SeedOption, parse
from handvae.apps.output import output, result_text
from handvae.choices import PICTURE

if TYPE_CHECKING:
    from handvae.inference.model_cards import ModelCard


@dataclass(frozen=True)
class Options:
    """List the shipped models: what each reads and makes, its size, its licence, its error."""

    sheet: Annotated[Path | None, PICTURE] = None
    """Also draw what each model makes or reads there (.png or .jpg)."""
    seed: SeedOption = 0
    json: JsonOption = False
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, list, draw."""
    options = parse(Options, arguments, "handvae models")

    from dataclasses import asdict

    from handvae.inference import model_cards

    with output(options.quiet, options.json, options.sheet) as result:
        rows = model_cards.models()
        result({"models": [asdict(row) for row in rows]})
        with result_text():
            print(table(rows))

        if options.sheet is not None:
            from handvae.data.files.pictures import write_picture
            from handvae.inference.model_sheets import models_sheet
            from handvae.training.checkpoint import load_model

            models = [load_model(row.name) for row in rows]
            write_picture(options.sheet, models_sheet(models, load_model(GENERATOR), options.seed))
            result({"sheet": options.sheet})
            print(f"sheet: {options.sheet}")


def table(rows: Sequence["ModelCard"]) -> str:
    """The models as text in aligned columns."""
    head = ("model", "reads", "makes", "MB", "px", "licence", "joint error at home", "on foreign photos")
    cells: list[tuple[str, ...]] = [head]
    for row in rows:
        numbers = (f"{row.size_mb:.1f}", str(row.pixels))
        errors = (row.error_at_home, row.error_on_foreign_photos)
        cells.append((row.name, row.reads, row.makes, *numbers, row.licence, *errors))
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(line.rstrip() for line in lines)
