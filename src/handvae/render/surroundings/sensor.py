"""From light to an 8-bit picture: what a lens, a sensor, a camera's software and a JPEG file do to it.

The order is the order in a camera: lens (aberration, blur, vignetting), sensor (exposure, noise), software
(white balance, denoising, tone
curve, contrast, saturation, sharpening), file (resampling, JPEG). All of it is drawn from the generator that
is handed in.
"""

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray as Array

from handvae.render.chance import check_range, check_share
from handvae.render.surroundings.palette import LUMINANCE, light_colour

Picture = Float32[Array, "height width 3"]
Range = tuple[float, float]


@dataclass(frozen=True)
class SensorRanges:
    """How pictures are taken: ranges are (low, high), shares the probability of an effect, lengths shares of
    the picture's longer side."""

    exposure: Range = (0.65, 1.5)
    """Factor on the light."""
    kelvin: Range = (4800.0, 8800.0)
    """Colour temperature of the light as the camera leaves it; 6500 is neutral."""
    vignette: float = 0.4
    """Share of pictures that are darker towards the corners."""
    vignette_depth: Range = (0.1, 0.7)
    """Light that the corners lose."""
    aberration: float = 0.15
    """Share with coloured fringes."""
    aberration_length: Range = (0.001, 0.006)
    """Displacement of red against blue at the corners."""
    defocus: float = 0.3
    """Share that is out of focus as a whole."""
    defocus_radius: Range = (0.008, 0.025)
    """Radius of the disc that a point is blurred to."""
    motion: float = 0.12
    """Share with motion blur."""
    motion_length: Range = (0.01, 0.05)
    """Length of the line that a point is blurred to."""
    read_noise: Range = (0.0002, 0.003)
    """Deviation of the noise in the dark, a pixel of the final picture; linear light, white is 1."""
    shot_noise: Range = (0.002, 0.02)
    """Deviation of the photons' noise at white; it falls with the root of the light."""
    low_light: float = 0.12
    """Share taken in low light: both noises times `low_light_gain`."""
    low_light_gain: Range = (2.0, 6.0)
    """What low light multiplies the noise with."""
    smear: float = 0.4
    """Share whose noise is smeared in colour, and half as much in brightness, by the camera's denoising."""
    contrast: Range = (0.8, 1.25)
    """Slope of the tone curve in the middle."""
    saturation: Range = (0.6, 1.3)
    """Distance of colours from grey."""
    black: Range = (0.0, 0.05)
    """Brightness of black in the picture: glare, haze."""
    sharpen: float = 0.35
    """Share sharpened by the camera, with bright and dark edges."""
    sharpen_amount: Range = (0.2, 1.2)
    """How much of the difference to a blurred copy is added."""
    resample: float = 0.2
    """Share scaled down and up again."""
    resample_factor: Range = (0.4, 0.9)
    """Scale of the smaller copy."""
    jpeg: float = 0.5
    """Share that goes through a JPEG file."""
    jpeg_quality: Range = (35.0, 95.0)
    """Quality of that file."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is float:
                check_share(field.name, value)
            else:
                check_range(field.name, value, *LIMITS.get(field.name, (0.0, 1.0)))


LIMITS = {
    "exposure": (0.01, 100.0),
    "kelvin": (2000.0, 15000.0),
    "low_light_gain": (1.0, 100.0),
    "contrast": (0.1, 3.0),
    "saturation": (0.0, 3.0),
    "sharpen_amount": (0.0, 5.0),
    "resample_factor": (0.05, 1.0),
    "jpeg_quality": (1.0, 100.0),
}
"""What a range may span where that is not 0 to 1."""

CLEAN = SensorRanges(
    exposure=(1.0, 1.0),
    kelvin=(6500.0, 6500.0),
    vignette=0.0,
    aberration=0.0,
    defocus=0.0,
    motion=0.0,
    read_noise=(0.0, 0.0),
    shot_noise=(0.0, 0.0),
    low_light=0.0,
    smear=0.0,
    contrast=(1.0, 1.0),
    saturation=(1.0, 1.0),
    black=(0.0, 0.0),
    sharpen=0.0,
    resample=0.0,
    jpeg=0.0,
)
"""A perfect camera: the tone curve and nothing else."""


def tone(linear: Picture) -> Picture:
    """Display values in [0, 1] of linear light: a soft shoulder above 0.6, then the sRGB curve."""
    light = np.maximum(linear, 0)
    light = np.where(
        light < 0.6,
        light,
        1 - np.float32(0.4) * np.exp((np.float32(0.6) - np.maximum(light, 0.6)) * np.float32(2.5)),
    )
    return np.where(
        light <= 0.0031308,
        np.float32(12.92) * light,
        np.float32(1.055) * np.power(light, np.float32(1 / 2.4)) - np.float32(0.055),
    )


def expose(
    linear: Picture, generator: np.random.Generator, ranges: SensorRanges
) -> UInt8[Array, "height width 3"]:
    """Take the picture of a scene in linear light (1 is white); RGB."""
    chance = Chance(generator, ranges)
    picture = lens(linear, chance)
    picture = sense(picture, generator, chance)
    return develop(picture, chance)


class Chance:
    """The random settings of one picture: each is drawn whether used or not, so switching one effect off
    leaves the others as they were."""

    def __init__(self, generator: np.random.Generator, ranges: SensorRanges) -> None:
        draws = generator.random((3, len(fields(ranges)))).tolist()
        self._ranges = ranges
        self._draws = {field.name: values for field, *values in zip(fields(ranges), *draws, strict=True)}

    def has(self, share: str) -> bool:
        """Whether the picture has an effect."""
        return self._draws[share][0] < getattr(self._ranges, share)

    def value(self, name: str) -> float:
        """A setting, even in its range; in the logarithm where the range keeps away from 0."""
        low, high = getattr(self._ranges, name)
        share = self._draws[name][0]
        return low * (high / low) ** share if low > 0 else low + (high - low) * share

    def even(self, name: str) -> tuple[float, float]:
        """Two more numbers in [0, 1) for an effect's direction or place."""
        return self._draws[name][1], self._draws[name][2]


