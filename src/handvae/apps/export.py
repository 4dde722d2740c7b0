"""`handvae export MODEL`: a model as files that other programs run, without this package."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from handvae import __version__
from handvae.apps.export_graphs import Part, Target, need_onnx, parts_of, write_graph
from handvae.apps.options import parse
from handvae.data.export.folder import check_free, complete_folder
from handvae.errors import UserError
from handvae.files import write_text_atomically
from handvae.hand import JOINT_NAMES
from handvae.noise import Noise
from handvae.systems.system import Generator
from handvae.training.appearances import read_named_appearances
from handvae.training.checkpoint import Model, load_model

ABOUT = "export.json"
"""Says what the files take and give."""
DRAWN = 64
"""Random appearances that are written down."""


@dataclass(frozen=True)
class Options:
    """Write what a model does as ONNX or PyTorch files, a file for each thing, and compare their answers with
    the model's.

    export.json says what they take and give, in which units, and holds appearances to make pictures with. See
    docs/export.md.
    """

    model: tyro.conf.Positional[str]
    """A shipped model, a .safetensors file or a run folder."""
    to: Target = "onnx"
    """`onnx`, for ONNX Runtime and others (needs the extra `export`); `pt2`, for torch.export.load."""
    out: Path | None = None
    """Folder to write; out/export/MODEL unless given."""
    batch: int = 1
    """Hands at once; the files take exactly so many."""
    overwrite: bool = False
    """Replace the folder if it holds an export."""


def main(arguments: Sequence[str]) -> None:
    """Parse, check, write, compare."""
    options = parse(Options, arguments, "handvae export")
    if not 1 <= options.batch <= 4096:
        raise UserError("--batch", f"is {options.batch}", "give 1 to 4096")
    if options.to == "onnx":
        need_onnx()
    model = load_model(options.model)
    parts, others = (parts_of(model.reader, options.batch, seed) for seed in (0, 1))
    out = options.out or Path("out/export") / _short_name(model.path.resolve())
    check_free(out, (ABOUT,), options.overwrite)
    apart: dict[str, float] = {}
    with complete_folder(out, (ABOUT,), options.overwrite) as folder:
        for part, other in zip(parts, others, strict=True):
            apart[part.name] = write_graph(
                part, options.to, folder / f"{part.name}.{options.to}", other.example
            )
            print(
                f"{out / part.name}.{options.to}: at most {apart[part.name]:.1g} from the model's answers",
                flush=True,
            )
        about = describe(model, parts, options.to, apart)
        write_text_atomically(folder / ABOUT, json.dumps(about, indent=1) + "\n")
    print(f"what they take and give: {out / ABOUT}")


def _short_name(path: Path) -> str:
    """A model file's name; in a run folder, where all are called alike, the folder's."""
    return path.parent.name if path.name == "model.safetensors" else path.stem


def describe(model: Model, parts: Sequence[Part], to: Target, apart: dict[str, float]) -> dict[str, Any]:
    """What a user of the files has to know."""
    system = model.reader
    joints = JOINT_NAMES if system.spec.joints == len(JOINT_NAMES) else system.spec.joint_names
    about: dict[str, Any] = {
        "handvae": __version__,
        "model": model.name,
        "system": model.header.system,
        "crop": asdict(system.crop),
        "sides": system.spec.sides,
        "joint_names": joints,
        "spread_calibrated_on": {name: scale.fitted_on for name, scale in system.spread_scales.items()},
        "files": {
            f"{part.name}.{to}": _ports(part) | {"largest_difference": apart[part.name]} for part in parts
        },
    }
    if isinstance(system, Generator):
        drawn = system.random_appearance(DRAWN, Noise(0), "aggregate")
        about["appearances"] = {
            name: appearance.appearance.tolist() for name, appearance in read_named_appearances(model).items()
        }
        about["random_appearances"] = drawn.tolist()
    return about


def _ports(part: Part) -> dict[str, Any]:
    taken = {
        name: {"shape": list(value.shape), "type": str(value.dtype).removeprefix("torch."), "is": said}
        for name, (value, said) in part.inputs.items()
    }
    return {"inputs": taken, "outputs": dict(part.outputs)}
