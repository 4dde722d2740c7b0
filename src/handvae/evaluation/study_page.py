"""report.html of `handvae evaluate`: numbers with their protocols, curves, the worst and the best hands,
sheets of pictures."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae import __version__
from handvae.data.crop import PixelField, cut, depth_centre, in_own_crop, normalise_depth, to_crop_px
from handvae.data.files.pictures import as_pixels
from handvae.evaluation.page import Section, page, paragraph, picture, plot, table
from handvae.evaluation.study import Study
from handvae.evaluation.study_report import Report
from handvae.hand import JOINT_NAMES
from handvae.inference.drawing import draw_joints, draw_skeleton, enlarge, grid
from handvae.noise import Noise, Stream
from handvae.systems.da_vae import DaVae

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
        if len(study.predictions.fully_labelled) and set(_sheet_fields(study)) <= set(
            study.data.spec.modalities
        ):
            sections.append(Section(f"Pictures of {study.name}", _sheet(study)))

    for sheet in found.sheets:
        pixels = as_pixels(sheet.pixels.numpy())
        sections.append(
            Section(sheet.title, picture(enlarge(pixels, 2 * max(pixels.shape[:2])), sheet.caption))
        )

    return page(title, [*sections, Section("Made by", paragraph(f"handvae {__version__}"))])


def _numbers(found: Report) -> str:
    rows = [
        [row.name, *row.cells, row.n, "; ".join(filter(None, (row.definition, row.protocol)))]
        for row in found.rows()
    ]
    note = paragraph(f"In brackets: {found.interval_protocol}.")
    return table(["metric", *(column.name for column in found.columns), "N", "protocol"], rows) + note


def _differences(found: Report) -> str:
    rows = []
    for d in found.differences:
        inside = f"{d.interval.low:.3g} to {d.interval.high:.3g}"
        rows.append(
            [
                f"{d.name}: {d.first} - {d.second}",
                f"{d.value:.3g} {d.unit}",
                inside,
                f"{d.p_value:.2g}",
                str(d.n),
                d.protocol,
            ]
        )

    return table(["metric", "difference", "95 % interval", "p", "N", "protocol"], rows)


def _extremes(study: Study) -> str:
    """Overlays of the hands read worst and best."""
    error = study.predictions.errors.nanmean(1)
    order = error.argsort()[: int(error.isfinite().sum())]  # NaN comes last
    half = max(1, min(SHOWN, len(order) // 2))
    parts = []

    for name, rows in (("worst", order.flip(0)[:half]), ("best", order[:half])):
        errors = ", ".join(f"{value:.3g}" for value in error[rows].tolist())
        caption = (
            f"The {name}: labels above, predictions below; mean error {errors} {study.predictions.error_unit}"
        )
        parts.append(picture(_overlays(study, rows), caption))

    return "".join(parts)


def _overlays(study: Study, rows: Int[Tensor, " rows"]) -> np.ndarray:
    crop, predictions = study.system.crop, study.predictions
    joints_px = (
        cut(study.data, rows, crop, fields=()).require("joints_2d")
        if predictions.joints_px is None
        else predictions.joints_px[rows]
    )
    cells = [enlarge(as_pixels(one.numpy()), SIDE) for one in _backgrounds(study, rows)]
    zoom = SIDE / crop.size_px
    draw = draw_skeleton if joints_px.shape[1] == len(JOINT_NAMES) else draw_joints
    lines = [
        [draw(cell, joints * zoom) for cell, joints in zip(cells, of.numpy(), strict=True)]
        for of in (joints_px, _in_crop(study, rows))
    ]

    return grid(lines)


def _backgrounds(study: Study, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows 3 size size"]:
    """Pictures, depth where the data have no pictures (the near dark), white where they have neither."""
    crop, has = study.system.crop, study.data.spec.modalities
    if "image" in has:
        return cut(study.data, rows, crop).require("image")

    if "depth" in has:
        hands = cut(study.data, rows, crop, fields=("depth",))
        depth = normalise_depth(
            hands.require("depth"), depth_centre(hands, study.data.spec.root == "camera"), crop.cube_mm
        )
        return ((depth + 1) / 2).expand(-1, 3, -1, -1)

    return torch.ones(len(rows), 3, crop.size_px, crop.size_px)


def _in_crop(study: Study, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows joint 2"]:
    """Joints read, px of the crop; 3D ones without perspective, filling the crop as the joints of every crop
    do."""
    crop, predictions = study.system.crop, study.predictions
    read = predictions.prediction[rows]
    if predictions.scale_mm is None:
        return read

    flat = read[..., :2]
    if crop.box != "cube":
        return to_crop_px(in_own_crop(flat, crop.margin), crop.size_px)

    middle = 0.0 if study.system.root == "centre" else flat.mean(1, keepdim=True)
    return to_crop_px(
        (flat - middle) * (2 * predictions.scale_mm[rows, None, None] / crop.cube_mm), crop.size_px
    )


def _sheet_fields(study: Study) -> tuple[PixelField, ...]:
    """Pictures that the system's own sheet shows."""
    return study.system.fields if isinstance(study.system, DaVae) else study.system.reads


def _sheet(study: Study) -> str:
    """The system's own sheet for some hands, of as many people as there are where they are known."""
    rows = study.predictions.fully_labelled
    order = rows[Noise(study.seed, stream=Stream.PAGE_ROWS).permutation(len(rows))]
    if study.predictions.subject is not None:
        people = study.predictions.subject[order]
        first = torch.tensor([not (people[:i] == person).any() for i, person in enumerate(people)])
        order = torch.cat([order[first], order[~first]])

    chosen = order[:SHOWN]
    shown = cut(study.data, chosen, study.system.crop, fields=_sheet_fields(study))
    sheet = study.system.sample_sheet(shown, Noise(study.seed, stream=Stream.PAGE_SHEET))
    pixels = as_pixels(sheet.numpy())
    zoom = max(1, round(SIDE / study.system.crop.size_px))
    return picture(
        enlarge(pixels, zoom * max(pixels.shape[:2])),
        f"Each column is a hand. Rows: {study.system.sheet_rows}.",
    )