# ------------------------------------------------------------------------------------------- ----------- lens


def lens(picture: Picture, chance: Chance) -> Picture:
    """Colour fringes, blur and vignetting."""
    height, width, _ = picture.shape
    side = max(height, width)
    if chance.has("aberration"):
        stretch = (
            chance.value("aberration_length")
            * math.sqrt(2)
            * (1 if chance.even("aberration")[0] < 0.5 else -1)
        )
        bands = [zoom(picture[..., band], 1 + stretch * (1 - band)) for band in (0, 1, 2)]
        picture = np.stack(bands, axis=-1)
    if chance.has("defocus"):
        picture = filtered(picture, disc(chance.value("defocus_radius") * side))
    if chance.has("motion"):
        picture = filtered(
            picture, streak(chance.value("motion_length") * side, math.pi * chance.even("motion")[0])
        )
    if chance.has("vignette"):
        down, across = (np.linspace(-1, 1, count, dtype=np.float32) ** 2 for count in (height, width))
        away = np.float32(0.5) * (down[:, None] + across[None])  # 1 at the corners
        depth = np.float32(chance.value("vignette_depth"))
        picture = picture * (1 - depth * away * (2 - away))[..., None]
    return picture


def zoom(band: Float32[Array, "height width"], scale: float) -> Float32[Array, "height width"]:
    """Scale about the middle, edges repeated."""
    height, width = band.shape
    matrix = np.array([[scale, 0, (1 - scale) * (width - 1) / 2], [0, scale, (1 - scale) * (height - 1) / 2]])
    return cv2.warpAffine(
        band, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def disc(radius_px: float) -> Float32[Array, "size size"]:
    """Kernel of a lens out of focus."""
    reach = math.ceil(radius_px + 0.5)
    line = np.arange(-reach, reach + 1)
    weight = np.clip(radius_px + 0.5 - np.hypot(line[:, None], line[None]), 0, 1)
    return (weight / weight.sum()).astype(np.float32)


def streak(length_px: float, angle: float) -> Float32[Array, "size size"]:
    """Kernel of a camera or hand that moves along a line."""
    half = length_px / 2
    reach = math.ceil(half + 0.5)
    line = np.arange(-reach, reach + 1)
    along = line[None] * math.cos(angle) + line[:, None] * math.sin(angle)
    across = -line[None] * math.sin(angle) + line[:, None] * math.cos(angle)
    weight = np.clip(half + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return (weight / weight.sum()).astype(np.float32)


def filtered(picture: Picture, kernel: Float32[Array, "rows columns"]) -> Picture:
    """Correlate with a kernel, edges repeated."""
    return cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REPLICATE)


# ------------------------------------------------------------------------------------------- --------- sensor


def sense(picture: Picture, generator: np.random.Generator, chance: Chance) -> Picture:
    """Exposure, white balance and noise."""
    colour = light_colour(chance.value("kelvin")) / light_colour(6500)
    picture = picture * (np.float32(chance.value("exposure")) * colour)
    gain = chance.value("low_light_gain") if chance.has("low_light") else 1.0
    read, shot = gain * chance.value("read_noise"), gain * chance.value("shot_noise")
    if read or shot:
        noise = generator.standard_normal(picture.shape, dtype=np.float32)
        if chance.has("smear"):
            noise = smeared(noise)
        noise *= np.sqrt(np.float32(read**2) + np.float32(shot**2) * np.clip(picture, 0, 1))
        picture = picture + noise
    return picture


def smeared(noise: Picture) -> Picture:
    """Noise as denoising leaves it: blotches of colour, brightness less touched."""
    grey = noise.mean(axis=2, keepdims=True)
    colour = cv2.GaussianBlur(noise - grey, (5, 5), 1.0)
    soft = cv2.GaussianBlur(grey, (3, 3), 0.6)[..., None]
    return colour * 2 + soft


# ------------------------------------------------------------------------------------------ -------- software


def develop(picture: Picture, chance: Chance) -> UInt8[Array, "height width 3"]:
    """Tone curve, contrast, saturation, sharpening, then the file."""
    picture = tone(picture)
    contrast, saturation, black = (chance.value(name) for name in ("contrast", "saturation", "black"))
    if contrast != 1:
        # a curve through black, middle grey and white whose slope in the middle is the contrast
        centred = 2 * picture - 1
        bend = np.float32(contrast - 1)
        picture = picture + bend * centred * (1 - np.abs(centred)) / 2
    if saturation != 1:
        grey = (picture @ LUMINANCE)[..., None]
        picture = grey + np.float32(saturation) * (picture - grey)
    if black:
        picture = np.float32(black) + np.float32(1 - black) * picture
    if chance.has("sharpen"):
        picture = picture + np.float32(chance.value("sharpen_amount")) * (
            picture - cv2.GaussianBlur(picture, (5, 5), 0.9)
        )
    if chance.has("resample"):
        picture = resampled(picture, chance.value("resample_factor"), chance.even("resample")[0] < 0.5)
    final = (np.clip(picture, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)
    if chance.has("jpeg"):
        final = through_jpeg(final, round(chance.value("jpeg_quality")))
    return final


def resampled(picture: Picture, factor: float, smooth: bool) -> Picture:
    """Scale down and up again."""
    height, width, _ = picture.shape
    small = cv2.resize(
        picture, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR)


def through_jpeg(picture: UInt8[Array, "height width 3"], quality: int) -> UInt8[Array, "height width 3"]:
    """Write and read a JPEG in memory."""
    _, written = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(written, cv2.IMREAD_COLOR_RGB)  # type: ignore[return-value]  # not None: it was written above
