"""Pictures that show no hand, as rows to be cut: what systems learn presence from."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.data.hands import DataSpec, Hands
from handvae.data.open import open_data
from handvae.data.over_photos import Photos
from handvae.hand import JOINT_NAMES, RIGHT

REGIONS = 8
"""Regions of each picture."""
TRIES = 40
"""Regions that are drawn for each picture, of which those that touch no hand are used."""
SMALLEST, LARGEST = 0.15, 1.0
"""Side of a region over the picture's shorter side."""
KEEP_OFF = 0.25
"""Share of a labelled hand's box, on each side, that regions stay away from it."""


@dataclass(frozen=True)
class _Region:
    read: Callable[[], UInt8[np.ndarray, "height width 3"]]
    name: str
    left: float
    top: float
    side: float


class WithoutHands(HandData):
    """Square regions of pictures; each row is one.

    `joints_2d` are points along the region's border, so that crops are cut round it; `present` is False, and
    all other labels stand for nothing.
    """

    def __init__(self, regions: Sequence[_Region]) -> None:
        self._regions = list(regions)
        places = [(region.left, region.top, region.side) for region in regions]
        corners = torch.tensor(places, dtype=torch.float32)

        # 21 points from the upper left corner round to the lower right one
        along = torch.linspace(0, 2, len(JOINT_NAMES))
        path = torch.stack([along.clamp_max(1), (along - 1).clamp_min(0)], 1)
        self._joints = corners[:, None, :2] + path * corners[:, None, 2:]

        self.spec = DataSpec(
            name="without hands",
            count=len(self._regions),
            size_px=0,
            modalities=("image", "joints_2d", "joints_3d", "joint_valid", "side", "present"),
            sides="both",
        )

    def __len__(self) -> int:
        return len(self._regions)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Where the regions are."""
        joints = self._joints[rows]
        return Hands(
            joints_2d=joints,
            joints_3d=torch.zeros(*joints.shape[:2], 3),
            joint_valid=torch.ones(joints.shape[:2], dtype=torch.bool),
            side=torch.full((len(rows),), RIGHT),
            present=torch.zeros(len(rows), dtype=torch.bool),
        )

    def name(self, row: int) -> str:
        """The picture's name."""
        return self._regions[row].name

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture that a region lies in, RGB."""
        return self._regions[row].read()


def open_without_hands(roots: Sequence[Path], split: str | None) -> WithoutHands:
    """Regions without hands, of folders of photos and of data sets.

    Args:
        roots: folders of photos, none of which shows a hand; or data sets with boxes of all their hands.
        split: of the data sets.

    Raises:
        UserError: one cannot be opened.
    """
    generator = np.random.default_rng(0)
    regions: list[_Region] = []
    for root in roots:
        is_data = root.is_file() or (root / "annotations.json").is_file()
        regions += _beside_hands(root, split, generator) if is_data else _anywhere(Photos(root), generator)
    return WithoutHands(regions)


def _anywhere(photos: Photos, generator: np.random.Generator) -> list[_Region]:
    """Regions of photos that show no hand."""
    regions = []
    for number, path in enumerate(photos.paths):
        height, width = photos.read(number).shape[:2]
        for left, top, side in _squares(width, height, REGIONS, generator):
            regions.append(_Region(lambda n=number: photos.read(n), path.name, left, top, side))
    return regions


def _beside_hands(root: Path, split: str | None, generator: np.random.Generator) -> list[_Region]:
    """Regions of a data set's pictures that keep off its labelled hands."""
    data = open_data(root, split)
    rows_of_picture: dict[str, list[int]] = defaultdict(list)
    for row in range(len(data)):
        rows_of_picture[data.name(row)].append(row)

    labels = data.labels(torch.arange(len(data)))
    low = labels.require("joints_2d").amin(1).numpy()
    high = labels.require("joints_2d").amax(1).numpy()
    margin = KEEP_OFF * (high - low).max(1, keepdims=True)
    low, high = low - margin, high + margin

    regions = []
    for name, rows in rows_of_picture.items():
        height, width = data.picture(rows[0]).shape[:2]
        squares = _squares(width, height, TRIES, generator)
        ends = squares[:, :2] + squares[:, 2:]

        # apart in x or in y from every hand of the picture
        apart = (squares[:, None, :2] > high[rows]) | (ends[:, None] < low[rows])
        for left, top, side in squares[apart.any(2).all(1)][:REGIONS]:
            regions.append(_Region(lambda row=rows[0]: data.picture(row), name, left, top, side))
    return regions


def _squares(
    width: int, height: int, count: int, generator: np.random.Generator
) -> Float[np.ndarray, "count 3"]:
    """Left, top and side of random squares in a picture, px."""
    side = min(width, height) * np.exp(generator.uniform(np.log(SMALLEST), np.log(LARGEST), count))
    left = generator.uniform(0, width - side)
    top = generator.uniform(0, height - side)
    return np.stack([left, top, side], 1)
