"""Metrics of 2D poses; a million hands go through in constant memory."""

from jaxtyping import Bool, Float
from torch import Tensor

from handvae.evaluation.measure import Measure, PoseProtocol
from handvae.evaluation.pose import CHUNK, hand_size, joint_errors, median_precision
from handvae.evaluation.tally import KEPT_VALUES, Tally


class PixelMetrics:
    """All metrics of 2D poses, over hands that are added batch by batch.

    Args:
        picture: what the pixels belong to, such as `64 px crop`; part of the protocol.
        joints: joints of a hand.
        kept: errors kept for exact medians, see `tally`.
    """

    def __init__(self, picture: str, joints: int = 21, kept: int = KEPT_VALUES) -> None:
        self._picture = picture
        self._hands = 0
        self._errors = Tally(1, kept=kept)
        self._relative = Tally(joints, (0.05, 0.10))
        self._per_hand = Tally(1, kept=kept)

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

        # labelled joints on one line give a hand no size
        size = hand_size(truth, valid)[:, None]
        relative = errors / size.masked_fill(size <= 0, float("nan"))

        self._errors.add(errors.flatten()[:, None])
        self._relative.add(relative)
        self._per_hand.add(relative.nanmean(1, keepdim=True))
        self._hands += int(valid.any(1).sum())

    def measures(self) -> tuple[Measure, ...]:
        """The numbers so far; NaN where no hand was added."""
        protocol = PoseProtocol("2D", picture=self._picture)

        def pixels(name: str, value: float, definition: str) -> Measure:
            return Measure(name, value, "px", self._hands, protocol, definition)

        def percent(name: str, value: float, definition: str) -> Measure:
            size = "hand size = sqrt of the area of the joints' bounding box"
            return Measure(name, 100 * value, "%", self._per_hand.rows, protocol, f"{definition}; {size}")

        joint_median = f"median over joints and frames{median_precision(self._errors)}"
        hand_median = f"median over hands of the mean error{median_precision(self._per_hand)}"
        return (
            pixels("mpjpe_px", self._errors.mean(), "mean over joints and frames"),
            pixels("epe_median_px", self._errors.median(), joint_median),
            percent("error_over_hand_size_median", self._per_hand.median(), hand_median),
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
    """All metrics of one set of 2D poses; arguments as in `PixelMetrics` and its `add`."""
    metrics = PixelMetrics(picture, truth.shape[1], kept=max(KEPT_VALUES, valid.numel()))
    for rows in zip(prediction.split(CHUNK), truth.split(CHUNK), valid.split(CHUNK), strict=True):
        metrics.add(*rows)
    return metrics.measures()
