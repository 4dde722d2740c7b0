"""A plain vision transformer (Dosovitskiy et al., ICLR 2021): an image's patches as tokens."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

STD = 0.02
"""Standard deviation of initial weights and queries."""


class Attention(nn.Module):
    """Multi-head attention of tokens to a memory (themselves, where none is given)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.memory = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        tokens: Float[Tensor, "batch token width"],
        memory: Float[Tensor, "batch patch width"] | None = None,
    ) -> Float[Tensor, "batch token width"]:
        """Each token's attention to the memory."""
        query = self.query(tokens)
        keys, values = self.memory(tokens if memory is None else memory).chunk(2, -1)
        attended = F.scaled_dot_product_attention(
            self._split_heads(query), self._split_heads(keys), self._split_heads(values)
        )
        return self.out(attended.transpose(1, 2).flatten(2))

    def _split_heads(self, values: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch head token _"]:
        return values.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Attention and two layers, each after a normalisation and with a skip connection."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        """The tokens after attention to each other."""
        tokens = tokens + self.attention(self.norm_attention(tokens))
        return tokens + self.mlp(self.norm_mlp(tokens))


class PatchTransformer(nn.Module):
    """Square patches to tokens, plus learnt positions that begin as sines and cosines, then blocks.

    Args:
        size_px: side of the images.
        patch_px: side of a patch.
        width: channels of a token.
        depth: number of blocks.
        heads: heads of each attention.
        mlp_ratio: hidden width of a block's two layers over a token's.

    Raises:
        ValueError: the image does not divide into patches, or the width into heads.
    """

    def __init__(
        self, size_px: int, *, patch_px: int, width: int, depth: int, heads: int, mlp_ratio: int
    ) -> None:
        super().__init__()
        if size_px % patch_px:
            near = max(patch_px, size_px // patch_px * patch_px)
            fault = f"a crop of {size_px} px does not divide into patches of {patch_px}"
            raise ValueError(f"{fault}; use a multiple, such as {near}")

        if width % heads:
            raise ValueError(f"{width} channels do not divide into {heads} heads")

        self.patches = nn.Conv2d(3, width, patch_px, patch_px)
        self.positions = nn.Parameter(waves(size_px // patch_px, width)[None])
        self.blocks = nn.Sequential(*(Block(width, heads, mlp_ratio * width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.apply(initialise)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patch channel"]:
        """A token for each patch, row by row."""
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        return self.norm(self.blocks(tokens + self.positions))


def waves(side: int, width: int) -> Float[Tensor, "patch width"]:
    """Grid positions, row by row, as sines and cosines of the column, then of the row.

    Their frequencies are a geometric series. Small random positions would first have to grow to the size of
    the patches' tokens; until then an image is a bag of patches.

    Raises:
        ValueError: the width does not divide by four.
    """
    if width % 4:
        raise ValueError(f"{width} channels hold no sines and cosines of two axes; use a multiple of 4")

    rates = (1 / 10_000) ** torch.linspace(0, 1, width // 4)
    angles = torch.arange(side)[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], 1)
    return torch.cat([line.repeat(side, 1), line.repeat_interleave(side, 0)], 1)


class QueryPool(nn.Module):
    """One learnt query that attends to all tokens: a head's input, in place of their mean."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, width))
        self.attention = Attention(width, heads)
        self.norm = nn.LayerNorm(width)
        nn.init.trunc_normal_(self.query, std=STD)
        self.apply(initialise)

    def forward(self, tokens: Float[Tensor, "batch patch width"]) -> Float[Tensor, "batch width"]:
        """A vector for each image."""
        query = self.query.expand(len(tokens), -1, -1)
        return self.norm(self.attention(query, tokens))[:, 0]


def initialise(module: nn.Module) -> None:
    """Small normal weights, no offsets, in linear layers."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=STD)
        nn.init.zeros_(module.bias)
