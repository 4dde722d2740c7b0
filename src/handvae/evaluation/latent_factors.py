"""What the parts of da-VAE's latent cost and hold: ELBO and KLs (table 2), the cloud's error, linear probes
for true factors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.evaluation.disentangle import linear_probe
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.model_predictions import BATCH
from handvae.hand import RIGHT, scale_bone
from handvae.losses import chamfer
from handvae.noise import Noise, Stream
from handvae.systems.da_vae import DaVae

FACTORS = ("z1", "z2", "z3")
_APPEARANCE = ("melanin", "blood", "light_x", "light_y", "light_z", "light_strength", "ambient")
_SHAPE = ("palm_width", "thickness", "finger_length", "thumb_length")
GROUPS = ("pose", "view", "appearance", "shape")
"""Of true factors; a hand's size is none of them, for no picture tells it. z1 is to hold the first two, z2
the third, z3 the last."""
FEWEST = 50
"""Hands that probes need."""


@dataclass(frozen=True)
class FactorReadings:
    """What da-VAE says of every hand of a data set."""

    codes: tuple[Float[Tensor, "hand z1"], Float[Tensor, "hand z2"], Float[Tensor, "hand z3"]]
    """Posterior means."""
    terms: dict[str, float]
    """Parts of the objective, means over batches weighed by their hands."""
    chamfer_mm: Float[Tensor, " seen"]
    """Of the hands whose surface is known."""


@torch.no_grad()
def read_factors(system: DaVae, data: HandData, seed: int = 0) -> FactorReadings:
    """Encode and decode every hand of a data set."""
    codes, distances, sums = [], [], dict[str, float]()
    for number, rows in enumerate(torch.arange(len(data)).split(BATCH)):
        hands, noise = (
            cut(data, rows, system.crop, fields=system.fields),
            Noise(seed, number, stream=Stream.LATENT_FACTORS),
        )
        image = system.encoder_input(hands)
        masked = system.masked(image)
        latent = system.encode(image, masked)
        cloud, seen = system.cloud_of(hands, noise)
        draw = noise.normal(len(hands), sum(system.config.dims))
        for name, value in system.objective(hands, masked, cloud, seen, latent, draw).scalars().items():
            sums[name] = sums.get(name, 0.0) + value * len(rows) / len(data)

        codes.append(latent.mean)
        if seen.any():
            joints = hands.require("joints_3d")
            distances.append(
                chamfer(system.decode(latent.mean).cloud[seen], cloud[seen]) * scale_bone(joints)[seen]
            )

    parts = torch.cat(codes).split(system.config.dims, 1)
    return FactorReadings(
        (parts[0], parts[1], parts[2]), sums, torch.cat(distances) if distances else torch.zeros(0)
    )


def factor_measures(system: DaVae, data: HandData, seed: int = 0) -> Iterator[Measure]:
    """Table 2's numbers, the cloud's error, and the probes where the data tell their factors."""
    found, config, n = read_factors(system, data, seed), system.config, len(data)
    posterior = Stated("one sample of the posterior a hand, bone units, masked pictures in [0, 1]")
    beta = config.betas[0]

    if beta:
        words = f"minus the objective over b1 = {beta:g}; higher is better"
        yield Measure("elbo", -found.terms["total"] / beta, "", n, posterior, words)

    for name, key in (("kl_pose", "kl_pose"), ("kl_cloud", "kl_shape"), ("kl_rgb", "kl_appearance")):
        yield Measure(name, found.terms[key], "nats", n, posterior, "per dimension")

    yield Measure("kl_total", found.terms["rate"], "nats", n, posterior, "of all of z")
    if len(found.chamfer_mm):
        shown = Stated(
            f"root {config.root}, prediction in bone units times the true bone 9-10, posterior mean"
        )
        words = (
            f"mean nearest distance, both ways averaged; {config.grid**2} points read, "
            f"{config.cloud_points} of the visible surface"
        )
        yield Measure("chamfer_mm", float(found.chamfer_mm.mean()), "mm", len(found.chamfer_mm), shown, words)

    if "factors" in data.spec.modalities and n >= FEWEST:
        yield from probe_measures(found, data, system.crop.sides, seed)


def probe_measures(found: FactorReadings, data: HandData, sides: str, seed: int) -> Iterator[Measure]:
    """How much of each group of factors a linear probe of each part of z tells, as the mean R² of the group's
    factors."""
    labels, names = data.labels(torch.arange(len(data))), data.spec.factors
    factors = as_shown(labels, names, sides).double().numpy()
    protocol = Stated(
        "linear regression on the standardised posterior mean, fitted on 80 % of the hands, "
        "R² (at least 0) on the others"
    )

    for group in GROUPS:
        columns = [
            column
            for column, name in enumerate(names)
            if group_of(name) == group and np.ptp(factors[:, column]) > 0
        ]
        if not columns:
            continue

        for part, code in zip(FACTORS, found.codes, strict=True):
            told = linear_probe(code.double().numpy(), factors[:, columns], seed=seed)
            words = f"mean over {len(columns)} factors"
            yield Measure(
                f"probe_{group}_{part}", float(np.maximum(told, 0).mean()), "", len(data), protocol, words
            )


def group_of(name: str) -> str:
    """The group of a true factor of rendered hands; empty for those that no picture of the hand alone can
    tell."""
    if name in _APPEARANCE:
        return "appearance"
    if name in _SHAPE:
        return "shape"
    if name.startswith("view_"):
        return "view"
    return "pose" if name.endswith("_deg") and not name.startswith("wrist") else ""


def as_shown(labels: Hands, names: tuple[str, ...], sides: str) -> Float[Tensor, "hand factor"]:
    """True factors as crops show them: left and right of what is mirrored change."""
    factors, side = labels.require_all("factors", "side")
    if sides == "keep":
        return factors
    mirrored = (side == RIGHT) == (sides == "left")
    across = torch.tensor([name == "light_x" or name.startswith("view_x") for name in names])
    return torch.where(mirrored[:, None] & across, -factors, factors)


def probe_table(measures: dict[str, float]) -> list[str]:
    """The probes of `factor_measures`, by name, as a line a group of factors; none where there are none."""
    groups = [group for group in GROUPS if f"probe_{group}_z1" in measures]
    return [
        f"{group} from " + ", ".join(f"{part} {measures[f'probe_{group}_{part}']:.2f}" for part in FACTORS)
        for group in groups
    ]
