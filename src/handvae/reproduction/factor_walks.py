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
from handvae.data.open import open_data
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, HandShape
from handvae.inference.drawing import grid, picture_cell
from handvae.noise import Noise, Stream
from handvae.render.hand.fitting import fit_hands
from handvae.render.picture import draw
from handvae.reproduction.da_vae import DA_VAE_ROW
from handvae.reproduction.figure import WalkFigure
from handvae.reproduction.options import WalkOptions
from handvae.reproduction.sheets import CELL, DrawnFigure, check_least, trained_models
from handvae.systems.da_vae import DaVae
from handvae.training.checkpoint import Model, load_model


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

    model = load_model(options.model or _trained_model(options))
    system = _da_vae(model)
    data = open_data(options.data, options.split)
    count = 2 * options.pairs

    if len(data) < count:
        fault = f"has {len(data)} hands, and pairs need {count}"
        raise UserError(data.spec.name, fault, "lower --pairs")

    order = torch.randperm(len(data), generator=Noise(options.seed, stream=Stream.WALK_PAIRS).generator)
    image = cut(data, order[:count], system.crop).require("image")
    share = torch.linspace(-options.beyond, 1 + options.beyond, options.frames)

    rows = []
    for pair in image.split(2):
        rows += factor_walk(system, pair, figure.factor, share)

    return DrawnFigure(grid(rows), (f"{figure.about}; {model.name}, {data.spec.name}",))


def _trained_model(options: WalkOptions) -> str:
    """The run folder of da-VAE."""
    trained = trained_models((DA_VAE_ROW,), options.out, options.seed)
    if not trained:
        fault = f"is not given, and no {DA_VAE_ROW} of seed {options.seed} is trained in {options.out}"
        raise UserError("--model", fault, "name a model, or run handvae reproduce da-vae-table1 first")
    return trained[0]


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
