"""From light to an 8-bit picture: what a lens, a sensor, a camera's software and a JPEG file do to it.

The order is that of a camera: lens (aberration, blur, vignetting), sensor (exposure, noise), software (white
balance, denoising, tone curve, contrast, saturation, sharpening), file (resampling, JPEG). All settings are
drawn from the caller's generator.
"""

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray as Array

from handvae.render.chance import check_range, check_share
from handvae.render.surroundings.palette import LUMINANCE, light_colour

LinearPicture = Float32[Array, "height width 3"]
Range = tuple[float, float]


@dataclass(frozen=True)
class SensorRanges:
    """How pictures are taken.

    Ranges are (low, high); shares are the probability of an effect; lengths are shares of the picture's
    longer side.
    """

    exposure: Range = (0.65, 1.5)
    """Factor on the light."""
    kelvin: Range = (4800.0, 8800.0)
    """Colour temperature of the light after the camera's white balance; 6500 is neutral."""
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
    """Factor of low light on the noise."""
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
    """Factor on the difference to a blurred copy, which is added."""
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
"""Bounds of the ranges that are not bounded by 0 and 1."""

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


def tone(linear: LinearPicture) -> LinearPicture:
    """Display values in [0, 1] of linear light: a soft shoulder above 0.6, then the sRGB curve."""
    # the shoulder 1 - 0.4 exp(-2.5 (x - 0.6)) has slope 1 at 0.6 and never reaches white
    light = np.maximum(linear, 0)
    above = np.maximum(light, 0.6)
    shoulder = 1 - np.float32(0.4) * np.exp((np.float32(0.6) - above) * np.float32(2.5))
    light = np.where(light < 0.6, light, shoulder)

    # IEC 61966-2-1
    dark = np.float32(12.92) * light
    bright = np.float32(1.055) * np.power(light, np.float32(1 / 2.4)) - np.float32(0.055)

    return np.where(light <= 0.0031308, dark, bright)


def expose(
    linear: LinearPicture, generator: np.random.Generator, ranges: SensorRanges
) -> UInt8[Array, "height width 3"]:
    """Take the picture of a scene in linear light (1 is white); RGB."""
    settings = Settings(generator, ranges)
    picture = lens(linear, settings)
    picture = sense(picture, generator, settings)
    return develop(picture, settings)


class Settings:
    """The random settings of one picture.

    Each is drawn whether used or not, so that to switch one effect off leaves the others as they were.
    """

    def __init__(self, generator: np.random.Generator, ranges: SensorRanges) -> None:
        draws = generator.random((3, len(fields(ranges)))).tolist()
        self._ranges = ranges
        self._draws = {field.name: values for field, *values in zip(fields(ranges), *draws, strict=True)}

    def has(self, share: str) -> bool:
        """Whether the picture has an effect."""
        return self._draws[share][0] < getattr(self._ranges, share)

    def value(self, name: str) -> float:
        """A setting, uniform in its range; in its logarithm if the range excludes 0."""
        low, high = getattr(self._ranges, name)
        share = self._draws[name][0]
        if low > 0:
            return low * (high / low) ** share
        return low + (high - low) * share

    def even(self, name: str) -> tuple[float, float]:
        """Two more numbers in [0, 1) for an effect's direction or place."""
        return self._draws[name][1], self._draws[name][2]


# ------------------------------------------------------------------------------------------------------- lens


def lens(picture: LinearPicture, settings: Settings) -> LinearPicture:
    """Colour fringes, blur and vignetting."""
    height, width, _ = picture.shape
    side = max(height, width)

    # red and blue are scaled against each other; the corners lie √2 times as far out as the sides
    if settings.has("aberration"):
        sign = 1 if settings.even("aberration")[0] < 0.5 else -1
        stretch = settings.value("aberration_length") * math.sqrt(2) * sign
        bands = [zoom(picture[..., band], 1 + stretch * (1 - band)) for band in (0, 1, 2)]
        picture = np.stack(bands, axis=-1)

    if settings.has("defocus"):
        picture = filtered(picture, disc(settings.value("defocus_radius") * side))
    if settings.has("motion"):
        length = settings.value("motion_length") * side
        picture = filtered(picture, streak(length, math.pi * settings.even("motion")[0]))

    if settings.has("vignette"):
        down = np.linspace(-1, 1, height, dtype=np.float32) ** 2
        across = np.linspace(-1, 1, width, dtype=np.float32) ** 2
        away = np.float32(0.5) * (down[:, None] + across[None])  # 1 at the corners
        depth = np.float32(settings.value("vignette_depth"))
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


def filtered(picture: LinearPicture, kernel: Float32[Array, "rows columns"]) -> LinearPicture:
    """Correlate with a kernel, edges repeated."""
    return cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REPLICATE)


# ----------------------------------------------------------------------------------------------------- sensor


def sense(picture: LinearPicture, generator: np.random.Generator, settings: Settings) -> LinearPicture:
    """Exposure, white balance and noise."""
    colour = light_colour(settings.value("kelvin")) / light_colour(6500)
    picture = picture * (np.float32(settings.value("exposure")) * colour)

    # variance: read² + shot² light, by electronics and by the number of photons
    gain = settings.value("low_light_gain") if settings.has("low_light") else 1.0
    read, shot = gain * settings.value("read_noise"), gain * settings.value("shot_noise")

    if read or shot:
        noise = generator.standard_normal(picture.shape, dtype=np.float32)
        if settings.has("smear"):
            noise = smeared(noise)
        noise *= np.sqrt(np.float32(read**2) + np.float32(shot**2) * np.clip(picture, 0, 1))
        picture = picture + noise

    return picture


def smeared(noise: LinearPicture) -> LinearPicture:
    """Noise as denoising leaves it: blotches of colour, brightness less touched."""
    grey = noise.mean(axis=2, keepdims=True)
    colour = cv2.GaussianBlur(noise - grey, (5, 5), 1.0)
    soft = cv2.GaussianBlur(grey, (3, 3), 0.6)[..., None]
    return colour * 2 + soft


# --------------------------------------------------------------------------------------------------- software


def develop(picture: LinearPicture, settings: Settings) -> UInt8[Array, "height width 3"]:
    """Tone curve, contrast, saturation, sharpening, then the file."""
    picture = tone(picture)

    contrast = settings.value("contrast")
    saturation = settings.value("saturation")
    black = settings.value("black")

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

    if settings.has("sharpen"):
        detail = picture - cv2.GaussianBlur(picture, (5, 5), 0.9)
        picture = picture + np.float32(settings.value("sharpen_amount")) * detail
    if settings.has("resample"):
        picture = resampled(picture, settings.value("resample_factor"), settings.even("resample")[0] < 0.5)

    eight_bit = (np.clip(picture, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)
    if settings.has("jpeg"):
        eight_bit = through_jpeg(eight_bit, round(settings.value("jpeg_quality")))

    return eight_bit


def resampled(picture: LinearPicture, factor: float, smooth: bool) -> LinearPicture:
    """Scale down and up again."""
    height, width, _ = picture.shape
    smaller = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR)


def through_jpeg(picture: UInt8[Array, "height width 3"], quality: int) -> UInt8[Array, "height width 3"]:
    """Write and read a JPEG in memory."""
    _, written = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    # not None: it was written above
    return cv2.imdecode(written, cv2.IMREAD_COLOR_RGB)  # type: ignore[return-value]
