"""Names of the first edition that saved files and command lines may still hold, and what they are called now.

This is the only place that knows them.
"""

from typing import Any

from handvae.data.files.first_edition import COLUMNS

SYSTEMS = {"judged": "perceptual_vae"}
"""Names of systems in a model's header."""

MODELS = {"judge-64": "critic-64"}
"""Shipped models."""

PRESETS = {"judge-64": "critic-64", "rendered-dvae-parts-64": "rendered-dvae-layers-64"}
"""Presets of `handvae train`."""

METRICS = {"parts": "latent_factors"}
"""Metrics of `handvae evaluate`."""

MODALITIES = COLUMNS
"""What a data set offers; columns of parquet shards too."""

CONFIG_FIELDS = {
    "da_vae": {"apart": "detach_across_factors", "found_weight": "detector_keypoint_weight"},
    "perceptual_vae": {"detector": "critic"},
}
"""Fields of a system's configuration."""

CONFIG_VALUES: dict[str, dict[str, dict[Any, Any]]] = {
    "dvae_image": {"content": {"own": "residual", "parts": "layers"}},
    "perceptual_vae": {"critic": MODELS},
}
"""Values of such a field."""


FIRST_EDITION_APPEARANCES = "looks"
"""The key of named appearances in their file, and the middle of that file's name."""


ENCODER_SYSTEMS = ("cm_vae", "da_vae")
"""Systems whose picture encoder was several fields, and is one now."""

TENSORS = {"finder.": "keypoint_backbone."}
"""Beginnings of tensors' names."""


def modernise_header(header: dict[str, Any]) -> dict[str, Any]:
    """A model's header with the names of this edition; a header of this edition stays as it is."""
    system = str(header.get("system", ""))
    system = SYSTEMS.get(system, system)

    spec = dict(header.get("spec", {}))
    if isinstance(spec.get("modalities"), list):
        spec["modalities"] = [MODALITIES.get(name, name) for name in spec["modalities"]]

    preset = header.get("preset", "")
    return header | {
        "system": system,
        "config": modernise_config(system, header.get("config", {})),
        "spec": spec,
        "preset": PRESETS.get(preset, preset),
    }


def modernise_run(system: str, options: dict[str, Any]) -> dict[str, Any]:
    """A run folder's options with the names of this edition.

    Args:
        system: this edition's name of the system.
        options: what `config.json` holds.
    """
    header = modernise_header(
        {
            "system": system,
            "config": options.get("system", {}),
            "spec": options.get("data", {}),
            "preset": options.get("preset", ""),
        }
    )

    return options | {"system": header["config"], "data": header["spec"], "preset": header["preset"]}


def modernise_config(system: str, config: dict[str, Any]) -> dict[str, Any]:
    """A system's configuration with the names of this edition.

    Args:
        system: this edition's name of the system.
        config: the configuration, of any edition.
    """
    fields = CONFIG_FIELDS.get(system, {})
    config = {fields.get(name, name): value for name, value in config.items()}
    for name, values in CONFIG_VALUES.get(system, {}).items():
        if isinstance(config.get(name), str):
            config[name] = values.get(config[name], config[name])

    if system in ENCODER_SYSTEMS and "encoder" not in config:
        config["encoder"] = _gather_encoder(config)

    return config


def _gather_encoder(config: dict[str, Any]) -> dict[str, Any]:
    """Take the fields of the picture encoder out of a configuration, and make the encoder from them."""
    names = {"trunk_width": "width", "stem": "stem"}
    resnet = {"kind": "resnet"} | {new: config.pop(old) for old, new in names.items() if old in config}

    detector = config.pop("finder", "")
    names = {"finder_widths": "widths", "detector_keypoint_weight": "keypoint_weight"}
    options = {new: config.pop(old) for old, new in names.items() if old in config}
    if not detector:
        return resnet
    return {"kind": "keypoints", "model": detector, "resnet": resnet} | options


def modernise_tensors(tensors: dict[str, Any]) -> dict[str, Any]:
    """Tensors by the names of this edition."""
    return {_tensor_name(name): value for name, value in tensors.items()}


def _tensor_name(name: str) -> str:
    for old, new in TENSORS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
