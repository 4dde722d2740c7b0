"""One hand with its labels, as writers of data sets take it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8


@dataclass(frozen=True)
class Sample:
    """One hand: fields, frames and units of `Hands`, as numpy arrays without the batch axis.

    Pictures are as on disk.
    """

    joints_2d: Float[np.ndarray, "joint 2"]
    """Pixels of `image`."""
    side: int
    """`handvae.hand.LEFT`, `RIGHT` or `UNKNOWN`."""
    image: UInt8[np.ndarray, "height width 3"] | None = None
    """RGB."""
    depth: Float[np.ndarray, "height width"] | None = None
    """mm; 0 where unknown."""
    segmentation: UInt8[np.ndarray, "height width"] | None = None
    """Indices into `handvae.hand.SEGMENTATION_CLASSES`."""
    joints_3d: Float[np.ndarray, "joint 3"] | None = None
    joint_valid: Bool[np.ndarray, " joint"] | None = None
    joint_visible: Bool[np.ndarray, " joint"] | None = None
    joint_spread: Float[np.ndarray, " joint"] | None = None
    intrinsics: Float[np.ndarray, "3 3"] | None = None
    viewpoint: Float[np.ndarray, "3 3"] | None = None
    canonical: Float[np.ndarray, "joint 3"] | None = None
    cloud: Float[np.ndarray, "point 3"] | None = None
    content: int | None = None
    subject: int | None = None
    gesture: int | None = None
    scale_mm: float | None = None
    factors: Float[np.ndarray, " factor"] | None = None
    split: str = ""
    """Such as `train` or `test`."""
    picture: str = ""
    """Name of the picture that shows it: hands of one name and split that follow one another share their
    picture. Empty: it has its own."""
    provenance: str = ""
    """Where pose and appearance come from: the text of a JSON object, or nothing."""
