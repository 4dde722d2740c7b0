"""How a system sees pictures: the papers' residual network, or a trained keypoint detector."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from handvae.nets.blocks import MAX_WIDTH, Norm
from handvae.nets.keypoint_backbone import LEVELS, KeypointBackbone
from handvae.nets.resnet import Layers, Stem


@dataclass(frozen=True)
class ResNetEncoder:
    """The papers' choice: a residual network, trained from scratch."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    width: int = 64
    """Channels of the first layer; later layers double it."""
    stem: Stem = "quarter"
    """`half` leaves out the first pooling, for small pictures."""
    layers: Layers = 18
    """Of cm-VAE's trunk: 18, or 50 as in the supplement's run on depth. Other systems have their own."""
    kind: Literal["resnet"] = "resnet"
    """Name of this choice in saved configurations."""

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAX_WIDTH:
            raise ValueError(f"the encoder's width is 1 to {MAX_WIDTH}")

    @property
    def resnet(self) -> "ResNetEncoder":
        """The residual network."""
        return self


@dataclass(frozen=True)
class KeypointEncoder:
    """Ours: a detector, trained before, tells where the joints are in the picture."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    model: str = "detector-64"
    """The detector: a shipped one, a .safetensors file or a run folder."""
    widths: tuple[int, ...] = (48, 96, 192, 384)
    """Channels of the detector's stages."""
    keypoint_weight: float = 0.0
    """Weight of the mean squared keypoint error, crop units, with which the detector learns; 0 freezes it."""
    resnet: ResNetEncoder = ResNetEncoder()
    """The residual network, where the system has one besides the detector."""
    kind: Literal["keypoints"] = "keypoints"
    """Name of this choice in saved configurations."""

    def __post_init__(self) -> None:
        if len(self.widths) <= LEVELS or not all(1 <= width <= MAX_WIDTH for width in self.widths):
            raise ValueError(f"the encoder has at least {LEVELS + 1} widths, each 1 to {MAX_WIDTH}")
        if not 0 <= self.keypoint_weight < float("inf"):
            raise ValueError("keypoint_weight is not negative")
        if not self.model:
            raise ValueError("a keypoint encoder needs a detector; set encoder.model, such as detector-64")


PictureEncoder = ResNetEncoder | KeypointEncoder
"""Tagged union of the choices."""


def build_keypoint_backbone(encoder: PictureEncoder, joints: int, norm: Norm) -> KeypointBackbone | None:
    """The detector's network, without its weights; None for the papers' encoder."""
    match encoder:
        case ResNetEncoder():
            return None
        case KeypointEncoder():
            return KeypointBackbone(joints, encoder.widths, norm=norm, learns=encoder.keypoint_weight > 0)


def pretrained_detector(encoder: PictureEncoder) -> dict[str, str]:
    """The role `detector` and the model's name, of an encoder that has one (`System.pretrained`)."""
    match encoder:
        case ResNetEncoder():
            return {}
        case KeypointEncoder():
            return {"detector": encoder.model}
