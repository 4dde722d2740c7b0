"""The keypoint detector of SRV-VAE's table 4: a plain vision transformer of 10 million parameters.

The paper (section 4.6) uses a ViT as the backbone and adds a head for the hand joints, inspired by HaMeR
(Pavlakos et al., CVPR 2024). Our choices (docs/papers/srv_vae.md): patches of 16 px of a 128 px crop, 12
blocks of 256 channels and 8 heads; tokens are narrowed and concatenated, and a linear layer each gives joints
and spread. HaMeR's single query that attends to the tokens is the other head: from random weights and few
images it learns far more slowly (docs/log). The objective is that of `keypoint_regression`.
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
"""Of any size in the configuration; a damaged model file may ask for more than there is memory."""


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
    """Input of the linear layers: all tokens, narrowed and concatenated, or one learnt query's output."""
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
            tokens = self.trunk.positions.shape[1]
            self.pool = nn.Linear(config.width, config.token_dims)
            features = tokens * config.token_dims
        else:
            self.pool = QueryPool(config.width, config.heads)
            features = config.width

        self.head = GaussianHead(features, spec.joints * config.axes)

    def read(self, image: Float[Tensor, "batch 3 height width"]) -> RandomVariable:
        """Joints (batch, joint, axis) of images in [0, 1], as mean and variance."""
        tokens = self.trunk(image * 2 - 1)
        prediction = self.head(self.pool(tokens), spread_apart=self.config.spread_apart)
        shape = (len(image), self.spec.joints, self.config.axes)
        return RandomVariable(prediction.mean.view(shape), prediction.var_or_zeros().view(shape))
