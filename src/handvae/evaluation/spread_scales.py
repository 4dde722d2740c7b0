"""Scales of spread that a model keeps, one for each set of inputs, fitted on hands it was not trained on."""

import os
from collections.abc import Mapping, Sequence
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
from handvae.training.checkpoint import WEIGHTS, Model, keep_spread_scales

FEWEST_HANDS = 30
"""Fewest labelled hands that a scale is fitted on."""


@dataclass(frozen=True)
class FittedScale:
    """A scale, and the share of labelled coordinates within one deviation; 68.3 % is calibrated."""

    scale: SpreadScale
    hands: int
    claimed_coverage: float
    """As the network claims it, %."""
    coverage: float
    """Each half of the hands scaled as fits the other half, %."""


@dataclass(frozen=True)
class _Claim:
    """Errors, and the spread that the network claims for them."""

    errors: Float[Tensor, "batch joint axis"]
    spread: Float[Tensor, "batch joint axis"]
    valid: Bool[Tensor, "batch joint"]


# --------------------------------------------------------------------------------------- a model and its file


def fit_kept_scales(models: Sequence[Model], data: HandData, name: str) -> dict[str, FittedScale]:
    """The scales that the one given model is to keep.

    Args:
        models: as the command line has them.
        data: hands that the model was not trained on.
        name: of the data, in messages and in the model's file.

    Raises:
        UserError: there are several models, its file may not be written, or no scale can be fitted.
    """
    if len(models) > 1:
        raise UserError("--keep-spread", f"{len(models)} models are given", "give one model and a data set")

    (model,) = models
    remedy = "copy the file and name your copy"
    if model.path.resolve().parent == WEIGHTS.resolve():
        raise UserError(model.path, "is shipped with the package and stays as it is", remedy)
    if not os.access(model.path, os.W_OK):
        raise UserError(model.path, "may not be written", remedy)

    return fit_spread_scales(model.pose_estimator, data, name)


def keep_scales(model: Model, scales: Mapping[str, FittedScale]) -> str:
    """Write the scales into the model's file; returns what they change, a line a set of inputs."""
    keep_spread_scales(model, {inputs: fitted.scale for inputs, fitted in scales.items()})
    lines = [
        f"spread of {inputs}: {fitted.claimed_coverage:.1f} % of coordinates within one deviation "
        f"as claimed, {fitted.coverage:.1f} % calibrated "
        f"(68.3 % is right; each half scaled as fits the other, N = {fitted.hands})"
        for inputs, fitted in scales.items()
    ]
    return "\n".join([*lines, f"kept in {model.path}"])


# ---------------------------------------------------------------------------------------------------- the fit


def fit_spread_scales(system: PoseEstimator, data: HandData, name: str) -> dict[str, FittedScale]:
    """A scale for each set of inputs that the system reads and the data have, by its name.

    Args:
        system: its claims are compared with the labels; scales that it has already do not count.
        data: hands that it was not trained on.
        name: of the data, in messages and in the model's file.

    Raises:
        UserError: too few hands are labelled, the data have nothing that the system reads, or it claims
            no spread.
    """
    input_sets = [inputs for inputs in system.input_sets if set(inputs) <= set(data.spec.modalities)]
    if not input_sets:
        fault = f"has no {' or '.join(system.inputs)}, which this model reads"
        raise UserError(name, fault, "give a set that has it")

    claims = _claims(system, data, input_sets)
    return {system.asked(inputs): _fit(system, inputs, claims[inputs], name) for inputs in input_sets}


@torch.no_grad()
def _claims(
    system: PoseEstimator, data: HandData, input_sets: list[tuple[Input, ...]]
) -> dict[tuple[Input, ...], _Claim]:
    """Errors and claimed spread of all hands, for each set of inputs."""
    batches: dict[tuple[Input, ...], list[_Claim]] = {inputs: [] for inputs in input_sets}
    fields = _pixel_fields(input_sets)
    for rows in torch.arange(len(data)).split(BATCH):
        hands = cut(data, rows, system.crop, fields=fields)
        target = system.joints_of(hands)
        valid = system.labelled(hands)

        # the root joint is 0 by definition, so its error says nothing about its spread
        if system.root_joint is not None:
            valid = valid.clone()
            valid[:, system.root_joint] = False

        for inputs in input_sets:
            prediction = system.predict_uncalibrated(hands, inputs)
            errors = prediction.joints - target
            counted = valid & errors.isfinite().all(-1)
            batches[inputs].append(_Claim(errors, prediction.spread, counted))

    return {inputs: _joined(claims) for inputs, claims in batches.items()}


def _joined(claims: list[_Claim]) -> _Claim:
    return _Claim(
        errors=torch.cat([claim.errors for claim in claims]),
        spread=torch.cat([claim.spread for claim in claims]),
        valid=torch.cat([claim.valid for claim in claims]),
    )


def _pixel_fields(input_sets: list[tuple[Input, ...]]) -> tuple[PixelField, ...]:
    """Pictures among the inputs; joints come with every hand."""
    names = {name for inputs in input_sets for name in inputs} - {"joints_2d"}
    return cast(tuple[PixelField, ...], tuple(sorted(names)))


def _fit(system: PoseEstimator, inputs: tuple[Input, ...], claim: _Claim, name: str) -> FittedScale:
    input_name = system.asked(inputs)
    hands = int(claim.valid.any(1).sum())
    if hands < FEWEST_HANDS:
        fault = f"has {hands} labelled hands for {input_name}, too few to fit a scale of spread"
        raise UserError(name, fault, f"give {FEWEST_HANDS} at least that the model was not trained on")
    if not (claim.spread[claim.valid] > 0).any():
        fault = f"this model claims no spread for {input_name}"
        raise UserError("--keep-spread", fault, "leave the option out")

    scale = fit_spread_scale(claim.errors, claim.spread, claim.valid, f"{hands:,} hands of {name}")
    each_hand = torch.arange(len(claim.errors))
    scaled = cross_fitted(claim.errors, claim.spread, claim.valid, each_hand)
    return FittedScale(
        scale=scale,
        hands=hands,
        claimed_coverage=_percent_within_one_deviation(claim.errors, claim.spread, claim.valid),
        coverage=_percent_within_one_deviation(claim.errors, scaled, claim.valid),
    )


def _percent_within_one_deviation(errors: Tensor, spread: Tensor, valid: Tensor) -> float:
    return 100 * float(coverage(errors, spread, valid, (ONE_SIGMA,)))
