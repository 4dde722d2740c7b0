"""Several data sets read as one."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.data.open import DataOptions, open_data
from handvae.data.subset import FewLabels, PeopleAsContents, split_by_gesture
from handvae.errors import UserError
from handvae.hand import root

Value = TypeVar("Value")

PICTURES = ("image", "depth", "segmentation", "mask")
"""Modalities that are methods of a reader, not labels."""
NUMBERS = ("subject", "content")
"""Labels that only tell apart: no two data sets share a person or a background."""


class Mixture(HandData):
    """Data sets one after the other; with shares, each repeated in turn until an epoch holds that share of
    it.

    An epoch is as short as it can be while it holds every hand of every set at least once. So all hands are
    seen, a batch of the
    shuffled rows holds the shares on average, and the loader stays a function of seed and step that knows
    nothing of mixtures.
    Labels are those that all sets have; persons and contents are numbered anew, gestures by the joined list
    of their names, 3D joints are
    brought to the wrist where the sets disagree on the root.

    Args:
        sets: at least one, all with the same joints.
        shares: of an epoch, one a set, in any unit; None leaves every hand once.

    Raises:
        UserError: the sets' joints differ, or the shares are no shares of these sets.
    """

    def __init__(self, sets: Sequence[HandData], shares: Sequence[int | float] | None = None) -> None:
        self.sets = tuple(sets)
        specs = [part.spec for part in self.sets]
        for spec in specs[1:]:
            if spec.joint_names != specs[0].joint_names:
                fault = f"its {spec.joints} joints are not the {specs[0].joints} of {specs[0].name}"
                raise UserError(spec.name, fault, "mix sets of the same joints")
        self.counts = _counts([len(part) for part in self.sets], shares)
        self._starts = [0, *accumulate(self.counts)]
        self._at_wrist = len({spec.root for spec in specs}) > 1
        self._fields = _common_labels(self.sets, self._at_wrist)
        self._distinct = {
            name: [_all(part, name).unique() for part in self.sets]
            for name in NUMBERS
            if name in self._fields
        }
        common = [name for name in specs[0].modalities if all(name in spec.modalities for spec in specs)]
        names = [spec.name for spec in specs]
        self.spec = replace(
            specs[0],
            name=" + ".join(
                names
                if shares is None
                else [f"{share:g} {name}" for share, name in zip(shares, names, strict=True)]
            ),
            count=len(self),
            modalities=tuple(name for name in common if name in (*PICTURES, *self._fields)),
            sides=specs[0].sides if len({spec.sides for spec in specs}) == 1 else "both",
            root="wrist" if self._at_wrist else specs[0].root,
            gestures=tuple(dict.fromkeys(word for spec in specs for word in spec.gestures))
            if "gesture" in self._fields
            else (),
            factors=specs[0].factors if "factors" in self._fields else (),
            licence=" + ".join(dict.fromkeys(spec.licence for spec in specs if spec.licence)),
        )

    def __len__(self) -> int:
        return sum(self.counts)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows."""
        which = torch.searchsorted(torch.tensor(self._starts), rows, right=True) - 1
        order, parts = [], []
        for number in which.unique().tolist():
            here = (which == number).nonzero()[:, 0]
            order.append(here)
            parts.append(
                self._labels_of(number, (rows[here] - self._starts[number]) % len(self.sets[number]))
            )
        if not parts:
            return self._labels_of(0, rows)
        return Hands.cat(parts)[torch.cat(order).argsort()]

    def name(self, row: int) -> str:
        """The set's name and what the row is called there."""
        return self._ask(row, lambda part, inner: f"{part.spec.name}: {part.name(inner)}")

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return self._ask(row, lambda part, inner: part.picture(inner))

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """The whole depth map of one row."""
        return self._ask(row, lambda part, inner: part.depth(inner))

    def segmentation(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """What each pixel of one row's picture shows."""
        return self._ask(row, lambda part, inner: part.segmentation(inner))

    def mask(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """1 on this row's hand."""
        return self._ask(row, lambda part, inner: part.mask(inner))

    def _ask(self, row: int, question: Callable[[HandData, int], Value]) -> Value:
        number = bisect_right(self._starts, row) - 1
        part = self.sets[number]
        return question(part, (row - self._starts[number]) % len(part))

    def _labels_of(self, number: int, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of one set's own rows, as the mixture has them."""
        part = self.sets[number]
        labels = _labels(part, rows)
        values = {name: getattr(labels, name) for name in self._fields}
        for name, used in self._distinct.items():
            values[name] = torch.searchsorted(used[number], values[name]) + sum(
                len(numbers) for numbers in used[:number]
            )
        if "gesture" in values:
            names = torch.tensor(
                [*(self.spec.gestures.index(word) for word in part.spec.gestures), -1]
            )  # the last for hands of no gesture
            values["gesture"] = names[values["gesture"]]
        if self._at_wrist and "joints_3d" in values:
            values["joints_3d"] = values["joints_3d"] - root(values["joints_3d"], "wrist")[:, None]
        return Hands(**values)


def open_training_data(source: DataOptions) -> HandData:
    """What a user names to train on: one data set as it is, or several as a mixture.

    Raises:
        UserError: one is not there or has a fault, or they cannot be mixed.
    """
    if not 0 < source.labelled_share <= 1:
        raise UserError(
            "--data.labelled-share", f"is {source.labelled_share:g}", "give a share above 0, up to 1"
        )
    if source.labelled_of_batch is not None and not 0 < source.labelled_of_batch < 1:
        raise UserError(
            "--data.labelled-of-batch", f"is {source.labelled_of_batch:g}", "give a share above 0, below 1"
        )
    first = open_data(source.root, source.split, source.protocol)
    if source.shares and not source.also:
        raise UserError("--data.shares", "there is one data set", "name the others by --data.also")
    sets = [first, *(open_data(root, source.also_split) for root in source.also)]
    if source.people_as_contents:
        sets = [_with_contents(one) for one in sets]
    data = Mixture(sets, source.shares or None) if len(sets) > 1 else sets[0]
    if source.hold_out:
        data, _ = split_by_gesture(data, source.hold_out, "--data.hold-out")
    return (
        data
        if source.labelled_share == 1
        else FewLabels(data, source.labelled_share, source.labelled_of_batch)
    )


def _with_contents(data: HandData) -> HandData:
    if "content" in data.spec.modalities:
        return data
    if "subject" not in data.spec.modalities:
        raise UserError(
            data.spec.name,
            "does not tell whose hands it shows",
            "leave out --data.people-as-contents, or add `person` (docs/data.md)",
        )
    return PeopleAsContents(data)


def _counts(sizes: Sequence[int], shares: Sequence[int | float] | None) -> list[int]:
    """Rows of each set in an epoch: at least all it has, in the ratio of the shares to a hand."""
    if shares is None:
        return list(sizes)
    if len(shares) != len(sizes):
        raise UserError(
            "--data.shares",
            f"there are {len(shares)} for {len(sizes)} data sets",
            "give one a data set, in their order",
        )
    if not all(0 < share < float("inf") for share in shares):
        raise UserError(
            "--data.shares",
            f"{' '.join(f'{share:g}' for share in shares)} are not all positive",
            "leave out a set that is not wanted",
        )
    unit = max(size / Fraction(share) for size, share in zip(sizes, shares, strict=True))
    return [round(unit * Fraction(share)) for share in shares]


def _common_labels(sets: Sequence[HandData], at_wrist: bool) -> tuple[str, ...]:
    """Labels that all sets have in the same form; a camera is none of them where 3D joints have left it."""
    samples = [dict(_labels(part, torch.arange(1)).items()) for part in sets]
    names = [
        name
        for name in samples[0]
        if all(name in sample and sample[name].shape == samples[0][name].shape for sample in samples)
    ]
    left_out = {"intrinsics"} if at_wrist else set()
    if len({part.spec.factors for part in sets}) > 1:
        left_out.add("factors")
    return tuple(name for name in names if name not in left_out)


def _labels(data: HandData, rows: Int[Tensor, " rows"]) -> Hands:
    """Labels of a set's own rows; joints that no label calls missing are there."""
    labels = data.labels(rows)
    if labels.joint_valid is not None:
        return labels
    return replace(labels, joint_valid=torch.ones(len(rows), data.spec.joints, dtype=torch.bool))


def _all(data: HandData, name: str) -> Tensor:
    return getattr(data.labels(torch.arange(len(data))), name)
