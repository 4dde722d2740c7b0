"""How well hands are found in whole pictures: those that are labelled, and where there are none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from handvae.data.dataset import HandData
from handvae.data.over_photos import Photos
from handvae.evaluation.measure import Measure, Stated
from handvae.hand import LEFT, RIGHT
from handvae.inference.finding import HandSearch, SeenHand

BATCH = 8
"""Pictures that are searched together."""
MOST = 20
"""Hands of a picture, at most."""
OVERLAP = 0.5
"""Intersection over union of two boxes of joints, from which on they are of one hand."""


@dataclass
class _Counts:
    """Of labelled hands."""

    pictures: int = 0
    labelled: int = 0
    found: int = 0
    unmatched: int = 0
    sided: int = 0
    side_right: int = 0
    errors: list[float] = field(default_factory=list)
    """Mean joint error of each hand that was found, % of hand size."""


def measure_found(
    search: HandSearch, data: HandData, least: float, advance: Callable[[int], object] = lambda pictures: None
) -> list[Measure]:
    """Search the pictures of a data set for their labelled hands.

    Args:
        search: finder and reader.
        data: hands with 2D joints, named by their pictures.
        least: probability from which on a hand counts as found.
        advance: called with the number of pictures that are done.
    """
    labels = data.labels(torch.arange(len(data)))
    joints = labels.require("joints_2d").numpy()
    side = None if labels.side is None else labels.side.numpy()
    rows_of_picture: dict[str, list[int]] = {}
    for row in range(len(data)):
        rows_of_picture.setdefault(data.name(row), []).append(row)

    counts = _Counts()
    pictures = list(rows_of_picture.values())
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        found = search.find([data.picture(rows[0]) for rows in part], least, MOST)
        for rows, hands in zip(part, found, strict=True):
            _count(counts, joints[rows], None if side is None else side[rows], hands)
        advance(len(part))
    return _measures(counts, least)


def measure_false(
    search: HandSearch, photos: Photos, least: float, advance: Callable[[int], object] = lambda pictures: None
) -> list[Measure]:
    """Search photos that show no hand: all that is found is false.

    Args:
        search: finder and reader.
        photos: without hands.
        least: probability from which on a hand counts as found.
        advance: called with the number of photos that are done.
    """
    false = []
    for start in range(0, len(photos), BATCH):
        part = range(start, min(start + BATCH, len(photos)))
        false += [len(hands) for hands in search.find([photos.read(row) for row in part], least, MOST)]
        advance(len(part))

    protocol = Stated(f"photos without hands, score >= {least:g}")
    with_any = 100 * float(np.mean(np.array(false) > 0))
    return [
        Measure("false_hands", float(np.mean(false)), "a photo", len(false), protocol, "mean over photos"),
        Measure("photos_with_false_hands", with_any, "%", len(false), protocol),
    ]


def overlap(first: Float[np.ndarray, "joint 2"], second: Float[np.ndarray, "joint 2"]) -> float:
    """Intersection over union of the boxes of two hands' joints."""
    low = np.maximum(first.min(0), second.min(0))
    high = np.minimum(first.max(0), second.max(0))
    shared = float(np.prod((high - low).clip(0)))
    both = sum(float(np.prod(np.ptp(joints, axis=0))) for joints in (first, second))
    return shared / max(both - shared, 1e-9)


def _count(
    counts: _Counts,
    joints: Float[np.ndarray, "hand joint 2"],
    side: np.ndarray | None,
    hands: Sequence[SeenHand],
) -> None:
    counts.pictures += 1
    counts.labelled += len(joints)
    free = set(range(len(joints)))

    # the surest first, each takes the label that it overlaps most
    for hand in hands:
        best = max(free, key=lambda row: overlap(hand.joints_2d, joints[row]), default=None)
        if best is None or overlap(hand.joints_2d, joints[best]) < OVERLAP:
            counts.unmatched += 1
            continue

        free.remove(best)
        counts.found += 1
        size = float(np.sqrt(np.prod(np.ptp(joints[best], axis=0))))
        error = float(np.linalg.norm(hand.joints_2d - joints[best], axis=1).mean())
        counts.errors.append(100 * error / max(size, 1e-9))
        if side is not None and side[best] in (LEFT, RIGHT):
            counts.sided += 1
            counts.side_right += hand.side == ("right" if side[best] == RIGHT else "left")


def _measures(counts: _Counts, least: float) -> list[Measure]:
    found = Stated(
        f"whole pictures, score >= {least:g}, boxes of joints that overlap by {OVERLAP:.0%} or more"
    )
    errors = np.array(counts.errors)
    median = float(np.median(errors)) if len(errors) else float("nan")
    within = float(100 * (errors <= 10).sum() / max(counts.labelled, 1))
    hand_size = "mean joint error over sqrt of the area of the joints' bounding box"
    unlabelled = "found where no label is; pictures may show hands without a label"
    return [
        Measure("recall", 100 * counts.found / max(counts.labelled, 1), "%", counts.labelled, found),
        Measure(
            "found_without_label",
            counts.unmatched / max(counts.pictures, 1),
            "a picture",
            counts.pictures,
            found,
            unlabelled,
        ),
        Measure(
            "side_right_of_found", 100 * counts.side_right / max(counts.sided, 1), "%", counts.sided, found
        ),
        Measure(
            "error_over_hand_size_median",
            median,
            "%",
            len(errors),
            found,
            f"{hand_size}; median over hands that are found",
        ),
        Measure(
            "read_within_10_percent",
            within,
            "%",
            counts.labelled,
            found,
            f"share of all labelled hands with {hand_size} <= 10 %",
        ),
    ]
