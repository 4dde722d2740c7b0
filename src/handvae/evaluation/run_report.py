"""report.html of a run folder: one self-contained page with its curves, its last sample sheet and its
options."""

import html
import json
from pathlib import Path

from handvae.evaluation.page import Section, page, paragraph, plot, png
from handvae.evaluation.plots import Curve, Plot
from handvae.files import write_text_atomically

_LEFT_OUT = {"step", "stage", "lr"}


def write_run_report(folder: Path, sheet_rows: str = "") -> Path:
    """Make report.html from config.json, metrics.jsonl and the newest sample sheet of a run folder, whose
    rows show `sheet_rows`."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    names = [name for name in rows[-1] if name not in _LEFT_OUT] if rows else []
    logged = {name: [(row["step"], row[name]) for row in rows if name in row] for name in names}
    curves = "".join(plot(_curve(name, points)) for name, points in logged.items() if len(points) > 1)
    once = [f"{name} {points[0][1]:.4g}" for name, points in logged.items() if len(points) == 1]
    sections = []
    sheets = sorted((folder / "samples").glob("*.png"))
    if sheets:
        note = f"Rows: {sheet_rows}." if sheet_rows else ""
        sections.append(Section(sheets[-1].stem, png(sheets[-1].read_bytes(), note)))
    about = paragraph("All values are of training batches; see `handvae evaluate` for test data.")
    if once:
        about += paragraph(f"Logged once, at step {rows[-1]['step']}: {', '.join(once)}.")
    sections.append(Section("Training curves", about + curves))
    sections.append(Section("Options", f"<pre>{html.escape((folder / 'config.json').read_text())}</pre>"))
    path = folder / "report.html"
    write_text_atomically(path, page(f"handvae run {folder.name}", sections))
    return path


def _curve(name: str, points: list[tuple[int, float]]) -> Plot:
    """A scalar over steps, its first tenth left out, so that the rest can be read."""
    settled = points[len(points) // 10 :]
    curve = Curve(name, tuple(float(step) for step, _ in settled), tuple(value for _, value in settled))
    return Plot(
        f"{name}: {points[-1][1]:.4g}",
        "step",
        name,
        (curve,),
        "the first tenth is not shown",
        from_zero=False,
    )
