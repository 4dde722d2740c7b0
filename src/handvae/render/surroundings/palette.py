"""Colours of things and of light, linear RGB."""

import numpy as np
from jaxtyping import Float32
from numpy import ndarray as Array

LinearImage = Float32[Array, "size size 3"]
"""A square picture in linear RGB."""

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of linear sRGB's channels in luminance (Rec. 709)."""

MIREDS = np.array([67.0, 83.0, 111.0, 154.0, 200.0, 286.0, 370.0, 500.0])
"""1e6 / kelvin of the black bodies in `BLACK_BODY`: 15000 K to 2000 K."""

BLACK_BODY = np.array(
    [
        [0.44, 0.59, 1.0],
        [0.52, 0.65, 1.0],
        [0.65, 0.74, 1.0],
        [1.0, 0.95, 0.98],
        [1.0, 0.78, 0.62],
        [1.0, 0.55, 0.25],
        [1.0, 0.40, 0.10],
        [1.0, 0.26, 0.01],
    ]
)


def light_colour(kelvin: int | float) -> Float32[Array, "3"]:
    """Colour of a black body (2000 to 15000 K) at luminance 1."""
    colour = np.array(
        [np.interp(1e6 / kelvin, MIREDS, BLACK_BODY[:, channel]) for channel in range(3)], np.float32
    )
    return colour / (LUMINANCE @ colour)


def hue_colours(hue: Float32[Array, " count"]) -> Float32[Array, "count 3"]:
    """Saturated colours round the colour circle: hue 0 red, 1/3 green, 2/3 blue; the strongest channel is
    1."""
    turn = (hue[:, None] * 6 + np.array([0, 4, 2], np.float32)) % 6
    return np.clip(np.abs(turn - 3) - 1, 0, 1)


def materials(generator: np.random.Generator, count: int, *, vivid: float = 0.2) -> Float32[Array, "count 3"]:
    """Albedos of made and grown things: mostly greys, browns and muted colours; a share `vivid` is saturated.

    Brightness is spread evenly in the logarithm between 4 and 85 %.
    """
    draw = generator.random((6, count), dtype=np.float32)
    value = 0.04 * (0.85 / 0.04) ** draw[0]
    warm = draw[1] < 0.55
    hue = np.where(warm, np.float32(0.03) + np.float32(0.11) * draw[2], draw[2])
    muted = np.where(warm, 0.65, 0.4) * draw[3] ** 1.5
    saturation = np.where(draw[4] < vivid, 0.45 + 0.5 * draw[5], muted)[:, None]

    return (value[:, None] * (1 - saturation + saturation * hue_colours(hue))).astype(np.float32)
