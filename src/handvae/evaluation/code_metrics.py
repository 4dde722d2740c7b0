"""Metrics of latent codes on data whose true factors are known."""

import numpy as np
import torch

from handvae.evaluation.disentangle import dci, mig, sap
from handvae.evaluation.generation_inputs import random_rows
from handvae.evaluation.latent_factors import factor_measures
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.plots import Curve, Plot
from handvae.evaluation.study import MetricResult, Study
from handvae.noise import Noise, Stream
from handvae.systems.da_vae import DaVae

MOST_CODES = 3000
"""Most hands whose codes are compared with true factors."""


def factors_metric(study: Study) -> MetricResult:
    """Which part of the code, pose or appearance, holds which true factor."""
    predictions = study.predictions
    rows = random_rows(torch.arange(len(study.data)), MOST_CODES, Noise(study.seed, stream=Stream.CODE_ROWS))
    factors = study.data.labels(rows).require("factors").double().numpy()
    discrete = (factors == np.round(factors)).all(0)

    # the code: coordinates of the pose, then the appearance
    pose = predictions.prediction[rows].flatten(1)
    parts = [pose] if predictions.appearance is None else [pose, predictions.appearance[rows]]
    codes = torch.cat(parts, 1).double().numpy()
    pose_dims = pose.shape[1]
    result = dci(codes, factors, discrete, seed=study.seed)

    n = len(rows)
    forest = "forests of 30 trees, 20 % of the hands held out"
    protocol = Stated(
        f"code: {pose_dims} coordinates read and {codes.shape[1] - pose_dims} of the appearance; "
        f"{len(result.used)} true factors"
    )

    def score(name: str, value: float, definition: str) -> Measure:
        return Measure(name, value, "", n, protocol, definition)

    measures = (
        score(
            "dci_disentanglement",
            result.disentanglement,
            f"1: a code value matters for one factor; {forest}",
        ),
        score("dci_completeness", result.completeness, f"1: a factor is in one code value; {forest}"),
        score("dci_informativeness", result.informativeness, f"mean R² or accuracy above chance; {forest}"),
        score("mig", mig(codes, factors, discrete), "mutual information gap, 20 bins of equal width"),
        score(
            "sap",
            sap(codes, factors, discrete, seed=study.seed),
            "gap of squared correlation or balanced accuracy",
        ),
    )

    share_in_pose = result.importance[:pose_dims].sum(0)
    places = tuple(float(place) for place in range(len(share_in_pose)))
    figure = Plot(
        title="Where a factor is",
        x_label="",
        y_label="share in the pose",
        curves=(Curve(study.name, places, tuple(share_in_pose.tolist()), "dots"),),
        note=(
            "share of a factor's importance that lies in the pose read, the rest lies in the appearance; "
            f"{forest}"
        ),
        ticks=tuple(study.data.spec.factors[factor] for factor in result.used),
    )

    return MetricResult(measures, figures=(figure,))


def latent_factors_metric(study: Study) -> MetricResult:
    """What da-VAE's factors z1, z2 and z3 cost, and which true factors each holds."""
    if not isinstance(study.system, DaVae):
        raise TypeError(f"{type(study.system).__name__} has no factors of pose, appearance and shape")
    return MetricResult(tuple(factor_measures(study.system, study.data, study.seed)))
