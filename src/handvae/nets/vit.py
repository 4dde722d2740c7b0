"""A plain vision transformer (Dosovitskiy et al., ICLR 2021): a picture's patches as tokens, and a query that
may read them."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

STD = 0.02
"""Of initial weights, positions and queries."""


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
        """As many tokens as came in."""
        keys, values = self.memory(tokens if memory is None else memory).chunk(2, -1)
        query, keys, values = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.query(tokens), keys, values)
        )
        found = F.scaled_dot_product_attention(query, keys, values)
        return self.out(found.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and two layers, each behind a normalisation and beside a path that skips it."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm_attention, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_mlp, self.mlp = (
            nn.LayerNorm(width),
            nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)),
        )

    def forward(self, tokens: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        """The tokens, told of each other."""
        tokens = tokens + self.attention(self.norm_attention(tokens))
        return tokens + self.mlp(self.norm_mlp(tokens))


class PatchTransformer(nn.Module):
    """Square patches to tokens, their positions added (sines and cosines to begin with), and blocks in a row.

    Args:
        size_px: side of the pictures.
        patch_px: side of a patch.
        width: of a token.
        depth: blocks.
        heads: of each attention.
        mlp_ratio: hidden width of a block's two layers over a token's.

    Raises:
        ValueError: the picture does not divide into patches, or the width into heads.
    """

    def __init__(
        self, size_px: int, *, patch_px: int, width: int, depth: int, heads: int, mlp_ratio: int
    ) -> None:
        super().__init__()
        if size_px % patch_px:
            near = max(patch_px, size_px // patch_px * patch_px)
            raise ValueError(
                f"a crop of {size_px} px does not divide into patches of {patch_px}; use a multiple, such as {near}"
            )
        if width % heads:
            raise ValueError(f"{width} channels do not divide into {heads} heads")
        self.patches = nn.Conv2d(3, width, patch_px, patch_px)
        self.positions = nn.Parameter(waves(size_px // patch_px, width)[None])
        self.blocks = nn.Sequential(*(Block(width, heads, mlp_ratio * width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.apply(initialise)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patch channel"]:
        """A token a patch, row by row."""
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        return self.norm(self.blocks(tokens + self.positions))


def waves(side: int, width: int) -> Float[Tensor, "patch width"]:
    """A grid's places, row by row, as sines and cosines of geometric frequencies: first of the column, then
    of the row.

    Small random positions would first have to grow beside what patches hold; till then a picture reads as a
    bag of patches.

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
    """One learnt query that attends to all tokens: what a head reads, in place of their mean."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, width))
        self.attention, self.norm = Attention(width, heads), nn.LayerNorm(width)
        nn.init.trunc_normal_(self.query, std=STD)
        self.apply(initialise)

    def forward(self, tokens: Float[Tensor, "batch patch width"]) -> Float[Tensor, "batch width"]:
        """A vector a picture."""
        return self.norm(self.attention(self.query.expand(len(tokens), -1, -1), tokens))[:, 0]


def initialise(module: nn.Module) -> None:
    """Small normal weights, no offsets, in linear layers."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=STD)
        nn.init.zeros_(module.bias)
