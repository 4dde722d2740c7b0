"""Distances between two sets of pictures, in any feature space: Frechet, kernel, and the manifold's precision
and recall."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

KERNEL_BLOCK, FEWEST_BLOCKS = 1000, 10
ROWS = 1024
"""Rows of a distance matrix that are made at a time."""


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance (unbiased) of features, float64."""

    mean: Float[Tensor, " feature"]
    covariance: Float[Tensor, "feature feature"]
    n: int


class Moments:
    """Mean and covariance of features that arrive in batches, in float64 and constant memory (Chan, Golub &
    LeVeque, 1983)."""

    def __init__(self, dim: int) -> None:
        self._mean = torch.zeros(dim, dtype=torch.float64)
        self._scatter = torch.zeros(dim, dim, dtype=torch.float64)
        self.n = 0

    def add(self, features: Float[Tensor, "batch feature"]) -> None:
        """Count more features."""
        if not len(features):
            return
        batch = features.double()
        mean, total = batch.mean(0), self.n + len(batch)
        centred, shift = batch - mean, mean - self._mean
        self._scatter.addmm_(centred.T, centred).addr_(shift, shift, alpha=self.n * len(batch) / total)
        self._mean += shift * (len(batch) / total)
        self.n = total

    def gaussian(self) -> Gaussian:
        """The moments so far.

        Raises:
            ValueError: fewer than two rows were added.
        """
        if self.n < 2:
            raise ValueError(f"a covariance needs two rows, there are {self.n}")
        return Gaussian(self._mean.clone(), self._scatter / (self.n - 1), self.n)


def gaussian_of(features: Float[Tensor, "n feature"]) -> Gaussian:
    """Mean and covariance of all features at once."""
    moments = Moments(features.shape[1])
    moments.add(features)
    return moments.gaussian()


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), Heusel et al. (2017), eq. (6), without the matrix that has
    no real square root.

    The trace of (C1 C2)^(1/2) is that of (C1^(1/2) C2 C1^(1/2))^(1/2), which is symmetric: two symmetric
    eigenvalue problems in float64.
    """
    values, vectors = torch.linalg.eigh(first.covariance)

    # root @ root.T is C1, so root.T C2 root has the eigenvalues of C1^(1/2) C2 C1^(1/2)
    root = vectors * values.clamp_min(0).sqrt()
    product = torch.linalg.eigvalsh(root.T @ second.covariance @ root)
    cross = product.clamp_min(0).sqrt().sum()
    total = first.covariance.trace() + second.covariance.trace() - 2 * cross
    # of equal sets the terms cancel but for rounding, which may leave less than nothing
    return float(((first.mean - second.mean).square().sum() + total).clamp_min(0))


@dataclass(frozen=True)
class KernelDistance:
    """An estimate without bias, which may be negative, and its standard error."""

    value: float
    standard_error: float
    """Of the mean over blocks, which share no pictures and so are independent."""
    blocks: int
    block: int
    """Pictures of each set in a block."""


def kernel_distance(
    real: Float[Tensor, "n feature"],
    generated: Float[Tensor, "m feature"],
    generator: torch.Generator,
    block: int = KERNEL_BLOCK,
) -> KernelDistance:
    """Squared maximum mean discrepancy with k(x, y) = (x.y / d + 1)^3, Binkowski et al. (2018): unbiased, so
    small sets compare fairly.

    Averaged over disjoint random blocks rather than over overlapping subsets, whose scatter is no standard
    error.

    Args:
        real: features.
        generated: features.
        generator: shuffles both sets.
        block: pictures of each set in a block; fewer where there would not be `FEWEST_BLOCKS`.

    Raises:
        ValueError: fewer than 2 * `FEWEST_BLOCKS` pictures.
    """
    fewest = min(len(real), len(generated))
    block = min(block, fewest // FEWEST_BLOCKS)
    if block < 2:
        raise ValueError(
            f"a kernel distance needs {2 * FEWEST_BLOCKS} pictures of each set, there are {fewest}"
        )

    blocks = fewest // block
    rows = [
        torch.randperm(len(features), generator=generator)[: blocks * block].view(blocks, block)
        for features in (real, generated)
    ]
    found = torch.tensor(
        [_discrepancy(real[r].double(), generated[g].double()) for r, g in zip(*rows, strict=True)]
    )

    return KernelDistance(float(found.mean()), float(found.std() / blocks**0.5), blocks, block)


def _discrepancy(real: Float[Tensor, "n feature"], generated: Float[Tensor, "n feature"]) -> float:
    n, dim = real.shape

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / dim + 1) ** 3

    def others(x: Tensor) -> Tensor:
        table = kernel(x, x)
        return (table.sum() - table.trace()) / (n * (n - 1))

    return float(others(real) + others(generated) - 2 * kernel(real, generated).mean())


@dataclass(frozen=True)
class Manifold:
    """How two sets cover each other, by nearest neighbours."""

    precision: float
    """Share of generated pictures within the real ones' manifold (Kynkaanniemi et al., 2019)."""
    recall: float
    """Share of real pictures within the generated ones' manifold."""
    density: float
    """Real pictures whose neighbourhood holds a generated one, over `neighbours` (Naeem et al., 2020); may
    exceed 1."""
    coverage: float
    """Share of real pictures whose neighbourhood holds a generated one."""
    neighbours: int


def manifold(
    real: Float[Tensor, "n feature"], generated: Float[Tensor, "m feature"], neighbours: int = 5
) -> Manifold:
    """Precision, recall, density and coverage with one number of neighbours.

    A picture's neighbourhood is the ball that reaches its k-th nearest neighbour in its own set; a set's
    manifold is their union.

    Raises:
        ValueError: a set has no more pictures than `neighbours`.
    """
    if min(len(real), len(generated)) <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more pictures than {min(len(real), len(generated))}")

    # squares of large features would lose the small differences
    centre = real.double().mean(0).to(real.dtype)
    real, generated = real - centre, generated - centre

    reach_real, reach_generated = _reach(real, neighbours), _reach(generated, neighbours)
    counts, inside_generated, covered = torch.zeros(len(generated)), [], []

    for rows, reach in zip(real.split(ROWS), reach_real.split(ROWS), strict=True):
        apart = _squared_distances(rows, generated)
        within: Bool[Tensor, "row m"] = apart <= reach[:, None]
        counts += within.sum(0)
        covered.append(within.any(1))
        inside_generated.append((apart <= reach_generated).any(1))

    return Manifold(
        precision=float((counts > 0).double().mean()),
        recall=float(torch.cat(inside_generated).double().mean()),
        density=float(counts.double().mean() / neighbours),
        coverage=float(torch.cat(covered).double().mean()),
        neighbours=neighbours,
    )


def _squared_distances(first: Tensor, second: Tensor) -> Float[Tensor, "row column"]:
    lengths = first.square().sum(1)[:, None] + second.square().sum(1)
    return torch.addmm(lengths, first, second.T, alpha=-2).clamp_min_(0)


def _reach(features: Float[Tensor, "n feature"], neighbours: int) -> Float[Tensor, " n"]:
    """Squared distance of each row to its k-th nearest other row."""
    # the row itself is the nearest of all, hence one neighbour more
    distances = [
        _squared_distances(rows, features).topk(neighbours + 1, largest=False).values[:, -1]
        for rows in features.split(ROWS)
    ]
    return torch.cat(distances)
