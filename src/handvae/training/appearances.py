"""Named appearances of a model: a small JSON file beside its weights, `NAME.looks.json` beside
`NAME.safetensors`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from handvae.errors import UserError
from handvae.files import write_text_atomically
from handvae.noise import Noise
from handvae.training.checkpoint import Model

NAME = r"^[a-z][a-z0-9-]{0,63}$"


@dataclass(frozen=True)
class NamedLook:
    """An appearance that has a name."""

    appearance: Float[Tensor, " appearance"]
    about: str
    """What a picture with it looks like, as measured."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    about: str
    appearance: list[Annotated[float, Field(allow_inf_nan=False)]]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    weights: str
    """Hash of the weights that the numbers mean something to."""
    looks: dict[Annotated[str, Field(pattern=NAME)], _Entry]


def looks_file(weights: Path) -> Path:
    """Where the named appearances of a model file lie."""
    return weights.with_name(f"{weights.stem}.looks.json")


def write_looks(weights: Path, looks: Mapping[str, NamedLook]) -> None:
    """Write the named appearances of a model file, in this order, whole or not at all."""
    entries = {
        name: {"about": look.about, "appearance": [round(v, 4) for v in look.appearance.tolist()]}
        for name, look in looks.items()
    }
    content = {"weights": _hash(weights), "looks": entries}
    write_text_atomically(looks_file(weights), json.dumps(content, indent=1) + "\n")


def read_looks(model: Model) -> dict[str, NamedLook]:
    """The named appearances of a model; none where it has no such file.

    Raises:
        UserError: the file is damaged, or belongs to other weights.
    """
    path = looks_file(model.path)
    if not path.is_file():
        return {}
    remedy = "delete the file, or make it again with runs/looks.py"
    try:
        content = _File.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise UserError(path, "holds no named appearances", remedy) from error
    if content.weights != _hash(model.path):
        raise UserError(path, f"belongs to other weights than {model.path.name}", remedy)
    looks = {
        name: NamedLook(torch.tensor(entry.appearance), entry.about) for name, entry in content.looks.items()
    }
    wanted = model.generator.random_appearance(1, Noise(0)).shape[1]
    if wrong := [name for name, look in looks.items() if len(look.appearance) != wanted]:
        raise UserError(
            path,
            f"{wrong[0]} has {len(looks[wrong[0]].appearance)} numbers, the model takes {wanted}",
            remedy,
        )
    return looks


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
