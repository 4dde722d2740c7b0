"""The scales of spread that a model keeps, fitted on hands it was not trained on: one for each input, or
inputs together, that it reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.data.crop import PixelField, cut
from handvae.data.dataset import HandData
from handvae.errors import UserError
from handvae.evaluation.model_predictions import BATCH
from handvae.evaluation.spread import ONE_SIGMA, coverage, cross_fitted, fit_spread_scale
from handvae.systems.spread import SpreadScale
from handvae.systems.system import Input, PoseEstimator

FEWEST_HANDS = 30
"""Labelled hands that a scale is fitted on."""


@dataclass(frozen=True)
class FittedScale:
    """A scale, and the share of labelled coordinates within one deviation; 68.3 % is calibrated."""

    scale: SpreadScale
    hands: int
    claimed_coverage: float
    """As the network claims it, %."""
    coverage: float
    """Each half of the hands scaled as fits the other half, %."""


def fit_spread_scales(system: PoseEstimator, data: HandData, name: str) -> dict[str, FittedScale]:
    """A scale for all that the system reads and the data have, by its name (`PoseEstimator.asked`).

    Args:
        system: whose claims are compared with the labels; scales that it has already do not count.
        data: hands that it was not trained on.
        name: of the data, for people.

    Raises:
        UserError: too few hands are labelled, the data have nothing that the system reads, or it claims
            no spread.
    """
    wanted = [inputs for inputs in system.input_sets if set(inputs) <= set(data.spec.modalities)]
    if not wanted:
        raise UserError(
            name, f"has no {' or '.join(system.inputs)}, which this model reads", "give a set that has it"
        )
    parts = zip(*_read(system, data, wanted), strict=True)
    return {
        system.asked(inputs): _fitted(system, inputs, list(part), name)
        for inputs, part in zip(wanted, parts, strict=True)
    }


@dataclass(frozen=True)
class _Claim:
    errors: Float[Tensor, "batch joint axis"]
    spread: Float[Tensor, "batch joint axis"]
    valid: Bool[Tensor, "batch joint"]


@torch.no_grad()
def _read(system: PoseEstimator, data: HandData, wanted: list[tuple[Input, ...]]) -> Iterator[list[_Claim]]:
    """What is claimed from each of the inputs, batch by batch."""
    pictures = cast(
        tuple[PixelField, ...], tuple(sorted({one for inputs in wanted for one in inputs} - {"joints_2d"}))
    )
    for rows in torch.arange(len(data)).split(BATCH):
        hands = cut(data, rows, system.crop, fields=pictures)
        truth, valid = system.joints_of(hands), system.labelled(hands)
        if system.root_joint is not None:
            valid = valid.clone()
            valid[:, system.root_joint] = False
        claims = [system.predict_uncalibrated(hands, inputs) for inputs in wanted]
        yield [
            _Claim(
                predict_uncalibrated.joints - truth,
                predict_uncalibrated.spread,
                valid & (predict_uncalibrated.joints - truth).isfinite().all(-1),
            )
            for predict_uncalibrated in claims
        ]


def _fitted(system: PoseEstimator, inputs: tuple[Input, ...], claims: list[_Claim], name: str) -> FittedScale:
    errors, spread, valid = (
        torch.cat([getattr(predict_uncalibrated, part) for predict_uncalibrated in claims])
        for part in ("errors", "spread", "valid")
    )
    hands, asked = int(valid.any(1).sum()), system.asked(inputs)
    if hands < FEWEST_HANDS:
        fault = f"has {hands} labelled hands for {asked}, too few to fit a scale of spread"
        raise UserError(name, fault, f"give {FEWEST_HANDS} at least that the model was not trained on")
    if not (spread[valid] > 0).any():
        raise UserError(
            "--keep-spread",
            f"this model claims no spread of what it reads in {asked}",
            "leave the option out",
        )
    scale = fit_spread_scale(errors, spread, valid, f"{hands:,} hands of {name}")
    scaled = cross_fitted(errors, spread, valid, torch.arange(len(errors)))
    before, after = (100 * float(coverage(errors, some, valid, (ONE_SIGMA,))) for some in (spread, scaled))
    return FittedScale(scale, hands, before, after)
