"""Tiles of wood, cloth, brick, leaves, print ...: a fixed bank of the surfaces of scenes.

Each tile wraps round at its edges and is multiplied with a surface's colour. The bank is a constant of the
package: it is drawn once a process from its own seed, and a picture's generator only chooses from it.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray as Array

from handvae.render.surroundings.palette import hue_colours, materials

TILE = 128
"""Pixels along a tile's side."""

VARIANTS = 4
"""Tiles of each kind."""

Tile = Float32[Array, "size size 3"]


def fractal(
    generator: np.random.Generator,
    exponent: int | float,
    *,
    along: int | float = 1.0,
    across: int | float = 1.0,
) -> Float32[Array, "size size"]:
    """Noise with spectrum 1 / f^exponent, mean 0 and deviation 1, that wraps round.

    `along` and `across` stretch it in x and y.
    """
    fy, fx = np.meshgrid(np.fft.fftfreq(TILE) * TILE, np.fft.rfftfreq(TILE) * TILE, indexing="ij")
    frequency = np.hypot(fx * along, fy * across)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(generator.standard_normal((TILE, TILE))) * frequency**-exponent
    field = np.fft.irfft2(spectrum, (TILE, TILE))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def places() -> tuple[Float32[Array, "size size"], Float32[Array, "size size"]]:
    """Places of a tile's pixel centres, x and y in [0, 1)."""
    line = ((np.arange(TILE) + 0.5) / TILE).astype(np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


def toned(depth: Float32[Array, "size size"], warmth: float = 0.3) -> Tile:
    """Darken where `depth` is high, more in blue than in red as most materials do."""
    return np.exp(-depth[..., None] * np.array([1 - warmth, 1, 1 + warmth], np.float32))


# --------------------------------------------------------------------------------------------- plain surfaces


def plaster(generator: np.random.Generator) -> Tile:
    """Painted wall."""
    return toned(0.05 * fractal(generator, 1.1) + 0.03 * fractal(generator, 0.2), 0.05)


def speckle(generator: np.random.Generator) -> Tile:
    """Carpet, asphalt, gravel, sand."""
    return toned(0.2 * fractal(generator, 0.5) + 0.12 * fractal(generator, 1.6), generator.uniform(0, 0.3))


def marble(generator: np.random.Generator) -> Tile:
    """Stone with veins."""
    veins = np.exp(-np.abs(fractal(generator, 1.8)) * 9) * np.clip(0.6 + fractal(generator, 1.5), 0, 1.5)
    return toned(0.7 * veins + 0.12 * fractal(generator, 1.7), 0.1)


def wood(generator: np.random.Generator) -> Tile:
    """Grain along x."""
    _, y = places()
    count = int(generator.integers(4, 10))
    rings = np.sin(2 * math.pi * (count * y + 0.35 * fractal(generator, 2.2, along=6)))
    fibres = fractal(generator, 0.9, along=14)
    grain = 0.16 * rings * generator.uniform(0.3, 1.2) + 0.16 * fibres
    return toned(grain + 0.05 * fractal(generator, 1.5), 0.35)


def planks(generator: np.random.Generator) -> Tile:
    """Floor boards along x, each of its own tone, with joints."""
    count = int(generator.choice([4, 8]))
    board = TILE // count
    tile = np.empty((TILE, TILE, 3), np.float32)

    for row in range(count):
        rows = slice(row * board, (row + 1) * board)
        moved = np.roll(wood(generator), generator.integers(TILE, size=2), axis=(0, 1))
        plank = moved[rows] * generator.uniform(0.7, 1.3)

        # a joint at one end, and one along the edge
        plank[:, generator.integers(TILE)] *= 0.5
        plank[0] *= 0.45
        tile[rows] = plank

    return tile


# ------------------------------------------------------------------------------------------- regular patterns


def weave(generator: np.random.Generator) -> Tile:
    """Cloth of crossing threads."""
    x, y = places()
    count = int(generator.integers(16, 28))
    threads = np.sin(2 * math.pi * count * x) * np.sin(2 * math.pi * count * y)
    return toned(0.22 * threads + 0.12 * fractal(generator, 0.9) + 0.08 * fractal(generator, 1.8), 0.1)


def plaid(generator: np.random.Generator) -> Tile:
    """Stripes or checks of a few colours."""
    edges = np.sort(generator.integers(0, TILE, 6))
    which = np.searchsorted(edges, np.arange(TILE)) % 3
    colours = np.sqrt(materials(generator, 3, vivid=0.5))
    stripes = colours[which]
    if generator.random() < 0.5:
        tile = 2 * stripes[:, None] * stripes[None]
    else:
        tile = np.repeat(1.5 * stripes[:, None] ** 2, TILE, axis=1)
    return tile * weave(generator)


def bricks(generator: np.random.Generator) -> Tile:
    """Courses of bricks with mortar; every second course is shifted by half a brick."""
    x, y = places()
    rows, columns = 8, 4
    row = np.floor(y * rows)
    across = x * columns + 0.5 * (row % 2)
    tones = generator.uniform(0.6, 1.35, (rows, columns)).astype(np.float32)
    tone = tones[row.astype(int), np.floor(across).astype(int) % columns]

    # mortar where the nearest side of the brick is close
    to_end = np.minimum(across % 1, 1 - across % 1) / columns
    to_edge = np.minimum(y * rows % 1, 1 - y * rows % 1) / rows
    is_mortar = np.minimum(to_end, to_edge) < 0.008
    clay = tone[..., None] * np.array([1.25, 0.75, 0.55], np.float32)
    colour = np.where(is_mortar[..., None], np.float32(1.3), clay)

    return colour * toned(0.15 * fractal(generator, 0.8), 0.0)


def ceramic(generator: np.random.Generator) -> Tile:
    """Square tiles with joints."""
    x, y = places()
    count = int(generator.choice([2, 4, 8]))
    column, row = np.floor(x * count).astype(int), np.floor(y * count).astype(int)
    tone = generator.uniform(0.85, 1.1, (count, count)).astype(np.float32)
    if generator.random() < 0.3:
        tone[(np.add.outer(np.arange(count), np.arange(count)) % 2) > 0] *= 0.35

    to_side = np.minimum(x * count % 1, 1 - x * count % 1)
    to_edge = np.minimum(y * count % 1, 1 - y * count % 1)
    is_joint = np.minimum(to_side, to_edge) < 0.008 * count
    colour = np.where(is_joint, np.float32(0.55), tone[row, column])[..., None]
    return colour * toned(0.06 * fractal(generator, 1.4), 0.1)


def facade(generator: np.random.Generator) -> Tile:
    """Wall of a house: rows of windows, some lit."""
    x, y = places()
    count = int(generator.choice([3, 4, 6]))
    column, row = np.floor(x * count).astype(int), np.floor(y * count).astype(int)
    in_width = np.abs(x * count % 1 - 0.5) < generator.uniform(0.2, 0.4)
    in_height = np.abs(y * count % 1 - 0.5) < generator.uniform(0.2, 0.38)
    is_window = in_width & in_height

    glass = generator.uniform(0.08, 0.5, (count, count, 1)).astype(np.float32)
    glass = glass * np.array([0.8, 1, 1.2], np.float32)
    glass[generator.random((count, count)) < 0.15] = (1.6, 1.3, 0.8)

    return np.where(is_window[..., None], glass[row, column], np.float32(1.1) * plaster(generator))


# --------------------------------------------------------------------------------------------- drawn surfaces


def leaves(generator: np.random.Generator) -> Tile:
    """Foliage: leaves of many greens, the deeper the darker."""
    tile = np.full((TILE, TILE, 3), 0.05, np.float32)
    count = 260
    hue = generator.uniform(0.17, 0.33)
    size = generator.uniform(3, 9)

    for index in range(count):
        depth = 0.25 + 1.5 * (index / count) ** 1.5
        green = 0.55 * hue_colours(np.array([hue + generator.normal(0, 0.025)], np.float32))[0] + 0.35
        colour = (depth * generator.uniform(0.6, 1.3) * green).tolist()
        x, y = generator.integers(0, TILE, 2).tolist()
        axes = (int(size * generator.uniform(0.7, 1.4)), max(1, int(size * generator.uniform(0.25, 0.6))))
        turn = generator.uniform(0, 180)

        # a leaf that crosses the tile's edge enters again on the other side
        for shift_x in (-TILE, 0, TILE):
            for shift_y in (-TILE, 0, TILE):
                if -16 < x + shift_x < TILE + 16 and -16 < y + shift_y < TILE + 16:
                    cv2.ellipse(tile, (x + shift_x, y + shift_y), axes, turn, 0, 360, colour, -1)

    return tile * toned(0.25 * fractal(generator, 1.2), 0.0)


def grass(generator: np.random.Generator) -> Tile:
    """Blades and dry patches."""
    blades = toned(0.35 * fractal(generator, 0.5, across=3) + 0.15 * fractal(generator, 1.8), 0.0)
    dry = np.clip(0.4 + 0.5 * fractal(generator, 1.6), 0, 1)[..., None]
    green = np.array([0.55, 1.1, 0.3], np.float32)
    straw = np.array([1.0, 1.0, 0.5], np.float32)
    return blades * ((1 - dry) * green + dry * straw)


def books(generator: np.random.Generator) -> Tile:
    """Two shelves of book spines."""
    tile = np.full((TILE, TILE, 3), 0.04, np.float32)
    for shelf in (0, TILE // 2):
        floor = shelf + TILE // 2 - 5
        left = 0
        while left < TILE:
            width, height = int(generator.integers(3, 11)), int(generator.integers(34, 56))
            spine = 1.2 * materials(generator, 2, vivid=0.5)
            tile[floor - height : floor, left : left + width] = spine[0]
            band = floor - int(generator.integers(8, 30))
            tile[band - 4 : band, left : left + width] = spine[1]
            tile[floor - height : floor, left + width - 1 : left + width] *= 0.4
            left += width + int(generator.random() < 0.1) * 5

        tile[floor : floor + 5] = 0.7

    return tile


def printed(generator: np.random.Generator) -> Tile:
    """A page: lines of print, perhaps a picture."""
    tile = np.ones((TILE, TILE, 3), np.float32)
    margin = int(generator.integers(8, 18))
    pitch = int(generator.integers(4, 8))

    for top in range(margin, TILE - margin, pitch):
        if generator.random() < 0.1:
            continue
        end = TILE - margin - int(generator.random() < 0.25) * int(generator.integers(0, 60))
        words = generator.random(TILE) < 0.8
        line = np.flatnonzero(words[margin:end]) + margin
        tile[top : top + max(1, pitch // 3), line] = generator.uniform(0.15, 0.5)

    if generator.random() < 0.6:
        top, left = generator.integers(margin, TILE // 2, 2).tolist()
        moved = np.roll(poster(generator), generator.integers(TILE, size=2), axis=(0, 1))
        tile[top : top + 40, left : left + 50] = moved[:40, :50]

    return tile


def keys(generator: np.random.Generator) -> Tile:
    """A keyboard's keys."""
    dark = generator.random() < 0.6
    board, cap = (0.06, 0.12) if dark else (0.35, 0.85)
    tile = np.full((TILE, TILE, 3), board, np.float32)

    for row in range(6):
        left = 4 + int(generator.integers(0, 5))
        top = 4 + row * 20
        while left < TILE - 9:
            width = int(generator.choice([9, 9, 9, 9, 14, 30])) if row == 5 else 9
            tile[top : top + 16, left : min(left + width, TILE - 3)] = cap * generator.uniform(0.9, 1.1)
            tile[top + 5 : top + 9, left + 3 : left + 6] = 0.7 if dark else 0.2
            left += width + 2

    return tile


def screen(generator: np.random.Generator) -> Tile:
    """A monitor's picture: bars, windows, text, a photo."""
    dark = generator.random() < 0.4
    paper, ink = (0.03, 0.5) if dark else (0.95, 0.25)
    tile = np.full((TILE, TILE, 3), paper, np.float32)
    tile[:7] = materials(generator, 1, vivid=0.6)
    side = int(generator.integers(12, 40))
    tile[7:, :side] = paper * 0.6 + 0.15 * materials(generator, 1, vivid=0.8)

    for top in range(14, TILE - 6, 5):
        left = side + 4 + 6 * int(generator.integers(0, 4))
        right = left + int(generator.integers(5, max(6, TILE - left - 4)))
        tile[top : top + 2, left : min(right, TILE - 4)] = ink * (0.5 + materials(generator, 1, vivid=0.5))

    if generator.random() < 0.6:
        top, left = int(generator.integers(10, 60)), int(generator.integers(side, 70))
        tile[top : top + 50, left : left + 56] = poster(generator)[:50, :56]

    return tile


def poster(generator: np.random.Generator) -> Tile:
    """A picture: soft masses of a few colours."""
    colours = materials(generator, 4, vivid=0.5)
    tile = np.repeat(np.repeat(colours[:1], TILE, 0)[:, None], TILE, 1)
    for colour in colours[1:]:
        field = 3 * fractal(generator, 2.0, along=generator.uniform(0.5, 2))
        mass = np.clip(field + generator.uniform(-2, 1), 0, 1)[..., None]
        tile = tile * (1 - mass) + colour * mass
    return 1.4 * tile * toned(0.15 * fractal(generator, 1.0), 0.0)


# --------------------------------------------------------------------------------------------------- the bank

KINDS: tuple[Callable[[np.random.Generator], Tile], ...] = (
    plaster, speckle, marble, wood, planks,
    weave, plaid, bricks, ceramic, facade,
    leaves, grass, books, printed, keys, screen, poster,
)  # fmt: skip
NAMES = tuple(kind.__name__ for kind in KINDS)


@lru_cache(maxsize=1)
def bank() -> Float32[Array, "tile size size 3"]:
    """All tiles, `VARIANTS` of each of `NAMES` in order; read only."""
    tiles = []
    for index, kind in enumerate(KINDS):
        for variant in range(VARIANTS):
            tiles.append(kind(np.random.default_rng([index, variant])).astype(np.float32))
    stacked = np.stack(tiles)
    stacked.setflags(write=False)
    return stacked


@lru_cache(maxsize=1)
def tile_means() -> Float32[Array, "tile 3"]:
    """Mean colour of each tile of the bank."""
    return bank().mean((1, 2))


def choose(generator: np.random.Generator, *names: str) -> int:
    """A tile of one of these kinds, as its place in the bank."""
    kind = names[int(generator.integers(len(names)))]
    return NAMES.index(kind) * VARIANTS + int(generator.integers(VARIANTS))
