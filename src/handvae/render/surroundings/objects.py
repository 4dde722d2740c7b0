"""Simple things in front of a hand: a pen, a ball, a card, a cup, a cable, cloth; shaded, with their shadow.

Things are made in a frame whose unit is half the side of the hand's box, seen from straight ahead: x right,
y down, z towards the camera. A thing is a distance to its outline, a slope and a colour, not pixels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray as Array

from handvae.render.chance import between, check_range, spread
from handvae.render.surroundings.palette import light_colour, materials
from handvae.render.surroundings.textures import TILE, bank, choose, tile_means

Field = Float32[Array, "height width"]

MOST_COVERED = 1 / 3
"""No thing covers more than this share of the hand's box."""


@dataclass(frozen=True)
class OccluderRanges:
    """How often each thing is chosen, and how it lies; weights need not sum to one."""

    stick: float = 0.25
    """Weight of pens, pencils, sticks."""
    ball: float = 0.1
    """Weight of balls and fruit."""
    card: float = 0.25
    """Weight of cards, telephones, books, paper."""
    cup: float = 0.15
    """Weight of cups and glasses from the side."""
    cable: float = 0.1
    """Weight of cables and cords."""
    cloth: float = 0.15
    """Weight of cloth: a sleeve's edge, a curtain."""
    cover: tuple[float, float] = (0.03, 0.28)
    """Share of the hand's box that the thing may cover; thin things cover less."""
    blur: tuple[float, float] = (0.0, 0.012)
    """Radius of the blur of its edge, as a share of the picture's side."""

    def __post_init__(self) -> None:
        weights = [getattr(self, kind) for kind in KINDS]
        if min(weights) < 0 or sum(weights) == 0:
            given = dict(zip(KINDS, weights, strict=True))
            raise ValueError(f"weights of things are {given}; none may be below 0 and one must be above")
        check_range("cover", self.cover, 0.0, 0.3)
        check_range("blur", self.blur, 0.0, 0.1)


@dataclass(frozen=True)
class Occluder:
    """A thing in front of the hand: over a picture p it is (1 - alpha) (1 - shadow) p + alpha colour."""

    colour: Float32[Array, "size size 3"]
    """Linear RGB, also where alpha is 0."""
    alpha: Float32[Array, "size size"]
    """Share of each pixel that the thing covers."""
    shadow: Float32[Array, "size size"]
    """Share of light that it takes from what lies behind."""
    kind: str
    """The field of `OccluderRanges` that it belongs to."""


@dataclass(frozen=True)
class Shape:
    """A thing in its own frame: functions of the place there."""

    distance: Callable[[Field, Field], Field]
    """Distance to the outline, negative inside."""
    slope: Callable[[Field, Field], tuple[Field, Field]]
    """x and y of the surface's normal, in its own frame; z completes it to length 1."""
    albedo: Callable[[Field, Field], Float32[Array, "height width 3"]]
    """Colour of the surface."""
    gloss: float
    """Strength of the lamp's mirror image."""


