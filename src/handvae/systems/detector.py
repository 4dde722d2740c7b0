"""Joints predicted from a crop by a small convolutional network: the critic of generated images.

Ours; integral regression after Sun et al., "Integral Human Pose Regression", ECCV 2018. The objective is that
of `keypoint_regression`. The last feature maps, averaged over the image, are the space of Frechet distances
(`features`).
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
            raise ValueError("heat maps locate 2D joints: use pose='2d', or head='linear'")
        widths_fit = all(1 <= width <= MAX_WIDTH for width in self.widths)
        if not self.widths or not widths_fit or not 0 <= self.hidden <= MAX_WIDTH:
            raise ValueError(f"widths holds numbers from 1 to {MAX_WIDTH}, hidden is 0 to {MAX_WIDTH}")
        if self.head == "heatmap" and not 0 <= self.heatmap_levels < len(self.widths):
            most = len(self.widths) - 1
            raise ValueError(f"heatmap_levels is 0 to {most}, one less than the trunk's stages")


class Detector(KeypointRegressor[DetectorConfig], PerceptualCritic):
    """A strided trunk and a head."""

    def __init__(self, config: DetectorConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__(config, spec, crop)
        last_side = halved(crop.size_px, len(config.widths))
        outputs = spec.joints * config.axes
        self.trunk = Trunk(config.widths, kernel=4, refine=config.refine, norm=config.norm, slope=0.0)

        self.head: HeatmapHead | GaussianHead

        if config.head == "linear":
            features = config.widths[-1] * last_side**2
            self.head = GaussianHead(features, outputs, hidden=config.hidden, slope=0.0)
            return

        self.head = HeatmapHead(
            config.widths, spec.joints, levels=config.heatmap_levels, norm=config.norm, slope=0.0
        )
        # A heat map is as wide as its grid is coarse: its variance is right up to a factor, which is learned.
        self.log_factor = nn.Linear(config.widths[-1], outputs)
        nn.init.zeros_(self.log_factor.weight)
        nn.init.zeros_(self.log_factor.bias)

    # ---------------------------------------------------------------- network

    def maps(self, image: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Feature maps of every stage of images in [0, 1], the finest first."""
        return self.trunk(image * 2 - 1)

    def read(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """Joints (batch, joint, axis) of images in [0, 1], as mean and variance."""
        features = self.maps(image)
        if isinstance(self.head, HeatmapHead):
            prediction = self._scaled(self.head(features), features[-1].mean((2, 3)))
        else:
            prediction = self.head(features[-1], spread_apart=self.config.spread_apart)
        shape = (len(image), self.spec.joints, self.config.axes)
        return RandomVariable(prediction.mean.view(shape), prediction.var_or_zeros().view(shape))

    def _scaled(self, heatmaps: RandomVariable, pooled: Float[Tensor, "batch feature"]) -> RandomVariable:
        """The heat maps' centres, their variances times the learned factor."""
        variance = heatmaps.var_or_zeros()
        if self.config.spread_apart:
            variance, pooled = variance.detach(), pooled.detach()
        factor = self.log_factor(pooled).float().clamp(-10, 10).exp()
        return RandomVariable(heatmaps.mean, variance * factor)

    @property
    def feature_dims(self) -> int:
        """Numbers in a row of `features`."""
        return self.config.widths[-1]

    @torch.no_grad()
    def features(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch feature"]:
        """The trunk's last stage, averaged over the image: the space of Frechet distances."""
        return self.maps(image)[-1].mean((2, 3)).float()
