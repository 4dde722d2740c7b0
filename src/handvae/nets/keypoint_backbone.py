"""A detector's network as the front of an encoder: what it finds in a picture, for others to go on from."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.crop import Crop
from handvae.nets.blocks import Norm
from handvae.nets.encoder import HeatmapHead, Trunk, heat_centre

LEVELS = 2
"""Doublings between a finder's last features and its heat maps, as in the shipped detector."""


@dataclass(frozen=True)
class KeypointFeatures:
    """What a finder sees in pictures."""

    shares: Float[Tensor, "batch joint size size"]
    """How likely each joint is where; each map sums to 1."""
    joints: Float[Tensor, "batch joint 2"]
    """The maps' centres, crop units."""
    log_std: Float[Tensor, "batch joint 2"]
    """Logarithms of the maps' deviations."""
    features: Float[Tensor, "batch feature"]
    """The last feature maps, averaged over the picture."""

    @property
    def numbers(self) -> Float[Tensor, "batch outputs"]:
        """Joints, sureness and features side by side."""
        return torch.cat([self.joints.flatten(1), self.log_std.flatten(1), self.features], 1)


class KeypointBackbone(nn.Module):
    """The joints found in a picture, how sure each is, and the last feature maps averaged; laid out as
    `systems.detector` is.

    Args:
        joints: how many are found.
        widths: channels of the trunk's stages.
        norm: normalisation.
    """

    def __init__(self, joints: int, widths: tuple[int, ...], *, norm: Norm) -> None:
        super().__init__()
        self.trunk = Trunk(widths, kernel=4, refine=True, norm=norm, slope=0.0)
        self.head = HeatmapHead(widths, joints, levels=LEVELS, norm=norm, slope=0.0)
        self.joints, self.outputs = joints, 4 * joints + widths[-1]
        self.taken = False

    def take(self, detector: nn.Module, crop: Crop) -> None:
        """Find joints as this detector does, for good, in pictures cut as `crop` says.

        Raises:
            ValueError: it is no detector by heat maps, or one of another size or other crops.
        """
        theirs = getattr(detector, "crop", crop)
        if (theirs.size_px, theirs.sides) != (crop.size_px, crop.sides):
            raise ValueError(
                f"the finder was trained on other crops: set crop.size_px {theirs.size_px} and crop.sides {theirs.sides}"
            )
        state = {
            name: value
            for name, value in detector.state_dict().items()
            if name.startswith(("trunk.", "head."))
        }
        shapes, wanted = (
            {name: value.shape for name, value in one.items()} for one in (state, self.state_dict())
        )
        if shapes != wanted:
            raise ValueError(
                "the finder is no detector by heat maps, or has another network: set finder_widths to its widths"
            )
        self.load_state_dict(state)
        self.taken = True

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> KeypointFeatures:
        """Of pictures in [0, 1]."""
        maps = self.trunk(image * 2 - 1)
        shares, found = heat_centre(self.head.maps(maps))
        log_std = 0.5 * found.var_or_zeros().clamp_min(1e-6).log()
        return KeypointFeatures(shares, found.mean, log_std, maps[-1].float().mean((2, 3)))
