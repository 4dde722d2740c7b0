"""Networks whose features pictures are compared in, and features of real pictures kept on disk."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from handvae.errors import UserError
from handvae.evaluation.inception import DIM, HASH, SIDE_PX, load_inception
from handvae.files import file_digest, write_atomically
from handvae.systems.detector import Detector
from handvae.systems.pose_appearance import PoseAppearanceVae
from handvae.systems.system import System
from handvae.training.checkpoint import load_model

SHIPPED = "detector-64"
"""Model whose trunk gives `fd_hand` its features."""


class Extractor(ABC):
    """A space in which sets of pictures are compared."""

    name: str
    """Network, weights and resizing: all that a distance depends on."""
    space: str
    """Short name of the space: `inception` or `hand`."""
    dim: int
    size_px: int
    """Side that pictures are resized to."""

    def described(self, system: System) -> str:
        """The name, and whether the measured system was trained to be near in this space."""
        return self.name

    @property
    def distances(self) -> tuple[str, str]:
        """What the Frechet and the kernel distance in this space are called: `fid` and `kid` in Inception's,
        and in no other."""
        return ("fid", "kid") if self.space == "inception" else (f"fd_{self.space}", f"kd_{self.space}")

    @abstractmethod
    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch feature"]:
        """Features of pictures in [0, 1]."""


class InceptionFeatures(Extractor):
    """Inception-v3 in the FID's variant.

    Args:
        weights: one of the two common files.

    Raises:
        UserError: the file is missing or not one of them.
    """

    name = f"Inception-v3 2015-12-05 ({HASH}), 8-bit pictures, TensorFlow 1's bilinear resize to {SIDE_PX} px"
    space = "inception"
    dim, size_px = DIM, SIDE_PX

    def __init__(self, weights: Path) -> None:
        self._network = load_inception(weights)

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch feature"]:
        """2048 features."""
        return self._network(images)


class HandFeatures(Extractor):
    """The pooled last feature maps of a network that reads hands; its distances are never called FID.

    Args:
        model: a shipped model's name, a file or a run folder.

    Raises:
        UserError: there is no such model, or it has no trunk that reads pictures.
    """

    space = "hand"

    def __init__(self, model: str | Path = SHIPPED) -> None:
        loaded = load_model(model)
        if not isinstance(loaded.system, Detector | PoseAppearanceVae):
            raise UserError(
                model,
                f"is a {loaded.header.system}, whose features are no such space",
                "give a detector or a srv_vae",
            )

        self._system, self._model = loaded.system, loaded.name
        self.dim, self.size_px = loaded.system.feature_dims, loaded.system.crop.size_px
        digest = file_digest(loaded.path)[:8]
        self.name = (
            f"trunk of {loaded.path.stem} ({digest}), mean over places, "
            f"antialiased bilinear resize to {self.size_px} px"
        )

    def described(self, system: System) -> str:
        """The name, and whether the measured system was trained to be near in this space."""
        return self.name + (
            ", which the measured model was trained against" if self._model in system.teachers else ""
        )

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch feature"]:
        """As many features as the trunk's last stage has channels."""
        if images.shape[2:] != (self.size_px, self.size_px):
            images = F.interpolate(
                images, (self.size_px, self.size_px), mode="bilinear", antialias=True, align_corners=False
            )
        return self._system.features(images)


def features_of(
    pictures: Iterable[Float[Tensor, "batch 3 height width"]], extractor: Extractor
) -> Float[Tensor, "n feature"]:
    """Features of all pictures, float32."""
    return torch.cat([extractor(batch).float() for batch in pictures])


def kept_features(
    pictures: Iterable[Float[Tensor, "batch 3 height width"]], extractor: Extractor, folder: Path | None
) -> Float[Tensor, "n feature"]:
    """Features of real pictures, read from `folder` where these pictures were seen by this extractor before,
    else computed and kept there.

    The file's name is a hash of the pictures' 8-bit values, of their shapes and of the extractor's name:
    there is no way to
    read features of other pictures.

    Args:
        pictures: batches in [0, 1]; gone through twice, so a list or a class with `__iter__`, not a
            generator.
        extractor: whose features.
        folder: where files are kept; None keeps none.

    Raises:
        UserError: the kept file is damaged.
    """
    if folder is None:
        return features_of(pictures, extractor)

    path = folder / f"features-{_digest(pictures, extractor.name)}.safetensors"
    if path.is_file():
        try:
            with safe_open(path, "pt") as file:
                return file.get_tensor("features")
        except SafetensorError as error:
            raise UserError(
                path, f"kept features are damaged ({error})", "delete the file; it will be made again"
            ) from error

    features = features_of(pictures, extractor)
    write_atomically(
        path,
        lambda beside: save_file(
            {"features": features.contiguous()}, beside, metadata={"extractor": extractor.name}
        ),
    )

    return features


def cache_folder() -> Path:
    """Where features are kept unless the user says otherwise: `handvae` below $XDG_CACHE_HOME, or below
    ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "handvae"


def _digest(pictures: Iterable[Tensor], name: str) -> str:
    found = hashlib.sha256(name.encode())
    for batch in pictures:
        for picture in (batch * 255).round().to(torch.uint8):
            found.update(str(tuple(picture.shape)).encode())
            found.update(picture.contiguous().numpy().tobytes())
    return found.hexdigest()[:32]
