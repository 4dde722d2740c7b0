"""Figures of shares within an error: of joints (PCK), or of frames by their worst joint (PCF)."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.errors import UserError
from handvae.evaluation.curves import read_curves
from handvae.evaluation.model_predictions import predict_hands
from handvae.evaluation.plots import COLOURS, Curve
from handvae.reproduction.figure import Counted, CurveFigure
from handvae.reproduction.figure_models import shown_people
from handvae.reproduction.options import CurveOptions
from handvae.reproduction.published_curves import published_pck
from handvae.reproduction.sheets import DrawnFigure, Sheet, check_least, title_of
from handvae.training.checkpoint import Model

RANGES_MM: dict[Counted, tuple[int, int]] = {"joints": (20, 50), "frames": (0, 80)}
"""The errors over which the papers draw these curves."""

Y_LABELS: dict[Counted, str] = {
    "joints": "joints within the error (PCK), %",
    "frames": "frames whose worst joint is within the error (PCF), %",
}
DPI = 100


def draw_curve_figure(figure: CurveFigure, options: CurveOptions) -> DrawnFigure:
    """A curve for each model, solid, and the published ones, dashed.

    Raises:
        UserError: an option is out of range, there is no model, or a model or the data do not fit.
    """
    check_least(("--seed", options.seed, 0))
    published = published_pck() if figure.shows_stb_curves else ()
    if options.curves is not None:
        published += read_curves(options.curves)
    people = shown_people(figure.rows, options, figure.fallback)

    # the same rows are shown of each person left out, in one order
    ours = [
        _curve(models, [found.data for found in people], figure.counted)
        for models in zip(*(found.models for found in people), strict=True)
    ]
    name = people[0].data.spec.name
    hands = sum(len(found.data) for found in people)
    count = len(people)
    several = f", {count} people, each left out of training once" if count > 1 else ""
    notes = [
        *people[0].notes,
        f"{figure.about}; {hands} hands of {name}, {options.split or 'all'}{several}",
        f"the paper: {figure.published}",
    ]
    if published:
        notes.append("dashed: published, on the data set named; compare only with ours on the same set")

    curves = (*ours, *published)
    numbers = {curve.name: {"x": list(curve.x), "y": list(curve.y)} for curve in curves}
    return DrawnFigure(_plot(figure, name, curves), tuple(notes), {"curves": numbers})


@torch.no_grad()
def _curve(models: Sequence[Model], data: Sequence[HandData], counted: Counted) -> Curve:
    """Shares at each whole millimetre, over the hands of all data, each read by its own model.

    Its name says the area from 20 to 50 mm, or the mean error.
    """
    parts = []
    for model, part in zip(models, data, strict=True):
        system = model.pose_estimator
        if system.pose != "3d":
            raise UserError(model.path, "reads 2D poses, and the curve is of errors in mm", "give a 3D model")
        parts.append(predict_hands(system, part).errors)

    errors = torch.cat(parts)
    name = data[0].spec.name
    if not errors.isfinite().any():
        raise UserError(name, "has no joint with a 3D label", "give a set with 3D joints")

    values = errors[errors.isfinite()] if counted == "joints" else worst_joints(errors)
    first, last = RANGES_MM[counted]
    thresholds = torch.arange(first, last + 1, dtype=torch.float32)
    shares = shares_within(values, thresholds)

    said = f"AUC {area(shares):.3f}" if counted == "joints" else f"mean error {errors.nanmean():.1f} mm"
    title = f"{title_of(models[0])} ({said}), on {name}"
    return Curve(title, tuple(thresholds.tolist()), tuple(shares.tolist()))


def worst_joints(errors: Float[Tensor, "frame joint"]) -> Float[Tensor, " some"]:
    """The largest error of each frame; frames without a labelled joint are left out."""
    labelled = errors.isfinite()
    return errors.masked_fill(~labelled, -1.0).amax(1)[labelled.any(1)]


def shares_within(
    errors: Float[Tensor, " error"], thresholds: Float[Tensor, " step"]
) -> Float[Tensor, " step"]:
    """Share of the errors that are at most each threshold."""
    return torch.searchsorted(errors.sort().values, thresholds, right=True) / len(errors)


def area(shares: Float[Tensor, " step"]) -> float:
    """Area under shares at equal steps, of the area of the whole range (trapezoids)."""
    return float(torch.trapezoid(shares)) / (len(shares) - 1)


def _plot(figure: CurveFigure, data: str, curves: Sequence[Curve]) -> Sheet:
    """The curves with axes, units and a legend below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second
    from matplotlib.figure import Figure

    plot = Figure(figsize=(7.2, 4.6 + 0.22 * len(curves)), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(plot)
    axes = plot.add_subplot()
    for number, curve in enumerate(curves):
        style, width = ("--", 1.3) if curve.kind == "dashed" else ("-", 2.2)
        colour = COLOURS[number % len(COLOURS)]
        shares = [100 * share for share in curve.y]
        axes.plot(curve.x, shares, label=curve.name, color=colour, linestyle=style, linewidth=width)

    axes.set(
        xlim=RANGES_MM[figure.counted],
        ylim=(0, 100),
        xlabel="error, mm (root-relative, no alignment)",
        ylabel=Y_LABELS[figure.counted],
        title=f"{figure.name}: {data}",
    )
    axes.grid(color="#e4e4e4")
    plot.legend(loc="outside lower left", fontsize=8, frameon=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
