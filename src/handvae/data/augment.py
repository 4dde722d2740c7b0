"""Random changes of crops in training.

The geometric ones act in `crop.crop_affines`, so that joints, camera and side move with the pixels.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from handvae.noise import Noise


@dataclass(frozen=True)
class Augment:
    """Ranges of the random changes; 0 switches one off."""

    rotation_deg: float = 20.0
    """Turn within +- this angle about the crop's centre."""
    scale: float = 0.1
    """Change the crop's side by +- this share."""
    shrink: float = 0.0
    """Make the hand smaller by up to this share, on top of `scale`: da-VAE's scales from 0.8 to 1 are 0.2."""
    shift: float = 0.06
    """Move the crop by +- this share of half its side."""
    stretch: float = 0.0
    """Stretch by up to this share along a random direction, and shrink as much across it."""
    mirror: float = 0.0
    """Probability of mirroring (swaps the side)."""
    brightness: float = 0.0
    """Multiply by 1 +- this."""
    tint: float = 0.0
    """Multiply each colour channel by 1 +- this."""
    contrast: float = 0.0
    """Stretch about the picture's mean by 1 +- this."""
    saturation: float = 0.0
    """Mix with, or away from, the grey picture by +- this."""
    blur: float = 0.0
    """Probability of a 3 x 3 binomial blur."""
    noise: float = 0.0
    """Standard deviation of sensor noise, up to this."""

    def __post_init__(self) -> None:
        highest = {"rotation_deg": 180.0, "scale": 0.9, "shrink": 0.9}
        for field in fields(self):
            value = getattr(self, field.name)
            most = highest.get(field.name, 1.0)
            if not 0 <= value <= most:
                raise ValueError(f"{field.name} is {value}; it lies between 0 and {most:g}")


def photometric(
    image: Float[Tensor, "batch 3 height width"], augment: Augment, noise: Noise
) -> Float[Tensor, "batch 3 height width"]:
    """Change colours and sharpness, each sample in its own way; stays in [0, 1]."""
    count = len(image)

    def around(size: float, *shape: int) -> Tensor:
        return noise.uniform(count, *shape, low=-size, high=size)

    # every draw is made, used or not: switching one change off leaves the others as they were
    # brightness is one factor for the picture, tint one for each channel
    gain = (1 + around(augment.brightness, 1, 1, 1)) * (1 + around(augment.tint, 3, 1, 1))
    stretch = 1 + around(augment.contrast, 1, 1, 1)
    colour = 1 + around(augment.saturation, 1, 1, 1)
    blurred = noise.uniform(count, 1, 1, 1) < augment.blur
    level = noise.uniform(count, 1, 1, 1, high=augment.noise)

    if augment.brightness or augment.tint:
        image = image * gain
    if augment.contrast:
        mean = image.mean(dim=(1, 2, 3), keepdim=True)
        image = (image - mean) * stretch + mean
    if augment.saturation:
        grey = image.mean(dim=1, keepdim=True)
        image = grey + (image - grey) * colour
    if augment.blur:
        image = torch.where(blurred, binomial_blur(image), image)
    if augment.noise:
        image = image + level * noise.normal(*image.shape)

    return image.clamp(0, 1)


def binomial_blur(
    image: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Blur with the 3 x 3 binomial kernel, edges repeated."""
    kernel = torch.tensor([0.25, 0.5, 0.25], dtype=image.dtype, device=image.device)
    channels = image.shape[1]
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    # the kernel is separable: rows, then columns
    rows = F.conv2d(padded, kernel.view(1, 1, 1, 3).expand(channels, 1, 1, 3), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, 3, 1).expand(channels, 1, 3, 1), groups=channels)
