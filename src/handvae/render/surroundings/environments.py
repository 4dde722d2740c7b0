"""Surroundings built of solids: rooms, desks, clutter, streets, landscapes, screens in the dark.

Each function draws one scene from a generator and returns it as a square linear RGB picture, sharp, in a
brightness of its own. A hand's crop shows a narrow cone, so cameras here have short angles of view.

The order of the draws is part of a seed's meaning: it must not change.
"""

import math

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray as Array

from handvae.render.chance import between
from handvae.render.surroundings.palette import LinearImage, light_colour, materials
from handvae.render.surroundings.pieces import (
    LEAF_COLOURS,
    WOOD_COLOURS,
    Place,
    bookcase,
    cabinet,
    door,
    foliage,
    lamp,
    monitor,
    one_of,
    person,
    plant,
    small_thing,
    sofa,
    table,
    wall_picture,
    window,
)
from handvae.render.surroundings.solids import BALL, BOX, CYLINDER, ROOM, Camera, SceneLight, cast, solid
from handvae.render.surroundings.textures import choose


def wall_paint(generator: np.random.Generator) -> Float32[Array, "3"]:
    """White, cream or light grey more often than not, else a lightened colour."""
    if generator.random() < 0.6:
        return light_colour(between(generator, 4500, 7000)) * np.float32(between(generator, 0.45, 0.85))
    return materials(generator, 1, vivid=0.15)[0] ** np.float32(0.5)


def lamp_light(generator: np.random.Generator, low: int | float, high: int | float) -> Float32[Array, "3"]:
    """Colour of a black body between two temperatures, as a camera records it after white balance.

    The square root stands for the balance, which takes out most of the cast.
    """
    return light_colour(between(generator, low, high)) ** np.float32(0.5)


def lattice(
    generator: np.random.Generator, size: int, octaves: tuple[int, ...] = (3, 6, 12, 24)
) -> Float32[Array, "size size"]:
    """Smooth noise of deviation about 1 whose octaves fall as 1 / f; independent of the size in pixels."""
    fields = []
    for cells in octaves:
        knots = generator.standard_normal((cells, cells), dtype=np.float32)
        field = cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC)
        fields.append(field * (octaves[0] / cells))
    return np.asarray(sum(fields), np.float32)


def skyline(generator: np.random.Generator, size: int) -> Float32[Array, " size"]:
    """The same noise along a line."""
    lines = []
    for cells in (3, 6, 12, 24):
        knots = generator.standard_normal((1, cells), dtype=np.float32)
        line = cv2.resize(knots, (size, 1), interpolation=cv2.INTER_CUBIC)[0]
        lines.append(line * (3 / cells))
    return np.asarray(sum(lines), np.float32)


def picture(place: Place, camera: Camera, light: SceneLight, behind: LinearImage) -> LinearImage:
    """The camera's picture of the place, over what lies behind it."""
    cast(np.array(place.solids, np.float32), camera, light, behind)
    return behind


def darkness(size: int) -> LinearImage:
    """A black picture, for places without a sky."""
    return np.zeros((size, size, 3), np.float32)


# ---------------------------------------------------------------------------------------------------- indoors

STANDING = (bookcase, cabinet, sofa, table, plant, lamp, person)
HANGING = (window, door, wall_picture, monitor)


