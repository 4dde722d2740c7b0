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
    """Compare the pixel variance that each model of it predicts with that of `samples` plain decodings.

    The appearance's posterior is decoded at the exact pose.
    """
    # torch's forward-mode derivative of group_norm cannot take channels-last feature maps (2.13)
    system = copy.deepcopy(system).to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    appearance = system.encode(image).appearance
    pose = system.standardise(joints).flatten(1)

    def decode(code: Tensor) -> Tensor:
        picture = system.decode(pose, code)
        return picture.mean if isinstance(picture, RandomVariable) else picture

    # all models draw their directions from this one generator, in this order
    generator = torch.Generator().manual_seed(0)
    models: dict[str, Callable[[RandomVariable], Any]] = {
        "diagonal": lambda code: system.decode(pose, code),
        "tangent_1": lambda code: tangent_moments(decode, code, generator=generator),
        f"tangent_{MAP_TANGENTS}": lambda code: tangent_moments(
            decode, code, MAP_TANGENTS, generator=generator
        ),
        "mirrored_1": lambda code: mirrored_moments(decode, code, generator=generator),
    }
    protocol = Stated(
        f"pixel variance of the appearance's posterior at the exact pose, {samples} Gaussian draws "
        "through the plain decoder"
    )

    n = len(image)
    measures: list[Measure] = []

    for name, model in models.items():
        report = _compare(decode, model, appearance, samples)
        measures.append(
            Measure(
                name=f"{name}_modelled_over_true_variance",
                value=1 / report.ratio,
                unit="",
                n=n,
                protocol=protocol,
                definition="total over pixels",
            )
        )
        measures.append(
            Measure(
                name=f"{name}_variance_map_correlation",
                value=report.map_correlation,
                unit="",
                n=n,
                protocol=protocol,
                definition="Pearson, mean over pictures",
            )
        )

    return tuple(measures)


def _compare(
    decode: Callable[[Tensor], Tensor],
    model: Callable[[RandomVariable], Any],
    appearance: RandomVariable,
    samples: int,
) -> CalibrationReport:
    """Calibrate a decoder that handles tensors plainly and random variables by the model."""

    def either(code: Tensor | RandomVariable) -> Any:
        return model(code) if isinstance(code, RandomVariable) else decode(code)

    return calibrate(either, appearance, samples, generator=torch.Generator().manual_seed(1))
