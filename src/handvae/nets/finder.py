"""A detector's network as the front of an encoder: what it finds in a picture, for others to go on from."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.blocks import Norm
from handvae.nets.encoder import HeatmapHead, Trunk


class JointFinder(nn.Module):
    """The joints found in a picture, how sure each is, and the last feature maps averaged; laid out as `systems.detector` is.

    Args:
        joints: how many are found.
        widths: channels of the trunk's stages.
        levels: doublings between the trunk's last features and the heat maps.
        norm: normalisation.
    """

    def __init__(self, joints: int, widths: tuple[int, ...], *, levels: int, norm: Norm) -> None:
        super().__init__()
        self.trunk = Trunk(widths, kernel=4, refine=True, norm=norm, slope=0.0)
        self.head = HeatmapHead(widths, joints, levels=levels, norm=norm, slope=0.0)
        self.outputs = 4 * joints + widths[-1]

    def take(self, detector: dict[str, Tensor]) -> None:
        """Copy a detector's trunk and head out of its state.

        Raises:
            ValueError: it has none, or of other sizes.
        """
        theirs = {name: value for name, value in detector.items() if name.startswith(("trunk.", "head."))}
        shapes, wanted = ({name: value.shape for name, value in one.items()} for one in (theirs, self.state_dict()))
        if shapes != wanted:
            raise ValueError("the finder is no detector by heat maps, or has another network: set finder_widths to its widths")
        self.load_state_dict(theirs)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch outputs"]:
        """Of pictures in [0, 1]: joints in crop units, logarithms of their heat maps' deviations, features."""
        maps = self.trunk(image * 2 - 1)
        found = self.head(maps)
        sureness = 0.5 * found.var_or_zeros().clamp_min(1e-6).log()
        return torch.cat([found.mean, sureness, maps[-1].float().mean((2, 3))], 1)
