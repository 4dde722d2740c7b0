"""The residual trunk of the papers, ResNet-18 (He et al., CVPR 2016) without its classifier, trained from scratch."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.blocks import Norm, halved, norm_layer


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where size or width change."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            norm_layer(norm, outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            norm_layer(norm, outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm_layer(norm, outputs))

    def forward(self, features: Float[Tensor, "batch _ _ _"]) -> Float[Tensor, "batch _ _ _"]:
        """Features of `outputs` channels, a `stride`-th of the size."""
        return F.relu(self.body(features) + self.shortcut(features))


class ResNet18(nn.Module):
    """Pictures to flat features.

    Args:
        channels: of the picture.
        size_px: its side.
        width: channels of the first stage, 64 in the paper; the others double it to eight times as many.
        pool: `grid` keeps the quarters of the last map apart (7 x 7 windows on 8 x 8 at 256 px), `global` averages all of it.
        stem: `quarter` as in the paper; `half` leaves out the first pooling, for small pictures, at four times the cost.
        norm: normalisation.
    """

    def __init__(
        self,
        channels: int,
        size_px: int,
        *,
        width: int = 64,
        pool: Literal["grid", "global"] = "grid",
        stem: Literal["quarter", "half"] = "quarter",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        side = halved(size_px, 5 if stem == "quarter" else 4)
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 7, 2, padding=3, bias=False), norm_layer(norm, width), nn.ReLU())
        self.first_pool = nn.MaxPool2d(3, 2, padding=1) if stem == "quarter" else nn.Identity()
        stages, inputs = [], width
        for number in range(4):
            outputs = width * 2**number
            stages += [Residual(inputs, outputs, stride=2 if number else 1, norm=norm), Residual(outputs, outputs, stride=1, norm=norm)]
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AvgPool2d(side if pool == "global" else max(1, side - 1), 1)
        self.features = inputs * (1 if pool == "global" else min(2, side)) ** 2
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, picture: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch feature"]:
        """`features` numbers a picture."""
        return torch.flatten(self.pool(self.stages(self.first_pool(self.stem(picture)))), 1)
