"""`handvae export MODEL`: a model as files that other programs run, without this package."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from handvae.apps.options import JsonOption, QuietOption, parse
from handvae.apps.output import output
from handvae.choices import Between, ExportTarget, Folder
from handvae.errors import UserError

ABOUT = "export.json"
"""Says what the files take and give."""


@dataclass(frozen=True)
class Options:
    """Write what a model does as ONNX or PyTorch files, and compare their answers with the model's.

    Each thing that the model does is a file. export.json says what they take and give, in which units, and
    holds appearances to make pictures with. See docs/export.md.
    """

    model: tyro.conf.Positional[str]
    """A shipped model, a .safetensors file or a run folder."""
    to: ExportTarget = "onnx"
    """`onnx` is for ONNX Runtime and others (needs the extra `export`), `pt2` for torch.export.load."""
    out: Annotated[Path | None, Folder()] = None
    """Folder to write; out/export/MODEL by default."""
    batch: Annotated[int, Between(1, 4096)] = 1
    """Hands in a call; the files take exactly this many."""
    overwrite: bool = False
    """Replace the folder if it holds an export."""
    json: JsonOption = False
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, check, write, compare."""
    options = parse(Options, arguments, "handvae export")
    if not 1 <= options.batch <= 4096:
        raise UserError("--batch", f"is {options.batch}", "give 1 to 4096")

    with output(options.quiet, options.json, options.out) as result:
        result(_export(options))


def _export(options: Options) -> dict[str, object]:
    """Write the files; gives the folder and how far each file's answers lie from the model's."""
    from handvae.data.export.folder import check_free, complete_folder
    from handvae.files import write_text_atomically
    from handvae.inference.export import describe, parts_of, require_onnx, write_graph
    from handvae.training.checkpoint import load_model

    if options.to == "onnx":
        require_onnx()

    model = load_model(options.model)
    out = options.out or Path("out/export") / _short_name(model.path.resolve())
    check_free(out, options.overwrite)

    # Files are compared on other inputs than those they were traced with
    parts = parts_of(model.system, options.batch, seed=0)
    others = parts_of(model.system, options.batch, seed=1)
    differences: dict[str, float] = {}

    with complete_folder(out, options.overwrite) as folder:
        for part, other in zip(parts, others, strict=True):
            name = f"{part.name}.{options.to}"
            difference = write_graph(part, options.to, folder / name, other.example)
            differences[part.name] = difference
            print(f"{out / name}: differs from the model by at most {difference:.1g}", flush=True)
        about = describe(model, parts, options.to, differences)
        write_text_atomically(folder / ABOUT, json.dumps(about, indent=1) + "\n")

    print(f"what they take and give: {out / ABOUT}")
    return {"out": out, "about": out / ABOUT, "largest_difference": differences}


def _short_name(path: Path) -> str:
    """A model file's name; in a run folder, where all have the same, the folder's."""
    return path.parent.name if path.name == "model.safetensors" else path.stem
