"""da-VAE's mask network: ResNet-34 with a light decoder."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.blocks import Norm, double_block, halved, norm_layer
from handvae.nets.resnet import ResNetEntry, Stem, residual_stage, start_as_he


class MaskNet(nn.Module):
    """ResNet-34, and transposed convolutions of half its first width back to the picture's size.

    On the way up the feature maps of equal size are added.

    Args:
        size_px: side of the pictures.
        width: channels of the trunk's first layer, 64 in the paper.
        stem: how much the first layers reduce the picture.
        norm: normalisation.
    """

    def __init__(
        self, size_px: int, *, width: int = 64, stem: Stem = "quarter", norm: Norm = "batch"
    ) -> None:
        super().__init__()
        halved(size_px, 5 if stem == "quarter" else 4)
        self.entry = ResNetEntry(3, width=width, stem=stem, norm=norm)
        # layers 3 and 4
        self.deeper = nn.ModuleList(
            residual_stage(width * 2**number, width * 2 ** (number + 1), blocks, stride=2, norm=norm)
            for number, blocks in ((1, 6), (2, 3))
        )

        # the decoder
        light = max(8, width // 2)
        self.meet = nn.ModuleList(nn.Conv2d(width * 2**number, light, 1) for number in range(4))
        self.up = nn.ModuleList(
            double_block(light, light, kernel=4, norm=norm) for _ in range(4 if stem == "quarter" else 3)
        )
        self.last = nn.Sequential(norm_layer(norm, light), nn.ConvTranspose2d(light, 1, 4, 2, padding=1))
        start_as_he(self)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 height width"]:
        """Log-odds of the hand in each pixel of pictures in [0, 1]."""
        stem, pool, layer1, layer2 = self.entry
        maps = [layer1(pool(stem(image - 0.5)))]
        for layer in (layer2, *self.deeper):
            maps.append(layer(maps[-1]))

        total = self.meet[3](maps[3])
        for number, up in enumerate(self.up):
            total = up(total)
            if number < 3:
                total = total + self.meet[2 - number](maps[2 - number])

        return self.last(total).float()


def mask_loss(
    logits: Float[Tensor, "batch 1 height width"], mask: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy of a pixel, nats."""
    return F.binary_cross_entropy_with_logits(logits, mask)


def overlap(
    logits: Float[Tensor, "batch 1 height width"], mask: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    """Intersection over union of the masks; 1 where both are empty."""
    prediction = logits.flatten(1) > 0
    target = mask.flatten(1) > 0.5
    both = (prediction & target).sum(1)
    either = (prediction | target).sum(1)
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)
