"""The page of a run folder."""

import json

from handvae.data.files.pictures import read_picture, write_picture
from handvae.evaluation.run_report import write_run_report


def test_the_page_holds_every_curve_the_last_sheet_and_the_options(tmp_path, tiny_set):
    rows = [
        {"step": step, "stage": "all", "lr": 1e-3, "total": 100 / step, "rate": float(step)}
        for step in range(1, 40)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "config.json").write_text(json.dumps({"preset": "<photos>"}))
    (tmp_path / "samples").mkdir()
    for name in ("step_10.png", "step_39.png"):
        write_picture(tmp_path / "samples" / name, read_picture(tiny_set / "images" / "000.png"))
    page = write_run_report(tmp_path, "hands & more").read_text()
    assert page.count("<polyline") == 2
    assert "total: 2.564" in page
    assert "step_39" in page
    assert "step_10" not in page
    assert "&lt;photos&gt;" in page
    assert "hands &amp; more" in page
    assert "http" not in page


def test_what_was_logged_once_is_told_not_drawn(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        json.dumps({"step": 20, "stage": "all", "lr": 1e-3, "total": 2.5, "rate": 7.0}) + "\n"
    )
    (tmp_path / "config.json").write_text("{}")
    page = write_run_report(tmp_path).read_text()
    assert "<svg" not in page
    assert "Logged once, at step 20: total 2.5, rate 7." in page
