"""What a hand reader tells besides 2D joints: the side, whether there is a hand, joints in space."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.evaluation.comparison import Comparison
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.model_predictions import BATCH
from handvae.evaluation.pose import joint_errors
from handvae.evaluation.pose_3d import pose_measures_3d
from handvae.evaluation.resampling import PerHand
from handvae.evaluation.study import MetricResult, Study
from handvae.hand import LEFT, RIGHT, UNKNOWN, scale_bone
from handvae.systems.hand_reader import HandReader, in_space

_IN_CROPS = "crops round the labelled joints, seen as they are and in a mirror"
_KEPT = ("epe", "epe_median", "auc_20_50", "pa_mpjpe")
"""Measures of joints in space that are reported, of the many."""


@dataclass(frozen=True)
class _Read:
    """What the reader says of hands, and their labels."""

    right: Float[Tensor, " hand"]
    present: Float[Tensor, " hand"]
    side: Int[Tensor, " hand"]
    joints: Float[Tensor, "hand joint 3"]
    """Relative to the wrist, bone units."""
    truth: Float[Tensor, "hand joint 3"] | None
    """Relative to the wrist, mm; None where the data have no 3D joints."""
    valid: Bool[Tensor, "hand joint"]


def reading_metric(study: Study) -> MetricResult:
    """Side, presence, and joints in space: each hand given its true size, or its true bone."""
    assert isinstance(study.system, HandReader), "the metric is refused for others"
    read = _read_hands(study.system, study.data)
    measures = [*_side_measures(read), _presence_measure(read)]
    per_hand: tuple[PerHand, ...] = ()

    if read.truth is not None:
        root_and_size = Comparison("wrist", "both", "true size")
        for comparison, ending in (
            (root_and_size, ""),
            (Comparison("wrist", "both", "true bone"), "_true_bone"),
        ):
            all_measures = pose_measures_3d(read.joints, read.truth, read.valid, comparison=comparison)
            for measure in all_measures:
                if measure.name in _KEPT and not (ending and measure.name == "pa_mpjpe"):
                    name = f"reading_{measure.name}{ending}"
                    measures.append(_renamed(measure, name))

        # hands may be compared by resampling: the mean error of each
        prediction, truth, valid = root_and_size(read.joints, read.truth, read.valid)
        errors = joint_errors(prediction, truth, valid)
        weights = valid.sum(1).double()
        per_hand = (
            PerHand("reading_epe", "mm", "mean", errors.nanmean(1).double().numpy(), weights.numpy()),
        )

    return MetricResult(tuple(measures), per_hand)


def reading_lacking(study: Study) -> str:
    """Why the metric cannot be measured; empty where it can."""
    return "" if isinstance(study.system, HandReader) else f"{study.name} tells no side and no presence"


@torch.no_grad()
def _read_hands(reader: HandReader, data: HandData) -> _Read:
    parts = [_read_batch(reader, data, rows) for rows in torch.arange(len(data)).split(BATCH)]

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    truth = None if parts[0].truth is None else joined("truth")
    names = ("right", "present", "side", "joints", "valid")
    return _Read(truth=truth, **{name: joined(name) for name in names})


def _read_batch(reader: HandReader, data: HandData, rows: Int[Tensor, " rows"]) -> _Read:
    hands = cut(data, rows, reader.crop)
    seen = reader.observe(hands.require("image"))
    joints, _ = in_space(seen.joints, seen.spread)

    truth = hands.joints_3d
    valid = reader.labelled(hands)
    if truth is not None:
        # a hand whose scale bone has no length has no size either
        valid = valid & (scale_bone(truth) > 0)[:, None]
        truth = truth - truth[:, :1]

    side = torch.full((len(rows),), UNKNOWN) if hands.side is None else hands.side
    return _Read(seen.right, seen.present, side, joints, truth, valid)


def _side_measures(read: _Read) -> list[Measure]:
    told = (read.side == LEFT) | (read.side == RIGHT)
    right = (read.right >= 0.5) == (read.side == RIGHT)
    share = float(100 * right[told].float().mean()) if told.any() else float("nan")
    protocol = Stated(f"{_IN_CROPS}; hands whose side is labelled")
    return [
        Measure("side_right", share, "%", int(told.sum()), protocol, "share of hands whose side is right")
    ]


def _presence_measure(read: _Read) -> Measure:
    share = float(100 * (read.present >= 0.5).float().mean())
    definition = "share of crops of a hand that are taken for one, at a probability of 0.5"
    return Measure("present", share, "%", len(read.present), Stated(_IN_CROPS), definition)


def _renamed(measure: Measure, name: str) -> Measure:
    return Measure(name, measure.value, measure.unit, measure.n, measure.protocol, measure.definition)
