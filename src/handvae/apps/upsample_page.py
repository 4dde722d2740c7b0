"""report.html of `handvae upsample`: numbers with their protocols, the check's errors, pictures kept and
dropped."""

from collections.abc import Sequence

import numpy as np
import torch

from handvae import __version__
from handvae.evaluation.measure import Measure
from handvae.evaluation.page import Section, page, paragraph, picture, plot, table
from handvae.inference.drawing import draw_skeleton, enlarge, grid
from handvae.noise import Noise, Stream
from handvae.upsampling.report import UpsamplingSummary
from handvae.upsampling.upsample import GeneratedSet, UpsamplePlan

COLUMNS, SIDE = 12, 96


def upsample_page(
    plan: UpsamplePlan, made: GeneratedSet, found: UpsamplingSummary, gains: Sequence[Measure]
) -> str:
    """The page as HTML."""
    sections = [Section("Numbers", _numbers(found.measures))]
    if gains:
        sections.append(Section("Do they help?", _numbers(gains)))
    sections += [
        Section("What the detector reads", plot(found.figure)),
        Section("Kept", _kept(plan, made)),
        Section("Dropped", _dropped(made)),
    ]
    asked = "; ".join(
        f"{name} {', '.join(value) if isinstance(value, list) else value}"
        for name, value in plan.to_json().items()
    )
    sections.append(Section("Made by", paragraph(f"handvae {__version__} upsample: {asked}")))
    return page(f"{plan.dataset}, upsampled", sections)


def _numbers(measures: Sequence[Measure]) -> str:
    rows = [[m.name, f"{m.value:.4g} {m.unit}".strip(), str(m.n), m.terms] for m in measures]
    return table(["measure", "value", "N", "protocol"], rows)


def _kept(plan: UpsamplePlan, made: GeneratedSet) -> str:
    if not len(made.kept):
        return paragraph("No picture passed the check.")
    order = torch.randperm(
        len(made.kept), generator=Noise(plan.seed, stream=Stream.UPSAMPLING_PAGE).generator
    )[: 4 * COLUMNS]
    worst = made.kept[made.error[made.kept].argsort(descending=True, stable=True)][: 2 * COLUMNS]
    random = picture(
        sheet(made, made.kept[order]),
        "Drawn at random: the picture, and below it with the joints asked for, which are its label",
    )
    return random + picture(
        sheet(made, worst), f"The worst that passed: errors {_errors(made, worst)} % of hand size"
    )


def _dropped(made: GeneratedSet) -> str:
    if not len(made.dropped):
        return paragraph("None.")
    worst = made.dropped[: 2 * COLUMNS]
    said = f"The worst first; errors {_errors(made, worst)} % of hand size (nan: no hand found)"
    parts = picture(sheet(made, worst), said)
    if len(made.dropped) > 4 * COLUMNS:
        least = made.dropped[-COLUMNS:]
        parts += picture(sheet(made, least), f"Those that missed the limit least: {_errors(made, least)} %")
    return parts


def _errors(made: GeneratedSet, rows: torch.Tensor) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in made.error[rows].tolist())


def sheet(made: GeneratedSet, rows: torch.Tensor) -> np.ndarray:
    """Pictures in lines, below each line the same with the joints asked for."""
    joints = made.data.labels(rows).require("joints_2d")
    pictures = [made.data.picture(row) for row in rows.tolist()]
    plain = [enlarge(pixels, SIDE) for pixels in pictures]
    zoom = SIDE / made.data.spec.size_px
    drawn = [
        draw_skeleton(pixels, points * zoom) for pixels, points in zip(plain, joints.numpy(), strict=True)
    ]
    starts = range(0, len(plain), COLUMNS)
    return grid([line[start : start + COLUMNS] for start in starts for line in (plain, drawn)])
