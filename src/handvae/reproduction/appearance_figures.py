"""Figures of generated pictures: test poses with random appearances, or with those of other pictures."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.errors import UserError
from handvae.inference.drawing import picture_cell
from handvae.noise import Noise, Stream
from handvae.reproduction.figure import AppearanceFigure
from handvae.reproduction.figure_models import shown
from handvae.reproduction.options import AppearanceOptions
from handvae.reproduction.sheets import (
    CELL,
    DrawnFigure,
    Sheet,
    check_least,
    labelled_grid,
    stacked,
    title_of,
)
from handvae.systems.system import Generator
from handvae.upsampling.upsample import usable_rows


def draw_appearance_figure(figure: AppearanceFigure, options: AppearanceOptions) -> DrawnFigure:
    """A sheet for each model.

    Raises:
        UserError: an option is out of range, a model makes no pictures, or the data have too few hands.
    """
    check_least(
        ("--poses", options.poses, 1),
        ("--appearances", options.appearances, 1),
        ("--seed", options.seed, 0),
    )
    found = shown(figure.rows, options, figure.fallback)
    models, data = found.models, found.data
    sheets = [(title_of(model), _sheet(figure, model.generator, data, options)) for model in models]

    notes = list(found.notes)
    notes.append(f"the paper's figure: {figure.about}")
    names = ", ".join(model.name for model in models)
    notes.append(f"here: {names}; {len(data)} hands of {data.spec.name}")
    return DrawnFigure(stacked(sheets), tuple(notes))


@torch.no_grad()
def _sheet(figure: AppearanceFigure, system: Generator, data: HandData, options: AppearanceOptions) -> Sheet:
    """First row: the real pictures of the poses. Then a row for each appearance.

    Where appearances are transferred, the picture that gives one stands first in its row.
    """
    givers = options.appearances if figure.transfer else 0
    rows = _chosen_rows(data, usable_rows(data, system), options.poses + givers, options.seed)

    hands = cut(data, rows[: options.poses], system.crop)
    joints = system.joints_of(hands)
    cells = [[picture_cell(picture, CELL) for picture in hands.require("image")]]

    labels = ["poses of"]

    if figure.transfer:
        pictures = cut(data, rows[options.poses :], system.crop).require("image")
        appearances = system.appearance_of(pictures)
        cells[0].insert(0, np.full_like(cells[0][0], 255))
        cells += [[picture_cell(picture, CELL)] for picture in pictures]
        labels += ["appearance of"] * options.appearances
    else:
        noise = Noise(options.seed, stream=Stream.FIGURE_APPEARANCES)
        appearances = system.random_appearance(options.appearances, noise)
        cells += [[] for _ in range(options.appearances)]
        labels += [f"random appearance {number + 1}" for number in range(options.appearances)]

    for row, appearance in zip(cells[1:], appearances, strict=True):
        generated = system.synthesize(joints, appearance.expand(len(joints), -1))
        row += [picture_cell(picture, CELL) for picture in generated]

    return labelled_grid(cells, labels)


def _chosen_rows(data: HandData, rows: Int[Tensor, " row"], count: int, seed: int) -> Int[Tensor, " some"]:
    """Random rows; where gestures are known, one of each gesture before a second of any."""
    if len(rows) < count:
        fault = f"has {len(rows)} hands with all joints labelled, and {count} are asked for"
        raise UserError(data.spec.name, fault, "lower --poses or --appearances")

    rows = rows[torch.randperm(len(rows), generator=Noise(seed, stream=Stream.FIGURE_POSES).generator)]
    gestures = data.labels(rows).gesture
    if gestures is None:
        return rows[:count]

    # how often each row's gesture occurred before it
    repeats = [int((gestures[:place] == gesture).sum()) for place, gesture in enumerate(gestures)]
    return rows[torch.tensor(repeats).argsort(stable=True)[:count]]
