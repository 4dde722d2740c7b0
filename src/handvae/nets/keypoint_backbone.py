"""A trained detector's network at the front of an encoder."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.crop import Crop
from handvae.nets.blocks import Norm
from handvae.nets.encoder import HeatmapHead, Trunk, heat_centre

LEVELS = 2
"""Doublings between the detector's last features and its heat maps, as in the shipped detector."""


@dataclass(frozen=True)
class KeypointFeatures:
    """What a detector finds in pictures."""

    heatmaps: Float[Tensor, "batch joint size size"]
    """Probability of each joint's place; each map sums to 1."""
    joints: Float[Tensor, "batch joint 2"]
    """Means of the heat maps, crop units."""
    log_std: Float[Tensor, "batch joint 2"]
    """Logarithms of the heat maps' standard deviations, crop units."""
    features: Float[Tensor, "batch feature"]
    """The last feature maps, averaged over the picture."""

    @property
    def vector(self) -> Float[Tensor, "batch outputs"]:
        """Joints, their spread and the features, side by side."""
        return torch.cat([self.joints.flatten(1), self.log_std.flatten(1), self.features], 1)


class KeypointBackbone(nn.Module):
    """Joints, their spread and pooled features of a picture; has the layout of `systems.detector`.

    Args:
        joints: number of joints.
        widths: channels of the trunk's stages.
        norm: normalisation.
        learns: gradients reach the network; else it stays as the detector was trained.
    """

    def __init__(self, joints: int, widths: tuple[int, ...], *, norm: Norm, learns: bool = False) -> None:
        super().__init__()
        self.trunk = Trunk(widths, kernel=4, refine=True, norm=norm, slope=0.0)
        self.head = HeatmapHead(widths, joints, levels=LEVELS, norm=norm, slope=0.0)
        self.joints = joints
        self.outputs = 4 * joints + widths[-1]
        self.learns = learns
        self.is_trained = False

    def copy_detector(self, detector: nn.Module, detector_crop: Crop, crop: Crop) -> None:
        """Take over the weights of a trained detector.

        Args:
            detector: the detector.
            detector_crop: crops that it was trained on.
            crop: crops that it shall see.

        Raises:
            ValueError: it has no heat maps, another size, or was trained on other crops.
        """
        if (detector_crop.size_px, detector_crop.sides) != (crop.size_px, crop.sides):
            raise ValueError(
                "the detector was trained on other crops: "
                f"set crop.size_px {detector_crop.size_px} and crop.sides {detector_crop.sides}"
            )

        weights = {
            name: value
            for name, value in detector.state_dict().items()
            if name.startswith(("trunk.", "head."))
        }
        if _shapes(weights) != _shapes(self.state_dict()):
            raise ValueError(
                "this is no detector by heat maps, or one of another size: set encoder.widths to its widths"
            )

        self.load_state_dict(weights)
        self.is_trained = True

    def check_trained(self) -> None:
        """Refuse to train on a network that has no detector's weights yet.

        Raises:
            ValueError: there are none.
        """
        if not self.is_trained:
            raise ValueError("training needs the detector that is named: attach it first")

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> KeypointFeatures:
        """Find the joints in pictures in [0, 1]."""
        with torch.set_grad_enabled(self.learns and torch.is_grad_enabled()):
            maps = self.trunk(image * 2 - 1)
            heatmaps, centres = heat_centre(self.head.maps(maps))
            log_std = 0.5 * centres.var_or_zeros().clamp_min(1e-6).log()
            return KeypointFeatures(
                heatmaps=heatmaps,
                joints=centres.mean,
                log_std=log_std,
                features=maps[-1].float().mean((2, 3)),
            )


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
