"""Metrics of 3D poses; a million hands go through in constant memory."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.evaluation.comparison import AS_GIVEN, Comparison, aligned
from handvae.evaluation.measure import Measure, PoseProtocol
from handvae.evaluation.pose import CHUNK, joint_errors, median_precision
from handvae.evaluation.tally import KEPT_VALUES, Tally
from handvae.hand import PARENTS, bone_lengths

WHOLE_MM = tuple(float(mm) for mm in range(81))
HAND3D = tuple(torch.linspace(0, 50, 20, dtype=torch.float64).tolist())
"""Thresholds of hand3d's script, mm; its AUC 20-50 in papers uses the last twelve, which begin at 21.05."""
FREIHAND = tuple(torch.linspace(0, 50, 100, dtype=torch.float64).tolist())
"""Thresholds of FreiHAND's script, mm."""


class PoseMetrics:
    """All metrics of 3D poses in mm, over hands that are added batch by batch.

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
        self._comparison = comparison
        self._within = tuple(float(mm) for mm in within_mm)
        self._joints = joints

        # errors by joint, of all labelled joints and of the visible ones
        self._errors = Tally(joints, (*WHOLE_MM, *HAND3D, *FREIHAND), kept=kept)
        self._visible = Tally(joints, HAND3D, kept=kept) if visibility else self._errors

        # one number a frame
        self._worst = Tally(1, WHOLE_MM)
        self._frame_mean = Tally(1, WHOLE_MM)

        # after alignment, and of bone lengths
        self._similar = Tally(joints, FREIHAND)
        self._rigid = Tally(1)
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
        with_visibility = self._visible is not self._errors
        if (visible is not None) != with_visibility:
            raise ValueError(
                "`visible` is given where PoseMetrics was made with visibility=True, and nowhere else"
            )

        prediction, truth, valid = self._comparison(prediction, truth, valid)
        errors = joint_errors(prediction, truth, valid)
        self._errors.add(errors)
        if visible is not None:
            self._visible.add(errors.masked_fill(~visible, float("nan")))

        # a frame without labels has no worst joint
        unlabelled = ~valid.any(1, keepdim=True)
        worst = errors.nan_to_num(nan=-1.0).amax(1, keepdim=True)
        self._worst.add(worst.masked_fill(unlabelled, float("nan")))
        self._frame_mean.add(errors.nanmean(1, keepdim=True))

        fit = aligned(prediction, truth, valid)
        self._similar.add(joint_errors(fit.similar, truth, fit.usable))
        self._rigid.add(joint_errors(fit.rigid, truth, fit.usable).flatten()[:, None])

        if self._bones is not None:
            both_ends = valid[:, 1:] & valid[:, list(PARENTS[1:])]
            length_errors = (bone_lengths(prediction) - bone_lengths(truth)).abs()
            self._bones.add(length_errors.masked_fill(~both_ends, float("nan")))

    def measures(self) -> tuple[Measure, ...]:
        """The numbers so far; NaN where no hand was added that a metric can use."""
        return (
            *self._epe_measures(),
            *self._pck_measures(),
            *self._frame_measures(),
            *self._aligned_measures(),
            *self._bone_measures(),
        )

    @property
    def _protocol(self) -> PoseProtocol:
        return self._comparison.protocol(f"all {self._joints} labelled")

    @property
    def _visible_protocol(self) -> PoseProtocol:
        if self._visible is self._errors:
            return self._protocol
        return self._comparison.protocol(f"visible of {self._joints}")

    def _epe_measures(self) -> list[Measure]:
        errors = self._errors
        visible = self._visible
        by_joint = "per joint, then mean over joints"

        # a joint that is never labelled does not count in a mean over joints
        mean_by_joint = float(visible.column_means().nanmean())
        median_by_joint = float(visible.column_medians().nanmean())

        def pooled(name: str, value: float, definition: str) -> Measure:
            return Measure(name, value, "mm", errors.rows, self._protocol, definition)

        def hand3d(name: str, value: float, definition: str) -> Measure:
            return Measure(name, value, "mm", visible.rows, self._visible_protocol, definition)

        return [
            pooled("epe", errors.mean(), "mean over joints and frames"),
            pooled("epe_median", errors.median(), f"median over joints and frames{median_precision(errors)}"),
            hand3d("epe_hand3d", mean_by_joint, f"mean {by_joint}"),
            hand3d("epe_median_hand3d", median_by_joint, f"median {by_joint}{median_precision(visible)}"),
        ]

    def _pck_measures(self) -> list[Measure]:
        errors = self._errors
        auc_20_50 = Measure(
            name="auc_20_50",
            value=errors.curve(WHOLE_MM[20:51]).area,
            unit="",
            n=errors.rows,
            protocol=self._protocol,
            definition="PCK at 20, 21, ... 50 mm, trapezoid / 30",
        )

        return [
            *self._shares("pck", errors, "share of joints with error <="),
            auc_20_50,
            _auc("auc_20_50_hand3d", self._visible, HAND3D[8:], self._visible_protocol),
            _auc("auc_0_50_hand3d", self._visible, HAND3D, self._visible_protocol),
            _auc("auc_0_50_freihand", errors, FREIHAND, self._protocol),
        ]

    def _frame_measures(self) -> list[Measure]:
        return [
            *self._shares("pcf", self._worst, "share of frames whose worst joint has an error <="),
            *self._shares("frame_mean", self._frame_mean, "share of frames whose mean error is <="),
        ]

    def _aligned_measures(self) -> list[Measure]:
        joints = f"all {self._joints} labelled"
        similar = self._comparison.protocol(joints, "similarity")
        rigid = self._comparison.protocol(joints, "rotation and shift")
        n = self._similar.rows
        mean = "mean over joints and frames"
        return [
            Measure("pa_mpjpe", self._similar.mean(), "mm", n, similar, mean),
            _auc("pa_auc_0_50_freihand", self._similar, FREIHAND, similar),
            Measure("pa_mpjpe_rigid", self._rigid.mean(), "mm", n, rigid, mean),
        ]

    def _bone_measures(self) -> list[Measure]:
        if self._bones is None:
            return []
        definition = "mean |predicted - true length| over the 20 bones with both ends labelled"
        return [Measure("bone_error", self._bones.mean(), "mm", self._bones.rows, self._protocol, definition)]

    def _shares(self, name: str, tally: Tally, definition: str) -> list[Measure]:
        """Shares within each threshold; N is that of all frames."""
        return [
            Measure(
                name=f"{name}@{mm:.0f}_mm",
                value=100 * tally.within(mm),
                unit="%",
                n=self._errors.rows,
                protocol=self._protocol,
                definition=f"{definition} {mm:.0f} mm",
            )
            for mm in self._within
        ]


def _auc(name: str, tally: Tally, thresholds: Sequence[float], protocol: PoseProtocol) -> Measure:
    """Area under PCK per joint, mean over joints."""
    first = thresholds[0]
    last = thresholds[-1]
    definition = (
        f"PCK per joint at {len(thresholds)} thresholds from {first:.6g} to {last:.6g} mm, "
        f"mean over joints, trapezoid / {last - first:.6g}"
    )
    area = tally.curve(thresholds, by_column=True).area
    return Measure(name, area, "", tally.rows, protocol, definition)


def pose_measures_3d(
    prediction: Float[Tensor, "batch joint 3"],
    truth: Float[Tensor, "batch joint 3"],
    valid: Bool[Tensor, "batch joint"],
    visible: Bool[Tensor, "batch joint"] | None = None,
    comparison: Comparison = AS_GIVEN,
    within_mm: Sequence[int] = (20, 30, 40),
) -> tuple[Measure, ...]:
    """All metrics of one set of 3D poses; arguments as in `PoseMetrics` and its `add`."""
    metrics = PoseMetrics(
        truth.shape[1],
        comparison,
        within_mm=within_mm,
        visibility=visible is not None,
        kept=max(KEPT_VALUES, valid.numel()),
    )
    chunks = zip(prediction.split(CHUNK), truth.split(CHUNK), valid.split(CHUNK), strict=True)
    for number, rows in enumerate(chunks):
        some_visible = None if visible is None else visible.split(CHUNK)[number]
        metrics.add(*rows, some_visible)

    return metrics.measures()


_BONE_UNITS = PoseProtocol("3D", root="wrist", scale="true bone 9-10")


def bone_measures_3d(
    prediction: Float[Tensor, "batch joint 3"],
    truth: Float[Tensor, "batch joint 3"],
    valid: Bool[Tensor, "batch joint"],
    protocol: PoseProtocol = _BONE_UNITS,
) -> tuple[Measure, ...]:
    """The metric of root-relative 3D poses that are both in the bone units that the protocol names."""
    error = float(joint_errors(prediction, truth, valid).nanmean())
    mean = "mean over joints and frames"
    return (Measure("mpjpe_bone_units", error, "bone", len(truth), protocol, mean),)


class RelativeRoots:
    """MRRPE: the error of the vector between the roots of two hands, over pairs added batch by batch."""

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
        joints = "left root of interacting hands: 1 labelled"
        protocol = PoseProtocol("3D", root="the right hand's", joints=joints)
        return Measure("mrrpe", self._errors.mean(), "mm", self._errors.rows, protocol, "mean over pairs")
