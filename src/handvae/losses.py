"""Loss terms of more than one system, on top of those of random variables (`rv.losses`,
`rv.RandomVariable.kl`)."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from handvae.rv import RandomVariable
from handvae.rv.losses import ImageVariance, reconstruction_error

DISTANCES_AT_ONCE = 2**21
"""Pairs of points whose distances are in memory at the same time: 8 MiB, which a core's cache nearly
holds."""


def image_loss(
    target: Float[Tensor, "batch 3 height width"],
    picture: Float[Tensor, "batch 3 height width"] | RandomVariable,
    variance: ImageVariance = "squared",
    weight: float = 50.0,
) -> Float[Tensor, " batch"]:
    """Squared error per value of the picture, plus what its variance adds: weight * mean(v^2), mean(v) or
    nothing.

    `expected` makes it the exact expectation of the squared error; `squared` is what the published RV-VAE
    code has.
    """
    count = target[0].numel()
    moments = picture if isinstance(picture, RandomVariable) else RandomVariable(picture)
    known = RandomVariable(moments.mean.float(), None if moments.var is None else moments.var.float())
    # the squared term is a mean already, beside a sum of errors: times the count it stays itself per value
    return reconstruction_error(target, known, variance, weight * count) / count


def known_error(
    decoded: Float[Tensor, "batch *shape"],
    wanted: Float[Tensor, "batch *shape"],
    known: Bool[Tensor, "batch joint"],
) -> Float[Tensor, " batch"]:
    """Mean squared error of each hand's value: over all of a picture (batch, channel, row, column), over the
    known joints of a pose."""
    error = (decoded - wanted).square()
    if wanted.ndim == 4:
        return error.flatten(1).mean(1)
    return (error.mean(2) * known).sum(1) / known.sum(1).clamp_min(1)


def masked_mean(values: Float[Tensor, " batch"], counted: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Mean over the hands that count; 0 where none does."""
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp_min(1)


def chamfer(
    first: Float[Tensor, "batch point 3"],
    second: Float[Tensor, "batch other 3"],
    reduction: Literal["mean", "max"] = "mean",
) -> Float[Tensor, " batch"]:
    """Chamfer distance of clouds, in their unit: the mean distance of a cloud's points to the other's
    nearest, both ways.

    Memory is that of the clouds: which points are nearest is found in pieces without a gradient, and the
    gradient flows through the
    distances of these pairs, which is the true one wherever no two points are equally near.

    Args:
        first: points.
        second: points, another number if you like.
        reduction: of the two ways: their mean, or the larger one, as FoldingNet has it.
    """
    with torch.autocast(first.device.type, enabled=False):
        first, second = first.float(), second.float()
        there = (first - _taken(second, nearest_points(first, second))).norm(dim=2).mean(1)
        again = (second - _taken(first, nearest_points(second, first))).norm(dim=2).mean(1)
    return (there + again) / 2 if reduction == "mean" else torch.maximum(there, again)


@torch.no_grad()
def nearest_points(
    first: Float[Tensor, "batch point 3"], second: Float[Tensor, "batch other 3"]
) -> Int[Tensor, "batch point"]:
    """For each point of the first clouds, the number of the second's point that is nearest; float32, not
    under autocast."""
    middle = second.mean(
        1, keepdim=True
    )  # distances are taken from squares, which far from the origin would swallow them
    first, second = first - middle, (second - middle).mT.contiguous()
    squares = second.square().sum(1, keepdim=True)
    rows = min(first.shape[1], max(1, DISTANCES_AT_ONCE // max(1, squares.numel())))
    table = first.new_empty(
        rows * squares.numel()
    )  # one for all pieces: freed and asked for again, they would break up the heap
    found = [
        torch.baddbmm(squares, some, second, alpha=-2, out=_part(table, some, second)).argmin(
            2
        )  # |a - b|^2 - |a|^2
        for some in first.split(rows, 1)
    ]
    return torch.cat(found, 1)


def _part(table: Float[Tensor, " value"], rows: Tensor, columns: Tensor) -> Float[Tensor, "batch row column"]:
    shape = (len(rows), rows.shape[1], columns.shape[2])
    return table[: shape[0] * shape[1] * shape[2]].view(shape)


def _taken(
    points: Float[Tensor, "batch point 3"], which: Int[Tensor, "batch some"]
) -> Float[Tensor, "batch some 3"]:
    return points.gather(1, which[..., None].expand(-1, -1, 3))
