"""Figures 5 and 6 of da-VAE's paper: one factor of the latent walks from one hand to another.

Below each rebuilt picture the paper shows MANO, fitted to the predicted joints; here it is our own hand.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handvae.data.cloud import dots
from handvae.data.crop import cut, in_own_crop
from handvae.data.files.pictures import as_pixels
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, HandShape
from handvae.inference.drawing import picture_cell
from handvae.noise import Noise, Stream
from handvae.render.hand.fitting import fit_hands
from handvae.render.picture import draw
from handvae.reproduction.figure import WalkFigure
from handvae.reproduction.figure_models import shown
from handvae.reproduction.options import WalkOptions
from handvae.reproduction.sheets import CELL, DrawnFigure, check_least, labelled_grid, stacked, title_of
from handvae.systems.da_vae import DaVae
from handvae.training.checkpoint import Model

WALK_ROWS = ("picture", "hand", "cloud")
"""What the rows of a walk show."""


def draw_walk_figure(figure: WalkFigure, options: WalkOptions) -> DrawnFigure:
    """Three rows for each pair of hands; see `factor_walk`.

    Raises:
        UserError: an option is out of range, no model is trained, or the data have too few hands.
    """
    check_least(
        ("--pairs", options.pairs, 1),
        ("--frames", options.frames, 2),
        ("--seed", options.seed, 0),
    )
    if not 0 <= options.beyond <= 10:
        raise UserError("--beyond", f"is {options.beyond}", "give 0 to 10")

    found = shown(figure.rows, options)
    data, notes = found.data, []
    count = 2 * options.pairs

    if len(data) < count:
        fault = f"has {len(data)} hands, and pairs need {count}"
        raise UserError(data.spec.name, fault, "lower --pairs")

    order = torch.randperm(len(data), generator=Noise(options.seed, stream=Stream.WALK_PAIRS).generator)
    share = torch.linspace(-options.beyond, 1 + options.beyond, options.frames)

    sheets = []
    for model in found.models:
        system = _da_vae(model)
        image = cut(data, order[:count], system.crop).require("image")
        rows = [row for pair in image.split(2) for row in factor_walk(system, pair, figure.factor, share)]
        sheets.append((title_of(model), labelled_grid(rows, row_labels=WALK_ROWS * options.pairs)))
        notes.append(f"{figure.about}; {model.name}, {data.spec.name}")

    return DrawnFigure(stacked(sheets), tuple(notes))


def _da_vae(model: Model) -> DaVae:
    if not isinstance(model.system, DaVae):
        fault = f"is a {model.header.system}, whose latent has no such factors"
        raise UserError(model.path, fault, "give a model of da-VAE")
    return model.system


def between(
    first: Float[Tensor, "latent"],
    last: Float[Tensor, "latent"],
    dims: Sequence[int],
    factor: int,
    share: Float[Tensor, " frame"],
) -> Float[Tensor, "frame latent"]:
    """Points of a straight walk of one factor from the first to the last; other factors stay the first's."""
    walks = [torch.full((size,), number == factor) for number, size in enumerate(dims)]
    return torch.where(torch.cat(walks), first + share[:, None] * (last - first), first)


@torch.no_grad()
def factor_walk(
    system: DaVae, pair: Float[Tensor, "2 3 height width"], factor: int, share: Float[Tensor, " frame"]
) -> list[list[np.ndarray]]:
    """Three rows of cells: rebuilt pictures between the two hands, our hand fitted to the joints, clouds."""
    masked = system.masked(pair)
    first, last = system.encode(pair, masked).mean
    decoded = system.decode(between(first, last, system.config.dims, factor, share))

    # joints are in lengths of the bone 9-10; the fit takes millimetres of an average hand
    side = torch.full((len(share),), LEFT if system.spec.sides == "left" else RIGHT)
    joints_mm = decoded.joints * HandShape.mean().lengths_mm[2, 0]
    hands = fit_hands(joints_mm, side)

    clouds = dots(in_own_crop(decoded.cloud[..., :2], 1.1), CELL)
    left, right = (picture_cell(picture, CELL) for picture in masked)
    blank = np.full_like(left, 255)

    return [
        [left, *(picture_cell(picture, CELL) for picture in decoded.image), right],
        [blank, *(draw(hands.scene(row), CELL).image for row in range(len(share))), blank],
        [blank, *(as_pixels(cloud.numpy()) for cloud in clouds), blank],
    ]
