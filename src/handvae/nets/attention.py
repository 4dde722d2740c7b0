"""Selective kernels (Li et al., "Selective Kernel Networks", CVPR 2019): channels choose, picture by picture,
how far they look."""

import math
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.blocks import Norm, norm_layer
from handvae.nets.encoder import GaussianHead
from handvae.nets.resnet import residual_stage, start_as_he
from handvae.rv import RandomVariable

REDUCTION, NARROWEST = 16, 32
"""Channels over numbers that the choice is made from, and how many there are at least."""


class SelectiveKernel(nn.Module):
    """Takes the place of a 3 x 3 convolution with normalisation and ReLU.

    Split: a 3 x 3 convolution a branch, dilated 1, 2, ... Fuse: their sum, averaged over the picture, to a
    few numbers. Select: from
    these a softmax over the branches for each channel, which weighs them.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: of the convolutions.
        norm: normalisation.
        branches: number of dilations.
        groups: of the convolutions, at most; 32 in the paper.
    """

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, norm: Norm, branches: int = 2, groups: int = 32
    ) -> None:
        super().__init__()
        groups = math.gcd(groups, inputs, outputs)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, padding=wide, dilation=wide, groups=groups, bias=False),
                norm_layer(norm, outputs),
                nn.ReLU(),
            )
            for wide in range(1, branches + 1)
        )
        few = max(outputs // REDUCTION, NARROWEST)
        few_norm = nn.BatchNorm1d(few) if norm == "batch" else nn.GroupNorm(max(1, few // 8), few)
        self.fuse = nn.Sequential(nn.Linear(outputs, few, bias=False), few_norm, nn.ReLU())
        self.choose = nn.Linear(few, branches * outputs)

    def weights(self, total: Float[Tensor, "batch channel _ _"]) -> Float[Tensor, "batch branch channel"]:
        """How much each branch counts for each channel, given the branches' sum; over the branches they sum
        to 1."""
        chosen = self.choose(self.fuse(total.mean((2, 3))))
        return chosen.unflatten(1, (len(self.branches), -1)).float().softmax(1)

    def forward(self, features: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out _ _"]:
        """Features of `outputs` channels, a `stride`-th of the size."""
        looks = [branch(features) for branch in self.branches]
        weights = self.weights(reduce(torch.add, looks)).to(looks[0].dtype)
        return reduce(
            torch.add, [look * weights[:, number, :, None, None] for number, look in enumerate(looks)]
        )


class ResNetHead(nn.Module):
    """The second half of ResNet-34 (layers 3 and 4: six and three blocks), global pooling, and a linear layer
    to a Gaussian.

    Args:
        inputs: channels that come in.
        width: channels of layer 3, 256 in the paper; layer 4 has twice as many.
        outputs: size of the Gaussian.
        attention: lead each block by a selective kernel.
        groups: of the selective kernels' convolutions.
        norm: normalisation.
        beside: numbers told beside the features; where there are any, a layer of `width` comes before the
            Gaussian.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        outputs: int,
        *,
        attention: bool,
        groups: int = 32,
        norm: Norm = "batch",
        beside: int = 0,
    ) -> None:
        def selective(a: int, b: int, stride: int) -> SelectiveKernel:
            return SelectiveKernel(a, b, stride=stride, norm=norm, groups=groups)

        first = selective if attention else None
        super().__init__()
        self.stages = nn.Sequential(
            residual_stage(inputs, width, 6, stride=2, norm=norm, first=first),
            residual_stage(width, 2 * width, 3, stride=2, norm=norm, first=first),
            nn.AdaptiveAvgPool2d(1),
        )
        start_as_he(self)
        self.gaussian = GaussianHead(2 * width + beside, outputs, hidden=width if beside else 0)

    def forward(
        self, features: Float[Tensor, "batch in _ _"], beside: Float[Tensor, "batch beside"] | None = None
    ) -> RandomVariable:
        """A part of z."""
        code = self.stages(features).flatten(1)
        return self.gaussian(code if beside is None else torch.cat([code, beside.to(code.dtype)], 1))
