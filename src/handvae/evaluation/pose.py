"""Errors of poses, each with everything its number depends on; a million hands go through in constant
memory."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.errors import UserError
from handvae.evaluation.comparison import AS_GIVEN, Comparison, aligned
from handvae.evaluation.measure import Measure, PoseProtocol, Protocol
from handvae.evaluation.tally import KEPT_VALUES, MEDIAN_ERROR, Curve, Tally
from handvae.hand import PARENTS, bone_lengths

WHOLE_MM = tuple(float(mm) for mm in range(81))
HAND3D = tuple(torch.linspace(0, 50, 20, dtype=torch.float64).tolist())
"""Thresholds of hand3d's script, mm; what papers call its AUC 20-50 uses the last twelve, which begin at
21.05."""
FREIHAND = tuple(torch.linspace(0, 50, 100, dtype=torch.float64).tolist())
"""Thresholds of FreiHAND's script, mm."""
CHUNK = 1 << 14
"""Hands compared at a time."""


def joint_errors(
    prediction: Float[Tensor, "batch joint axis"],
    truth: Float[Tensor, "batch joint axis"],
    valid: Bool[Tensor, "batch joint"],
) -> Float[Tensor, "batch joint"]:
    """Euclidean error of each joint, NaN where it has no label.

    Raises:
        UserError: the error of a labelled joint is not finite.
    """
    errors = (prediction - truth).norm(dim=-1)
    spoilt = ~errors.isfinite() & valid
    if bool(spoilt.any()):
        hand, joint = spoilt.nonzero()[0].tolist()
        raise UserError(
            "pose metrics",
            f"joint {joint} of hand {hand} is labelled and its error is not a finite number",
            "look at both files",
        )
    return errors.masked_fill(~valid, float("nan"))


# ------------------------------------------------------------------------------------------------- ------- 3D


