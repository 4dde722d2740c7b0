"""da-VAE's latent of three factors, its encoder, and what it decodes to."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.attention import ResNetHead
from handvae.nets.blocks import Norm, norm_layer
from handvae.nets.keypoint_backbone import KeypointBackbone, KeypointFeatures
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.nets.resnet import ResNetEntry
from handvae.rv import RandomVariable


@dataclass(frozen=True)
class Latent:
    """Posteriors of the three factors of z."""

    pose: RandomVariable
    appearance: RandomVariable
    shape: RandomVariable
    keypoints: Float[Tensor, "batch joint 2"] | None = None
    """Joints that a keypoint backbone found, crop units."""

    @property
    def factors(self) -> tuple[RandomVariable, RandomVariable, RandomVariable]:
        """z1, z2 and z3."""
        return self.pose, self.appearance, self.shape

    @property
    def mean(self) -> Float[Tensor, "batch latent"]:
        """Means of the factors, side by side."""
        return torch.cat([factor.mean for factor in self.factors], 1)

    def sample(self, noise: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch latent"]:
        """z, with these draws of N(0, I)."""
        draws = noise.split([factor.shape[1] for factor in self.factors], 1)
        samples = [factor.sample(noise=draw) for factor, draw in zip(self.factors, draws, strict=True)]
        return torch.cat(samples, 1)


@dataclass(frozen=True)
class Decoded:
    """What z stands for, seen by a camera that looks straight at the hand."""

    joints: Float[Tensor, "batch joint 3"]
    """Relative to the root, bone units."""
    cloud: Float[Tensor, "batch point 3"]
    """The visible surface, relative to the root, bone units."""
    image: Float[Tensor, "batch 3 height width"]
    """The hand on black, in [0, 1]; during training values may lie outside."""


class SplitLatentEncoder(nn.Module):
    """The first half of ResNet-34, shared, and a second half for each factor.

    Args:
        dims: sizes of the factors.
        resnet: the shared half.
        head_width: channels of the heads' first layer.
        attention: begin the heads' blocks with selective kernels.
        groups: groups of the selective kernels' convolutions.
        norm: normalisation.
        keypoints: where given, the heads of pose and shape also see its heat maps and its vector.
    """

    def __init__(
        self,
        dims: tuple[int, int, int],
        *,
        resnet: ResNetEncoder,
        head_width: int,
        attention: bool,
        groups: int = 32,
        norm: Norm = "batch",
        keypoints: KeypointBackbone | None = None,
    ) -> None:
        super().__init__()
        self.entry = ResNetEntry(3, width=resnet.width, stem=resnet.stem, norm=norm)
        features = self.entry.features

        # z1 (pose) and z3 (shape) see the keypoints, z2 (appearance) does not
        extra = 0 if keypoints is None else keypoints.outputs
        self.heads = nn.ModuleList(
            ResNetHead(
                features,
                head_width,
                size,
                attention=attention,
                groups=groups,
                norm=norm,
                extra=extra if sees_keypoints else 0,
            )
            for size, sees_keypoints in zip(dims, (True, False, True), strict=True)
        )

        self.mix = None

        if keypoints is not None:
            self.mix = nn.Sequential(
                nn.Conv2d(features + keypoints.joints, features, 1, bias=False),
                norm_layer(norm, features),
                nn.ReLU(),
            )

    def forward(
        self, picture: Float[Tensor, "batch 3 height width"], keypoints: KeypointFeatures | None = None
    ) -> Latent:
        """The posterior of z, given pictures in [-0.5, 0.5] and the keypoints found in them."""
        features = self.entry(picture)
        pose, appearance, shape = self.heads
        if self.mix is None or keypoints is None:
            return Latent(pose(features), appearance(features), shape(features))

        # times the maps' side: an even heat map is then 1 / side, whatever the resolution
        heatmaps = keypoints.heatmaps * keypoints.heatmaps.shape[-1]
        heatmaps = F.interpolate(heatmaps, size=features.shape[-2:], mode="bilinear")
        mixed = self.mix(torch.cat([features, heatmaps.to(features.dtype)], 1))
        return Latent(
            pose=pose(mixed, keypoints.vector),
            appearance=appearance(features),
            shape=shape(mixed, keypoints.vector),
            keypoints=keypoints.joints,
        )
