"""The hands that a figure shows, and what their models see of them."""

import torch
from jaxtyping import Int
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.evaluation.generation_inputs import fully_labelled_rows
from handvae.inference.drawing import picture_cell
from handvae.noise import Noise, Stream
from handvae.reproduction.sheets import CELL, Sheet
from handvae.systems.cm_vae import CmVae
from handvae.systems.system import PoseEstimator


def random_rows(data: HandData, count: int, seed: int) -> Int[Tensor, " row"]:
    """Random hands that have all labels.

    Raises:
        UserError: there are fewer.
    """
    rows = fully_labelled_rows(data)
    if len(rows) < count:
        fault = f"has {len(rows)} hands with all labels, and {count} are needed"
        raise UserError(data.spec.name, fault, "lower --hands")

    order = torch.randperm(len(rows), generator=Noise(seed, stream=Stream.LATENT_ROWS).generator)
    return rows[order[:count]]


def cells(pictures: Tensor) -> list[Sheet]:
    """Pictures as the cells of a row."""
    return [picture_cell(picture, CELL) for picture in pictures]


def input_name(system: PoseEstimator) -> str:
    """What a system reads, in a word."""
    return system.config.input if isinstance(system, CmVae) else "picture"


def input_cells(system: PoseEstimator, hands: Hands) -> list[Sheet]:
    """What a system reads of crops: pictures, depth, or 2D joints as limbs."""
    if not isinstance(system, CmVae):
        return cells(hands.require("image"))

    # pictures are encoded from -0.5 to 0.5
    modality = system.config.input
    value = system.observed(hands, modality)
    return cells(system.visualise(value + 0.5 if modality == "rgb" else value, modality))
