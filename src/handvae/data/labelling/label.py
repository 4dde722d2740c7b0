"""Labels for your own pictures: a labeller sees each picture in several views, which vote.

A labeller is anything with `hands(pixels)`. Views are the picture and its mirror image, each also turned a
little both ways. A hand must be found in half of them; its joints are the votes' median, and `joint_spread`
is their standard deviation.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from handvae.data.files.frames import Frame
from handvae.data.sample import Sample
from handvae.hand import LEFT, RIGHT

TURN_DEG = 12.0
SAME_HAND = 0.35
"""Two votes are of one hand if their joints lie this share of the hand's size apart, in the mean, at most."""


@dataclass(frozen=True)
class LabelledHand:
    """A hand that a labeller finds in a picture."""

    joints_2d: Float[np.ndarray, "21 2"]
    """Pixels of the picture."""
    side: int
    joints_3d: Float[np.ndarray, "21 3"] | None = None
    """mm about the wrist: x right, y down, z away from the camera."""


@dataclass(frozen=True)
class View:
    """A picture as a labeller sees it once more: mirrored, then turned about its centre."""

    mirror: bool
    degrees: float

    def affine(self, height: int, width: int) -> Float[np.ndarray, "2 3"]:
        """From pixels of the picture to pixels of the view."""
        cosine, sine = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        flip = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]]) if self.mirror else np.eye(3)
        centre = np.array([width / 2, height / 2])
        linear = np.array([[cosine, -sine], [sine, cosine]])
        turn = np.eye(3)
        # about the centre c: p -> R p + c - R c
        turn[:2, :2], turn[:2, 2] = linear, centre - linear @ centre
        return (turn @ flip)[:2]

    def show(self, pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
        """The picture in this view; the border is repeated outwards."""
        if not self.mirror and not self.degrees:
            return pixels

        height, width = pixels.shape[:2]
        matrix = self.affine(height, width)
        # OpenCV counts from the first pixel's centre
        matrix[:, 2] += matrix[:, :2].sum(1) * 0.5 - 0.5
        return np.asarray(
            cv2.warpAffine(
                pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            ),
            np.uint8,
        )

    def back(self, hand: LabelledHand, height: int, width: int) -> LabelledHand:
        """A hand of the view, in the picture's pixels."""
        matrix = self.affine(height, width)
        inverse = np.linalg.inv(matrix[:, :2])
        flat = (hand.joints_2d - matrix[:, 2]) @ inverse.T
        solid = hand.joints_3d
        if solid is not None:
            # the views turn and mirror the picture's plane: depth stays
            solid = np.column_stack([solid[:, :2] @ inverse.T, solid[:, 2]])
        side = LEFT + RIGHT - hand.side if self.mirror else hand.side
        return LabelledHand(flat, side, solid)


VIEWS = tuple(View(mirror, degrees) for degrees in (0.0, TURN_DEG, -TURN_DEG) for mirror in (False, True))
TURNED = tuple(View(False, degrees) for degrees in (0.0, TURN_DEG, -TURN_DEG, 2 * TURN_DEG, -2 * TURN_DEG))
"""For labellers that know one side only."""


class Labeller(ABC):
    """Finds hands and their joints in pictures."""

    name: str
    has_3d: bool = False
    """Whether it gives `joints_3d`."""
    views: Sequence[View] = VIEWS
    """The views of each picture, the picture itself first."""

    @abstractmethod
    def hands(self, pixels: UInt8[np.ndarray, "height width 3"]) -> Sequence[LabelledHand]:
        """The hands of a picture; none where it finds none."""

    def hands_of(self, pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[Sequence[LabelledHand]]:
        """The hands of several pictures; faster where a labeller can look at them together."""
        return [self.hands(pixels) for pixels in pictures]


@dataclass(frozen=True)
class Vote:
    """What the views agree on."""

    hand: LabelledHand
    spread_px: Float[np.ndarray, "21"]
    """Standard deviation over the views, per coordinate."""
    views: int
    """In how many views the labeller finds it."""

    @property
    def size_px(self) -> float:
        """The larger side of the joints' box."""
        return float(np.ptp(self.hand.joints_2d, axis=0).max())

    @property
    def relative(self) -> float:
        """Mean spread over the hand's size."""
        return float(self.spread_px.mean() / max(self.size_px, 1e-6))


def vote(labeller: Labeller, pixels: UInt8[np.ndarray, "height width 3"]) -> list[Vote]:
    """The hands that the first view shows and at least half of all views confirm."""
    height, width = pixels.shape[:2]
    found = labeller.hands_of([view.show(pixels) for view in labeller.views])
    hands_of_view = []
    for view, hands in zip(labeller.views, found, strict=True):
        hands_of_view.append([view.back(hand, height, width) for hand in hands])

    agreed = []
    for hand in hands_of_view[0]:
        votes = [hand]
        for others in hands_of_view[1:]:
            # a view may find the hands in another order, or others
            nearest = min(others, key=lambda other: _distance(hand, other), default=None)
            if nearest is not None and _distance(hand, nearest) < SAME_HAND:
                votes.append(nearest)

        if 2 * len(votes) >= len(labeller.views):
            agreed.append(_agreed(votes))

    return agreed


def _distance(hand: LabelledHand, other: LabelledHand) -> float:
    """Mean distance of the joints of two hands, over the size of the first."""
    size = max(float(np.ptp(hand.joints_2d, axis=0).max()), 1e-6)
    return float(np.linalg.norm(other.joints_2d - hand.joints_2d, axis=1).mean()) / size


def _agreed(votes: Sequence[LabelledHand]) -> Vote:
    """The median of the votes for one hand."""
    flat = np.stack([hand.joints_2d for hand in votes])
    # the unbiased variance, averaged over x and y: the spread is one of a coordinate
    spread = np.sqrt(flat.var(axis=0, ddof=1).mean(1)) if len(votes) > 1 else np.zeros(21)
    solids = [hand.joints_3d for hand in votes if hand.joints_3d is not None]
    joints_3d = None

    if solids:
        solid = np.median(np.stack(solids), axis=0)
        # the median over votes moves the wrist a little off the origin
        joints_3d = solid - solid[0]

    # a tie goes to the picture as it is
    right = sum(hand.side == RIGHT for hand in votes)
    side = votes[0].side
    if 2 * right != len(votes):
        side = RIGHT if 2 * right > len(votes) else LEFT

    return Vote(LabelledHand(np.median(flat, axis=0), side, joints_3d), spread, len(votes))


@dataclass
class Review:
    """What a person should look at: filled while pictures are labelled."""

    pictures: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Names of pictures, or of hands in them, and why they are not in the set."""


def label_pictures(
    labeller: Labeller,
    pictures: Iterable[Frame],
    review: Review,
    split: str = "train",
    most_spread: float = 0.1,
) -> Iterator[tuple[Sample, Vote]]:
    """Label pictures one after another.

    Args:
        labeller: finds the hands.
        pictures: what to label.
        review: takes what is left out.
        split: of the samples.
        most_spread: hands whose mean spread is a larger share of their size are left out.
    """
    for frame in pictures:
        review.pictures += 1
        if frame.pixels is None:
            review.left_out.append((frame.name, f"unreadable: {frame.fault}"))
            continue

        votes = vote(labeller, frame.pixels)
        if not votes:
            review.left_out.append((frame.name, "no hand found"))

        for hand in votes:
            # so written that a spread of NaN is left out too
            if not hand.relative <= most_spread:
                review.left_out.append(
                    (frame.name, f"unsure: labels differ by {100 * hand.relative:.0f} % of the hand's size")
                )
                continue

            origin = {
                "file": frame.name,
                "labeller": labeller.name,
                "views": f"{hand.views} of {len(labeller.views)}",
            }
            solid = None if hand.hand.joints_3d is None else hand.hand.joints_3d.astype(np.float32)
            yield (
                Sample(
                    joints_2d=hand.hand.joints_2d.astype(np.float32),
                    side=hand.hand.side,
                    image=frame.pixels,
                    joints_3d=solid,
                    joint_spread=hand.spread_px.astype(np.float32),
                    split=split,
                    picture=frame.name,
                    provenance=json.dumps(origin),
                ),
                hand,
            )
