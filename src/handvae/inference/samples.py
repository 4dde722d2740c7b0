"""Photos that ship with the package; their licence and authors are in `samples/ATTRIBUTION.md`."""

from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "samples"


def sample_photos() -> list[Path]:
    """Paths of three real photos, of one right hand each, to try things on."""
    return sorted(SAMPLES.glob("*.jpg"))
