"""From a recipe to all options of a run."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from handvae.reproduction.table import Recipe
from handvae.training.presets import Preset, find_preset

COMPILES_FROM = 4000
"""Steps from which compiling pays: it saves a sixth of each step, and costs minutes once."""

SAVED_EVERY = 500
"""Steps between saves, at most: what a killed reproduction loses."""


def resolve(recipe: Recipe, seed: int, steps: int | None) -> Preset:
    """All options of one run.

    Args:
        recipe: the preset and its changes.
        seed: of weights, order, augmentation and sampling.
        steps: of the run; None for the preset's own length.
    """
    preset = find_preset(recipe.preset)
    train = replace(preset.train, **recipe.train, seed=seed)

    if steps is not None:
        train = replace(
            train,
            steps=steps,
            epochs=None,
            stop_at=None,
            warmup_steps=min(train.warmup_steps, steps // 5),
            compile=train.compile and steps >= COMPILES_FROM,
        )

    return replace(
        preset,
        system=_changed(preset.system, recipe.system),
        crop=replace(preset.crop, **recipe.crop),
        train=replace(train, save_every=min(train.save_every, SAVED_EVERY)),
    )


def _changed(options: Any, changes: Mapping[str, Any]) -> Any:
    """A dataclass of options with some changed; a nested mapping changes those of the field of its name."""
    values = {}
    for name, value in changes.items():
        nested = isinstance(value, Mapping)
        values[name] = _changed(getattr(options, name), value) if nested else value
    return replace(options, **values)
