"""report.html of `handvae evaluate`: numbers with their protocols, curves, the worst and the best hands, sheets of pictures."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from handvae import __version__
from handvae.apps.drawing import draw_skeleton, enlarge, grid
from handvae.data.pictures import as_pixels
from handvae.data.view import cut, in_own_crop, to_crop_px
from handvae.evaluation.metrics import Study
from handvae.evaluation.page import Section, page, paragraph, picture, plot, table
from handvae.evaluation.study import Report
from handvae.noise import Noise

SHOWN = 8
"""Hands in a row of overlays or a sheet."""
SIDE = 128


def study_page(title: str, studies: Sequence[Study], found: Report) -> str:
    """The page as HTML."""
    sections = [Section("Numbers", _numbers(found))]
    if found.differences:
        sections.append(Section("Compared on the same hands", _differences(found)))
    sections.append(Section("Figures", "".join(plot(figure) for figure in found.figures)))
    for study in studies:
        sections.append(Section(f"Worst and best hands of {study.name}", _extremes(study)))
        if len(study.reading.whole):
            sections.append(Section(f"Pictures of {study.name}", _sheet(study)))
    for sheet in found.sheets:
        pixels = as_pixels(sheet.pixels.numpy())
        sections.append(Section(sheet.title, picture(enlarge(pixels, 2 * max(pixels.shape[:2])), sheet.caption)))
    return page(title, [*sections, Section("Made by", paragraph(f"handvae {__version__}"))])


def _numbers(found: Report) -> str:
    rows = [[row.name, *row.cells, row.n, "; ".join(filter(None, (row.definition, row.protocol)))] for row in found.rows()]
    note = paragraph(f"In brackets: {found.interval_protocol}.")
    return table(["metric", *(column.name for column in found.columns), "N", "protocol"], rows) + note


def _differences(found: Report) -> str:
    rows = []
    for d in found.differences:
        inside = f"{d.interval.low:.3g} to {d.interval.high:.3g}"
        rows.append([f"{d.name}: {d.first} - {d.second}", f"{d.value:.3g} {d.unit}", inside, f"{d.p_value:.2g}", str(d.n), d.protocol])
    return table(["metric", "difference", "95 % interval", "p", "N", "protocol"], rows)


def _extremes(study: Study) -> str:
    """Overlays of the hands read worst and best."""
    error = study.reading.errors.nanmean(1)
    order = error.argsort()[: int(error.isfinite().sum())]  # NaN comes last
    half = max(1, min(SHOWN, len(order) // 2))
    parts = []
    for name, rows in (("worst", order.flip(0)[:half]), ("best", order[:half])):
        errors = ", ".join(f"{value:.3g}" for value in error[rows].tolist())
        caption = f"The {name}: labels above, what was read below; mean error {errors} {study.reading.error_unit}"
        parts.append(picture(_overlays(study, rows), caption))
    return "".join(parts)


def _overlays(study: Study, rows: Int[Tensor, " rows"]) -> np.ndarray:
    crop, reading = study.system.crop, study.reading
    hands = cut(study.data, rows, crop)
    image, labelled = hands.need("image", "joints_2d")
    read = reading.predicted[rows]
    if not reading.flat:  # seen without perspective, filling the crop as the joints of every crop do
        read = to_crop_px(in_own_crop(read[..., :2], crop.margin), crop.size_px)
    cells = [enlarge(as_pixels(one.numpy()), SIDE) for one in image]
    zoom = SIDE / crop.size_px
    lines = [[draw_skeleton(cell, joints * zoom) for cell, joints in zip(cells, of.numpy(), strict=True)] for of in (labelled, read)]
    return grid(lines)


def _sheet(study: Study) -> str:
    """The system's own sheet for some hands, of as many people as there are where they are known."""
    rows = study.reading.whole
    order = rows[Noise(study.seed, stream=7).permutation(len(rows))]
    if study.reading.subject is not None:
        people = study.reading.subject[order]
        first = torch.tensor([not (people[:i] == person).any() for i, person in enumerate(people)])
        order = torch.cat([order[first], order[~first]])
    chosen = order[:SHOWN]
    sheet = study.system.sample_sheet(cut(study.data, chosen, study.system.crop), Noise(study.seed, stream=8))
    pixels = as_pixels(sheet.numpy())
    zoom = max(1, round(SIDE / study.system.crop.size_px))
    return picture(enlarge(pixels, zoom * max(pixels.shape[:2])), f"A hand a column. Rows: {study.system.sheet_rows}.")
