"""Image decoders, of layers that `rv.to_rv` knows: the same weights decode a sample or a random variable."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from handvae import rv
from handvae.nets.blocks import Norm, conv_block, double_block

ToRgb = Literal["conv", "transposed", "upsample"]
"""How a decoder's last map becomes an image."""


class LevelDecoder(nn.Module):
    """A small map, levels that each double it, and a last layer to RGB.

    Pose maps may be concatenated before each of them. A decoder adds `levels`, which take channels and maps
    of one size and give channels of twice the size, and `to_rgb`.

    Args:
        latent: number of input values.
        width: channels of the small map.
        stem_px: side of the small map.
        hidden: width of an extra layer before the small map; 0 for none.
        rectified: put a ReLU on the small map.
        maps: number of pose maps that are concatenated at every size; 0 for none.
    """

    levels: nn.ModuleList
    to_rgb: nn.Module

    def __init__(
        self, latent: int, width: int, *, stem_px: int, hidden: int, rectified: bool, maps: int
    ) -> None:
        super().__init__()
        self.stem_px = stem_px
        self.maps = maps
        self.hidden = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU()) if hidden else nn.Identity()
        self.stem = nn.Sequential(nn.Linear(hidden or latent, width * stem_px**2))
        if rectified:
            self.stem.append(nn.ReLU())

    @property
    def map_sizes(self) -> tuple[int, ...]:
        """Sides in pixels at which `forward` takes pose maps."""
        if not self.maps:
            return ()
        return tuple(self.stem_px * 2**level for level in range(len(self.levels) + 1))

    def forward(
        self,
        latent: Float[Tensor, "batch latent"] | rv.RandomVariable,
        maps: Sequence[Float[Tensor, "batch map _ _"]] = (),
    ) -> Float[Tensor, "batch 3 size size"] | rv.RandomVariable:
        """The image of a latent; of a random one (after `rv.to_rv`), mean and variance of each pixel."""
        flat = self.stem(self.hidden(latent))
        channels = flat.reshape(flat.shape[0], -1, self.stem_px, self.stem_px)
        for index, level in enumerate(self.levels):
            channels = level(rv.cat([channels, maps[index]], 1) if self.maps else channels)
        return self.to_rgb(rv.cat([channels, maps[-1]], 1) if self.maps else channels)


class ImageDecoder(LevelDecoder):
    """Linear to a small map, transposed convolutions that double it, and a last convolution to RGB.

    Args:
        latent: number of input values.
        widths: channels of the small map and after each doubling.
        stem_px: side of the small map.
        kernel: 3 or 4, of the transposed convolutions.
        refine: add a 3 x 3 convolution after each doubling, but not after one to full size: that would cost
            more than all others.
        to_rgb: `conv`: a 3 x 3 convolution at full size (paper). `transposed`: the last doubling gives RGB,
            at a third of the cost. `upsample`: the last doubling copies pixels, then two 3 x 3 convolutions;
            the same weights then make all four neighbours, which leaves no grid.
        hidden: width of an extra layer before the small map; 0 for none.
        maps: number of pose maps that are concatenated at every size; 0 for none.
    """

    def __init__(
        self,
        latent: int,
        widths: tuple[int, ...],
        *,
        stem_px: int,
        kernel: int,
        refine: bool,
        hidden: int,
        maps: int,
        norm: Norm,
        to_rgb: ToRgb,
    ) -> None:
        super().__init__(latent, widths[0], stem_px=stem_px, hidden=hidden, rectified=bool(hidden), maps=maps)

        levels = []
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            layers = [double_block(inputs + maps, outputs, kernel=kernel, norm=norm)]
            if refine and (to_rgb != "conv" or index < len(widths) - 2):
                layers.append(conv_block(outputs, outputs, kernel=3, stride=1, norm=norm, slope=0.0))
            levels.append(nn.Sequential(*layers))

        self.levels = nn.ModuleList(levels)

        last = widths[-1] + maps
        if to_rgb == "conv":
            self.to_rgb = nn.Conv2d(last, 3, 3, padding=1)
        elif to_rgb == "transposed":
            self.to_rgb = nn.ConvTranspose2d(last, 3, 4, 2, padding=1)
        else:
            few = max(1, widths[-1] // 2)
            block = conv_block(last, few, kernel=3, stride=1, norm=norm, slope=0.0)
            self.to_rgb = nn.Sequential(
                nn.Upsample(scale_factor=2, mode="nearest"), *block, nn.Conv2d(few, 3, 3, padding=1)
            )
