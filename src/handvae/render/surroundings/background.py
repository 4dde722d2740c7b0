"""What lies behind a hand: plain sheets, rooms, desks, streets, lights, blurred as behind a near hand.

A background is a pure function of the generator's state. No draw depends on the size in pixels: the same
state paints the same scene at 64 and at 128 pixels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray as Array

from handvae.render.chance import between, check_range, check_share, spread
from handvae.render.surroundings.environments import (
    clutter,
    desk,
    lattice,
    outdoor,
    room,
    screens,
    surface,
)
from handvae.render.surroundings.palette import LUMINANCE, LinearImage, hue_colours, light_colour, materials
from handvae.render.surroundings.textures import TILE, bank, choose, tile_means


@dataclass(frozen=True)
class BackgroundRanges:
    """How often each kind of surroundings is painted, and how.

    Weights need not sum to one; 0 switches a kind off.
    """

    plain: float = 0.28
    """Weight of walls, paper and studio sheets, as behind the hands of many data sets."""
    room: float = 0.16
    """Weight of rooms with furniture, windows, people."""
    desk: float = 0.16
    """Weight of table tops with things on them."""
    surface: float = 0.1
    """Weight of one texture that fills the picture: wood, cloth, brick, stone, leaves."""
    clutter: float = 0.1
    """Weight of many things of all colours."""
    outdoor: float = 0.12
    """Weight of streets, hills, trees and sky."""
    screens: float = 0.04
    """Weight of dark rooms lit by a monitor."""
    lights: float = 0.04
    """Weight of lamps far out of focus."""
    near_defocus: tuple[float, float] = (0.003, 0.035)
    """Radius of the blur's disc, as a share of the picture's side, where the background is near the hand:
    plain sheets, desks, surfaces."""
    far_defocus: tuple[float, float] = (0.007, 0.06)
    """The same for all that is further away."""
    brightness: tuple[float, float] = (0.06, 0.6)
    """Mean luminance; plain sheets take the upper half (in the logarithm)."""
    low_light: float = 0.08
    """Share of pictures of a tenth to a half of that luminance."""
    cast: float = 0.15
    """Share with a strong cast of colour: candle light, neon, a wrong white balance."""

    def __post_init__(self) -> None:
        weights = [getattr(self, kind) for kind in KINDS]
        if min(weights) < 0 or sum(weights) == 0:
            given = dict(zip(KINDS, weights, strict=True))
            raise ValueError(f"weights of kinds are {given}; none may be below 0 and one must be above")

        for name in ("low_light", "cast"):
            check_share(name, getattr(self, name))

        for name, least, most in (
            ("near_defocus", 0.001, 0.1),
            ("far_defocus", 0.001, 0.1),
            ("brightness", 0.001, 1.0),
        ):
            check_range(name, getattr(self, name), least, most)


@dataclass(frozen=True)
class Background:
    """A painted background."""

    colour: Float32[Array, "size size 3"]
    """Linear RGB in [0, 2]."""
    kind: str
    """The field of `BackgroundRanges` that it belongs to."""


def paint(generator: np.random.Generator, size_px: int, ranges: BackgroundRanges) -> Background:
    """Paint one background of `size_px` x `size_px`."""
    weights = np.cumsum([getattr(ranges, kind) for kind in KINDS])
    kind = KINDS[int(np.searchsorted(weights, generator.random() * weights[-1], side="right"))]

    defocus = spread(generator, *(ranges.near_defocus if kind in NEAR_KINDS else ranges.far_defocus))

    low, high = ranges.brightness
    level = spread(generator, math.sqrt(low * high) if kind == "plain" else low, high)
    if generator.random() < ranges.low_light:
        level *= spread(generator, 0.1, 0.5)

    cast = np.ones(3, np.float32)
    if generator.random() < ranges.cast:
        cast = tint(float(generator.random()), between(generator, 0.3, 0.7))

    # a blurred scene needs few pixels: as many as give the blur a radius of 1.6
    painted = min(max(math.ceil(1.6 / defocus), 48), math.ceil(1.4 * size_px))
    scene = SCENES[kind](generator, painted)
    scene *= cast

    # the mean of roots, squared: windows and lamps count for little, as in a camera's exposure
    scene *= np.float32(level / max(float(np.sqrt(scene @ LUMINANCE).mean()) ** 2, 1e-4))
    # a lamp is bright, but does not drown the picture when blurred
    scene = np.minimum(scene, np.float32(3), out=scene)
    scene = blur(scene, defocus * painted)

    if painted != size_px:
        way = cv2.INTER_AREA if painted > size_px else cv2.INTER_CUBIC
        scene = cv2.resize(scene, (size_px, size_px), interpolation=way)

    return Background(np.clip(scene, 0, 2).astype(np.float32, copy=False), kind)


def tint(hue: float, strength: float) -> Float32[Array, "3"]:
    """A colour of light of luminance 1 that leans to a hue."""
    colour = 1 - strength + strength * hue_colours(np.array([hue], np.float32))[0]
    return (colour / (LUMINANCE @ colour)).astype(np.float32)


def blur(scene: LinearImage, radius_px: float) -> LinearImage:
    """Blur every point to a disc, as a lens out of focus does."""
    reach = math.ceil(radius_px - 0.5)
    if reach < 1:
        return scene
    line = np.arange(-reach, reach + 1, dtype=np.float32)
    disc = np.clip(radius_px + 0.5 - np.hypot(line[:, None], line[None]), 0, 1).astype(np.float32)
    return cv2.filter2D(scene, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)


@lru_cache(maxsize=8)
def places(size: int) -> tuple[Float32[Array, "size size"], Float32[Array, "size size"]]:
    """Places of the pixels' centres, x and y from -1 to 1."""
    line = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    x, y = np.meshgrid(line, line)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


