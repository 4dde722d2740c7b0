"""Named appearances of a model: `NAME.appearances.json`, a small file beside its `NAME.safetensors`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from handvae.errors import UserError
from handvae.files import file_digest, write_text_atomically
from handvae.noise import Noise
from handvae.training.checkpoint import Model
from handvae.training.first_edition import FIRST_EDITION_APPEARANCES

NAME = r"^[a-z][a-z0-9-]{0,63}$"


@dataclass(frozen=True)
class NamedAppearance:
    """An appearance that has a name."""

    appearance: Float[Tensor, " appearance"]
    about: str
    """Description of an image with it, as measured."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    about: str
    appearance: list[Annotated[float, Field(allow_inf_nan=False)]]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    weights: str
    """Hash of the weights that the numbers belong to."""
    appearances: dict[Annotated[str, Field(pattern=NAME)], _Entry] = Field(
        validation_alias=AliasChoices("appearances", FIRST_EDITION_APPEARANCES)
    )


def appearances_file(weights: Path) -> Path:
    """Path of a model file's named appearances."""
    path = weights.with_name(f"{weights.stem}.appearances.json")
    older = weights.with_name(f"{weights.stem}.{FIRST_EDITION_APPEARANCES}.json")
    return older if older.is_file() and not path.is_file() else path


def write_named_appearances(weights: Path, appearances: Mapping[str, NamedAppearance]) -> None:
    """Write the named appearances of a model file, in this order, whole or not at all."""
    entries = {}
    for name, named in appearances.items():
        values = [round(value, 4) for value in named.appearance.tolist()]
        entries[name] = {"about": named.about, "appearance": values}

    content = {"weights": _hash(weights), "appearances": entries}
    write_text_atomically(appearances_file(weights), json.dumps(content, indent=1) + "\n")


def read_named_appearances(model: Model) -> dict[str, NamedAppearance]:
    """The named appearances of a model; none where it has no such file.

    Raises:
        UserError: the file is damaged, or belongs to other weights.
    """
    path = appearances_file(model.path)
    if not path.is_file():
        return {}

    remedy = "delete the file, or make it again with runs/appearances.py"
    try:
        content = _File.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise UserError(path, "holds no named appearances", remedy) from error

    if content.weights != _hash(model.path):
        raise UserError(path, f"belongs to other weights than {model.path.name}", remedy)

    size = model.generator.random_appearance(1, Noise(0)).shape[1]
    appearances: dict[str, NamedAppearance] = {}
    for name, entry in content.appearances.items():
        if len(entry.appearance) != size:
            fault = f"{name} has {len(entry.appearance)} numbers, the model takes {size}"
            raise UserError(path, fault, remedy)
        appearances[name] = NamedAppearance(torch.tensor(entry.appearance), entry.about)

    return appearances


def _hash(path: Path) -> str:
    return file_digest(path)[:16]
