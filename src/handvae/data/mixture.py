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
from handvae.data.hands import DataSpec, Hands
from handvae.data.open import DataOptions, open_data
from handvae.data.over_photos import OverPhotos, Photos
from handvae.data.subset import FewLabels, GivenSide, PeopleAsContents, split_by_gesture
from handvae.data.without_hands import open_without_hands
from handvae.errors import UserError
from handvae.hand import root

Value = TypeVar("Value")

PICTURES = ("image", "depth", "segmentation", "mask")
"""Modalities that are methods of a reader, not labels."""
DEFAULTED = ("joint_valid", "joint_spread", "present")
"""Labels that mean, where a set lacks them: all valid, exact, a hand in every picture."""
NUMBERS = ("subject", "content")
"""Labels that are mere numbers: no two data sets share a person or a background."""


class Mixture(HandData):
    """Data sets one after the other; with shares, each repeated until an epoch holds its share.

    An epoch is as short as it can be while it holds every hand of every set at least once. So all hands are
    used, a batch of shuffled rows holds the shares on average, and the loader stays a function of seed and
    step that knows nothing of mixtures.

    Labels are those that all sets have; `DEFAULTED` ones are filled in where one set has them. Persons and
    contents get new numbers, gestures count in the joined list of their names, and 3D joints are moved to the
    wrist where the sets differ in their root.

    Args:
        sets: at least one, all with the same joints.
        shares: of an epoch, one for each set, in any unit; None shows every hand once.

    Raises:
        UserError: the sets' joints differ, or the shares do not fit the sets.
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
        self._numbers = {
            name: [_all(part, name).unique() for part in self.sets]
            for name in NUMBERS
            if name in self._fields
        }
        """Numbers of persons and contents that each set uses, sorted."""
        self.spec = self._joined_spec(specs, shares)

    def _joined_spec(self, specs: list[DataSpec], shares: Sequence[int | float] | None) -> DataSpec:
        """What the mixture offers."""
        first = specs[0]
        names = [spec.name for spec in specs]
        if shares is not None:
            # the shares are part of the name, so that a checkpoint says what it was trained on
            names = [f"{share:g} {name}" for share, name in zip(shares, names, strict=True)]

        offered = {*PICTURES, *self._fields}
        modalities = [
            name for name in first.modalities if name in offered and all(name in s.modalities for s in specs)
        ]
        gestures: tuple[str, ...] = ()
        if "gesture" in self._fields:
            gestures = tuple(dict.fromkeys(word for spec in specs for word in spec.gestures))

        return replace(
            first,
            name=" + ".join(names),
            count=len(self),
            modalities=tuple(modalities),
            sides=first.sides if len({spec.sides for spec in specs}) == 1 else "both",
            root="wrist" if self._at_wrist else first.root,
            gestures=gestures,
            factors=first.factors if "factors" in self._fields else (),
            licence=" + ".join(dict.fromkeys(spec.licence for spec in specs if spec.licence)),
        )

    def __len__(self) -> int:
        return sum(self.counts)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows."""
        # the set of each row: the last that starts at or before it
        which = torch.searchsorted(torch.tensor(self._starts), rows, right=True) - 1
        positions, batches = [], []
        for number in which.unique().tolist():
            chosen = (which == number).nonzero()[:, 0]
            # a set that is repeated begins again at its end
            own_rows = (rows[chosen] - self._starts[number]) % len(self.sets[number])
            positions.append(chosen)
            batches.append(self._labels_of(number, own_rows))

        if not batches:
            return self._labels_of(0, rows)

        # from the order of sets back to that of the rows asked for
        return Hands.cat(batches)[torch.cat(positions).argsort()]

    def name(self, row: int) -> str:
        """The set's name and what the row is called there."""
        return self._ask(row, lambda part, inner: f"{part.spec.name}: {part.name(inner)}")

    def picture_name(self, row: int) -> str:
        """The set's name and the picture's name there."""
        return self._ask(row, lambda part, inner: f"{part.spec.name}: {part.picture_name(inner)}")

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
        """The answer of the set that a row belongs to, given the row's number there."""
        number = bisect_right(self._starts, row) - 1
        part = self.sets[number]
        return question(part, (row - self._starts[number]) % len(part))

    def _labels_of(self, number: int, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of one set's own rows, as the mixture has them."""
        part = self.sets[number]
        labels = _with_defaults(part.labels(rows))
        values = {name: labels.require(name) for name in self._fields}

        # persons and contents of the sets before come first
        for name, used in self._numbers.items():
            before = sum(len(numbers) for numbers in used[:number])
            values[name] = torch.searchsorted(used[number], values[name]) + before

        if "gesture" in values:
            # the last entry is for -1, hands of no gesture
            # a gesture keeps its word, not its number
            joined = [self.spec.gestures.index(word) for word in part.spec.gestures]
            values["gesture"] = torch.tensor([*joined, -1])[values["gesture"]]

        if self._at_wrist and "joints_3d" in values:
            # sets differ in their root: joint 0 is one that all of them have
            values["joints_3d"] = values["joints_3d"] - root(values["joints_3d"], "wrist")[:, None]

        return Hands(**values)


def open_training_data(options: DataOptions) -> HandData:
    """The data set to train on, or several as a mixture.

    Raises:
        UserError: one is not there or has a fault, or they cannot be mixed.
    """
    share = options.labelled_share
    if not 0 < share <= 1:
        raise UserError("--data.labelled-share", f"is {share:g}", "give a share above 0, up to 1")

    of_batch = options.labelled_of_batch
    if of_batch is not None and not 0 < of_batch < 1:
        raise UserError("--data.labelled-of-batch", f"is {of_batch:g}", "give a share above 0, below 1")

    first = open_data(options.root, options.split, options.protocol)
    if options.shares and not options.also and not options.without_hands:
        raise UserError("--data.shares", "there is one data set", "name the others by --data.also")

    sets: list[HandData] = [first, *(open_data(root, options.also_split) for root in options.also)]
    if options.side is not None:
        sets = [GivenSide(part, options.side) for part in sets]
    if options.people_as_contents:
        sets = [_with_contents(part) for part in sets]
    if options.backgrounds is not None:
        photos = Photos(options.backgrounds)
        sets = [OverPhotos(part, photos) if can_be_cut_out(part) else part for part in sets]
    if options.without_hands:
        sets.append(open_without_hands(options.without_hands, options.also_split))

    data = Mixture(sets, options.shares or None) if len(sets) > 1 else sets[0]
    if options.hold_out:
        # gestures first: the share of known poses is then one of the hands that are left
        data, _ = split_by_gesture(data, options.hold_out, "--data.hold-out")
    if share < 1:
        data = FewLabels(data, share, of_batch)

    return data


def can_be_cut_out(data: HandData) -> bool:
    """Whether each pixel of a data set's pictures is known to be hand, arm or background."""
    return "segmentation" in data.spec.modalities


def _with_contents(data: HandData) -> HandData:
    if "content" in data.spec.modalities:
        return data
    if "subject" not in data.spec.modalities:
        remedy = "leave out --data.people-as-contents, or add `person` (docs/data.md)"
        raise UserError(data.spec.name, "does not tell whose hands it shows", remedy)
    return PeopleAsContents(data)


def _counts(sizes: Sequence[int], shares: Sequence[int | float] | None) -> list[int]:
    """Rows of each set in an epoch: at least all it has, in the ratio of the shares to a hand."""
    if shares is None:
        return list(sizes)
    if len(shares) != len(sizes):
        fault = f"there are {len(shares)} for {len(sizes)} data sets"
        raise UserError("--data.shares", fault, "give one for each data set, in their order")

    if not all(0 < share < float("inf") for share in shares):
        given = " ".join(f"{share:g}" for share in shares)
        raise UserError(
            "--data.shares", f"{given} are not all positive", "leave out a set that is not to be used"
        )

    # fractions: shares such as 0.1 would else round differently on other machines
    unit = max(size / Fraction(share) for size, share in zip(sizes, shares, strict=True))
    return [round(unit * Fraction(share)) for share in shares]


def _common_labels(sets: Sequence[HandData], at_wrist: bool) -> tuple[str, ...]:
    """Labels that all sets have in the same form, with those that are filled in."""
    own = [part.labels(torch.arange(1)) for part in sets]
    given = {"joint_valid", *(name for labels in own for name, _ in labels.items())}
    samples = [dict(_with_defaults(labels).items()) for labels in own]

    # joints moved to the wrist have left the camera's frame
    left_out = {"intrinsics"} if at_wrist else set()
    left_out |= set(DEFAULTED) - given
    if len({part.spec.factors for part in sets}) > 1:
        left_out.add("factors")

    names = []
    for name, value in samples[0].items():
        # lengths too must agree: clouds may differ in their number of points
        common = all(name in sample and sample[name].shape == value.shape for sample in samples)
        if common and name not in left_out:
            names.append(name)

    return tuple(names)


def _with_defaults(labels: Hands) -> Hands:
    """Labels with `DEFAULTED` ones, so that sets with and without them can be mixed."""
    joints = labels.joints_2d
    # scenes have instances instead
    if joints is None:
        return labels

    defaults = {
        "joint_valid": torch.ones(joints.shape[:2], dtype=torch.bool),
        "joint_spread": torch.zeros(joints.shape[:2]),
        "present": torch.ones(len(joints), dtype=torch.bool),
    }
    missing = {name: value for name, value in defaults.items() if getattr(labels, name) is None}
    return replace(labels, **missing)


def _all(data: HandData, name: str) -> Tensor:
    return data.labels(torch.arange(len(data))).require(name)
