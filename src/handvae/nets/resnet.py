"""ResNet-18, ResNet-50 and parts of ResNet-34 (He et al., CVPR 2016), without classifiers, from scratch."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.blocks import Norm, halved, norm_layer

Stem = Literal["quarter", "half"]
"""How much the first layers reduce a picture: `quarter` as published; `half` leaves out the first pooling."""

Layers = Literal[18, 50]
"""Which ResNet."""
BLOCKS: dict[Layers, tuple[int, ...]] = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
"""Residual blocks of each stage; those of ResNet-50 are bottlenecks."""


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, a 1 x 1 convolution where size or width change.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: of the first convolution.
        norm: normalisation.
        first: replaces the first convolution, its normalisation and its ReLU.
    """

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, norm: Norm, first: nn.Module | None = None
    ) -> None:
        super().__init__()
        plain = (
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            norm_layer(norm, outputs),
            nn.ReLU(),
        )
        self.body = nn.Sequential(
            *(plain if first is None else (first,)),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            norm_layer(norm, outputs),
        )
        self.shortcut: nn.Module = nn.Identity()

        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm_layer(norm, outputs)
            )

    def forward(self, features: Float[Tensor, "batch _ _ _"]) -> Float[Tensor, "batch _ _ _"]:
        """Features of `outputs` channels, a `stride`-th of the size."""
        return F.relu(self.body(features) + self.shortcut(features))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions and a shortcut; the last gives four times the channels.

    The stride is that of the 3 x 3 convolution, as in common implementations.

    Args:
        inputs: channels that come in.
        width: channels of the first two convolutions.
        stride: of the second convolution.
        norm: normalisation.
    """

    def __init__(self, inputs: int, width: int, *, stride: int, norm: Norm) -> None:
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            norm_layer(norm, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            norm_layer(norm, width),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 1, bias=False),
            norm_layer(norm, outputs),
        )
        self.shortcut: nn.Module = nn.Identity()

        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm_layer(norm, outputs)
            )

    def forward(self, features: Float[Tensor, "batch _ _ _"]) -> Float[Tensor, "batch _ _ _"]:
        """Features of four times `width` channels, a `stride`-th of the size."""
        return F.relu(self.body(features) + self.shortcut(features))


def residual_stage(
    inputs: int,
    outputs: int,
    blocks: int,
    *,
    stride: int,
    norm: Norm,
    first: Callable[[int, int, int], nn.Module] | None = None,
) -> nn.Sequential:
    """Residual blocks in a row, the first with a stride.

    Args:
        inputs: channels that come in.
        outputs: channels of every block.
        blocks: number of blocks.
        stride: of the first block.
        norm: normalisation.
        first: makes what begins each block, from (inputs, outputs, stride); see `Residual`.
    """
    sizes = [(inputs, stride)] + [(outputs, 1)] * (blocks - 1)
    return nn.Sequential(
        *(
            Residual(width, outputs, stride=step, norm=norm, first=first and first(width, outputs, step))
            for width, step in sizes
        )
    )


def start_as_he(module: nn.Module) -> None:
    """Initialise all convolutions as He et al. (2015): ReLU then keeps the variance of features."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


class ResNetEntry(nn.Sequential):
    """The first half of ResNet-34: 7 x 7 convolution, pooling, layers 1 and 2 (three and four blocks).

    Args:
        channels: of the picture.
        width: channels of layer 1, 64 in the paper; layer 2 has twice as many.
        stem: how much the picture is reduced before layer 1.
        norm: normalisation.
    """

    def __init__(
        self, channels: int, *, width: int = 64, stem: Stem = "quarter", norm: Norm = "batch"
    ) -> None:
        super().__init__(
            nn.Sequential(
                nn.Conv2d(channels, width, 7, 2, padding=3, bias=False), norm_layer(norm, width), nn.ReLU()
            ),
            nn.MaxPool2d(3, 2, padding=1) if stem == "quarter" else nn.Identity(),
            residual_stage(width, width, 3, stride=1, norm=norm),
            residual_stage(width, 2 * width, 4, stride=2, norm=norm),
        )
        self.features = 2 * width
        start_as_he(self)


class ResNet(nn.Module):
    """Pictures to flat features.

    Args:
        channels: of the picture.
        size_px: its side.
        layers: 18, or 50 with bottlenecks.
        width: channels of the first stage, 64 in the paper; the others double it to eight times as many.
            Bottlenecks give four times these.
        pool: `grid` keeps the quarters of the last map apart (7 x 7 windows on 8 x 8 at 256 px), `global`
            averages all of it.
        stem: how much the picture is reduced before the first stage; `half` costs four times as much.
        norm: normalisation.
    """

    def __init__(
        self,
        channels: int,
        size_px: int,
        *,
        layers: Layers = 18,
        width: int = 64,
        pool: Literal["grid", "global"] = "grid",
        stem: Stem = "quarter",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        side = halved(size_px, 5 if stem == "quarter" else 4)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 7, 2, padding=3, bias=False), norm_layer(norm, width), nn.ReLU()
        )
        self.first_pool = nn.MaxPool2d(3, 2, padding=1) if stem == "quarter" else nn.Identity()

        stages: list[nn.Module] = []
        inputs = width

        for number, blocks in enumerate(BLOCKS[layers]):
            inner = width * 2**number
            for block in range(blocks):
                stride = 2 if number and not block else 1
                if layers == 18:
                    stages.append(Residual(inputs, inner, stride=stride, norm=norm))
                    inputs = inner
                else:
                    stages.append(Bottleneck(inputs, inner, stride=stride, norm=norm))
                    inputs = 4 * inner

        self.stages = nn.Sequential(*stages)

        self.pool = nn.AvgPool2d(side if pool == "global" else max(1, side - 1), 1)
        self.features = inputs * (1 if pool == "global" else min(2, side)) ** 2
        start_as_he(self)

    def forward(self, picture: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch feature"]:
        """`features` numbers a picture."""
        features = self.first_pool(self.stem(picture))
        return torch.flatten(self.pool(self.stages(features)), 1)