def room(generator: np.random.Generator, size: int, *, dark: bool = False) -> LinearImage:
    """Part of a room with furniture; `dark`: lit by a screen and little else."""
    wide, deep, high = between(generator, 3, 6), between(generator, 2.5, 5), between(generator, 2.3, 2.9)
    camera = Camera(
        position=(0, between(generator, 0.8, 1.6), 0),
        pitch=between(generator, -0.15, 0.35),
        roll=float(generator.normal(0, 0.12)),
        half_tan=between(generator, 0.22, 0.55),
    )

    # the camera stands at (x0, z0) of the room, which is turned about it
    x0, z0 = between(generator, -0.3, 0.3) * wide, -0.35 * deep
    turn = between(generator, -0.9, 0.9)
    c, s = math.cos(turn), math.sin(turn)
    place = Place((-c * x0 - s * z0, 0, s * x0 - c * z0), turn)

    wall = wall_paint(generator)
    tile = choose(generator, "plaster", "plaster", "plaster", "plaster", "bricks", "wood", "ceramic")
    half = (wide / 2, high / 2, deep / 2)
    place.add(ROOM, (0, high / 2, 0), half, wall, tile=tile, tile_m=between(generator, 0.5, 1.5))

    tile = choose(generator, "planks", "ceramic", "speckle", "marble", "weave")
    colour = one_of(generator, WOOD_COLOURS) if generator.random() < 0.6 else materials(generator, 1)[0]
    half = (wide / 2, 0.05, deep / 2)
    place.add(BOX, (0, -0.05, 0), half, colour, tile=tile, tile_m=between(generator, 0.7, 1.2))

    pieces = int(generator.integers(2, 5))

    for index in range(pieces):
        # where the line of sight through a random column of the picture meets a wall of the room
        aim = math.atan(camera.half_tan * ((2 * index + between(generator, 0, 2)) / pieces - 1))
        dx, dz = math.sin(aim), math.cos(aim)
        local_x, local_z = c * dx - s * dz, s * dx + c * dz
        to_x = ((math.copysign(wide / 2, local_x) - x0) / local_x) if abs(local_x) > 1e-6 else math.inf
        to_z = ((math.copysign(deep / 2, local_z) - z0) / local_z) if abs(local_z) > 1e-6 else math.inf
        far = min(to_x, to_z)

        # a piece stands with its back to that wall
        if to_z >= to_x:
            facing = math.copysign(math.pi / 2, local_x)
        elif local_z > 0:
            facing = 0.0
        else:
            facing = math.pi

        kinds = HANGING if generator.random() < 0.4 else STANDING
        make = monitor if dark and index == 0 else kinds[int(generator.integers(len(kinds)))]
        near = between(generator, 0.45, 0.95) if make is person else 0.995
        make(generator, place.within(x0 + far * near * local_x, 0, z0 + far * near * local_z, facing))

    lamp_at = place.world(
        between(generator, -0.45, 0.45) * wide,
        between(generator, 1.2, 2.2),
        between(generator, -0.45, 0.3) * deep,
    )
    warm, sky = lamp_light(generator, 2700, 6500), lamp_light(generator, 4000, 9000)
    strength = np.float32(0.1 if dark else between(generator, 0.3, 1.2))
    around = np.float32(0.03 if dark else between(generator, 0.15, 0.5))
    light = SceneLight(
        lamp=lamp_at,
        lamp_colour=strength * warm,
        reach=1.8,
        above=around * sky,
        below=0.6 * around * warm,
        contact_m=0.2,
    )

    return picture(place, camera, light, darkness(size))


def screens(generator: np.random.Generator, size: int) -> LinearImage:
    """A dark room with a lit monitor."""
    return room(generator, size, dark=True)


