"""report.html of `handvae upsample`: numbers with their protocols, errors, pictures kept and dropped."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from handvae import __version__
from handvae.evaluation.measure import Measure
from handvae.evaluation.page import Section, page, paragraph, picture, plot, table
from handvae.inference.drawing import draw_skeleton, enlarge, grid
from handvae.noise import Noise, Stream
from handvae.upsampling.plan import UpsamplePlan
from handvae.upsampling.report import UpsamplingSummary
from handvae.upsampling.shards import GeneratedSet

COLUMNS = 12
SIDE = 96
"""Pixels of a picture on a sheet."""


def upsample_page(
    plan: UpsamplePlan, generated: GeneratedSet, summary: UpsamplingSummary, gains: Sequence[Measure]
) -> str:
    """The page as HTML."""
    sections = [Section("Numbers", _numbers(summary.measures))]
    if gains:
        sections.append(Section("Do they help?", _numbers(gains)))

    sections.append(Section("Errors of the detector's joints", plot(summary.figure)))
    sections.append(Section("Kept", _kept(plan, generated)))
    sections.append(Section("Dropped", _dropped(generated)))

    options = []
    for name, value in plan.to_json().items():
        options.append(f"{name} {', '.join(value) if isinstance(value, list) else value}")

    made_by = f"handvae {__version__} upsample: {'; '.join(options)}"
    sections.append(Section("Made by", paragraph(made_by)))
    return page(f"{plan.dataset}, upsampled", sections)


def _numbers(measures: Sequence[Measure]) -> str:
    """Measures as a table."""
    rows = []
    for measure in measures:
        value = f"{measure.value:.4g} {measure.unit}".strip()
        rows.append([measure.name, value, str(measure.n), measure.terms])
    return table(["measure", "value", "N", "protocol"], rows)


def _kept(plan: UpsamplePlan, generated: GeneratedSet) -> str:
    """A random sheet of the pictures that passed, and the worst of them."""
    kept = generated.kept
    if not len(kept):
        return paragraph("No picture passed the check.")

    noise = Noise(plan.seed, stream=Stream.UPSAMPLING_PAGE)
    order = torch.randperm(len(kept), generator=noise.generator)[: 4 * COLUMNS]
    chosen = picture(
        sheet(generated, kept[order]),
        "Random pictures, and below each the same with the joints asked for, which are its label",
    )

    by_error = generated.error[kept].argsort(descending=True, stable=True)
    worst = kept[by_error][: 2 * COLUMNS]
    caption = f"The worst that passed: errors {_errors(generated, worst)} % of hand size"

    return chosen + picture(sheet(generated, worst), caption)


def _dropped(generated: GeneratedSet) -> str:
    """The worst pictures, and those that missed the limit by the least."""
    dropped = generated.dropped
    if not len(dropped):
        return paragraph("None.")

    worst = dropped[: 2 * COLUMNS]
    caption = f"The worst first; errors {_errors(generated, worst)} % of hand size (nan: no hand found)"
    html = picture(sheet(generated, worst), caption)

    if len(dropped) > 4 * COLUMNS:
        least = dropped[-COLUMNS:]
        caption = f"Those that missed the limit by the least: {_errors(generated, least)} %"
        html += picture(sheet(generated, least), caption)

    return html


def _errors(generated: GeneratedSet, rows: Int[Tensor, " row"]) -> str:
    return ", ".join(f"{100 * error:.1f}" for error in generated.error[rows].tolist())


def sheet(generated: GeneratedSet, rows: Int[Tensor, " row"]) -> np.ndarray:
    """Pictures in lines; below each line the same pictures with the joints asked for."""
    joints = generated.data.labels(rows).require("joints_2d").numpy()
    zoom = SIDE / generated.data.spec.size_px
    pictures = [enlarge(generated.data.picture(row), SIDE) for row in rows.tolist()]
    drawn = [draw_skeleton(pixels, points * zoom) for pixels, points in zip(pictures, joints, strict=True)]

    lines = []

    for start in range(0, len(pictures), COLUMNS):
        lines.append(pictures[start : start + COLUMNS])
        lines.append(drawn[start : start + COLUMNS])

    return grid(lines)
