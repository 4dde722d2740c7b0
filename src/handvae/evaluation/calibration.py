"""How far modelled pixel variances are from true ones, for each way of modelling them."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from handvae.evaluation.measure import Measure, Stated
from handvae.rv import CalibrationReport, RandomVariable, calibrate
from handvae.rv.tangent import mirrored_moments, tangent_moments
from handvae.systems.pose_appearance import PoseAppearanceVae

MAP_TANGENTS = 8
"""Directions for a map per pixel; the total needs one."""


@torch.no_grad()
def appearance_calibration(
    system: PoseAppearanceVae,
    image: Float[Tensor, "batch 3 height width"],
    joints: Float[Tensor, "batch joint axis"],
    samples: int = 128,
) -> tuple[Measure, ...]:
    """Decode the appearance's posterior at the exact pose by each model of variance, and compare with
    `samples` plain decodings."""
    # torch's forward-mode derivative of group_norm cannot take channels-last feature maps (2.13)
    system = copy.deepcopy(system).to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    appearance = system.encode(image).appearance
    pose = system.standardise(joints).flatten(1)

    def plain(texture: Tensor) -> Tensor:
        picture = system.decode(pose, texture)
        return picture.mean if isinstance(picture, RandomVariable) else picture

    generator = torch.Generator().manual_seed(0)
    models: dict[str, Callable[[RandomVariable], Any]] = {
        "diagonal": lambda texture: system.decode(pose, texture),
        "tangent_1": lambda texture: tangent_moments(plain, texture, generator=generator),
        f"tangent_{MAP_TANGENTS}": lambda texture: tangent_moments(
            plain, texture, MAP_TANGENTS, generator=generator
        ),
        "mirrored_1": lambda texture: mirrored_moments(plain, texture, generator=generator),
    }
    measures: list[Measure] = []
    for name, model in models.items():
        report = _report(plain, model, appearance, samples)
        protocol = Stated(
            f"pixel variance of the appearance's posterior at the exact pose, {samples} Gaussian draws through the plain decoder"
        )
        total, correlation = f"{name}_modelled_over_true_variance", f"{name}_variance_map_correlation"
        measures += [
            Measure(total, 1 / report.ratio, "", len(image), protocol, "total over pixels"),
            Measure(
                correlation, report.map_correlation, "", len(image), protocol, "Pearson, mean over pictures"
            ),
        ]
    return tuple(measures)


def _report(
    plain: Callable[[Tensor], Tensor],
    model: Callable[[RandomVariable], Any],
    appearance: RandomVariable,
    samples: int,
) -> CalibrationReport:
    def decode(texture: Tensor | RandomVariable) -> Any:
        return model(texture) if isinstance(texture, RandomVariable) else plain(texture)

    return calibrate(decode, appearance, samples, generator=torch.Generator().manual_seed(1))