def desk(generator: np.random.Generator, size: int) -> LinearImage:
    """The top of a desk from above or obliquely, with things on it."""
    steep = generator.random() < 0.6
    pitch = between(generator, 1.1, 1.57) if steep else between(generator, 0.35, 1.0)
    above = between(generator, 0.45, 1.0)
    roll = between(generator, -math.pi, math.pi) if steep else float(generator.normal(0, 0.1))
    camera = Camera((0, above, 0), pitch, roll, half_tan=between(generator, 0.22, 0.5))

    # the desk's middle lies where the line of sight meets its top
    ahead = above / math.tan(pitch)
    place = Place((0, 0, ahead), between(generator, -0.4, 0.4))

    if generator.random() < 0.55:
        colour = one_of(generator, WOOD_COLOURS)
        tile = choose(generator, "wood", "planks")
    else:
        colour = materials(generator, 1)[0] ** np.float32(0.6)
        tile = choose(generator, "plaster", "weave", "plaid", "marble", "speckle", "ceramic")

    half = (between(generator, 0.5, 1.5), 0.02, between(generator, 0.3, 0.6))
    tile_m = between(generator, 0.25, 0.9)
    place.add(BOX, (0, -0.02, 0), half, colour, tile=tile, tile_m=tile_m, gloss=0.15)

    # the room round it
    floor_tile = choose(generator, "planks", "speckle", "ceramic")
    wall = wall_paint(generator)
    wall_tile = choose(generator, "plaster", "bricks", "plaster")
    place.add(ROOM, (0, 0.5, -0.3), (2.5, 1.25, 1.6), wall, tile=wall_tile)
    place.add(BOX, (0, -0.74, 0), (2.5, 0.01, 2), one_of(generator, WOOD_COLOURS), tile=floor_tile)

    reach = camera.half_tan * math.hypot(above, ahead)

    if generator.random() < 0.35:
        x, z = between(generator, -1, 1) * reach, between(generator, -1, 1) * reach
        _keyboard(generator, place.within(x, 0, z, between(generator, -0.5, 0.5)))

    for x, z in generator.uniform(-1.1, 1.1, (int(generator.integers(1, 8)), 2)).tolist():
        small_thing(generator, place.within(x * reach, 0, z * reach), between(generator, 0.7, 1.2))

    lamp_at = (
        between(generator, -0.8, 0.8),
        between(generator, 0.5, 1.1),
        ahead + between(generator, -0.6, 0.8),
    )
    colour, strength = lamp_light(generator, 2700, 8000), between(generator, 0.3, 1.3)
    around = np.float32(between(generator, 0.15, 0.6)) * lamp_light(generator, 4000, 8000)
    light = SceneLight(
        lamp=lamp_at,
        lamp_colour=np.float32(strength) * colour,
        reach=0.9,
        above=around,
        below=0.5 * around,
        contact_m=0.03,
    )

    return picture(place, camera, light, darkness(size))


def _keyboard(generator: np.random.Generator, at: Place) -> None:
    """A keyboard, or a laptop with its screen."""
    case = np.full(3, 0.05 if generator.random() < 0.5 else 0.6, np.float32)
    white = np.ones(3, np.float32)
    at.add(BOX, (0, 0.008, 0), (0.17, 0.008, 0.115), case)
    at.add(BOX, (0, 0.017, 0.035), (0.15, 0.001, 0.06), white, tile=choose(generator, "keys"), tile_m=0)
    if generator.random() < 0.6:
        at.add(BOX, (0, 0.12, 0.125), (0.17, 0.11, 0.005), case)
        glow = between(generator, 0.5, 1.3)
        tile = choose(generator, "screen")
        at.add(BOX, (0, 0.12, 0.12), (0.16, 0.1, 0.003), light_colour(7500), glow=glow, tile=tile, tile_m=0)


def surface(generator: np.random.Generator, size: int) -> LinearImage:
    """One textured surface that fills the picture, seen at a slant."""
    pitch = between(generator, 0.5, 1.57)
    roll = between(generator, -math.pi, math.pi)
    camera = Camera((0, 1, 0), pitch, roll, half_tan=between(generator, 0.2, 0.45))
    place = Place((0, 0, 0), 0)

    wooden = generator.random() < 0.35

    if wooden:
        tile = choose(generator, "wood", "planks")
        colour = one_of(generator, WOOD_COLOURS)
    else:
        cloth_and_stone = ("weave", "plaid", "bricks", "ceramic", "marble", "speckle")
        tile = choose(generator, *cloth_and_stone, "leaves", "grass", "books", "printed")
        colour = materials(generator, 1)[0] ** np.float32(0.5)

    centre = (between(generator, -5, 5), -0.5, 0)
    tile_m = between(generator, 0.3, 1.5)
    place.add(BOX, centre, (40, 0.5, 60), colour, tile=tile, tile_m=tile_m, gloss=0.1)

    spot = (
        between(generator, -1, 1),
        between(generator, 0.4, 1.5),
        1 / math.tan(pitch) + between(generator, -1, 1),
    )
    around = np.float32(between(generator, 0.2, 0.7)) * lamp_light(generator, 4000, 9000)
    light = SceneLight(
        lamp=spot,
        lamp_colour=np.float32(between(generator, 0.3, 1.2)) * lamp_light(generator, 2800, 7000),
        reach=1.0,
        above=around,
        below=around,
    )

    return picture(place, camera, light, darkness(size))


CLUTTER_TILES = (
    "plaster", "weave", "plaid", "wood", "printed", "poster", "books", "speckle", "leaves", "screen",
)  # fmt: skip