class PoseMetrics:
    """Every metric of 3D poses in mm, over hands that are added batch by batch.

    Args:
        joints: joints of a hand; metrics of bones need the 21 of this package.
        comparison: root and scale.
        within_mm: thresholds, whole mm up to 80, of `pck@`, `pcf@` and `frame_mean@`.
        visibility: hand3d's metrics count visible joints only, which `add` is then given.
        kept: errors kept for exact medians, see `tally`.
    """

    def __init__(
        self,
        joints: int = 21,
        comparison: Comparison = AS_GIVEN,
        *,
        within_mm: Sequence[int] = (20, 30, 40),
        visibility: bool = False,
        kept: int = KEPT_VALUES,
    ) -> None:
        comparison.check(joints)
        self._comparison, self._within, self._count = comparison, tuple(float(mm) for mm in within_mm), joints
        self._errors = Tally(joints, (*WHOLE_MM, *HAND3D, *FREIHAND), kept=kept)
        self._visible = Tally(joints, HAND3D, kept=kept) if visibility else self._errors
        self._worst, self._frame_mean = Tally(1, WHOLE_MM), Tally(1, WHOLE_MM)
        self._similar, self._rigid = Tally(joints, FREIHAND), Tally(1)
        self._bones = Tally(len(PARENTS) - 1) if joints == len(PARENTS) else None

    def add(
        self,
        prediction: Float[Tensor, "batch joint 3"],
        truth: Float[Tensor, "batch joint 3"],
        valid: Bool[Tensor, "batch joint"],
        visible: Bool[Tensor, "batch joint"] | None = None,
    ) -> None:
        """Count more hands.

        Args:
            prediction: mm, or bone units where the comparison's scale says so.
            truth: mm.
            valid: joints that have a label.
            visible: joints that can be seen; given exactly where `visibility` was asked for.

        Raises:
            UserError: a labelled joint is not finite.
        """
        if (visible is not None) != (self._visible is not self._errors):
            raise ValueError(
                "`visible` is given where PoseMetrics was made with visibility=True, and nowhere else"
            )
        prediction, truth, valid = self._comparison(prediction, truth, valid)
        errors = joint_errors(prediction, truth, valid)
        self._errors.add(errors)
        if visible is not None:
            self._visible.add(errors.masked_fill(~visible, float("nan")))
        nothing = ~valid.any(1, keepdim=True)
        self._worst.add(errors.nan_to_num(nan=-1.0).amax(1, keepdim=True).masked_fill(nothing, float("nan")))
        self._frame_mean.add(errors.nanmean(1, keepdim=True))
        fit = aligned(prediction, truth, valid)
        self._similar.add(joint_errors(fit.similar, truth, fit.usable))
        self._rigid.add(joint_errors(fit.rigid, truth, fit.usable).flatten()[:, None])
        if self._bones is not None:
            ends = valid[:, 1:] & valid[:, list(PARENTS[1:])]
            self._bones.add(
                (bone_lengths(prediction) - bone_lengths(truth)).abs().masked_fill(~ends, float("nan"))
            )

    def joint_means(self) -> Float[Tensor, " joint"]:
        """Mean error of each joint, mm."""
        return self._errors.column_means()

    def curve(self) -> Curve:
        """PCK at 0, 1, ... 80 mm, over all labelled joints."""
        return self._errors.curve(WHOLE_MM)

    def measures(self) -> tuple[Measure, ...]:
        """The numbers so far; NaN where no hand was added that a metric can use."""
        everything = f"all {self._count} labelled"
        plain = self._comparison.protocol(everything)
        seen = (
            plain if self._visible is self._errors else self._comparison.protocol(f"visible of {self._count}")
        )
        similar, rigid = (
            self._comparison.protocol(everything, kind) for kind in ("similarity", "rotation and shift")
        )
        errors, visible, n, n_seen, n_fit = (
            self._errors,
            self._visible,
            self._errors.rows,
            self._visible.rows,
            self._similar.rows,
        )
        wide, narrow = list(HAND3D), list(HAND3D[8:])
        by_joint = "per joint, then mean over joints"
        measures = [
            Measure("epe", errors.mean(), "mm", n, plain, "mean over joints and frames"),
            Measure(
                "epe_median",
                errors.median(),
                "mm",
                n,
                plain,
                f"median over joints and frames{_exactness(errors)}",
            ),
            Measure("epe_hand3d", _mean(visible.column_means()), "mm", n_seen, seen, f"mean {by_joint}"),
            Measure(
                "epe_median_hand3d",
                _mean(visible.column_medians()),
                "mm",
                n_seen,
                seen,
                f"median {by_joint}{_exactness(visible)}",
            ),
            *_shares("pck", errors, self._within, n, plain, "share of joints with error <="),
            Measure(
                "auc_20_50",
                errors.curve(WHOLE_MM[20:51]).area,
                "",
                n,
                plain,
                "PCK at 20, 21, ... 50 mm, trapezoid / 30",
            ),
            _auc("auc_20_50_hand3d", visible, narrow, n_seen, seen),
            _auc("auc_0_50_hand3d", visible, wide, n_seen, seen),
            _auc("auc_0_50_freihand", errors, FREIHAND, n, plain),
            *_shares(
                "pcf",
                self._worst,
                self._within,
                n,
                plain,
                "share of frames whose worst joint has an error <=",
            ),
            *_shares(
                "frame_mean",
                self._frame_mean,
                self._within,
                n,
                plain,
                "share of frames whose mean error is <=",
            ),
            Measure("pa_mpjpe", self._similar.mean(), "mm", n_fit, similar, "mean over joints and frames"),
            _auc("pa_auc_0_50_freihand", self._similar, FREIHAND, n_fit, similar),
            Measure("pa_mpjpe_rigid", self._rigid.mean(), "mm", n_fit, rigid, "mean over joints and frames"),
        ]
        if self._bones is not None:
            definition = "mean |predicted - true length| over the 20 bones with both ends labelled"
            measures.append(
                Measure("bone_error", self._bones.mean(), "mm", self._bones.rows, plain, definition)
            )
        return tuple(measures)


