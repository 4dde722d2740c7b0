"""The keypoint detector of SRV-VAE's table 4: a plain vision transformer of 10 million parameters that
regresses joints.

The paper (section 4.6) says: "using ViT as the backbone, we added a head for the prediction of the hand joint
positions, inspired by"
HaMeR (Pavlakos et al., CVPR 2024); 10 M parameters. Ours, as in docs/papers/srv_vae.md: patches of 16 px of a
128 px crop, 12 blocks of
256 channels and 8 heads; tokens narrowed and laid side by side, and a linear layer each for joints and
spread. HaMeR's one query that
attends to the tokens is the other head: from random weights and few pictures it learns far more slowly
(docs/log.md).
The objective is that of `joint_reader`.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec
from handvae.nets.encoder import GaussianHead
from handvae.nets.vit import PatchTransformer, QueryPool
from handvae.rv import RandomVariable
from handvae.systems.keypoint_regression import KeypointRegressionConfig, KeypointRegressor

MAX_SIZE = 4096
"""Of any size in the configuration; what a damaged model file may ask for."""


@dataclass(frozen=True)
class KeypointVitConfig(KeypointRegressionConfig):
    """Every choice of the transformer; the defaults have 10 million parameters."""

    patch_px: int = 16
    """Side of a patch, of which the crop's side is a multiple."""
    width: int = 256
    """Channels of a token."""
    depth: int = 12
    """Blocks."""
    heads: int = 8
    """Heads of each attention."""
    mlp_ratio: int = 4
    """Hidden width of a block's two layers over `width`."""
    head: Literal["tokens", "query"] = "tokens"
    """What the linear layers read: all tokens, narrowed and side by side, or what one learnt query finds in
    them."""
    token_dims: int = 32
    """Channels of a narrowed token."""

    def __post_init__(self) -> None:
        sizes = (self.patch_px, self.width, self.depth, self.heads, self.mlp_ratio, self.token_dims)
        if not all(1 <= size <= MAX_SIZE for size in sizes):
            raise ValueError(f"patch_px, width, depth, heads, mlp_ratio and token_dims are 1 to {MAX_SIZE}")


class KeypointVit(KeypointRegressor[KeypointVitConfig]):
    """Patches, blocks, two linear layers."""

    def __init__(self, config: KeypointVitConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__(config, spec, crop)
        self.trunk = PatchTransformer(
            crop.size_px,
            patch_px=config.patch_px,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            mlp_ratio=config.mlp_ratio,
        )
        self.pool: nn.Module
        if config.head == "tokens":
            self.pool, features = (
                nn.Linear(config.width, config.token_dims),
                self.trunk.positions.shape[1] * config.token_dims,
            )
        else:
            self.pool, features = QueryPool(config.width, config.heads), config.width
        self.head = GaussianHead(features, spec.joints * config.axes)

    def read(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """Joints (batch, joint, axis) of pictures in [0, 1], as mean and variance."""
        found = self.head(self.pool(self.trunk(image * 2 - 1)), spread_apart=self.config.spread_apart)
        shape = (len(image), self.spec.joints, self.config.axes)
        return RandomVariable(found.mean.view(shape), found.var_or_zeros().view(shape))
