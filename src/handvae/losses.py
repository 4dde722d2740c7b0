"""Loss terms of more than one system, besides those of random variables (`rv.losses`)."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from handvae.rv import RandomVariable
from handvae.rv.losses import ImageVariance, reconstruction_error

LABEL_SCALE = 0.03
"""Spread of a 2D label, over the hand's size, at which it counts half."""
DISTANCES_AT_ONCE = 2**21
"""Pairs of points whose distances are in memory at the same time: 8 MiB, about a core's cache."""


def image_loss(
    target: Float[Tensor, "batch 3 height width"],
    prediction: Float[Tensor, "batch 3 height width"] | RandomVariable,
    variance: ImageVariance = "squared",
    weight: float = 50.0,
) -> Float[Tensor, " batch"]:
    """Squared error per value of the image, plus a term of its variance.

    Args:
        target: the image.
        prediction: an image, or mean and variance of each of its values.
        variance: `squared`: weight * mean(v^2), as in the published RV-VAE code. `expected`: mean(v), which
            makes the sum the exact expectation of the squared error. `none`: no term.
        weight: factor of the squared term.
    """
    moments = prediction if isinstance(prediction, RandomVariable) else RandomVariable(prediction)
    moments = moments.map(Tensor.float)

    # The squared term is a mean where the error is a sum: times the count it remains, per value, what it was.
    count = target[0].numel()
    return reconstruction_error(target, moments, variance, weight * count) / count


def labelled_error(
    prediction: Float[Tensor, "batch *shape"],
    target: Float[Tensor, "batch *shape"],
    label_mask: Bool[Tensor, "batch joint"] | Float[Tensor, "batch joint"],
) -> Float[Tensor, " batch"]:
    """Mean squared error of each hand's values.

    Of an image (batch, channel, row, column) all values count, of a pose those of the labelled joints. A
    weight below 1 in place of a mark lowers the joint's share; the mean remains one over labelled joints.
    """
    error = (prediction - target).square()
    if target.ndim == 4:
        return error.flatten(1).mean(1)
    return (error.mean(2) * label_mask).sum(1) / (label_mask > 0).sum(1).clamp_min(1)


def spread_weights(
    joints: Float[Tensor, "batch joint 2"],
    spread: Float[Tensor, "batch joint"],
    labelled: Bool[Tensor, "batch joint"],
    scale: float = LABEL_SCALE,
) -> Float[Tensor, "batch joint"]:
    """How much each 2D label counts in training: 1 / (1 + (spread / (scale * the hand's size))^2); ours.

    The labels of people count 1 (their spread is 0), those on which a network's votes disagree less.

    Args:
        joints: px.
        spread: standard deviation of each label, px.
        labelled: joints whose coordinates mean anything; the hand's size is that of their box.
        scale: the relative spread at which a label counts half.
    """
    outside = ~labelled[..., None]
    extent = joints.masked_fill(outside, -torch.inf).amax(1) - joints.masked_fill(outside, torch.inf).amin(1)
    size = extent.prod(1).clamp_min(1e-6).sqrt()
    relative = spread / size[:, None] / scale
    return torch.where(spread > 0, 1 / (1 + relative.square()), 1.0)


def masked_mean(values: Float[Tensor, " batch"], counted: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Mean over the hands that count; 0 where none does."""
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp_min(1)


def weighted_mean(
    values: Float[Tensor, "*shape"], weights: Float[Tensor, "*shape"] | Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Weighted mean over all values; 0 where all weights are. A value of weight 0 need not be finite."""
    counted = torch.where(weights > 0, values * weights, 0.0)
    return counted.sum() / weights.sum().clamp_min(1e-6)


# ----------------------------------------------------------------------------------------------- point clouds


def chamfer(
    first: Float[Tensor, "batch point 3"],
    second: Float[Tensor, "batch other 3"],
    reduction: Literal["mean", "max"] = "mean",
) -> Float[Tensor, " batch"]:
    """Chamfer distance of clouds, in their unit: the mean distance to the other cloud's nearest point.

    Memory is that of the clouds: nearest points are found in pieces without a gradient, which flows through
    the distances of these pairs. It is the true one wherever no two points are equally near.

    Args:
        first: points.
        second: points, not necessarily as many.
        reduction: of both directions: their mean, or the larger one, as in FoldingNet.
    """
    with torch.autocast(first.device.type, enabled=False):
        first, second = first.float(), second.float()
        forth = (first - _gathered(second, nearest_points(first, second))).norm(dim=2).mean(1)
        back = (second - _gathered(first, nearest_points(second, first))).norm(dim=2).mean(1)

    return (forth + back) / 2 if reduction == "mean" else torch.maximum(forth, back)


@torch.no_grad()
def nearest_points(
    first: Float[Tensor, "batch point 3"], second: Float[Tensor, "batch other 3"]
) -> Int[Tensor, "batch point"]:
    """The index of the nearest point of the second cloud, for each point of the first.

    Both are float32, outside of autocast.
    """
    # Distances come from squares, which far from the origin would swallow them.
    middle = second.mean(1, keepdim=True)
    first = first - middle
    second = (second - middle).mT.contiguous()
    squares = second.square().sum(1, keepdim=True)

    # One table for all pieces: if each were freed and allocated again, the heap would fragment.
    rows = min(first.shape[1], max(1, DISTANCES_AT_ONCE // max(1, squares.numel())))
    table = first.new_empty(rows * squares.numel())

    nearest = []

    for points in first.split(rows, 1):
        shape = (len(points), points.shape[1], second.shape[2])
        piece = table[: shape[0] * shape[1] * shape[2]].view(shape)
        torch.baddbmm(squares, points, second, alpha=-2, out=piece)  # |a - b|^2 - |a|^2
        nearest.append(piece.argmin(2))

    return torch.cat(nearest, 1)


def _gathered(
    points: Float[Tensor, "batch point 3"], indices: Int[Tensor, "batch some"]
) -> Float[Tensor, "batch some 3"]:
    return points.gather(1, indices[..., None].expand(-1, -1, 3))