# ----------------------------------------------------------------------------------------------- painted flat


def plain(generator: np.random.Generator, size: int) -> LinearImage:
    """A sheet of paper, a wall or a studio's seamless ground, with creases, an edge and shadows."""
    x, y = places(size)
    sheet = sheet_colour(generator)
    scene = np.empty((size, size, 3), np.float32)
    scene[:] = sheet
    grain = choose(generator, "plaster", "plaster", "speckle", "weave", "marble")
    scene *= 1 + np.float32(between(generator, 0, 0.35)) * (spun(generator, grain, size) - 1)

    # creases and folds: bright on one side, dark on the other
    light = np.ones((size, size), np.float32)

    for _ in range(int(generator.integers(0, 5))):
        along = line_distance(generator, x, y) / np.float32(spread(generator, 0.01, 0.12))
        light += np.float32(between(generator, -0.12, 0.12)) * along * np.exp(-along * along)

    light *= 1 + np.float32(between(generator, 0, 0.06)) * lattice(generator, size)

    # the edge of the sheet, a table's edge, a corner of the room
    if generator.random() < 0.3:
        side = line_distance(generator, x, y, nearest=0.35)
        beyond = np.clip(side / np.float32(spread(generator, 0.01, 0.2)) + 0.5, 0, 1)[..., None]
        other = sheet_colour(generator) if generator.random() < 0.6 else materials(generator, 1)[0]
        scene = scene * (1 - beyond) + other * beyond
        light *= 1 - np.float32(between(generator, 0, 0.4)) * np.exp(-np.abs(side) / np.float32(0.05))

    # shadows of things outside the picture
    for _ in range(int(generator.integers(0, 3))):
        side = line_distance(generator, x, y, nearest=0.9) / np.float32(spread(generator, 0.05, 0.6))
        light *= 1 - np.float32(between(generator, 0.02, 0.22)) * (1 + np.tanh(2 * side))

    # light that falls off from a spot (a flash, a lamp) and along a direction (a window)
    cx, cy, wide = between(generator, -0.5, 0.5), between(generator, -0.5, 0.5), spread(generator, 0.8, 5.0)
    light /= (1 + ((x - cx) ** 2 + (y - cy) ** 2) / np.float32(wide * wide)) ** np.float32(1.5)
    turn, slope = between(generator, 0, 2 * math.pi), between(generator, 0, 0.5)
    light *= np.exp(np.float32(slope * math.cos(turn)) * x + np.float32(slope * math.sin(turn)) * y)
    scene *= light[..., None]
    return scene * light_colour(between(generator, 4300, 9500))


