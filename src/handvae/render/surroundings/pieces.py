"""Pieces of surroundings: furniture, windows, people, things on tables.

Each stands on the ground at a place and faces its -z. Sizes are in metres. The order of the draws is part of
a seed's meaning: it must not change.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32
from numpy import ndarray as Array

from handvae.render.chance import between
from handvae.render.surroundings.palette import light_colour, materials
from handvae.render.surroundings.solids import BALL, BOX, CYLINDER, Point, solid
from handvae.render.surroundings.textures import choose

WOOD_COLOURS = np.array(
    [[0.62, 0.42, 0.24], [0.42, 0.24, 0.12], [0.22, 0.12, 0.06], [0.72, 0.58, 0.40], [0.75, 0.72, 0.68]],
    np.float32,
)
LEAF_COLOURS = np.array(
    [[0.5, 0.75, 0.35], [0.35, 0.55, 0.25], [0.75, 0.8, 0.35], [0.85, 0.6, 0.3]], np.float32
)
SKIN_COLOURS = np.array([[0.62, 0.40, 0.30], [0.45, 0.26, 0.17], [0.20, 0.11, 0.07]], np.float32)


def one_of(generator: np.random.Generator, colours: Float32[Array, "count 3"]) -> Float32[Array, "3"]:
    """One of the colours, a little lighter or darker."""
    return colours[int(generator.integers(len(colours)))] * np.float32(between(generator, 0.75, 1.2))


@dataclass
class Place:
    """A frame on the ground, turned about the vertical, for pieces; collects their solids."""

    origin: Point
    turn: int | float
    solids: list[list[int | float]] = field(default_factory=list)

    def add(
        self,
        form: int,
        centre: Point,
        half: Point,
        colour: Float32[Array, "3"],
        *,
        tile: int = 0,
        tile_m: int | float = 1.0,
        turn: int | float = 0.0,
        glow: int | float = 0.0,
        gloss: int | float = 0.0,
    ) -> None:
        """Put a solid in this frame; arguments as of `solids.solid`, the turn relative to the frame."""
        row = solid(
            form,
            self.world(*centre),
            half,
            colour,
            tile=tile,
            tile_m=tile_m,
            turn=self.turn + turn,
            glow=glow,
            gloss=gloss,
        )
        self.solids.append(row)

    def world(self, x: int | float, y: int | float, z: int | float) -> Point:
        """A point of this frame in the world."""
        c, s = math.cos(self.turn), math.sin(self.turn)
        return (self.origin[0] + c * x + s * z, self.origin[1] + y, self.origin[2] - s * x + c * z)

    def within(self, x: int | float, y: int | float, z: int | float, turn: int | float = 0.0) -> "Place":
        """A frame in this frame that collects into the same list."""
        return Place(self.world(x, y, z), self.turn + turn, self.solids)


# ---------------------------------------------------------------------------------------------------- pieces


def window(generator: np.random.Generator, at: Place) -> None:
    """A bright window with a frame and perhaps curtains."""
    wide, high, y = between(generator, 0.5, 1.1), between(generator, 0.5, 0.8), between(generator, 1.4, 1.7)
    sky = light_colour(between(generator, 5500, 12000))
    at.add(BOX, (0, y, -0.02), (wide + 0.06, high + 0.06, 0.03), np.full(3, 0.75, np.float32))

    panes, glow = int(generator.integers(1, 4)), between(generator, 1.5, 5)
    half = (wide / panes - 0.03, high - 0.03, 0.02)

    for pane in range(panes):
        x = wide * ((2 * pane + 1) / panes - 1)
        view = choose(generator, "plaster", "leaves", "facade")
        at.add(BOX, (x, y, -0.05), half, sky, glow=glow, tile=view, tile_m=2)

    if generator.random() < 0.5:
        cloth, tile = materials(generator, 1)[0], choose(generator, "weave", "plaid")
        half = (0.2, high + 0.35, 0.06)
        for side in (-1, 1):
            at.add(CYLINDER, (side * (wide + 0.05), y - 0.2, -0.1), half, cloth, tile=tile, tile_m=0.3)


def door(generator: np.random.Generator, at: Place) -> None:
    """A door in its frame."""
    white = generator.random() < 0.6
    colour = np.full(3, 0.7, np.float32) if white else one_of(generator, WOOD_COLOURS)
    at.add(BOX, (0, 1.02, -0.01), (0.52, 1.05, 0.03), colour * np.float32(0.8))
    tile = choose(generator, "plaster" if white else "wood")
    at.add(BOX, (0, 1.0, -0.03), (0.44, 1.0, 0.03), colour, tile=tile, tile_m=1)
    at.add(BALL, (0.36, 1.0, -0.1), (0.04, 0.03, 0.05), np.full(3, 0.4, np.float32), gloss=1)


def wall_picture(generator: np.random.Generator, at: Place) -> None:
    """One to three framed pictures."""
    frames = np.concatenate([WOOD_COLOURS, np.full((2, 3), 0.04, np.float32)])
    for index in range(int(generator.integers(1, 4))):
        wide = between(generator, 0.12, 0.45)
        high = between(generator, 0.15, 0.4)
        y = between(generator, 1.2, 1.8)
        x = 0.65 * index
        at.add(BOX, (x, y, -0.01), (wide + 0.03, high + 0.03, 0.02), one_of(generator, frames))
        tile = choose(generator, "poster", "printed")
        at.add(BOX, (x, y, -0.02), (wide, high, 0.015), np.ones(3, np.float32), tile=tile, tile_m=0)


def bookcase(generator: np.random.Generator, at: Place) -> None:
    """Shelves full of books."""
    wide, high = between(generator, 0.4, 0.8), between(generator, 0.6, 1.1)
    colour = one_of(generator, WOOD_COLOURS)
    at.add(BOX, (0, high, -0.15), (wide + 0.03, high, 0.15), colour, tile=choose(generator, "wood"))

    tile = choose(generator, "books")
    tile_m = between(generator, 0.6, 0.8)
    half = (wide, high - 0.03, 0.01)
    at.add(BOX, (0, high, -0.3), half, np.ones(3, np.float32), tile=tile, tile_m=tile_m)


def cabinet(generator: np.random.Generator, at: Place) -> None:
    """A chest with doors and things on it."""
    wide, high = between(generator, 0.4, 0.9), between(generator, 0.35, 0.6)
    colour = one_of(generator, WOOD_COLOURS)
    at.add(BOX, (0, high, -0.22), (wide, high, 0.22), colour, tile=choose(generator, "wood"), tile_m=0.8)

    half = (wide / 2 - 0.02, high - 0.05, 0.005)

    for side in (-1, 1):
        tile = choose(generator, "wood")
        at.add(BOX, (side * wide / 2, high, -0.445), half, colour * np.float32(1.15), tile=tile)

    for _ in range(int(generator.integers(1, 4))):
        small_thing(generator, at.within(between(generator, -wide, wide) * 0.8, 2 * high, -0.2), 1.6)


def sofa(generator: np.random.Generator, at: Place) -> None:
    """Seat, back, arms and a cushion."""
    colour, tile = materials(generator, 1)[0], choose(generator, "weave", "speckle", "plaid")
    at.add(BOX, (0, 0.22, -0.45), (0.9, 0.22, 0.45), colour, tile=tile, tile_m=0.4)
    at.add(BOX, (0, 0.5, -0.12), (0.9, 0.4, 0.14), colour, tile=tile, tile_m=0.4)
    for side in (-1, 1):
        at.add(BOX, (side * 0.95, 0.35, -0.45), (0.11, 0.33, 0.45), colour, tile=tile, tile_m=0.4)

    cushion = materials(generator, 1, vivid=0.5)[0]
    centre = (between(generator, -0.6, 0.6), 0.6, -0.35)
    tile = choose(generator, "weave", "plaid")
    at.add(BALL, centre, (0.24, 0.2, 0.12), cushion, tile=tile, tile_m=0.3)


def table(generator: np.random.Generator, at: Place) -> None:
    """A table with things on it."""
    wide = between(generator, 0.4, 0.8)
    deep = between(generator, 0.3, 0.5)
    high = between(generator, 0.5, 0.8)
    colour, tile = one_of(generator, WOOD_COLOURS), choose(generator, "wood", "plaster")
    at.add(BOX, (0, high, -deep), (wide, 0.025, deep), colour, tile=tile)

    for side in (-1, 1):
        for end in (-1, 1):
            foot = (side * (wide - 0.06), high / 2, -deep + end * (deep - 0.06))
            at.add(BOX, foot, (0.03, high / 2, 0.03), colour)

    for _ in range(int(generator.integers(1, 4))):
        x, z = between(generator, -wide, wide) * 0.8, between(generator, -2 * deep, 0)
        small_thing(generator, at.within(x, high + 0.025, z), 1.3)


def plant(generator: np.random.Generator, at: Place) -> None:
    """A pot and a mass of leaves."""
    tall = between(generator, 0.3, 1.1)
    colour = one_of(generator, LEAF_COLOURS)
    tile = choose(generator, "leaves")
    at.add(CYLINDER, (0, 0.18, -0.3), (0.16, 0.18, 0.16), materials(generator, 1)[0], gloss=0.2)
    crown = at.within(0, 0.36 + tall / 2, -0.4)
    foliage(generator, crown, 0.16 + 0.12 * tall, 0.5 * tall, colour, tile, 0.35)


def foliage(
    generator: np.random.Generator,
    at: Place,
    wide: float,
    high: float,
    colour: Float32[Array, "3"],
    tile: int,
    tile_m: int | float,
) -> None:
    """A ragged mass of leaves about a place: clumps of their own form and tone, the upper ones lighter."""
    for x, y, z, across, tall, tone in generator.random((9, 6)).tolist():
        radius = wide * (0.3 + 0.4 * across)
        half = (radius, radius * (0.5 + 0.6 * tall), radius)
        centre = (wide * (2 * x - 1) * (1.2 - y), high * (2 * y - 1), wide * (2 * z - 1) * (1.2 - y))
        light = np.float32(0.5 + 0.5 * tone + 0.5 * y)
        at.add(BALL, centre, half, colour * light, tile=tile, tile_m=tile_m)


def lamp(generator: np.random.Generator, at: Place) -> None:
    """A floor lamp that is on."""
    high = between(generator, 1.1, 1.7)
    at.add(CYLINDER, (0, high / 2, -0.25), (0.015, high / 2, 0.015), np.full(3, 0.1, np.float32))
    shade, glow = light_colour(2900), between(generator, 1.5, 5)
    at.add(CYLINDER, (0, high + 0.12, -0.25), (0.17, 0.14, 0.17), shade, glow=glow)


def monitor(generator: np.random.Generator, at: Place) -> None:
    """A monitor or television that is on."""
    wide, y = between(generator, 0.25, 0.6), between(generator, 0.9, 1.4)
    at.add(BOX, (0, y, -0.2), (wide + 0.02, wide * 0.6 + 0.02, 0.02), np.full(3, 0.03, np.float32))
    colour = light_colour(between(generator, 6000, 9500))
    glow = between(generator, 0.6, 2)
    tile = choose(generator, "screen", "poster")
    at.add(BOX, (0, y, -0.22), (wide, wide * 0.6, 0.005), colour, glow=glow, tile=tile, tile_m=0)


def person(generator: np.random.Generator, at: Place) -> None:
    """A person out of focus: trousers, clothes, arms, head and hair."""
    cloth, tile = materials(generator, 1, vivid=0.35)[0], choose(generator, "weave", "plaid", "speckle")
    skin, hair = one_of(generator, SKIN_COLOURS), one_of(generator, WOOD_COLOURS[1:3]) * np.float32(0.5)

    trousers = materials(generator, 1)[0]
    denim = choose(generator, "weave")
    at.add(CYLINDER, (0, 0.45, -0.3), (0.17, 0.45, 0.12), trousers, tile=denim, tile_m=0.3)
    at.add(CYLINDER, (0, 1.12, -0.3), (0.2, 0.28, 0.13), cloth, tile=tile, tile_m=0.35)
    at.add(BALL, (0, 1.36, -0.3), (0.23, 0.12, 0.12), cloth, tile=tile, tile_m=0.35)

    for side in (-1, 1):
        at.add(CYLINDER, (side * 0.25, 1.15, -0.3), (0.06, 0.26, 0.07), cloth, tile=tile, tile_m=0.35)
        at.add(BALL, (side * 0.25, 0.82, -0.33), (0.05, 0.09, 0.05), skin)

    at.add(CYLINDER, (0, 1.5, -0.3), (0.06, 0.08, 0.06), skin)
    at.add(BALL, (0, 1.65, -0.3), (0.085, 0.12, 0.1), skin)
    at.add(BALL, (0, 1.7, -0.28), (0.095, 0.11, 0.105), hair, tile=choose(generator, "speckle"), tile_m=0.2)


def small_thing(generator: np.random.Generator, at: Place, scale: float = 1.0) -> None:
    """One of the things that lie on tables: a mug, books, a box, a ball, a bottle, paper, a telephone."""
    colours = materials(generator, 2, vivid=0.4)
    turn = between(generator, -3, 3)
    which = int(generator.integers(7))
    size = scale * between(generator, 0.8, 1.3)

    match which:
        case 0:  # mug, with coffee
            half = (0.04 * size, 0.05 * size, 0.04 * size)
            at.add(CYLINDER, (0, 0.05 * size, 0), half, colours[0], gloss=0.5)
            coffee = np.array([0.1, 0.05, 0.03], np.float32)
            at.add(CYLINDER, (0, 0.1 * size, 0), (0.034 * size, 0.001, 0.034 * size), coffee)
        case 1:  # pile of books, each turned a little
            half = (0.075 * size, 0.012, 0.105 * size)
            for layer, colour in enumerate(materials(generator, int(generator.integers(1, 4)), vivid=0.5)):
                centre = (0, 0.012 + 0.024 * layer, 0)
                tile = choose(generator, "plaster", "poster")
                at.add(BOX, centre, half, colour, turn=turn + 0.2 * layer, tile=tile, tile_m=0)
        case 2:  # box
            half = (0.06 * size, 0.04 * size, 0.05 * size)
            tile = choose(generator, "plaster", "printed", "plaid", "poster")
            at.add(BOX, (0, half[1], 0), half, colours[0], turn=turn, tile=tile, tile_m=0.2)
        case 3:  # ball
            radius = 0.035 * size
            at.add(BALL, (0, radius, 0), (radius, radius, radius), colours[0], gloss=0.3)
        case 4:  # bottle
            half = (0.033 * size, 0.09 * size, 0.033 * size)
            at.add(CYLINDER, (0, 0.09 * size, 0), half, colours[0], gloss=0.8)
            at.add(CYLINDER, (0, 0.2 * size, 0), (0.013 * size, 0.03 * size, 0.013 * size), colours[1])
        case 5:  # sheet of paper
            paper = np.full(3, 0.85, np.float32)
            tile = choose(generator, "printed", "plaster")
            at.add(BOX, (0, 0.001, 0), (0.105, 0.001, 0.148), paper, turn=turn, tile=tile, tile_m=0)
        case _:  # telephone
            black = np.full(3, 0.02, np.float32)
            at.add(BOX, (0, 0.005, 0), (0.037, 0.005, 0.075), black, turn=turn, gloss=0.6)
