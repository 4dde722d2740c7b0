"""`handvae poses`: the poses that have a name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from handvae.apps.options import GENERATOR, JsonOption, QuietOption, SeedOption, parse
from handvae.apps.output import output, result_text
from handvae.choices import PICTURE, POSE_NAMES


@dataclass(frozen=True)
class Options:
    """List the poses that have a name, for `synthesize --pose` and others."""

    sheet: Annotated[Path | None, PICTURE] = None
    """Also draw each pose there (.png or .jpg), as a skeleton and as a generated picture."""
    model: str = GENERATOR
    """For the sheet: a shipped model, a .safetensors file or a run folder."""
    seed: SeedOption = 0
    json: JsonOption = False
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, list, draw."""
    options = parse(Options, arguments, "handvae poses")

    with output(options.quiet, options.json, options.sheet) as result:
        result({"poses": list(POSE_NAMES)})
        with result_text():
            print("\n".join(POSE_NAMES))

        if options.sheet is not None:
            from handvae.data.files.pictures import write_picture
            from handvae.inference.model_sheets import poses_sheet
            from handvae.training.checkpoint import load_model

            model = load_model(options.model)
            write_picture(options.sheet, poses_sheet(model, options.seed))
            result({"sheet": options.sheet})
            print(f"sheet: {options.sheet}")
