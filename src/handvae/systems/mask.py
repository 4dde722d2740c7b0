"""Hand masks from pictures: the network that da-VAE takes its pictures through, trained by itself.

ResNet-34 with a light way back up; binary cross-entropy of the true mask, the forearm not included. `handvae
train ... --system.mask RUN`
hands it to da-VAE. Details: docs/papers/da_vae.md.
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
from handvae.systems.system import Losses, Phase, Stage, System


@dataclass(frozen=True)
class MaskConfig:
    """Every choice of the mask network."""

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
    """The cross-entropy is all there is to minimise."""

    overlap: Float[Tensor, ""]
    """Mean intersection over union."""


class MaskSystem(System):
    """A mask network with its training."""

    config: MaskConfig
    fields = ("image", "mask")
    sheet_rows = "pictures, masks found, true masks"

    def __init__(self, config: MaskConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        if "mask" not in spec.modalities:
            raise ValueError("every hand must have a mask; use data that has it, such as rendered hands")
        self.config, self.spec, self.crop = config, spec, crop
        self.net = MaskNet(crop.size_px, width=config.width, stem=config.stem, norm=config.norm)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One."""
        return (Stage("all", trains=("all",)),)

    @property
    def groups(self) -> dict[str, tuple[MaskNet, ...]]:
        """One."""
        return {"all": (self.net,)}

    def prepare(self, labels: Hands) -> None:
        """Nothing is taken from the labels."""

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step."""
        image, mask = batch.require_all("image", "mask")
        logits = self.net(image)
        yield Phase(MaskLosses(mask_loss(logits, mask), overlap(logits, mask).mean()), "all")

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Overlap with the true masks of training pictures; nothing is kept."""
        overlaps = [overlap(self.net(batch.require("image")), batch.require("mask")) for batch in batches]
        return {"training_overlap": float(torch.cat(overlaps).mean())}

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a hand a column."""
        image, mask = batch.require_all("image", "mask")
        rows = [image, self.net(image).sigmoid().expand_as(image), mask.expand_as(image)]
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
