"""Residual encoder and decoder as Soft-IntroVAE has them; convolutions have no bias."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from handvae import rv
from handvae.nets.blocks import Norm, activation, norm_layer
from handvae.nets.decoder import LevelDecoder
from handvae.nets.encoder import Stages


class Residual(nn.Module):
    """Two normalised 3 x 3 convolutions beside a skip, 1 x 1 where the width changes.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        doubles: the features are first brought to twice their size, by copying pixels. That and the first
            convolution run as one, which has 4/9 of the multiplications and knows that the copies are equal;
            the 1 x 1 skip runs before it, with which it commutes.
        slope: of the leaky ReLU; 0 for ReLU.
        norm: normalisation.
    """

    def __init__(self, inputs: int, outputs: int, *, norm: Norm, slope: float, doubles: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.between = nn.Sequential(norm_layer(norm, outputs), activation(slope))
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), norm_layer(norm, outputs)
        )
        self.skip: nn.Module = (
            nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        )
        self.enlarge: nn.Module = nn.Upsample(scale_factor=2, mode="nearest") if doubles else nn.Identity()
        self.last: nn.Module = activation(slope)
        self.doubles = doubles

    def forward(
        self, features: Float[Tensor, "batch in height width"] | rv.RandomVariable
    ) -> Float[Tensor, "batch out _ _"] | rv.RandomVariable:
        """Feature maps, of twice the size if `doubles`."""
        first = rv.upsample_conv2d(features, self.first) if self.doubles else self.first(features)
        branch = self.second(self.between(first))
        return self.last(branch + self.enlarge(self.skip(features)))


class ResidualTrunk(Stages):
    """A 5 x 5 convolution, then a residual block for each stage; a last block at the smallest size.

    Each stage ends with a halving.
    """

    def __init__(self, widths: tuple[int, ...], *, norm: Norm, slope: float) -> None:
        entry = nn.Conv2d(3, widths[0], 5, padding=2, bias=False)
        stages = [nn.Sequential(entry, norm_layer(norm, widths[0]), activation(slope), nn.AvgPool2d(2))]
        stages += [
            nn.Sequential(Residual(a, b, norm=norm, slope=slope), nn.AvgPool2d(2))
            for a, b in pairwise(widths)
        ]
        stages[-1].append(Residual(widths[-1], widths[-1], norm=norm, slope=slope))
        super().__init__(stages)


class ResidualDecoder(LevelDecoder):
    """The trunk mirrored: a residual block at the smallest size, then one for each doubling; all ReLU.

    A 5 x 5 convolution gives RGB.

    Args:
        latent: number of input values.
        widths: channels of the small map and after each doubling.
        stem_px: side of the small map.
        hidden: width of an extra layer before the small map; 0 for none.
        maps: number of pose maps that are concatenated at every size; 0 for none.
        norm: normalisation.
    """

    def __init__(
        self, latent: int, widths: tuple[int, ...], *, stem_px: int, hidden: int, maps: int, norm: Norm
    ) -> None:
        super().__init__(latent, widths[0], stem_px=stem_px, hidden=hidden, rectified=True, maps=maps)

        # The first level holds the block at the smallest size, too.
        smallest = Residual(widths[0] + maps, widths[0], norm=norm, slope=0.0)
        doublings = [
            Residual(a + maps, b, norm=norm, slope=0.0, doubles=True) for a, b in pairwise(widths[1:])
        ]
        first = Residual(widths[0], widths[1], norm=norm, slope=0.0, doubles=True)
        self.levels = nn.ModuleList([nn.Sequential(smallest, first), *doublings])
        self.to_rgb = nn.Conv2d(widths[-1] + maps, 3, 5, padding=2)
