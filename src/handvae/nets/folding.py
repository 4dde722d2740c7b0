"""FoldingNet's decoder of point clouds.

Yang et al., "FoldingNet: Point Cloud Auto-encoder via Deep Grid Deformation", CVPR 2018.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

HALF_SIDE = 0.3
"""Half the side of the grid that is folded."""


class Fold(nn.Module):
    """Moves every point of a surface by one net: (code, point) to three numbers, two hidden layers.

    The first layer's product with the code is the same for all points of a cloud; it is computed once.

    Args:
        code: size of the code.
        axes: of the points.
        hidden: width of the hidden layers.
    """

    def __init__(self, code: int, axes: int, hidden: int) -> None:
        super().__init__()
        self.of_code = nn.Linear(code, hidden)
        self.of_point = nn.Linear(axes, hidden, bias=False)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 3))

    def forward(
        self, code: Float[Tensor, "batch code"], points: Float[Tensor, "*batch point axis"]
    ) -> Float[Tensor, "batch point 3"]:
        """The moved points; points without a batch axis belong to every cloud."""
        return self.rest(self.of_code(code)[:, None] + self.of_point(points))


class FoldingDecoder(nn.Module):
    """A flat square grid, folded twice into a cloud of grid x grid points.

    Args:
        code: size of the code.
        hidden: width of the folds, 512 in the paper; they take nearly all of the time.
        grid: points along a side.
    """

    grid: Tensor

    def __init__(self, code: int, *, hidden: int = 512, grid: int = 45) -> None:
        super().__init__()
        side = torch.linspace(-HALF_SIDE, HALF_SIDE, grid)
        self.register_buffer("grid", torch.cartesian_prod(side, side), persistent=False)
        self.first = Fold(code, 2, hidden)
        self.second = Fold(code, 3, hidden)

    def forward(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch point 3"]:
        """The clouds."""
        return self.second(code, self.first(code, self.grid))