def clutter(generator: np.random.Generator, size: int) -> LinearImage:
    """Many things of all colours at all depths."""
    camera = Camera(
        position=(0, 1.2, 0),
        pitch=between(generator, -0.1, 0.5),
        roll=float(generator.normal(0, 0.2)),
        half_tan=between(generator, 0.25, 0.5),
    )
    place = Place((0, 0, 0), between(generator, -0.5, 0.5))

    wall, floor = materials(generator, 2)
    half = (3, 1.25, between(generator, 2, 3))
    tile = choose(generator, "plaster", "plaster", "books", "bricks", "poster")
    place.add(ROOM, (0, 1.25, 0), half, wall ** np.float32(0.5), tile=tile)

    count = int(generator.integers(8, 18))
    colours = materials(generator, count, vivid=0.4)
    draws = generator.random((count, 7)).tolist()

    for colour, (aim, depth, y, wide, high, long, what) in zip(colours, draws, strict=True):
        # a place within the camera's view, at a depth; sizes grow with the depth
        z = 0.9 + 1.5 * depth
        x = 1.1 * camera.half_tan * z * (2 * aim - 1)
        height = 1.2 - z * math.tan(camera.pitch) + 1.1 * camera.half_tan * z * (2 * y - 1)
        half = tuple(z * camera.half_tan * (0.06 + 0.35 * length**2) for length in (wide, high, long))

        thing = solid(
            (BOX, BOX, CYLINDER, BALL)[int(4 * what)],
            (x, height, z),
            half,
            colour ** np.float32(0.7),
            tile=choose(generator, *CLUTTER_TILES),
            tile_m=0.25,
            turn=6 * what,
            glow=2.0 * (colour[0] > 0.8),
            gloss=0.3 * aim,
        )
        place.solids.append(thing)

    lamp_at = (between(generator, -1.5, 1.5), between(generator, 1.5, 2.3), between(generator, -0.5, 1.0))
    around = np.float32(between(generator, 0.2, 0.6)) * lamp_light(generator, 4000, 9000)
    light = SceneLight(
        lamp=lamp_at,
        lamp_colour=np.float32(between(generator, 0.4, 1.5)) * lamp_light(generator, 2700, 7000),
        reach=1.3,
        above=around,
        below=0.6 * around,
    )

    return picture(place, camera, light, np.broadcast_to(floor, (size, size, 3)).copy())


# --------------------------------------------------------------------------------------------------- outdoors


def sky(generator: np.random.Generator, size: int, horizon: float) -> LinearImage:
    """Sky with clouds, and one to three ridges of hills.

    Args:
        generator: source of randomness.
        size: side of the picture.
        horizon: foot of the hills, as a share of the height from above.
    """
    y = ((np.arange(size, dtype=np.float32) + 0.5) / size)[:, None, None]

    zenith, low = light_colour(between(generator, 8000, 15000)), light_colour(between(generator, 4500, 8000))
    if generator.random() < 0.35:
        zenith = low = light_colour(between(generator, 6000, 8000))

    rise = np.clip(y / max(horizon, 0.2), 0, 1)
    upper = np.float32(between(generator, 0.4, 0.9)) * zenith * (1 - rise)
    scene = upper + np.float32(between(generator, 0.8, 1.3)) * low * rise

    clouds = np.clip(0.7 * lattice(generator, size) + between(generator, -1, 0.5), 0, 1)[..., None]
    scene = scene * (1 - clouds) + np.float32(between(generator, 0.7, 1.2)) * clouds

    # ridges from far to near: the further, the more of the haze's colour
    haze = low
    ridges = int(generator.integers(1, 4))

    for ridge in range(ridges):
        foot = horizon - between(generator, 0.02, 0.22) * (1 - ridge / ridges)
        line = skyline(generator, size) * np.float32(0.05 * (ridge + 1) / ridges) + np.float32(foot)
        mask = np.clip((y[:, :, 0] - line[None]) * size + 0.5, 0, 1)[..., None]

        near = (ridge + 1) / (ridges + 1)
        green = materials(generator, 1, vivid=0.0)[0] * np.array([0.8, 1, 0.6], np.float32) * np.float32(0.7)
        colour = green * near + haze * np.float32(0.7 * (1 - near))
        rough = (1 + np.float32(0.3 * near) * lattice(generator, size, (8, 16, 32)))[..., None]
        scene = scene * (1 - mask) + colour * np.clip(rough, 0.3, 2) * mask

    return scene.astype(np.float32)


