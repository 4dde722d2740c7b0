"""report.html of a run folder: one self-contained page with its curves, its last sample sheet and its options."""

import base64
import html
import json
from pathlib import Path

from handvae.files import write_text_atomically

WIDTH, HEIGHT = 460, 160
_LEFT_OUT = {"step", "stage", "lr"}
_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:1000px}figure{display:inline-block;margin:4px}"
    "img{max-width:100%}svg{border:1px solid #ddd}pre{background:#f4f4f4;padding:1em}"
)


def write_run_report(folder: Path, sheet_rows: str = "") -> Path:
    """Make report.html from config.json, metrics.jsonl and the newest sample sheet of a run folder, whose rows show `sheet_rows`."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    names = [name for name in rows[-1] if name not in _LEFT_OUT] if rows else []
    curves = "".join(_curve(name, [(row["step"], row[name]) for row in rows if name in row]) for name in names)
    sheets = sorted((folder / "samples").glob("*.png"))
    sheet = f'<h2>{sheets[-1].stem}</h2><img src="{_data_url(sheets[-1])}" alt="samples">' if sheets else ""
    note = f"<p>Rows: {html.escape(sheet_rows)}.</p>" if sheets and sheet_rows else ""
    config = html.escape((folder / "config.json").read_text())
    title = html.escape(f"handvae run {folder.name}")
    page = (
        f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>'
        f"{sheet}{note}<h2>Training curves</h2><p>All values are of training batches; see <code>handvae evaluate</code> for test data.</p>"
        f"{curves}<h2>Options</h2><pre>{config}</pre>\n"
    )
    path = folder / "report.html"
    write_text_atomically(path, page)
    return path


def _curve(name: str, points: list[tuple[int, float]]) -> str:
    """A line plot as SVG; the first tenth may fall out of the picture, so that the rest can be read."""
    settled = [value for _, value in points[len(points) // 10 :]] or [value for _, value in points]
    low, high = min(settled), max(settled)
    across, down = max(points[-1][0], 1), (high - low) or 1.0
    path = " ".join(f"{step / across * WIDTH:.1f},{HEIGHT - (min(value, high) - low) / down * HEIGHT:.1f}" for step, value in points)
    caption = html.escape(f"{name}: {points[-1][1]:.4g} (range shown {low:.4g} to {high:.4g}, {across} steps)")
    line = f'<polyline points="{path}" fill="none" stroke="#1e88e5"/>'
    return f'<figure><svg width="{WIDTH}" height="{HEIGHT}">{line}</svg><figcaption>{caption}</figcaption></figure>'


def _data_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
