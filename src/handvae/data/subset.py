"""Data sets made of another one: some of its hands, few known poses, people as contents."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.data.left_out import LeftOut, warn_of
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, UNKNOWN


class Subset(HandData):
    """The chosen rows of a data set, in the given order."""

    def __init__(self, data: HandData, rows: Sequence[int]) -> None:
        self._data = data
        self._rows = list(rows)
        self._order = torch.tensor(self._rows, dtype=torch.int64)
        self.spec = replace(data.spec, count=len(self._rows))
        self.remarks = data.remarks
        self.left_out = data.left_out
        self.authors = data.authors
        self.slow_labels = data.slow_labels
        self.evaluated_joints = data.evaluated_joints

    def __len__(self) -> int:
        return len(self._rows)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows."""
        return self._data.labels(self._order[rows])

    def name(self, row: int) -> str:
        """The name of the row in the whole set."""
        return self._data.name(self._rows[row])

    def picture_name(self, row: int) -> str:
        """The picture that shows a row's hand."""
        return self._data.picture_name(self._rows[row])

    def split_of(self, row: int) -> str:
        """The split of a row."""
        return self._data.split_of(self._rows[row])

    def provenance_of(self, row: int) -> str:
        """Where a row comes from."""
        return self._data.provenance_of(self._rows[row])

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return self._data.picture(self._rows[row])

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """The whole depth map of one row."""
        return self._data.depth(self._rows[row])

    def segmentation(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """What each pixel of one row's picture shows."""
        return self._data.segmentation(self._rows[row])

    def mask(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """1 on this row's hand."""
        return self._data.mask(self._rows[row])


class FewLabels(Subset):
    """A data set for semi-supervision: the poses of its first hands, in file order, are known, those of the
    others held back.

    `Hands.pose_known` says which. The labels stay in the batch, as pictures are cut by them; a system asks
    `PoseEstimator.labelled`.

    Args:
        data: the data set.
        share: of the hands whose poses are known, above 0 and up to 1; a part of a hand counts as none,
            but one is always known.
        of_batch: share of an average batch whose poses are known, at least, above 0 and below 1: an epoch
            then shows the known hands as often as that takes, and the others once. None shows all hands once.
    """

    def __init__(self, data: HandData, share: float, of_batch: float | None = None) -> None:
        # 1e-9: a product such as 100 * 0.29 falls just below the whole number
        self.known = max(1, int(len(data) * share + 1e-9))
        others = len(data) - self.known
        times = 1
        if of_batch is not None:
            # t known / (t known + others) >= of_batch
            times = max(1, math.ceil(of_batch * others / ((1 - of_batch) * self.known) - 1e-9))
        super().__init__(data, [*range(self.known)] * times + [*range(self.known, len(data))])
        self.spec = replace(self.spec, modalities=(*data.spec.modalities, "pose_known"))

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows, with `pose_known`."""
        return replace(super().labels(rows), pose_known=self._order[rows] < self.known)

    def companions(self, rows: Int[Tensor, " rows"], draws: Float[Tensor, " rows"]) -> Int[Tensor, " rows"]:
        """As of the data set itself: a repetition of a hand is not another hand of its content."""
        companion = self._data.companions(self._order[rows], draws)
        # hands of held-back poses follow all repetitions of the known ones
        return torch.where(companion < self.known, companion, companion + len(self) - len(self._data))


class PeopleAsContents(Subset):
    """A data set whose people count as contents (dVAE's).

    Pictures of a person mostly share background and light, and always the skin.

    Args:
        data: has the label `subject`.
    """

    def __init__(self, data: HandData) -> None:
        super().__init__(data, range(len(data)))
        self.spec = replace(self.spec, modalities=(*data.spec.modalities, "content"))

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows, with `content`."""
        labels = super().labels(rows)
        return replace(labels, content=labels.require("subject"))


class GivenSide(Subset):
    """A data set with the side of those hands whose side it does not tell.

    Args:
        data: the data set.
        side: of these hands.
    """

    def __init__(self, data: HandData, side: Literal["left", "right"]) -> None:
        super().__init__(data, range(len(data)))
        self._side = LEFT if side == "left" else RIGHT
        modalities = data.spec.modalities
        if "side" not in modalities:
            self.spec = replace(self.spec, modalities=(*modalities, "side"), sides=side)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows, every side known."""
        labels = super().labels(rows)
        unknown = torch.full((len(rows),), UNKNOWN)
        side = unknown if labels.side is None else labels.side
        return replace(labels, side=side.masked_fill(side == UNKNOWN, self._side))


def with_known_sides(
    data: HandData, where: str | Path, side: Literal["left", "right"] | None = None
) -> HandData:
    """The hands of a data set whose sides are known, for uses that need them.

    Args:
        data: the data set; one that tells no side at all stays as it is without `side`.
        where: names it in the warning.
        side: of hands whose side it does not tell; None leaves these out, which a warning says.

    Raises:
        UserError: some are left out, in strict mode.
    """
    if side is not None:
        return GivenSide(data, side)
    # sets that open a file for each row know their sides by their nature
    if "side" not in data.spec.modalities or data.slow_labels:
        return data

    known = data.labels(torch.arange(len(data))).require("side") != UNKNOWN
    if known.all():
        return data

    left_out = LeftOut()
    rows = known.nonzero()[:, 0].tolist()
    for row in (~known).nonzero()[:, 0].tolist():
        left_out.add("of unknown side", data.name(row))
    warn_of(where, (left_out.line("hands", len(data)),))
    return Subset(data, rows)


def taken_for(data: HandData, where: str | Path, side: Literal["left", "right"], option: str) -> HandData:
    """A data set that tells no side, taken to show hands of one side, which a warning says.

    Args:
        data: the data set; one that tells sides stays as it is.
        where: names it in the warning.
        side: the side.
        option: says the side, for the warning.

    Raises:
        UserError: it tells no side, in strict mode.
    """
    if "side" in data.spec.modalities:
        return data
    warn_of(
        where,
        (f"does not tell left hands from right ones; they are taken for {side} ones ({option} says it)",),
    )
    return GivenSide(data, side)


def split_by_gesture(data: HandData, gestures: Sequence[str], option: str) -> tuple[Subset, Subset]:
    """A data set in two: the hands that show none of these gestures, and those that show one of them.

    Args:
        data: the data set.
        gestures: their names.
        option: the option that names them, for messages.

    Raises:
        UserError: the data set names no gestures, or not these, or one side would be empty.
    """
    known = data.spec.gestures
    if not known:
        remedy = f"leave out {option}, or add `gesture` to its pictures (docs/data.md)"
        raise UserError(data.spec.name, "names no gestures", remedy)

    for gesture in gestures:
        if gesture not in known:
            fault = f"{data.spec.name} has no gesture {gesture!r}"
            raise UserError(option, fault, f"there are {', '.join(known)}")

    labels = data.labels(torch.arange(len(data))).require("gesture")
    held = torch.isin(labels, torch.tensor([known.index(gesture) for gesture in gestures]))
    if held.all() or not held.any():
        count = f"{int(held.sum())} hands of gestures {', '.join(gestures)}, of {len(data)}"
        fault = f"{data.spec.name} has {count}"
        raise UserError(option, fault, "name gestures of some, not all, of its hands")

    others = Subset(data, (~held).nonzero()[:, 0].tolist())
    return others, Subset(data, held.nonzero()[:, 0].tolist())
