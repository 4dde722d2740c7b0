"""A number and everything it depends on, as types that a report can group by."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Space = Literal["2D", "3D"]
Alignment = Literal["none", "similarity", "rotation and shift"]


@dataclass(frozen=True)
class PoseProtocol:
    """What two errors of poses must share to be comparable."""

    space: Space
    root: str = "as given"
    """What was subtracted from every joint before comparing: `as given` (nothing), `palm`, `wrist` or
    `middle_mcp`."""
    scale: str = "as given"
    """What lengths are measured in: `as given`, `true bone 9-10` (each hand's own) or how the prediction was
    scaled."""
    alignment: Alignment = "none"
    """Fit of each prediction to its truth before comparing."""
    joints: str = "all labelled"
    """Which joints count."""
    picture: str = ""
    """Whose pixels 2D errors are in, such as `64 px crop`."""

    def __str__(self) -> str:
        alignment = "no" if self.alignment == "none" else self.alignment
        parts = (
            self.space,
            self.picture,
            f"root {self.root}",
            f"scale {self.scale}",
            f"{alignment} alignment",
            f"{self.joints} joints",
        )
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class PictureProtocol:
    """What two distances between sets of pictures must share to be comparable."""

    extractor: str
    """Network whose features are compared, its weights included."""
    size_px: int
    """Side of the pictures before the extractor resizes them."""
    batch_norm: str
    """Statistics that the generator's normalisation used: `eval` (running), `train` (the batch's) or
    `none`."""
    real: str
    """The real pictures."""
    generated: str
    """What the generator was asked for."""

    def __str__(self) -> str:
        network = (
            f"features {self.extractor}, {self.size_px} px pictures, generator's batch norm {self.batch_norm}"
        )
        return f"{network}, {self.generated} against {self.real}"


@dataclass(frozen=True)
class Stated:
    """A protocol in words, for numbers that fit no table."""

    words: str

    def __str__(self) -> str:
        return self.words


Protocol = PoseProtocol | PictureProtocol | Stated


@dataclass(frozen=True)
class Measure:
    """A number that names its protocol."""

    name: str
    value: float
    """NaN where nothing could be measured."""
    unit: str
    n: int
    """Hands or pictures it was measured on."""
    protocol: Protocol
    """What another script must do to get the same number; equal protocols may stand in one table."""
    definition: str = ""
    """How the errors became this number, where the name does not say it."""

    @property
    def terms(self) -> str:
        """Definition and protocol in words, without N."""
        return "; ".join(part for part in (self.definition, str(self.protocol)) if part)

    def __str__(self) -> str:
        value = f"{self.value:.5g} {self.unit}".rstrip()
        return f"{self.name} = {value} (N = {self.n}; {self.terms})"

    def to_json(self) -> dict[str, Any]:
        """Every field, the protocol both in parts and in words; a value that is not finite becomes null."""
        value = self.value if math.isfinite(self.value) else None
        return {**asdict(self), "value": value, "protocol_text": str(self.protocol)}
