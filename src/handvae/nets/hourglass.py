"""A residual trunk that halves the picture again and again, and a path back up to finer maps."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.blocks import Norm, conv_block, norm_layer


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and what goes past them."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.first = conv_block(width, width, kernel=3, stride=1, norm=norm, slope=0.0)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), norm_layer(norm, width)
        )

    def forward(self, x: Float[Tensor, "batch width h w"]) -> Float[Tensor, "batch width h w"]:
        """Features of the same shape."""
        return F.relu(x + self.second(self.first(x)))


class Hourglass(nn.Module):
    """Features of a picture at a fine level, and at the coarsest.

    Args:
        widths: channels of the stem and of the stages, each of half the size of the one before.
        blocks: residual blocks of each stage; the stem has none.
        norm: normalisation.
        finest: the stage at which the way up ends: 1 at a quarter of the picture's side, 2 at an eighth.
    """

    def __init__(self, widths: tuple[int, ...], blocks: tuple[int, ...], norm: Norm, finest: int = 1) -> None:
        super().__init__()
        self.stem = conv_block(3, widths[0], kernel=5, stride=2, norm=norm, slope=0.0)

        stages = []
        for inputs, outputs, count in zip(widths, widths[1:], blocks, strict=False):
            halving = conv_block(inputs, outputs, kernel=3, stride=2, norm=norm, slope=0.0)
            stages.append(nn.Sequential(halving, *(ResidualBlock(outputs, norm) for _ in range(count))))
        self.stages = nn.ModuleList(stages)

        # each level of the way up is as wide as the finer of the two that it joins
        lateral, merge = [], []
        for coarse, fine in zip(reversed(widths[finest + 1 :]), reversed(widths[finest:-1]), strict=True):
            lateral.append(conv_block(coarse, fine, kernel=1, stride=1, norm=norm, slope=0.0))
            merge.append(conv_block(fine, fine, kernel=3, stride=1, norm=norm, slope=0.0))
        self.lateral = nn.ModuleList(lateral)
        self.merge = nn.ModuleList(merge)

    def forward(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch fine h w"], Float[Tensor, "batch coarse h16 w16"]]:
        """Fine and coarse features of pictures in [-1, 1]."""
        features = self.stem(image)
        levels = []
        for stage in self.stages:
            features = stage(features)
            levels.append(features)

        coarse = merged = levels.pop()
        for finer, lateral, merge in zip(reversed(levels), self.lateral, self.merge, strict=False):
            upsampled = F.interpolate(lateral(merged), scale_factor=2.0, mode="nearest")
            merged = merge(upsampled + finer)

        return merged, coarse
