"""Selective kernels (Li et al., "Selective Kernel Networks", CVPR 2019).

For each picture, each channel weighs convolutions of small and of large receptive fields.
"""

import math
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.blocks import Norm, norm_layer
from handvae.nets.encoder import GaussianHead
from handvae.nets.resnet import residual_stage, start_as_he
from handvae.rv import RandomVariable

REDUCTION = 16
"""Channels divided by the width of the layer that the weights are computed from: r of the paper."""
NARROWEST = 32
"""Least width of that layer: L of the paper."""


class SelectiveKernel(nn.Module):
    """Replaces a 3 x 3 convolution with normalisation and ReLU.

    Split: one 3 x 3 convolution per branch, with dilation 1, 2, ...
    Fuse: the branches' sum, averaged over the picture, through a narrow layer.
    Select: from that layer, for each channel, a softmax over the branches.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: of the convolutions.
        norm: normalisation.
        branches: number of dilations.
        groups: groups of the convolutions, at most; 32 in the paper.
    """

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, norm: Norm, branches: int = 2, groups: int = 32
    ) -> None:
        super().__init__()
        groups = math.gcd(groups, inputs, outputs)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    inputs, outputs, 3, stride, padding=dilation, dilation=dilation, groups=groups, bias=False
                ),
                norm_layer(norm, outputs),
                nn.ReLU(),
            )
            for dilation in range(1, branches + 1)
        )

        narrow = max(outputs // REDUCTION, NARROWEST)
        narrow_norm = nn.BatchNorm1d(narrow) if norm == "batch" else nn.GroupNorm(narrow // 8, narrow)
        self.fuse = nn.Sequential(nn.Linear(outputs, narrow, bias=False), narrow_norm, nn.ReLU())
        self.choose = nn.Linear(narrow, branches * outputs)

    def weights(self, total: Float[Tensor, "batch channel _ _"]) -> Float[Tensor, "batch branch channel"]:
        """Weight of each branch for each channel, given the branches' sum; they sum to 1 over branches."""
        logits = self.choose(self.fuse(total.mean((2, 3))))
        return logits.unflatten(1, (len(self.branches), -1)).float().softmax(1)

    def forward(self, features: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out _ _"]:
        """Features of `outputs` channels, smaller by `stride`."""
        maps = [branch(features) for branch in self.branches]
        weights = self.weights(reduce(torch.add, maps)).to(maps[0].dtype)
        weighted = [one * weights[:, branch, :, None, None] for branch, one in enumerate(maps)]
        return reduce(torch.add, weighted)


class ResNetHead(nn.Module):
    """The second half of ResNet-34, pooled, and a linear layer to a Gaussian.

    These are layers 3 and 4, of six and three blocks.

    Args:
        inputs: channels that come in.
        width: channels of layer 3, 256 in the paper; layer 4 has twice as many.
        outputs: size of the Gaussian.
        attention: begin each block with a selective kernel.
        groups: groups of the selective kernels' convolutions.
        norm: normalisation.
        extra: number of further inputs after the pooling; with any, a layer of `width` precedes the Gaussian.
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
        extra: int = 0,
    ) -> None:
        super().__init__()

        def selective(inputs: int, outputs: int, stride: int) -> SelectiveKernel:
            return SelectiveKernel(inputs, outputs, stride=stride, norm=norm, groups=groups)

        first = selective if attention else None
        self.stages = nn.Sequential(
            residual_stage(inputs, width, 6, stride=2, norm=norm, first=first),
            residual_stage(width, 2 * width, 3, stride=2, norm=norm, first=first),
            nn.AdaptiveAvgPool2d(1),
        )
        start_as_he(self)
        self.gaussian = GaussianHead(2 * width + extra, outputs, hidden=width if extra else 0)

    def forward(
        self, features: Float[Tensor, "batch in _ _"], extra: Float[Tensor, "batch extra"] | None = None
    ) -> RandomVariable:
        """The posterior of a factor of z."""
        code = self.stages(features).flatten(1)
        if extra is not None:
            code = torch.cat([code, extra.to(code.dtype)], 1)
        return self.gaussian(code)