def occluder(
    generator: np.random.Generator,
    size_px: int,
    box_px: tuple[float, float, float, float],
    ranges: OccluderRanges,
) -> Occluder:
    """Put one thing in front of a hand.

    Args:
        generator: random numbers; what is drawn does not depend on the sizes in pixels.
        size_px: side of the picture.
        box_px: left, top, right, bottom of the hand's box, inside the picture.
        ranges: what is chosen, and how.
    """
    weights = np.cumsum([getattr(ranges, kind) for kind in KINDS])
    kind = KINDS[int(np.searchsorted(weights, generator.random() * weights[-1], side="right"))]
    shape = SHAPES[kind](generator)

    turn, aside = between(generator, 0, 2 * math.pi), between(generator, -0.5, 0.5)
    if kind == "cup":
        turn = math.pi + 0.15 * (turn - math.pi)  # cups stand more or less upright

    target, soft = between(generator, *ranges.cover), between(generator, *ranges.blur)
    lamp = toward_lamp(generator)

    # push it out of the box until it covers no more than it may
    left, top, right, bottom = box_px
    unit = math.sqrt((right - left) * (bottom - top)) / 2
    middle = (left + right) / 2, (top + bottom) / 2
    c, s = math.cos(turn), math.sin(turn)
    half = ((right - left) / 2 / unit, (bottom - top) / 2 / unit)
    slid = slide(shape, half, (c, s), aside, target)

    # the thing's frame at every pixel; its edge fades over `width` pixels
    line = np.arange(size_px, dtype=np.float32) + np.float32(0.5)
    across, down = np.meshgrid((line - middle[0]) / np.float32(unit), (line - middle[1]) / np.float32(unit))
    x = (c * across + s * down - aside).astype(np.float32)
    y = (-s * across + c * down + slid).astype(np.float32)
    width = 1 + 2 * soft * size_px
    alpha = np.clip(0.5 - shape.distance(x, y) * np.float32(unit / width), 0, 1)

    nx, ny = shape.slope(x, y)
    nx, ny = c * nx - s * ny, s * nx + c * ny
    colour = lit(shape, shape.albedo(x, y), nx, ny, lamp)

    # its shadow: the outline, moved away from the lamp and blurred
    reach = 0.12 * unit
    move = np.array([[1, 0, -reach * lamp.direction[0]], [0, 1, -reach * lamp.direction[1]]])
    moved = cv2.warpAffine(alpha, move, (size_px, size_px))
    shadow = cv2.GaussianBlur(moved, (0, 0), max(0.5, 0.6 * reach)) * np.float32(lamp.hardness)

    return Occluder(
        colour=colour.astype(np.float32, copy=False), alpha=alpha, shadow=np.clip(shadow, 0, 1), kind=kind
    )


def slide(
    shape: Shape, half: tuple[float, float], axis: tuple[float, float], aside: float, target: float
) -> float:
    """How far to push a thing out of the box along its own y: the least that covers no more than the target.

    The covered share is measured on a grid of 24 x 24 points of the box.
    """
    line = (np.arange(24, dtype=np.float32) + 0.5) / 12 - 1
    across, down = np.meshgrid(line * np.float32(half[0]), line * np.float32(half[1]))
    x = axis[0] * across + axis[1] * down - aside
    y = -axis[1] * across + axis[0] * down

    for step in np.linspace(0, 3.2, 17, dtype=np.float32):
        distance = shape.distance(x.astype(np.float32), (y + step).astype(np.float32))
        if float((distance < 0).mean()) <= target:
            return float(step)

    return 4.0  # outside the box


# ----------------------------------------------------------------------------------------------------- light


@dataclass(frozen=True)
class Lamp:
    """Light on a thing."""

    direction: Float32[Array, "3"]
    """Towards the lamp, length 1."""
    colour: Float32[Array, "3"]
    """Irradiance of a surface that faces it."""
    around: float
    """Light from all sides."""
    hardness: float
    """Share of light that a shadow takes away."""


def toward_lamp(generator: np.random.Generator) -> Lamp:
    """A lamp above and in front, to the left or right."""
    direction = np.array(
        [between(generator, -1, 1), between(generator, -1.2, 0.2), between(generator, 0.3, 1.2)], np.float32
    )
    strength = np.float32(between(generator, 0.5, 1.2))
    return Lamp(
        direction=direction / np.linalg.norm(direction),
        colour=strength * light_colour(between(generator, 3500, 8000)) ** np.float32(0.5),
        around=between(generator, 0.2, 0.5),
        hardness=between(generator, 0.15, 0.6),
    )


def lit(
    shape: Shape, albedo: Float32[Array, "height width 3"], nx: Field, ny: Field, lamp: Lamp
) -> Float32[Array, "height width 3"]:
    """Colour of a surface under the lamp; brighter above than below, darker where it turns away."""
    nz = np.sqrt(np.clip(1 - nx * nx - ny * ny, 0.02, 1))
    lx, ly, lz = lamp.direction.tolist()
    direct = np.clip(nx * lx + ny * ly + nz * lz, 0, 1)
    ambient = np.float32(lamp.around) * (np.float32(0.55) + np.float32(0.25) * nz - np.float32(0.2) * ny)
    colour = albedo * (direct[..., None] * lamp.colour + ambient[..., None])

    # the lamp's mirror image, by the half vector between the lamp and the camera, (0, 0, 1)
    if shape.gloss:
        half = np.array([lx, ly, lz + 1]) / math.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)
        mirror = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1).astype(np.float32) ** 50
        colour += (np.float32(shape.gloss) * mirror)[..., None] * lamp.colour

    return colour


