"""Labelled pictures of hands, and hands read from pictures, with disentangled variational autoencoders.

The public functions load on first use, so that `import handvae` takes milliseconds and no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handvae.errors import ArgumentError, UserError
    from handvae.inference.depth_input import DepthFormat
    from handvae.inference.estimate import estimate
    from handvae.inference.model_cards import ModelCard, models
    from handvae.inference.named_poses import NamedPose, poses
    from handvae.inference.networks import load_model
    from handvae.inference.result import FittedHand, Hand, LabelledPicture
    from handvae.inference.samples import sample_photos
    from handvae.inference.synthesize import synthesize
    from handvae.inference.transfer import transfer

__version__ = "0.2.0"

__all__ = [
    "ArgumentError",
    "DepthFormat",
    "FittedHand",
    "Hand",
    "LabelledPicture",
    "ModelCard",
    "NamedPose",
    "UserError",
    "__version__",
    "estimate",
    "load_model",
    "models",
    "poses",
    "sample_photos",
    "synthesize",
    "transfer",
]

_HOMES = {
    "ArgumentError": "handvae.errors",
    "DepthFormat": "handvae.inference.depth_input",
    "FittedHand": "handvae.inference.result",
    "Hand": "handvae.inference.result",
    "LabelledPicture": "handvae.inference.result",
    "ModelCard": "handvae.inference.model_cards",
    "NamedPose": "handvae.inference.named_poses",
    "UserError": "handvae.errors",
    "estimate": "handvae.inference.estimate",
    "load_model": "handvae.inference.networks",
    "models": "handvae.inference.model_cards",
    "poses": "handvae.inference.named_poses",
    "sample_photos": "handvae.inference.samples",
    "synthesize": "handvae.inference.synthesize",
    "transfer": "handvae.inference.transfer",
}
"""The module that defines each public name."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'handvae' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next access finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
