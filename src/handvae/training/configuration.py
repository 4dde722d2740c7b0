"""The whole configuration of a run as one JSON file, and read back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from handvae.data.augment import Augment
from handvae.data.crop import Crop
from handvae.data.open import DataOptions
from handvae.errors import UserError
from handvae.systems.build import SystemConfig
from handvae.training.config import Train
from handvae.training.presets import find_preset

Part = TypeVar("Part")

REQUIRED = Path("REQUIRED")
"""Stands for a folder that nobody has given yet; null in JSON."""

_REMEDY = "correct it; handvae train PRESET --print-config shows what there is"


@dataclass(frozen=True)
class Configuration:
    """What decides the weights that a run ends with."""

    preset: str
    system: SystemConfig
    crop: Crop
    augment: Augment
    train: Train
    data: DataOptions
    init: str | None
    """The model whose weights the run starts from."""


def of_preset(name: str) -> Configuration:
    """A preset's configuration, whose data are not known yet.

    Raises:
        UserError: there is no such preset.
    """
    preset = find_preset(name)
    data = DataOptions(REQUIRED)
    return Configuration(name, preset.system, preset.crop, preset.augment, preset.train, data, None)


def to_json(configuration: Configuration) -> str:
    """The configuration as `read_configuration` takes it."""
    content = asdict(configuration)
    if configuration.data.root == REQUIRED:
        content["data"]["root"] = None
    return json.dumps(content, indent=2, default=str)


def read_configuration(path: Path, name: str) -> Configuration:
    """The configuration in a file; what it leaves out is the preset's.

    Args:
        path: JSON, as `to_json` writes it.
        name: the preset.

    Raises:
        UserError: the file cannot be read, is of another preset, or has a field that is unknown or of another
            type; names the file, the field and the remedy.
    """
    preset = of_preset(name)
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no JSON"
        raise UserError(path, f"cannot be read: {reason}", "give a file that --print-config wrote") from error

    known = [field.name for field in fields(Configuration)]
    if not isinstance(content, dict):
        raise UserError(path, "is no JSON object", _REMEDY)
    if unknown := sorted(content.keys() - set(known)):
        raise UserError(path, f"{unknown[0]}: unknown field", f"use {', '.join(known)}")
    if content.get("preset", name) != name:
        raise UserError(path, f"preset: is {content['preset']!r}, not {name!r}", "name the file's preset")

    init = content.get("init", preset.init)
    if not isinstance(init, str | None):
        raise UserError(path, "init: is no text", _REMEDY)

    return Configuration(
        preset=name,
        system=_part(path, "system", preset.system, content),
        crop=_part(path, "crop", preset.crop, content),
        augment=_part(path, "augment", preset.augment, content),
        train=_part(path, "train", preset.train, content),
        data=_part(path, "data", preset.data, content),
        init=init,
    )


def _part(path: Path, name: str, default: Part, content: Mapping[str, Any]) -> Part:
    """One dataclass of the configuration: the default's fields, replaced by those of the file."""
    values = content.get(name, {})
    if not isinstance(values, dict):
        raise UserError(path, f"{name}: is no JSON object", _REMEDY)

    before: dict[str, Any] = asdict(default)  # pyright: ignore[reportArgumentType]
    if unknown := sorted(values.keys() - before.keys()):
        raise UserError(path, f"{name}.{unknown[0]}: unknown field", _REMEDY)
    if name == "data" and values.get("root") is None:
        values = {key: value for key, value in values.items() if key != "root"}

    # Strict JSON: a list may become a tuple and a text a path, but no text becomes a number
    text = json.dumps(before | values, default=str)
    try:
        return TypeAdapter(type(default)).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(step) for step in (name, *first["loc"]))
        message = " ".join(first["msg"].removeprefix("Value error, ").split())
        raise UserError(path, f"{field}: {message}", _REMEDY) from error
