"""Labels for whole pictures of any hands: those that the finder finds, as the reader reads them."""

from collections.abc import Sequence

import numpy as np

from handvae.choices import Side
from handvae.data.labelling.label import TURNED, LabelledHand, Labeller
from handvae.hand import LEFT, RIGHT
from handvae.inference.finding import HandSearch, Picture, SeenHand

MOST = 20
"""Hands of a picture, at most."""


class ReaderLabeller(Labeller):
    """Finder and reader; all views of a picture are searched together.

    The reader sees each crop in a mirror too, so that the views are turned only.

    Args:
        search: finds and reads.
        name: of the reader, for the data set's description.
        side: of all hands; None: as it is recognised.
        least: probability of a hand.
    """

    views = TURNED[:3]

    def __init__(self, search: HandSearch, name: str, side: Side | None = None, least: float = 0.5) -> None:
        self.search, self.name, self.side, self.least = search, name, side, least

    def hands(self, pixels: Picture) -> Sequence[LabelledHand]:
        """The hands of one picture."""
        return self.hands_of([pixels])[0]

    def hands_of(self, pictures: Sequence[Picture]) -> list[Sequence[LabelledHand]]:
        """The hands of several pictures, together."""
        found = self.search.find(pictures, self.least, MOST)
        return [[self._labelled(hand) for hand in hands] for hands in found]

    def _labelled(self, hand: SeenHand) -> LabelledHand:
        side = self.side or hand.side
        return LabelledHand(hand.joints_2d.astype(np.float64), LEFT if side == "left" else RIGHT)
