"""Full scale on two cores: the papers' presets with narrow networks, on small sets in the true layouts."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from handvae.evaluation.features import Extractor
from handvae.training.presets import Preset, find_preset
from true_layouts import write_icvl, write_interhand, write_msra, write_nyu, write_rhd, write_stb

NARROW: dict[str, Any] = {
    "width": 16,
    "depth": 1,
    "heads": 2,
    "mlp_ratio": 1,
    "hidden": 16,
    "decoder_width": 16,
    "trunk_width": 16,
    "mask_width": 16,
    "head_width": 16,
    "groups": 2,
    "fold_width": 16,
    "grid": 5,
    "cloud_points": 16,
    "posterior_samples": 2,
}
"""Sizes of networks by the name of their option; all else is the preset's.

Not below 16 channels: the CPU convolutions of torch 2.13 crash in the backward pass of a ResNet of 8.
"""


def narrow(options: Any) -> Any:
    """The options of a system with narrow networks."""
    changes = {}
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in NARROW:
            changes[field.name] = NARROW[field.name]
        elif field.name in ("encoder_widths", "decoder_widths"):
            changes[field.name] = (16,) * len(value)
        elif is_dataclass(value):
            changes[field.name] = narrow(value)
    return replace(options, **changes)


def narrow_preset(name: str) -> Preset:
    """A preset with narrow networks and batches of four; crops, augmentation and objective stay."""
    preset = find_preset(name)
    train = replace(preset.train, batch=4, workers=1, compile=False)
    return replace(preset, system=narrow(preset.system), train=train)


class MeanColours(Extractor):
    """Stands in for Inception, whose weights are not shipped: the mean colours of a picture's quarters."""

    name, space, dim, size_px = "mean colours", "inception", 12, 2

    def __init__(self, weights: Path) -> None:
        assert weights.name == "inception.pth"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(images, 2).flatten(1)


@pytest.fixture(scope="session")
def paper_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each data set of the papers, small and in its true layout. Not to be changed."""
    root = tmp_path_factory.mktemp("papers")
    sets: dict[str, Callable[[Path], object]] = {
        "rhd": lambda path: write_rhd(path, 12),
        "stb": lambda path: write_stb(path, 4),
        "interhand": lambda path: write_interhand(path, more=22),
        "msra": write_msra,
        "nyu": lambda path: write_nyu(path, 6),
        "icvl": lambda path: write_icvl(path, 6),
    }
    for name, write in sets.items():
        (root / name).mkdir()
        write(root / name)
    return root


@pytest.fixture(scope="session")
def narrow_networks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handvae.reproduction.recipe.find_preset", narrow_preset)
        patch.setattr("handvae.reproduction.build.InceptionFeatures", MeanColours)
        yield
