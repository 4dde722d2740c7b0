"""docs/python.md: its code, run from top to bottom."""

import re
import shutil
from pathlib import Path

import pytest

import handvae

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_every_line_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photo, other, _ = handvae.sample_photos()
    shutil.copy(photo, "photo.jpg")
    shutil.copy(other, "other.jpg")
    names: dict[str, object] = {}
    for number, block in enumerate(blocks()):
        exec(compile(block, f"python.md, block {number}", "exec"), names)
    assert len(blocks()) == 8
    assert {path.name for path in tmp_path.glob("*.png")} == {"overlay.png", "fitted.png", "victory.png"}
    assert "no_such_photo.jpg" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in handvae.__all__ if name[0].islower()])
def test_the_page_names_every_function(name):
    assert f"handvae.{name}" in PAGE.read_text()
