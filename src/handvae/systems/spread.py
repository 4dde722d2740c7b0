"""A scale that makes the spread a model claims as large as its errors.

It is fitted once on hands that the model was not trained on (`handvae.evaluation.spread`), kept in the
model's file and applied wherever poses are predicted (`PoseEstimator.predict`). An image and 2D joints leave
different uncertainties: each set of inputs has a scale of its own.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

LARGEST = 1e9
"""Of a factor or a floor; its square is still a float32."""


@dataclass(frozen=True)
class SpreadScale:
    """Calibrates a claimed spread: sqrt((factor * spread)^2 + floor^2), for x, y, and z where there is one.

    Heat maps need the floor: one that falls into a single cell claims to be certain, whatever the factor.
    """

    factor: tuple[float, ...]
    floor: tuple[float, ...]
    """In the spread's unit."""
    fitted_on: str = ""
    """Description of these hands."""

    def __post_init__(self) -> None:
        in_range = all(0 <= value <= LARGEST for value in (*self.factor, *self.floor))
        if len(self.factor) != len(self.floor) or not in_range:
            expected = "a scale of spread has a factor and a floor for each axis"
            raise ValueError(f"{expected}, each from 0 to {LARGEST:.0e}")
        if len(self.fitted_on) > 200 or not self.fitted_on.isprintable():
            raise ValueError("fitted_on is one line of at most 200 characters")

    def __call__(self, spread: Float[Tensor, "batch joint axis"]) -> Float[Tensor, "batch joint axis"]:
        """The scaled spread."""
        factor = spread.new_tensor(self.factor)
        floor = spread.new_tensor(self.floor)
        return ((factor * spread).square() + floor.square()).sqrt()
