"""Random changes of crops in training.

The geometric ones act in `crop.crop_affines`, so that joints, camera and side move with the pixels.
"""

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
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
    any_turn: float = 0.0
    """Probability of a turn by any angle, in place of one within `rotation_deg`."""
    occlude: float = 0.0
    """Probability of a rectangle or ellipse of one colour in front."""
    defocus: float = 0.0
    """Probability of a Gaussian blur of up to 1.6 % of the crop's side."""
    motion: float = 0.0
    """Probability of a blur along a line of up to 8 % of the crop's side."""
    grey: float = 0.0
    """Probability of a grey picture."""
    jpeg: float = 0.0
    """Probability of strong JPEG compression, of half of these at half the size."""

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

    # in place from here on: fresh memory for each change would take longer than the arithmetic
    image = image.clone()
    if augment.brightness or augment.tint:
        image *= gain
    if augment.contrast:
        mean = image.mean(dim=(1, 2, 3), keepdim=True)
        image.sub_(mean).mul_(stretch).add_(mean)
    if augment.saturation:
        grey = image.mean(dim=1, keepdim=True)
        image.sub_(grey).mul_(colour).add_(grey)
    if augment.blur:
        image = torch.where(blurred, binomial_blur(image), image)
    if augment.noise:
        image += noise.normal(*image.shape).mul_(level)

    return image.clamp_(0, 1)


def corrupt(
    pixels: UInt8[np.ndarray, "batch height width 3"], augment: Augment, noise: Noise
) -> UInt8[np.ndarray, "batch height width 3"]:
    """Hide, blur, grey and compress pictures, each in its own way, as cheap cameras and busy scenes do."""
    chances = (augment.occlude, augment.defocus, augment.motion, augment.grey, augment.jpeg)
    # drawn only where it is used: recipes without it keep their draws
    if not any(chances):
        return pixels

    seeds = (noise.uniform(len(pixels)) * 2**24).long().tolist()
    generators = [np.random.default_rng(seed) for seed in seeds]
    return np.stack(
        [_corrupt(picture, augment, draws) for picture, draws in zip(pixels, generators, strict=True)]
    )


def _corrupt(
    picture: UInt8[np.ndarray, "height width 3"], augment: Augment, draws: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """One picture, in the order in which light meets things, lens, sensor and file."""
    size = picture.shape[0]
    # all chances first: a change that is switched off leaves the others as they were
    occlude, defocus, motion, grey, jpeg = draws.random(5)

    if occlude < augment.occlude:
        picture = _occluded(picture, draws)
    if defocus < augment.defocus:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), draws.uniform(0.003, 0.016) * size), np.uint8)
    if motion < augment.motion:
        kernel = _line_kernel(draws.uniform(0.015, 0.08) * size, draws.uniform(0, math.pi))
        picture = np.asarray(cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.uint8)
    if grey < augment.grey:
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2).astype(np.uint8)
    if jpeg < augment.jpeg:
        picture = _compressed(picture, int(draws.integers(15, 70)), smaller=draws.random() < 0.5)

    return picture


def _occluded(
    picture: UInt8[np.ndarray, "height width 3"], draws: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """A rectangle or an ellipse of one colour in front."""
    size = picture.shape[0]
    colour = tuple(int(value) for value in draws.integers(0, 256, 3))
    centre = tuple(int(value) for value in draws.integers(0, size, 2))
    axes = tuple(max(1, int(value * size)) for value in draws.uniform(0.04, 0.18, 2))
    turn = draws.uniform(0, 180)

    covered = picture.copy()
    if draws.random() < 0.5:
        cv2.ellipse(covered, centre, axes, turn, 0, 360, colour, -1)
    else:
        corners = cv2.boxPoints((centre, (2 * axes[0], 2 * axes[1]), turn))
        cv2.fillConvexPoly(covered, corners.astype(np.int32), colour)
    return covered


def _line_kernel(length_px: float, angle: float) -> Float[np.ndarray, "size size"]:
    """A blur along a line."""
    half = max(1, math.ceil(length_px / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    reach = length_px / 2 * np.array([math.cos(angle), math.sin(angle)])
    start, end = half - reach, half + reach
    cv2.line(kernel, tuple(start.round().astype(int).tolist()), tuple(end.round().astype(int).tolist()), 1.0)
    return kernel / kernel.sum()


def _compressed(
    picture: UInt8[np.ndarray, "height width 3"], quality: int, *, smaller: bool
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture after JPEG compression, at half its size if `smaller`."""
    size = picture.shape[1], picture.shape[0]
    if smaller:
        half = (max(1, size[0] // 2), max(1, size[1] // 2))
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), np.uint8)

    _, file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.resize(decoded, size) if smaller else decoded, np.uint8)


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
