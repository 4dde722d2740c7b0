"""da-VAE's mask network, trained by itself.

ResNet-34 with a light decoder, binary cross-entropy; the true mask does not include the forearm.
`handvae train da-vae --system.mask RUN` uses the trained network. Details: docs/papers/da_vae.md.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec, Hands
from handvae.nets.blocks import Norm
from handvae.nets.mask import MaskNet, mask_loss, overlap
from handvae.nets.resnet import Stem
from handvae.noise import Noise
from handvae.systems.sheet import image_grid
from handvae.systems.system import Losses, Phase, Stage, System


@dataclass(frozen=True)
class MaskConfig:
    """Options of the mask network."""

    width: int = 64
    """Channels of the trunk's first layer."""
    stem: Stem = "quarter"
    """`half` leaves out the trunk's first pooling, for small pictures."""
    norm: Norm = "batch"
    """Normalisation."""

    def __post_init__(self) -> None:
        if not 8 <= self.width <= 1024:
            raise ValueError("width is 8 to 1024")


@dataclass(frozen=True)
class MaskLosses(Losses):
    """The cross-entropy of a pixel, nats."""

    overlap: Float[Tensor, ""]
    """Mean intersection over union."""


class MaskSystem(System):
    """The mask network and its training."""

    config: MaskConfig
    fields = ("image", "mask")
    sheet_rows = "pictures, predicted masks, true masks"

    def __init__(self, config: MaskConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        if "mask" not in spec.modalities:
            raise ValueError("every hand must have a mask; use data that has it, such as rendered hands")
        self.config, self.spec, self.crop = config, spec, crop
        self.net = MaskNet(crop.size_px, width=config.width, stem=config.stem, norm=config.norm)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (Stage("all", trains=("all",)),)

    @property
    def groups(self) -> dict[str, tuple[MaskNet, ...]]:
        """One optimiser."""
        return {"all": (self.net,)}

    def prepare(self, labels: Hands) -> None:
        """Do nothing: masks need no constants of the labels."""

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step."""
        image, mask = batch.require_all("image", "mask")
        logits = self.net(image)
        losses = MaskLosses(total=mask_loss(logits, mask), overlap=overlap(logits, mask).mean())
        yield Phase(losses, "all")

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Overlap with the true masks of training pictures."""
        overlaps = [overlap(self.net(batch.require("image")), batch.require("mask")) for batch in batches]
        return {"training_overlap": float(torch.cat(overlaps).mean())}

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """One column per hand; for the rows see `sheet_rows`."""
        image, mask = batch.require_all("image", "mask")
        rows = [image, self.net(image).sigmoid().expand_as(image), mask.expand_as(image)]
        return image_grid(rows)
