"""The pictures of README.md: `python runs/readme_pictures.py` writes docs/poses.jpg and docs/estimate.jpg."""

from pathlib import Path

import numpy as np
from PIL import Image

import handvae
from handvae.inference.drawing import grid

DOCS = Path(__file__).parents[1] / "docs"

POSES = ["open", "flat", "point", "victory", "ok", "claw"]
APPEARANCES = ["light-on-light-grey", "tan-on-pink-light-grey", "brown-on-cool-light-grey", "tan-on-cool-grey"]
CELL = 160


def main() -> None:
    """Make both."""
    rows = [
        [enlarged(picture.image) for picture in handvae.synthesize(POSES, appearance=name, model="photos-128")]
        for name in APPEARANCES
    ]
    Image.fromarray(grid(rows)).save(DOCS / "poses.jpg", quality=90)

    hands = [hand for found in handvae.estimate(handvae.sample_photos()) for hand in found]
    overlays = [enlarged(hand.draw(), 2 * CELL) for hand in hands]
    fitted = [enlarged(hand.fitted.draw(), 2 * CELL) for hand in hands if hand.fitted is not None]
    Image.fromarray(grid([overlays, fitted])).save(DOCS / "estimate.jpg", quality=90)


def enlarged(picture: np.ndarray, side: int = CELL) -> np.ndarray:
    """The picture as a square of that side."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main()
