"""report.html of a run folder: one self-contained page of its curves, last sample sheet and options."""

import html
import json
from pathlib import Path

from handvae.evaluation.page import Section, page, paragraph, plot, png
from handvae.evaluation.plots import Curve, Plot
from handvae.files import write_text_atomically

_NOT_PLOTTED = {"step", "stage", "lr"}


def write_run_report(folder: Path, sheet_rows: str = "") -> Path:
    """Write report.html from config.json, metrics.jsonl and the newest sample sheet of a run folder.

    Args:
        folder: the run.
        sheet_rows: what the rows of its sample sheets show.
    """
    sections = []
    sheets = sorted((folder / "samples").glob("*.png"))
    if sheets:
        note = f"Rows: {sheet_rows}." if sheet_rows else ""
        sections.append(Section(sheets[-1].stem, png(sheets[-1].read_bytes(), note)))

    sections.append(Section("Training curves", _training_curves(folder / "metrics.jsonl")))
    options = html.escape((folder / "config.json").read_text())
    sections.append(Section("Options", f"<pre>{options}</pre>"))

    path = folder / "report.html"
    write_text_atomically(path, page(f"handvae run {folder.name}", sections))
    return path


def _training_curves(metrics: Path) -> str:
    """Plots of the scalars that the last row logs; those that were logged once as text."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    names = [name for name in rows[-1] if name not in _NOT_PLOTTED] if rows else []

    plots = []
    logged_once = []

    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        if len(points) > 1:
            plots.append(plot(_curve(name, points)))
        else:
            logged_once.append(f"{name} {points[0][1]:.4g}")

    about = paragraph("All values are of training batches; see `handvae evaluate` for test data.")
    if logged_once:
        about += paragraph(f"Logged once, at step {rows[-1]['step']}: {', '.join(logged_once)}.")

    return about + "".join(plots)


def _curve(name: str, points: list[tuple[int, float]]) -> Plot:
    """A scalar over steps without its first tenth, whose large values would flatten the rest."""
    settled = points[len(points) // 10 :]
    steps = tuple(float(step) for step, _ in settled)
    values = tuple(value for _, value in settled)
    return Plot(
        title=f"{name}: {points[-1][1]:.4g}",
        x_label="step",
        y_label=name,
        curves=(Curve(name, steps, values),),
        note="the first tenth is not shown",
        from_zero=False,
    )
