"""The ranges of the surroundings, and the page that tells of them."""

from dataclasses import fields
from pathlib import Path

import pytest

from handvae.render.surroundings.background import BackgroundRanges
from handvae.render.surroundings.objects import OccluderRanges
from handvae.render.surroundings.sensor import SensorRanges


@pytest.mark.parametrize("ranges", [BackgroundRanges, OccluderRanges, SensorRanges])
def test_the_page_gives_every_range_with_its_default(project: Path, ranges: type):
    page = (project / "docs" / "renderer.md").read_text()
    for field in fields(ranges):
        default = field.default
        value = f"{default[0]:g} to {default[1]:g}" if isinstance(default, tuple) else f"{default:g}"
        assert f"| `{field.name}` | {value} |" in page
