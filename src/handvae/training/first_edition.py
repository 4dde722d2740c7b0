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


def modernise_header(header: dict[str, Any]) -> dict[str, Any]:
    """A model's header with the names of this edition; a header of this edition stays as it is."""
    system = str(header.get("system", ""))
    system = SYSTEMS.get(system, system)
    fields, values = CONFIG_FIELDS.get(system, {}), CONFIG_VALUES.get(system, {})

    config = {fields.get(name, name): value for name, value in header.get("config", {}).items()}
    for name, known in values.items():
        if isinstance(config.get(name), str):
            config[name] = known.get(config[name], config[name])

    spec = dict(header.get("spec", {}))
    if isinstance(spec.get("modalities"), list):
        spec["modalities"] = [MODALITIES.get(name, name) for name in spec["modalities"]]

    return header | {
        "system": system,
        "config": config,
        "spec": spec,
        "preset": PRESETS.get(header.get("preset", ""), header.get("preset", "")),
    }
