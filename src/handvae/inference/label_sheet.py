"""A sheet of the least certain of many labels, to be looked at by a person."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from handvae.data.crop import warp
from handvae.data.labelling.label import Vote
from handvae.data.sample import Sample
from handvae.geometry import crop_affine
from handvae.hand import LEFT
from handvae.inference.drawing import draw_skeleton, grid

HANDS, COLUMNS, TILE = 48, 8, 160
"""Hands on the sheet, hands in a row, and the side of a hand's tile in px."""

SMALLEST_HAND_PX = 8.0
MARGIN = 1.6
"""Side of a tile over the hand's size."""


@dataclass(order=True)
class _Tile:
    """A hand on the sheet; those with the smallest `rank` leave first."""

    rank: tuple[float, int]
    pixels: np.ndarray = field(compare=False)


class LabelSheet:
    """The hands whose labels vary most, drawn as they come."""

    def __init__(self) -> None:
        self.tiles: list[_Tile] = []
        self.count = 0

    def watch(self, hands: Iterable[tuple[Sample, Vote]]) -> Iterator[Sample]:
        """The samples, each added to the sheet on its way."""
        for sample, vote in hands:
            self.add(sample, vote)
            yield sample

    def add(self, sample: Sample, vote: Vote) -> None:
        """Draw a hand, unless the sheet is full of worse ones."""
        self.count += 1
        rank = (vote.relative, -self.count)
        if len(self.tiles) < HANDS or rank > self.tiles[0].rank:
            heapq.heappush(self.tiles, _Tile(rank, _draw(sample, vote, self.count)))
        if len(self.tiles) > HANDS:
            heapq.heappop(self.tiles)

    def draw(self) -> UInt8[np.ndarray, "height width 3"]:
        """All of them, the least certain first."""
        tiles = [tile.pixels for tile in sorted(self.tiles, reverse=True)]
        return grid([tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)])


def _draw(sample: Sample, vote: Vote, number: int) -> UInt8[np.ndarray, "side side 3"]:
    """The hand cut out with its joints, their spread as circles, its number (of its file in images/) and
    side."""
    assert sample.image is not None
    joints = vote.hand.joints_2d
    centre = torch.from_numpy((joints.min(0) + joints.max(0)) / 2)[None].float()
    side = max(vote.size_px, SMALLEST_HAND_PX) * MARGIN

    affine = crop_affine(centre, torch.tensor([side]), TILE)[0].numpy()
    moved = joints @ affine[:, :2].T + affine[:, 2]
    tile = draw_skeleton(warp(sample.image, affine, TILE), moved - 0.5, vote.spread_px * TILE / side)

    text = f"{number} {'L' if sample.side == LEFT else 'R'} {100 * vote.relative:.0f}%"
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(tile, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness, cv2.LINE_AA)

    return tile