def painted(
    generator: np.random.Generator, *names: str, unit: float = 1.0
) -> Callable[[Field, Field], Float32[Array, "height width 3"]]:
    """A colour with a tile of the bank over it; `unit` is the tile's side."""
    colour = materials(generator, 1, vivid=0.45)[0]
    tile = choose(generator, *names)
    left, top = generator.uniform(0, TILE, 2).astype(np.float32)
    if names[0] in ("printed", "screen", "poster"):
        colour = np.full(3, 0.85, np.float32)

    over = colour / tile_means()[tile] if names[0] == "weave" else colour

    def albedo(x: Field, y: Field) -> Float32[Array, "height width 3"]:
        scale = np.float32(TILE / unit)
        column, row = x * scale + left, y * scale + top
        return over * cv2.remap(bank()[tile], column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)

    return albedo


def flat(x: Field, y: Field) -> tuple[Field, Field]:
    """Slope of a thing that faces the camera, bent a little."""
    return np.clip(np.float32(0.12) * x, -0.3, 0.3), np.clip(np.float32(0.12) * y, -0.3, 0.3)


def rounded(offset: Field, radius: float) -> Field:
    """Slope across a round rod at an offset from its middle line."""
    return np.clip(offset / np.float32(radius), -0.98, 0.98)


# ---------------------------------------------------------------------------------------------------- things
# They reach into the picture from negative y.


def stick(generator: np.random.Generator) -> Shape:
    """A pen: a long rod with a tapered end, a band and a grip of other colours."""
    radius, taper = spread(generator, 0.04, 0.13), between(generator, 1, 6)
    end = between(generator, 0.1, 0.9) if generator.random() < 0.7 else 9.0
    colours = materials(generator, 3, vivid=0.5)
    bands = np.sort(generator.uniform(-1.5, 0.6, 2)).astype(np.float32)

    def distance(x: Field, y: Field) -> Field:
        narrow = np.float32(radius) * np.clip((end - y) / np.float32(taper * radius), 0.15, 1)
        return np.maximum(np.abs(x) - narrow, y - np.float32(end))

    def albedo(x: Field, y: Field) -> Float32[Array, "height width 3"]:
        return colours[np.searchsorted(bands, y)]

    def slope(x: Field, y: Field) -> tuple[Field, Field]:
        return rounded(x, radius), np.zeros_like(y)

    return Shape(distance, slope, albedo, gloss=between(generator, 0, 0.8))


def cable(generator: np.random.Generator) -> Shape:
    """A thin cord that winds across."""
    radius = spread(generator, 0.02, 0.06)
    swing = between(generator, 0, 0.4)
    pace = between(generator, 0.5, 3)
    phase = between(generator, 0, 6)

    def offset(x: Field, y: Field) -> Field:
        # from the curve x = swing sin(pace y + phase), across it
        slope = swing * pace * np.cos(pace * y + phase)
        return ((x - swing * np.sin(pace * y + phase)) / np.sqrt(1 + slope * slope)).astype(np.float32)

    colour = materials(generator, 1, vivid=0.4)[0]
    return Shape(
        distance=lambda x, y: np.abs(offset(x, y)) - np.float32(radius),
        slope=lambda x, y: (rounded(offset(x, y), radius), np.zeros_like(y)),
        albedo=lambda x, y: np.broadcast_to(colour, (*x.shape, 3)),
        gloss=between(generator, 0, 0.5),
    )


def ball(generator: np.random.Generator) -> Shape:
    """A ball, an apple, an egg."""
    wide, high = between(generator, 0.25, 0.7), between(generator, 0.85, 1.15)
    return Shape(
        distance=lambda x, y: np.hypot(x, y / np.float32(high)) - np.float32(wide),
        slope=lambda x, y: (rounded(x, wide), rounded(y, wide * high)),
        albedo=painted(generator, "marble", "plaster", "speckle", unit=2.5),
        gloss=between(generator, 0, 0.7),
    )


