"""Every hand of whole pictures: found, read, and read again round what was read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handvae.choices import Side
from handvae.data.crop import to_crop_px, warp
from handvae.errors import UserError
from handvae.geometry import apply_affine, invert_affine
from handvae.inference.networks import Device, device_of, open_model
from handvae.inference.shipped import FINDER, READER
from handvae.inference.square import SMALLEST_PX, Square
from handvae.systems.hand_finder import HandFinder
from handvae.systems.hand_reader import HandReader, Observation, in_space
from handvae.training.checkpoint import Model

Picture = UInt8[np.ndarray, "_ _ 3"]
"""RGB, of any size: several pictures of one call may differ."""

CANDIDATE_SCORE = 0.1
"""Least score of a finder's candidate: the reader, which sees it larger, decides."""
CANDIDATES = 24
"""Candidates of a picture, at most."""
LEAST_AT_FIRST = 0.02
"""Least score of a candidate that is read again, round its joints."""
OF_PRESENCE, OF_SPREAD, OF_NOTHING = 0.826, -1.517, -7.58
"""Log-odds of a hand: factors of the log-odds of presence and of the logarithm of the joints' spread over the
hand's size, and a constant.

Most places where a search looks show no hand, unlike the crops that the reader has learned from; and of what
is no hand it cannot say where the joints are. A logistic regression on 3,200 places of training pictures and
of photos without hands (docs/log/reading.md).
"""
SAME_HAND = 0.4
"""Mean distance of two readings' joints over the hand's size, below which they are of one hand."""
CROPS = 64
"""Crops that go through the reader at once."""


@dataclass(frozen=True, eq=False)
class SeenHand:
    """A hand as the reader sees it in a square of a picture."""

    square: Square
    joints_2d: Float[np.ndarray, "21 2"]
    """px of the picture."""
    spread_2d: Float[np.ndarray, "21 2"]
    """Standard deviations, px."""
    joints_3d: Float[np.ndarray, "21 3"]
    """Relative to the wrist, bone units."""
    spread_3d: Float[np.ndarray, "21 3"]
    """Standard deviations, bone units."""
    right: float
    """Probability of a right hand."""
    score: float
    """Probability of a hand, at a place where a search has looked."""
    calibrated_on: str = ""
    """Hands on which `spread_2d` was made as large as the errors; empty where it is the network's own."""

    @property
    def side(self) -> Side:
        """The likelier side."""
        return "right" if self.right >= 0.5 else "left"

    @property
    def side_score(self) -> float:
        """Probability of that side."""
        return max(self.right, 1 - self.right)