def pose_measures_3d(
    prediction: Float[Tensor, "batch joint 3"],
    truth: Float[Tensor, "batch joint 3"],
    valid: Bool[Tensor, "batch joint"],
    visible: Bool[Tensor, "batch joint"] | None = None,
    comparison: Comparison = AS_GIVEN,
    within_mm: Sequence[int] = (20, 30, 40),
) -> tuple[Measure, ...]:
    """Every metric of a set of 3D poses that is at hand as a whole; arguments as `PoseMetrics` and its `add`
    have them."""
    metrics = PoseMetrics(
        truth.shape[1],
        comparison,
        within_mm=within_mm,
        visibility=visible is not None,
        kept=max(KEPT_VALUES, valid.numel()),
    )
    shown = [None] * -(-len(truth) // CHUNK) if visible is None else visible.split(CHUNK)
    for rows in zip(prediction.split(CHUNK), truth.split(CHUNK), valid.split(CHUNK), shown, strict=True):
        metrics.add(*rows)
    return metrics.measures()


def _exactness(tally: Tally) -> str:
    return "" if tally.medians_exact else f", from a histogram, within {100 * MEDIAN_ERROR:.3f} %"


def _mean(columns: Tensor) -> float:
    return float(columns.nanmean())  # a joint that is never labelled has no say


def _shares(
    name: str, tally: Tally, within: Sequence[float], n: int, protocol: Protocol, words: str
) -> list[Measure]:
    return [
        Measure(f"{name}@{mm:.0f}_mm", 100 * tally.within(mm), "%", n, protocol, f"{words} {mm:.0f} mm")
        for mm in within
    ]


def _auc(name: str, tally: Tally, thresholds: Sequence[float], n: int, protocol: Protocol) -> Measure:
    span = f"{len(thresholds)} thresholds from {thresholds[0]:.6g} to {thresholds[-1]:.6g} mm"
    definition = (
        f"PCK per joint at {span}, mean over joints, trapezoid / {thresholds[-1] - thresholds[0]:.6g}"
    )
    return Measure(name, tally.curve(thresholds, by_column=True).area, "", n, protocol, definition)


class RelativeRoots:
    """MRRPE: the error of the vector from one hand's root to the other's, over pairs of hands that are added
    batch by batch."""

    def __init__(self) -> None:
        self._errors = Tally(1)

    def add(
        self,
        prediction: Float[Tensor, "batch 3"],
        truth: Float[Tensor, "batch 3"],
        valid: Bool[Tensor, " batch"],
    ) -> None:
        """Count more pairs.

        Args:
            prediction: left root - right root, mm.
            truth: the same of the labels.
            valid: pairs whose roots are both labelled.

        Raises:
            UserError: a labelled pair is not finite.
        """
        self._errors.add(joint_errors(prediction[:, None], truth[:, None], valid[:, None]))

    def measure(self) -> Measure:
        """The mean so far."""
        protocol = PoseProtocol(
            "3D", root="the right hand's", joints="left root of interacting hands: 1 labelled"
        )
        return Measure("mrrpe", self._errors.mean(), "mm", self._errors.rows, protocol, "mean over pairs")


_BONE_UNITS = PoseProtocol("3D", root="wrist", scale="true bone 9-10")


def bone_measures_3d(
    prediction: Float[Tensor, "batch joint 3"],
    truth: Float[Tensor, "batch joint 3"],
    valid: Bool[Tensor, "batch joint"],
    protocol: PoseProtocol = _BONE_UNITS,
) -> tuple[Measure, ...]:
    """The 3D metric of root-relative poses that are both in the bone units that the protocol names."""
    errors = joint_errors(prediction, truth, valid)
    return (
        Measure(
            "mpjpe_bone_units",
            float(errors.nanmean()),
            "bone",
            len(truth),
            protocol,
            "mean over joints and frames",
        ),
    )


# ------------------------------------------------------------------------------------------------- ------- 2D


def hand_size(
    joints: Float[Tensor, "batch joint 2"], valid: Bool[Tensor, "batch joint"]
) -> Float[Tensor, " batch"]:
    """Square root of the area of the labelled joints' bounding box, in the joints' unit."""
    low = joints.masked_fill(~valid[..., None], float("inf")).amin(1)
    high = joints.masked_fill(~valid[..., None], -float("inf")).amax(1)
    return (high - low).prod(-1).sqrt()


class PixelMetrics:
    """Every metric of 2D poses, over hands that are added batch by batch.

    Args:
        picture: what the pixels belong to, such as `64 px crop`; part of the protocol.
        joints: joints of a hand.
        kept: errors kept for exact medians, see `tally`.
    """

    def __init__(self, picture: str, joints: int = 21, kept: int = KEPT_VALUES) -> None:
        self._picture = picture
        self._errors, self._relative, self._per_hand = (
            Tally(1, kept=kept),
            Tally(joints, (0.05, 0.10)),
            Tally(1, kept=kept),
        )
        self._hands = 0

    def add(
        self,
        prediction: Float[Tensor, "batch joint 2"],
        truth: Float[Tensor, "batch joint 2"],
        valid: Bool[Tensor, "batch joint"],
    ) -> None:
        """Count more hands.

        Args:
            prediction: px.
            truth: px.
            valid: joints that count.

        Raises:
            UserError: a labelled joint is not finite.
        """
        errors = joint_errors(prediction, truth, valid)
        size = hand_size(truth, valid)[:, None]
        relative = errors / size.masked_fill(
            size <= 0, float("nan")
        )  # labelled joints on one line give a hand no size
        self._errors.add(errors.flatten()[:, None])
        self._relative.add(relative)
        self._per_hand.add(relative.nanmean(1, keepdim=True))
        self._hands += int(valid.any(1).sum())

    def measures(self) -> tuple[Measure, ...]:
        """The numbers so far; NaN where no hand was added."""
        protocol = PoseProtocol("2D", picture=self._picture)
        sized = "hand size = sqrt of the area of the joints' bounding box"

        def percent(name: str, value: float, definition: str) -> Measure:
            return Measure(name, 100 * value, "%", self._per_hand.rows, protocol, f"{definition}; {sized}")

        exactness = _exactness(self._per_hand)
        return (
            Measure(
                "mpjpe_px", self._errors.mean(), "px", self._hands, protocol, "mean over joints and frames"
            ),
            Measure(
                "epe_median_px",
                self._errors.median(),
                "px",
                self._hands,
                protocol,
                f"median over joints and frames{_exactness(self._errors)}",
            ),
            percent(
                "error_over_hand_size_median",
                self._per_hand.median(),
                f"median over hands of the mean error{exactness}",
            ),
            percent("error_over_hand_size_mean", self._per_hand.mean(), "mean over hands of the mean error"),
            percent("pckb@0.05", self._relative.within(0.05), "share of joints within 5 % of hand size"),
            percent("pckb@0.10", self._relative.within(0.10), "share of joints within 10 % of hand size"),
        )


def pose_measures_2d(
    prediction: Float[Tensor, "batch joint 2"],
    truth: Float[Tensor, "batch joint 2"],
    valid: Bool[Tensor, "batch joint"],
    picture: str,
) -> tuple[Measure, ...]:
    """Every metric of a set of 2D poses that is at hand as a whole; arguments as `PixelMetrics` and its `add`
    have them."""
    metrics = PixelMetrics(picture, truth.shape[1], kept=max(KEPT_VALUES, valid.numel()))
    for rows in zip(prediction.split(CHUNK), truth.split(CHUNK), valid.split(CHUNK), strict=True):
        metrics.add(*rows)
    return metrics.measures()