def sheet_colour(generator: np.random.Generator) -> Float32[Array, "3"]:
    """White and light grey more often than not, else a coloured paint or paper."""
    if generator.random() < 0.65:
        grey = np.float32(between(generator, 0.4, 0.9))
        return grey * (1 + generator.uniform(-0.04, 0.04, 3)).astype(np.float32)
    return materials(generator, 1, vivid=0.35)[0] ** np.float32(0.6)


def line_distance(
    generator: np.random.Generator,
    x: Float32[Array, "size size"],
    y: Float32[Array, "size size"],
    nearest: float = 0.0,
) -> Float32[Array, "size size"]:
    """Signed distance to a random straight line that passes the centre at `nearest` or more."""
    turn, offset = between(generator, 0, 2 * math.pi), between(generator, nearest, 1)
    return np.float32(math.cos(turn)) * x + np.float32(math.sin(turn)) * y - np.float32(offset)


def spun(generator: np.random.Generator, tile: int, size: int) -> LinearImage:
    """A tile of the bank, turned and scaled at random, over its mean colour."""
    scale = TILE / size * spread(generator, 0.5, 1.5)
    turn = between(generator, 0, 2 * math.pi)
    left, top = generator.uniform(0, TILE, 2).tolist()

    # picture -> tile: a rotation about the picture's middle, then the tile's corner
    c, s = scale * math.cos(turn), scale * math.sin(turn)
    middle = (size - 1) / 2
    matrix = np.array([[c, -s, left - (c - s) * middle], [s, c, top - (s + c) * middle]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(bank()[tile], matrix, (size, size), flags=flags, borderMode=cv2.BORDER_WRAP)

    return turned / tile_means()[tile]


def lights(generator: np.random.Generator, size: int) -> LinearImage:
    """Lamps far out of focus: discs of light over the dark."""
    dark = np.float32(between(generator, 0.01, 0.08))
    scene = dark * np.exp(0.8 * lattice(generator, size))[..., None] * materials(generator, 1)[0]

    # all discs have about one size, that of the lens's blur; strengths are spread in the logarithm
    radius = spread(generator, 0.03, 0.16)
    warm = between(generator, 0.3, 1)

    for x, y, wide, strength, hue, which in generator.random((int(generator.integers(6, 45)), 6)).tolist():
        colour = light_colour(2200 * 2.7**hue) if which < warm else tint(hue, 0.8)
        brightness = np.float32(0.05 * 24**strength)
        add_disc(scene, 1.2 * x - 0.1, 0.7 * y + 0.15, radius * (0.7 + 0.5 * wide), colour * brightness)

    return scene


def add_disc(scene: LinearImage, x: float, y: float, radius: float, colour: Float32[Array, "3"]) -> None:
    """Add a disc of light; place and radius as shares of the side."""
    size = len(scene)

    def pixel(share: float) -> int:
        return min(max(round(share * size), 0), size)

    left, right = pixel(x - radius), pixel(x + radius)
    top, bottom = pixel(y - radius), pixel(y + radius)
    across = np.arange(left, right, dtype=np.float32) + 0.5
    down = np.arange(top, bottom, dtype=np.float32) + 0.5
    distance = np.hypot(across[None] - x * size, down[:, None] - y * size).astype(np.float32)
    scene[top:bottom, left:right] += np.clip(radius * size - distance, 0, 1)[..., None] * colour


SCENES: dict[str, Callable[[np.random.Generator, int], LinearImage]] = {
    "plain": plain,
    "room": room,
    "desk": desk,
    "surface": surface,
    "clutter": clutter,
    "outdoor": outdoor,
    "screens": screens,
    "lights": lights,
}
KINDS = tuple(SCENES)
NEAR_KINDS = ("plain", "desk", "surface")
