"""da-VAE's latent of three parts, pose, appearance and shape; its encoder, one trunk and a head for each
part; what it decodes to."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.attention import ResNetHead
from handvae.nets.blocks import Norm, norm_layer
from handvae.nets.keypoint_backbone import KeypointBackbone, KeypointFeatures
from handvae.nets.resnet import ResNetEntry, Stem
from handvae.rv import RandomVariable


@dataclass(frozen=True)
class Latent:
    """The three parts of z."""

    pose: RandomVariable
    appearance: RandomVariable
    shape: RandomVariable
    found: Float[Tensor, "batch joint 2"] | None = None
    """Where a finder found the joints, crop units."""

    @property
    def factors(self) -> tuple[RandomVariable, RandomVariable, RandomVariable]:
        """z1, z2 and z3."""
        return self.pose, self.appearance, self.shape

    @property
    def mean(self) -> Float[Tensor, "batch latent"]:
        """Their means side by side."""
        return torch.cat([part.mean for part in self.factors], 1)


@dataclass(frozen=True)
class Decoded:
    """What points of the latent space stand for, seen by a camera that looks straight at the hand."""

    joints: Float[Tensor, "batch joint 3"]
    """Relative to the root, bone units."""
    cloud: Float[Tensor, "batch point 3"]
    """The visible surface, relative to the root, bone units."""
    image: Float[Tensor, "batch 3 height width"]
    """The hand before black, in [0, 1]."""


class SplitLatentEncoder(nn.Module):
    """The first half of ResNet-34, and its second half for each part.

    Args:
        dims: sizes of the parts.
        width: channels of the trunk's first layer.
        head_width: channels of the heads' first layer.
        attention: lead the heads' blocks by selective kernels.
        groups: of the selective kernels' convolutions.
        stem: how small the picture is made at first.
        norm: normalisation.
        finder: finds joints in pictures; the heads of pose and shape then see its maps and numbers, too.
    """

    def __init__(
        self,
        dims: tuple[int, int, int],
        *,
        width: int,
        head_width: int,
        attention: bool,
        groups: int = 32,
        stem: Stem = "quarter",
        norm: Norm = "batch",
        finder: KeypointBackbone | None = None,
    ) -> None:
        super().__init__()
        self.entry = ResNetEntry(3, width=width, stem=stem, norm=norm)
        features = self.entry.features
        self.heads = nn.ModuleList(
            ResNetHead(
                features,
                head_width,
                size,
                attention=attention,
                groups=groups,
                norm=norm,
                beside=finder.outputs * informed if finder else 0,
            )
            for size, informed in zip(dims, (True, False, True), strict=True)
        )
        self.mix = None
        if finder is not None:
            mixed = nn.Conv2d(features + finder.joints, features, 1, bias=False)
            self.mix = nn.Sequential(mixed, norm_layer(norm, features), nn.ReLU())

    def forward(
        self, picture: Float[Tensor, "batch 3 height width"], sight: KeypointFeatures | None = None
    ) -> Latent:
        """The posterior of pictures in [-0.5, 0.5], of which the finder, if there is one, saw `sight`."""
        features = self.entry(picture)
        if self.mix is None or sight is None:
            return Latent(*(head(features) for head in self.heads))
        shares = F.interpolate(
            sight.shares * sight.shares.shape[-1], size=features.shape[-2:], mode="bilinear"
        )
        informed = self.mix(torch.cat([features, shares.to(features.dtype)], 1))
        pose, appearance, shape = self.heads
        return Latent(
            pose(informed, sight.numbers), appearance(features), shape(informed, sight.numbers), sight.joints
        )