def card(generator: np.random.Generator) -> Shape:
    """A card, telephone, book or sheet: flat, with rounded corners and an edge of some thickness."""
    wide = between(generator, 0.25, 0.7)
    high = between(generator, 0.45, 1.1)
    corner = spread(generator, 0.01, 0.1)
    edge = between(generator, 0.01, 0.06)
    kind = int(generator.integers(4))
    face = painted(generator, ("printed", "screen", "plaster", "poster")[kind], unit=2 * max(wide, high))
    rim = materials(generator, 1)[0]

    def distance(x: Field, y: Field) -> Field:
        # a rectangle that is `corner` smaller, and then widened by it
        dx = np.abs(x) - np.float32(wide - corner)
        dy = np.abs(y + np.float32(high)) - np.float32(high - corner)
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        inside = np.minimum(np.maximum(dx, dy), 0)
        return outside + inside - np.float32(corner)

    def albedo(x: Field, y: Field) -> Float32[Array, "height width 3"]:
        return np.where((distance(x, y) > -edge)[..., None], rim, face(x, y))

    return Shape(distance, flat, albedo, gloss=between(generator, 0, 0.4))


def cup(generator: np.random.Generator) -> Shape:
    """A cup seen from a little above: a round wall, a rim, a drink."""
    wide = between(generator, 0.35, 0.7)
    high = between(generator, 0.9, 1.6)
    tilt = between(generator, 0.1, 0.35)
    narrow = between(generator, 0, 0.25)
    wall = painted(generator, "plaster", "plaster", "poster", unit=2.0)
    inside = materials(generator, 1)[0] * np.float32(0.5)

    def girth(y: Field) -> Field:
        return np.float32(wide) * (1 - np.float32(narrow) * np.clip(-y / np.float32(high), 0, 1))

    def mouth(x: Field, y: Field) -> Field:
        return np.hypot(x, y / np.float32(tilt)) - np.float32(wide)

    def distance(x: Field, y: Field) -> Field:
        foot = np.hypot(x, (y + np.float32(high)) / np.float32(tilt)) - girth(np.full_like(y, -high))
        body = np.maximum(np.abs(x) - girth(y), np.maximum(y, -y - np.float32(high)))
        return np.minimum(np.minimum(body, mouth(x, y)), foot).astype(np.float32)

    def albedo(x: Field, y: Field) -> Float32[Array, "height width 3"]:
        return np.where((mouth(x, y) < np.float32(-0.12 * wide))[..., None], inside, wall(x, y))

    def slope(x: Field, y: Field) -> tuple[Field, Field]:
        return rounded(x, wide), np.zeros_like(y)

    return Shape(distance, slope, albedo, gloss=between(generator, 0.1, 0.7))


def cloth(generator: np.random.Generator) -> Shape:
    """The edge of a cloth with folds that run into it."""
    # height, pace and phase of three waves
    folds = generator.uniform([0.02, 1.0, 0.0], [0.12, 6.0, 6.3], (3, 3)).astype(np.float32)
    lean = between(generator, -0.5, 0.5)
    weave = painted(generator, "weave", "plaid", "speckle", unit=between(generator, 0.6, 1.5))

    def distance(x: Field, y: Field) -> Field:
        wave = sum(height * np.sin(pace * x + phase) for height, pace, phase in folds)
        return np.asarray(y + np.float32(0.6) * wave, np.float32)

    def slope(x: Field, y: Field) -> tuple[Field, Field]:
        along = x + np.float32(lean) * y
        falls = [height * pace * np.cos(pace * along + phase) for height, pace, phase in folds]
        fall = np.asarray(sum(falls), np.float32)
        hem = np.clip(1 + y * 25, 0, 1) * np.float32(0.7)  # the edge turns away
        return np.clip(-fall * np.float32(1.4), -0.9, 0.9) * (1 - hem), hem

    return Shape(distance, slope, weave, gloss=0.0)


SHAPES: dict[str, Callable[[np.random.Generator], Shape]] = {
    "stick": stick,
    "ball": ball,
    "card": card,
    "cup": cup,
    "cable": cable,
    "cloth": cloth,
}
KINDS = tuple(SHAPES)
