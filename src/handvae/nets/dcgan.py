"""The image decoder of cm-VAE, dVAE and da-VAE, after DCGAN (Radford et al., 2015)."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from handvae.nets.blocks import Norm, norm_layer

STEM_PX = 4
"""Side of the first map."""
NARROWEST = 8
"""Least number of channels before the last layer."""


class DcganDecoder(nn.Module):
    """A linear layer to a 4 x 4 map, then transposed 4 x 4 convolutions that double it.

    The last convolution has no activation.

    Args:
        latent: number of input values.
        channels: of the picture.
        size_px: side of the picture, 4 times a power of two.
        width: channels of the first map; each doubling halves them.
        norm: normalisation after all layers but the last.
    """

    def __init__(
        self, latent: int, channels: int, size_px: int, *, width: int = 256, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        doublings = max(1, (size_px // STEM_PX).bit_length() - 1)
        if STEM_PX * 2**doublings != size_px:
            raise ValueError(
                f"pictures of {size_px} px are no power of two times {STEM_PX}; use 64, 128 or 256"
            )

        widths = [max(NARROWEST, width // 2**level) for level in range(doublings)]
        values = width * STEM_PX**2
        stem_norm = nn.BatchNorm1d(values) if norm == "batch" else nn.GroupNorm(max(1, width // 8), values)
        self.stem = nn.Sequential(
            nn.Linear(latent, values), stem_norm, nn.ReLU(), nn.Unflatten(1, (width, STEM_PX, STEM_PX))
        )
        levels = [
            nn.Sequential(
                nn.ConvTranspose2d(inputs, outputs, 4, 2, padding=1), norm_layer(norm, outputs), nn.ReLU()
            )
            for inputs, outputs in pairwise(widths)
        ]
        self.levels = nn.Sequential(*levels, nn.ConvTranspose2d(widths[-1], channels, 4, 2, padding=1))

    def forward(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channel size size"]:
        """The picture."""
        return self.levels(self.stem(latent))
