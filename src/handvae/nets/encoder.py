"""Image encoders: a strided trunk, and heads that predict vectors or joint positions from its features."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.blocks import Norm, conv_block
from handvae.rv import RandomVariable


class Stages(nn.Module):
    """A sequence of stages, each of which halves the image."""

    def __init__(self, stages: Iterable[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Feature maps of every stage, the finest first."""
        features = []
        for stage in self.stages:
            image = stage(image)
            features.append(image)
        return features


class Trunk(Stages):
    """Strided convolutions; `refine` adds a 3 x 3 convolution to all stages but the first and last."""

    def __init__(
        self, widths: tuple[int, ...], *, kernel: int, refine: bool, norm: Norm, slope: float
    ) -> None:
        stages = []
        for index, (inputs, outputs) in enumerate(zip((3, *widths[:-1]), widths, strict=True)):
            layers = [conv_block(inputs, outputs, kernel=kernel, stride=2, norm=norm, slope=slope)]
            if refine and 0 < index < len(widths) - 1:
                layers.append(conv_block(outputs, outputs, kernel=3, stride=1, norm=norm, slope=slope))
            stages.append(nn.Sequential(*layers))
        super().__init__(stages)


class GaussianHead(nn.Module):
    """Features to a diagonal Gaussian: one linear layer each for mean and log-variance.

    Args:
        features: number of values of the flattened features.
        outputs: dimensions of the Gaussian.
        hidden: width of a layer before both; 0 for none.
        slope: slope of that layer's leaky ReLU.
    """

    def __init__(self, features: int, outputs: int, *, hidden: int = 0, slope: float = 0.01) -> None:
        super().__init__()
        self.hidden: nn.Module = nn.Identity()
        if hidden:
            self.hidden = nn.Sequential(nn.Linear(features, hidden), nn.LeakyReLU(slope))
        self.mean = nn.Linear(hidden or features, outputs)
        self.logvar = nn.Linear(hidden or features, outputs)

    def forward(
        self, features: Float[Tensor, "batch *feature"], *, spread_apart: bool = False
    ) -> RandomVariable:
        """A random variable (batch, outputs).

        `spread_apart` keeps the variance's gradient out of all layers but its own.
        """
        code = self.hidden(features.flatten(1))
        mean = self.mean(code)
        logvar = self.logvar(code.detach() if spread_apart else code)
        return RandomVariable.from_logvar(mean.float(), logvar.float())


class HeatmapHead(nn.Module):
    """Joint positions as the mean of a heat map for each joint, their variance as its spread.

    Integral regression. A fully connected regression has to learn every position from examples; a convolution
    that locates a joint locates it anywhere, which is what a small set of images needs. Coarse features are
    upsampled level by level and added to the finer ones.
    """

    def __init__(
        self, widths: tuple[int, ...], joints: int, *, levels: int, norm: Norm, slope: float
    ) -> None:
        super().__init__()
        coarse_to_fine = list(reversed(widths))[: levels + 1]
        width = coarse_to_fine[-1]
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in coarse_to_fine)
        self.merge = nn.ModuleList(
            conv_block(width, width, kernel=3, stride=1, norm=norm, slope=slope) for _ in coarse_to_fine
        )
        self.heat = nn.Conv2d(width, joints, 1)

    def forward(self, features: list[Tensor]) -> RandomVariable:
        """A random variable (batch, joint * 2) in crop units [-1, 1]."""
        _, joints = heat_centre(self.maps(features))
        return joints.flatten(1)

    def maps(self, features: list[Tensor]) -> Float[Tensor, "batch joint size size"]:
        """Log-odds of each joint's place."""
        merged: Tensor | None = None
        for feature, lateral, merge in zip(reversed(features), self.lateral, self.merge, strict=False):
            fine = lateral(feature)
            if merged is not None:
                fine = fine + F.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = merge(fine)
        if merged is None:
            raise ValueError("the head needs at least one feature map")
        return self.heat(merged)


def heat_centre(
    heat: Float[Tensor, "batch joint size size"],
) -> tuple[Float[Tensor, "batch joint size size"], RandomVariable]:
    """Heat maps that sum to 1, and their means and variances (batch, joint, 2), crop units."""
    size = heat.shape[-1]
    heatmaps = heat.float().flatten(2).softmax(-1).unflatten(2, (size, size))

    # Marginals over columns (x) and rows (y), and their moments.
    centres = (torch.arange(size, device=heat.device) + 0.5) * (2 / size) - 1
    columns, rows = heatmaps.sum(2), heatmaps.sum(3)
    mean = torch.stack([columns @ centres, rows @ centres], -1)
    square = torch.stack([columns @ centres.square(), rows @ centres.square()], -1)
    return heatmaps, RandomVariable(mean, (square - mean.square()).clamp_min(0))


class SidedEncoder(nn.Module):
    """Features, with the hand's side where the encoder gets it, to a Gaussian."""

    def __init__(self, features: nn.Module, count: int, latent: int, *, sided: bool) -> None:
        super().__init__()
        self.features, self.sided = features, sided
        self.head = GaussianHead(count + (2 if sided else 0), latent)

    def forward(
        self, value: Float[Tensor, "batch *shape"], side: Float[Tensor, "batch 2"] | None
    ) -> RandomVariable:
        """q(z); `side` is one-hot, left first, and ignored by an encoder that does not get it."""
        code = self.features(value)
        if self.sided and side is not None:
            code = torch.cat([code, side.to(code)], 1)
        return self.head(code)
