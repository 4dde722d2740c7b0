"""Sample sheets: one image made of rows of images."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def image_grid(rows: Sequence[Float[Tensor, "column 3 height width"]]) -> Float[Tensor, "3 _ _"]:
    """The rows below each other, the images of a row beside each other."""
    return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
