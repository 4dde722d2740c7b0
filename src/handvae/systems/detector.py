"""Joints read from a crop by a small convolutional network: the judge of pictures, and a second reader beside
the generators.

Ours; integral regression after Sun et al., "Integral Human Pose Regression", ECCV 2018. The objective is that
of `joint_reader`.
The last feature maps, averaged over the picture, are what Frechet distances are taken in (`features`).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec
from handvae.nets.blocks import MAX_WIDTH, Norm, halved
from handvae.nets.encoder import GaussianHead, HeatmapHead, Trunk
from handvae.rv import RandomVariable
from handvae.systems.keypoint_regression import KeypointRegressionConfig, KeypointRegressor
from handvae.systems.system import PerceptualCritic


@dataclass(frozen=True)
class DetectorConfig(KeypointRegressionConfig):
    """Every choice of the detector."""

    head: Literal["heatmap", "linear"] = "heatmap"
    """Joints as the mean of heat maps (2D), or by linear layers from the flattened features."""
    heatmap_levels: int = 2
    """Doublings between the trunk's last features and the heat maps."""
    widths: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of the trunk's stages, each of half the size of the one before; the last is the size of
    `features`."""
    refine: bool = True
    """An extra 3 x 3 convolution in all stages but the first and the last."""
    hidden: int = 256
    """Width of a layer before the linear head; 0 for none."""
    norm: Norm = "batch"
    """Normalisation."""

    def __post_init__(self) -> None:
        if self.pose == "3d" and self.head == "heatmap":
            raise ValueError("heat maps find 2D joints: use pose='2d', or head='linear'")
        if (
            not self.widths
            or not all(1 <= width <= MAX_WIDTH for width in self.widths)
            or not 0 <= self.hidden <= MAX_WIDTH
        ):
            raise ValueError(f"widths holds numbers from 1 to {MAX_WIDTH}, hidden is 0 to {MAX_WIDTH}")
        if self.head == "heatmap" and not 0 <= self.heatmap_levels < len(self.widths):
            raise ValueError(
                f"heatmap_levels is 0 to {len(self.widths) - 1}, one less than the trunk's stages"
            )


class Detector(KeypointRegressor[DetectorConfig], PerceptualCritic):
    """A strided trunk and a head."""

    def __init__(self, config: DetectorConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__(config, spec, crop)
        smallest = halved(crop.size_px, len(config.widths))
        outputs = spec.joints * config.axes
        self.trunk = Trunk(config.widths, kernel=4, refine=config.refine, norm=config.norm, slope=0.0)
        self.head: HeatmapHead | GaussianHead
        if config.head == "heatmap":
            self.head = HeatmapHead(
                config.widths, spec.joints, levels=config.heatmap_levels, norm=config.norm, slope=0.0
            )
            # a heat map is as wide as its grid is coarse: its variance is right up to a factor, which is
            # learned
            self.log_factor = nn.Linear(config.widths[-1], outputs)
            nn.init.zeros_(self.log_factor.weight)
            nn.init.zeros_(self.log_factor.bias)
        else:
            self.head = GaussianHead(
                config.widths[-1] * smallest**2, outputs, hidden=config.hidden, slope=0.0
            )

    # ---------------------------------------------------------------- network

    def maps(self, image: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Feature maps of every stage of pictures in [0, 1], the finest first."""
        return self.trunk(image * 2 - 1)

    def read(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """Joints (batch, joint, axis) of pictures in [0, 1], as mean and variance."""
        apart = self.config.spread_apart
        maps = self.maps(image)
        if isinstance(self.head, HeatmapHead):
            found, pooled = self.head(maps), maps[-1].mean((2, 3))
            width = found.var_or_zeros()
            factor = self.log_factor(pooled.detach() if apart else pooled).float().clamp(-10, 10).exp()
            found = RandomVariable(found.mean, (width.detach() if apart else width) * factor)
        else:
            found = self.head(maps[-1], spread_apart=apart)
        shape = (len(image), self.spec.joints, self.config.axes)
        return RandomVariable(found.mean.view(shape), found.var_or_zeros().view(shape))

    @property
    def feature_dims(self) -> int:
        """Numbers in a row of `features`."""
        return self.config.widths[-1]

    @torch.no_grad()
    def features(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch feature"]:
        """What the trunk's last stage holds, averaged over the picture: the space of Frechet distances;
        `feature_dims` numbers a crop."""
        return self.maps(image)[-1].mean((2, 3)).float()