@dataclass(frozen=True, eq=False)
class HandSearch:
    """A finder, whose candidates a reader judges and reads."""

    finder: HandFinder
    reader: HandReader

    @classmethod
    def open(
        cls, finder: str | Model = FINDER, reader: str | Model = READER, device: Device = "cpu"
    ) -> "HandSearch":
        """Open two models by name.

        Raises:
            UserError: there is no such model or device, or it is of another system.
        """
        found, read = open_model(finder, device), open_model(reader, device)
        if not isinstance(found.system, HandFinder):
            raise UserError(found.name, "finds no hands in whole pictures", f"give {FINDER}, or one like it")
        if not isinstance(read.system, HandReader):
            raise UserError(
                read.name, "does not tell whether a crop shows a hand", f"give {READER}, or one like it"
            )
        return cls(found.system, read.system)

    def find(self, pictures: Sequence[Picture], least: float = 0.5, most: int = 10) -> list[list[SeenHand]]:
        """The hands of pictures, the surest first.

        Args:
            pictures: RGB, of any sizes.
            least: probability of a hand.
            most: hands of a picture, at most.
        """
        # a picture that one hand fills may be a crop already: it is a candidate itself
        squares = [
            [Square.of_picture(picture), *found]
            for picture, found in zip(pictures, self._candidates(pictures), strict=True)
        ]
        first = self.look(pictures, squares)

        # a square round the joints shows them as large as training crops do
        again = [
            [
                Square.of_joints(hand.joints_2d, self.reader.crop.margin)
                for hand in distinct(hands, LEAST_AT_FIRST)
            ]
            for hands in first
        ]
        return [distinct(hands, least)[:most] for hands in self.look(pictures, again)]

    def look(self, pictures: Sequence[Picture], squares: Sequence[Sequence[Square]]) -> list[list[SeenHand]]:
        """Read squares of pictures, as they are and in a mirror."""
        crop = self.reader.crop
        places = [(number, square) for number, own in enumerate(squares) for square in own]
        seen: list[list[SeenHand]] = [[] for _ in pictures]

        for start in range(0, len(places), CROPS):
            part = places[start : start + CROPS]
            affines = torch.stack([square.affine(crop) for _, square in part])
            crops = [
                warp(pictures[number], affine.numpy(), crop.size_px)
                for (number, _), affine in zip(part, affines, strict=True)
            ]
            for (number, _), hand in zip(
                part, self._read(crops, affines, [square for _, square in part]), strict=True
            ):
                seen[number].append(hand)
        return seen

    def _candidates(self, pictures: Sequence[Picture]) -> list[list[Square]]:
        """Squares of pictures that may show a hand."""
        crop, margin = self.finder.crop, self.reader.crop.margin
        candidates = []
        for picture in pictures:
            affine = Square.of_picture(picture).affine(crop)
            image = _batch([warp(picture, affine.numpy(), crop.size_px)], device_of(self.finder))
            (found,) = self.finder.find(image, CANDIDATE_SCORE, CANDIDATES)

            middles = apply_affine(found.middle[None].cpu(), invert_affine(affine[None]))[0]
            sides = found.size.cpu().amax(1) * margin / float(affine[0, 0])
            squares = zip(middles.tolist(), sides.tolist(), strict=True)
            candidates.append([Square((x, y), max(side, SMALLEST_PX)) for (x, y), side in squares])
        return candidates

    def _read(
        self, crops: list[Picture], affines: Float[Tensor, "crop 2 3"], squares: list[Square]
    ) -> list[SeenHand]:
        seen = self.reader.observe(_batch(crops, device_of(self.reader)))
        flat, spread = seen.joints.cpu(), seen.spread.cpu()

        # calibration is of the plane: depth has no measured truth in photos
        scale = self.reader.spread_scales.get("image")
        if scale is not None:
            spread = torch.cat([scale(spread[..., :2]), spread[..., 2:]], 2)
        joints_3d, spread_3d = in_space(flat, spread)

        size_px = self.reader.crop.size_px
        joints_px = apply_affine(to_crop_px(flat[..., :2], size_px), invert_affine(affines))
        unit_px = size_px / 2 / affines[:, 0, 0]
        right, score = seen.right.tolist(), hand_score(seen).tolist()
        return [
            SeenHand(
                square=square,
                joints_2d=joints_px[row].numpy(),
                spread_2d=(spread[row, :, :2] * unit_px[row]).numpy(),
                joints_3d=joints_3d[row].numpy(),
                spread_3d=spread_3d[row].numpy(),
                right=right[row],
                score=score[row],
                calibrated_on="" if scale is None else scale.fitted_on,
            )
            for row, square in enumerate(squares)
        ]


def hand_score(seen: Observation) -> Float[Tensor, " crop"]:
    """Probability of a hand, at places where a search has looked."""
    flat = seen.joints[..., :2]
    size = (flat.amax(1) - flat.amin(1)).amax(1).clamp_min(1e-3)
    spread = seen.spread[..., :2].square().mean(2).sqrt().mean(1) / size
    odds = torch.logit(seen.present, 1e-4)
    return (OF_PRESENCE * odds + OF_SPREAD * spread.log() + OF_NOTHING).sigmoid()


def distinct(hands: Sequence[SeenHand], least: float) -> list[SeenHand]:
    """Hands of at least this score, the surest first, each once."""
    kept: list[SeenHand] = []
    for hand in sorted(hands, key=lambda hand: -hand.score):
        if hand.score >= least and not any(_same(hand, other) for other in kept):
            kept.append(hand)
    return kept


def _same(first: SeenHand, second: SeenHand) -> bool:
    """Whether two readings are of one hand: their joints lie together."""
    size = max(float(np.ptp(hand.joints_2d, axis=0).max()) for hand in (first, second))
    apart = float(np.linalg.norm(first.joints_2d - second.joints_2d, axis=1).mean())
    return apart < SAME_HAND * size


def _batch(crops: Sequence[Picture], device: torch.device) -> Float[Tensor, "crop 3 size size"]:
    stacked = torch.from_numpy(np.stack(crops)).to(device)
    return stacked.permute(0, 3, 1, 2).float() / 255