def outdoor(generator: np.random.Generator, size: int) -> LinearImage:
    """A street or open country under the sky."""
    half_tan, pitch = between(generator, 0.3, 0.6), between(generator, -0.15, 0.35)
    camera = Camera((0, 1.5, 0), pitch, roll=float(generator.normal(0, 0.06)), half_tan=half_tan)
    place = Place((0, 0, 0), between(generator, -0.4, 0.4))

    in_town = generator.random() < 0.5

    if in_town:
        tile = choose(generator, "speckle", "ceramic")
        colour = np.full(3, between(generator, 0.1, 0.4), np.float32)
    else:
        tile = choose(generator, "grass", "grass", "speckle", "leaves")
        colour = one_of(generator, LEAF_COLOURS) * np.float32(0.6)

    place.add(BOX, (0, -0.5, 60), (80, 0.5, 70), colour, tile=tile, tile_m=between(generator, 1, 3))
    if in_town:
        _houses(generator, place)
        _cars(generator, place)

    for _ in range(int(generator.integers(0, 3 if in_town else 5))):
        z = between(generator, 4, 18)
        _tree(generator, place.within(1.3 * half_tan * z * between(generator, -1, 1), 0, z))

    if generator.random() < 0.2:
        x, z = between(generator, -1, 1) * half_tan * 2.5, between(generator, 1.5, 4)
        person(generator, place.within(x, 0, z, between(generator, -3, 3)))

    sun = (between(generator, -60, 60), between(generator, 25, 80), between(generator, -60, 40))
    clear = between(generator, 0.0, 1.5)
    around = np.float32(0.5) * light_colour(between(generator, 6500, 12000))
    light = SceneLight(
        lamp=sun,
        lamp_colour=np.float32(clear) * light_colour(between(generator, 3800, 5800)),
        reach=math.hypot(*sun),
        above=around,
        below=0.4 * around,
        contact_m=0.4,
    )
    horizon = 0.5 - math.tan(pitch) / (2 * half_tan)

    return picture(place, camera, light, sky(generator, size, horizon))


def _houses(generator: np.random.Generator, place: Place) -> None:
    """A row of houses on each side of the street."""
    for side in (-1, 1):
        for index in range(int(generator.integers(1, 4))):
            wall = materials(generator, 1, vivid=0.1)[0] ** np.float32(0.5)
            high, x = between(generator, 3, 12), side * between(generator, 5, 12)
            centre = (x, high, 10 + 12 * index)
            tile = choose(generator, "facade", "facade", "bricks")
            place.add(BOX, centre, (4, high, 5.5), wall, tile=tile, tile_m=between(generator, 5, 12))


def _cars(generator: np.random.Generator, place: Place) -> None:
    for _ in range(int(generator.integers(0, 4))):
        x, z, turn = between(generator, -5, 5), between(generator, 6, 20), between(generator, -0.3, 0.3)
        at = place.within(x, 0, z, turn)
        paint = materials(generator, 1, vivid=0.5)[0]
        at.add(BOX, (0, 0.65, 0), (0.9, 0.35, 2.1), paint, gloss=0.6)
        at.add(BOX, (0, 1.2, 0.2), (0.75, 0.27, 1.1), np.full(3, 0.05, np.float32), gloss=0.6)


def _tree(generator: np.random.Generator, at: Place) -> None:
    tall = between(generator, 0.5, 5)
    green = one_of(generator, LEAF_COLOURS)
    tile = choose(generator, "leaves")
    at.add(CYLINDER, (0, tall / 2, 0), (0.12, tall / 2, 0.12), WOOD_COLOURS[2])
    crown = at.within(0, 1.1 * tall, 0)
    foliage(generator, crown, 0.25 + 0.35 * tall, 0.1 + 0.4 * tall, green, tile, 1.2)
