"""From hands to pictures: which hands share one, and which of them a picture of a format can hold.

A row of a data set is a hand, never a picture: a picture of two hands that is written as two pictures of one
hand each teaches a detector that the other hand is background.
"""

from collections.abc import Iterable, Iterator
from itertools import count, groupby
from typing import Literal

import numpy as np

from handvae.data.sample import Sample

Picture = tuple[Sample, ...]
"""The hands of one picture, at least one; the first one's pixels stand for all."""

Capacity = Literal["any", "pair", "one"]
"""How many hands a picture of a format holds: any number, one left and one right hand, or one."""


def by_picture(samples: Iterable[Sample]) -> Iterator[Picture]:
    """Hands that follow one another and name the same picture of the same split, together."""
    numbers = count()

    def key(sample: Sample) -> tuple[str, str | int]:
        # a hand without a picture's name shares its picture with no other
        return sample.split, sample.picture or next(numbers)

    for _, hands in groupby(samples, key):
        yield tuple(hands)


def divided(picture: Picture, capacity: Capacity, one_camera: bool) -> list[Picture]:
    """The hands of a picture in as few pictures as hold them.

    Args:
        picture: its hands.
        capacity: how many hands a picture of the format holds.
        one_camera: whether a picture of the format has one camera for all its hands.
    """
    parts: list[list[Sample]] = []
    for hand in picture:
        fitting = (part for part in parts if _fits(part, hand, capacity, one_camera))
        part = next(fitting, None)
        if part is None:
            parts.append([hand])
        else:
            part.append(hand)

    return [tuple(part) for part in parts]


def _fits(part: list[Sample], hand: Sample, capacity: Capacity, one_camera: bool) -> bool:
    if capacity == "one" or (capacity == "pair" and any(other.side == hand.side for other in part)):
        return False
    first = part[0].intrinsics
    if not one_camera or first is None or hand.intrinsics is None:
        return True
    return bool(np.allclose(first, hand.intrinsics, rtol=1e-6, atol=1e-4))
