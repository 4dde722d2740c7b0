"""Boxes, cylinders and ellipsoids seen by a camera: rooms, desks and streets behind a hand consist of them.

Each solid is intersected only inside its own rectangle of the picture, against a depth buffer. Each pixel is
then shaded once, with one lamp that casts shadows, light from above and below, and darkening where solids
meet. World axes: x right, y up, z forward, metres.
"""

import math
from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float32, Int32
from numpy import ndarray as Array

from handvae.render.surroundings.textures import TILE, bank, tile_means

BOX, ROOM, CYLINDER, BALL = range(4)
"""A solid's form; a room is a box seen from inside, a cylinder stands upright."""

Point = tuple[int | float, int | float, int | float]
"""x, y and z in metres."""

NEAR = 0.05
"""Metres; nothing nearer is seen."""


def solid(
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
) -> list[int | float]:
    """One row of the table.

    Args:
        form: `BOX`, `ROOM`, `CYLINDER` or `BALL`.
        centre: of the solid, metres.
        half: half sizes along its own x, y, z, metres.
        colour: albedo, or what it glows in.
        tile: place in the textures' bank.
        tile_m: side of the tile on the surface in metres; 0 fits one tile to each face.
        turn: about the vertical, radians.
        glow: radiance given off, in units of `colour`; light that falls on it is then ignored.
        gloss: strength of the lamp's mirror image.
    """
    return [form, *centre, *half, math.cos(turn), math.sin(turn), *colour.tolist(), glow, tile, tile_m, gloss]


@dataclass(frozen=True)
class Camera:
    """Where the picture is taken from; it looks along z before it is turned."""

    position: Point
    """Metres."""
    pitch: float
    """Radians; positive looks down."""
    roll: float
    """Radians, about the line of sight."""
    half_tan: float
    """Tangent of half the angle of view."""

    def axes(self) -> Float32[Array, "3 3"]:
        """Columns: the camera's right, down and forward in the world."""
        cp, sp = math.cos(self.pitch), math.sin(self.pitch)
        cr, sr = math.cos(self.roll), math.sin(self.roll)
        level = np.array([[1, 0, 0], [0, -cp, -sp], [0, -sp, cp]])
        turned = level @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return turned.astype(np.float32)


@dataclass(frozen=True)
class SceneLight:
    """What lights the solids."""

    lamp: Point
    """Place of the lamp, metres."""
    lamp_colour: Float32[Array, "3"]
    """Irradiance of a surface that faces the lamp at `reach`."""
    reach: float
    """Distance in metres at which the lamp's light has `lamp_colour`; it fades with the square."""
    above: Float32[Array, "3"]
    """SceneLight from above."""
    below: Float32[Array, "3"]
    """SceneLight from below."""
    contact_m: float = 0.08
    """Within about this distance solids darken one another."""


def rectangles(table: Float32[Array, "solid column"], camera: Camera, size: int) -> Int32[Array, "solid 4"]:
    """Pixels (left, top, right, bottom; the last two excluded) that each solid can cover."""
    # the eight corners of each solid's box, in the world
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    local = table[:, None, 4:7] * signs
    cosine, sine = table[:, 7, None], table[:, 8, None]
    x = cosine * local[..., 0] + sine * local[..., 2]
    z = cosine * local[..., 2] - sine * local[..., 0]
    turned = np.stack([x, local[..., 1], z], -1)

    in_camera = (turned + table[:, None, 1:4] - np.array(camera.position, np.float32)) @ camera.axes()
    depth = np.maximum(in_camera[..., 2], NEAR)
    pixel = (in_camera[..., :2] / (depth[..., None] * camera.half_tan) + 1) * (size / 2)
    low = np.floor(pixel.min(1))
    high = np.ceil(pixel.max(1))

    # a solid that reaches behind the camera may cover all of the picture, one that lies behind it nothing
    reaches_behind = in_camera[..., 2].min(1) < NEAR
    low[reaches_behind] = 0
    high[reaches_behind] = size
    low[in_camera[..., 2].max(1) < NEAR] = size

    return np.clip(np.concatenate([low, high], 1), 0, size).astype(np.int32)


def cast(
    table: Float32[Array, "solid column"],
    camera: Camera,
    light: SceneLight,
    behind: Float32[Array, "size size 3"],
) -> None:
    """Draw the solids over `behind`, in place; linear RGB."""
    size = len(behind)
    depth = np.full((size, size), np.inf, np.float32)
    owner = np.full((size, size), -1, np.int32)
    axes = camera.axes()
    eye = np.array(camera.position, np.float32)
    half_tan = np.float32(camera.half_tan)
    _find(table, rectangles(table, camera, size), axes, eye, half_tan, depth, owner)

    lamp = np.array([*light.lamp, light.reach, light.contact_m], np.float32)
    colours = np.stack([light.lamp_colour, light.above, light.below]).astype(np.float32)
    _shade(table, bank(), tile_means(), axes, eye, half_tan, lamp, colours, depth, owner, behind)


@numba.njit(cache=True, error_model="numpy")
@no_type_check
def _enter(row, ox, oy, oz, dx, dy, dz):
    """Distance along the ray o + t d at which it enters the solid, infinity where it does not.

    In coordinates in which the solid is a unit ball, cylinder or cube, the ray is inside for t from `near` to
    `far`. A room is seen from inside, so there the far side counts.
    """
    c, s = row[7], row[8]
    px, py, pz = ox - row[1], oy - row[2], oz - row[3]
    qx, qy, qz = (c * px - s * pz) / row[4], py / row[5], (s * px + c * pz) / row[6]
    ex, ey, ez = (c * dx - s * dz) / row[4], dy / row[5], (s * dx + c * dz) / row[6]
    one, tiny = np.float32(1), np.float32(1e-12)
    near, far = np.float32(-1e30), np.float32(1e30)

    # round: |q + t e|² = 1, without y for a cylinder
    if row[0] == BALL or row[0] == CYLINDER:
        a, b, cc = ex * ex + ez * ez, qx * ex + qz * ez, qx * qx + qz * qz - one
        if row[0] == BALL:
            a, b, cc = a + ey * ey, b + qy * ey, cc + qy * qy

        root = b * b - a * cc
        if root <= 0 or a < tiny:
            return np.float32(np.inf)

        root = math.sqrt(root)
        near, far = (-b - root) / a, (-b + root) / a

    # flat: between -1 and 1 along each axis, along y alone for a cylinder
    if row[0] != BALL:
        for axis in range(3):
            if row[0] == CYLINDER and axis != 1:
                continue

            e = ex if axis == 0 else (ey if axis == 1 else ez)
            q = qx if axis == 0 else (qy if axis == 1 else qz)
            if abs(e) < tiny:
                if abs(q) > 1:
                    return np.float32(np.inf)
                continue

            first, second = (-one - q) / e, (one - q) / e
            near, far = max(near, min(first, second)), min(far, max(first, second))

    if far <= near:
        return np.float32(np.inf)
    if row[0] == ROOM:
        return np.float32(far)

    return np.float32(near) if near > 0 else np.float32(np.inf)


@numba.njit(cache=True, error_model="numpy")
@no_type_check
def _find(table, boxes, axes, eye, half_tan, depth, owner):
    """Nearest solid and its distance along each pixel's ray (whose forward component is 1)."""
    size = depth.shape[0]
    step = np.float32(2 / size)
    for k in range(table.shape[0]):
        row = table[k]
        for v in range(boxes[k, 1], boxes[k, 3]):
            y = ((v + np.float32(0.5)) * step - 1) * half_tan
            for u in range(boxes[k, 0], boxes[k, 2]):
                x = ((u + np.float32(0.5)) * step - 1) * half_tan
                dx = axes[0, 0] * x + axes[0, 1] * y + axes[0, 2]
                dy = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2]
                dz = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2]
                t = _enter(row, eye[0], eye[1], eye[2], dx, dy, dz)

                if t < depth[v, u]:
                    depth[v, u] = t
                    owner[v, u] = k


@numba.njit(cache=True, error_model="numpy")
@no_type_check
def _shade(table, tiles, means, axes, eye, half_tan, lamp, colours, depth, owner, out):
    """Colour of every pixel that shows a solid."""
    size = depth.shape[0]
    step = np.float32(2 / size)
    one = np.float32(1)

    # shadow and closeness, computed once for 2 x 2 pixels of a solid: they cost most of the time
    dimmed = np.ones((2, (size + 1) // 2, (size + 1) // 2), np.float32)

    for v in range(size):
        y = ((v + np.float32(0.5)) * step - 1) * half_tan
        for u in range(size):
            k = owner[v, u]
            if k < 0:
                continue

            row, t = table[k], depth[v, u]
            x = ((u + np.float32(0.5)) * step - 1) * half_tan
            dx = axes[0, 0] * x + axes[0, 1] * y + axes[0, 2]
            dy = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2]
            dz = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2]
            px, py, pz = eye[0] + t * dx, eye[1] + t * dy, eye[2] + t * dz

            # place and normal in the solid's own frame; (a, b) run over the surface in metres
            c, s = row[7], row[8]
            wx, wy, wz = px - row[1], py - row[2], pz - row[3]
            lx, ly, lz = c * wx - s * wz, wy, s * wx + c * wz
            qx, qy, qz = lx / row[4], ly / row[5], lz / row[6]
            nx, ny, nz = np.float32(0), np.float32(0), np.float32(0)

            if row[0] == BALL or (row[0] == CYLINDER and abs(qy) < np.float32(0.9999)):
                nx, nz = qx / row[4], qz / row[6]
                if row[0] == BALL:
                    ny = qy / row[5]
                a, b = np.arctan2(qx, qz) * max(row[4], row[6]), ly
                wide, high = np.float32(3.1415927) * max(row[4], row[6]), row[5]
            elif row[0] == CYLINDER or (abs(qy) >= abs(qx) and abs(qy) >= abs(qz)):
                ny = one if qy > 0 else -one
                a, b, wide, high = lx, lz, row[4], row[6]
            elif abs(qx) >= abs(qz):
                nx = one if qx > 0 else -one
                a, b, wide, high = lz, ly, row[6], row[5]
            else:
                nz = one if qz > 0 else -one
                a, b, wide, high = lx, ly, row[4], row[5]

            norm = one / math.sqrt(nx * nx + ny * ny + nz * nz)
            if row[0] == ROOM:
                norm = -norm

            nx, ny, nz = nx * norm, ny * norm, nz * norm
            nx, nz = c * nx + s * nz, -s * nx + c * nz

            # texture: bilinear, fading to its mean where a pixel holds more than a few of its own
            unit = row[14]
            if unit > 0:
                fx, fy = a / unit, -b / unit
                footprint = t * half_tan * step / unit * TILE
            else:
                fx, fy = np.float32(0.5) + a / (2 * wide), np.float32(0.5) - b / (2 * high)
                footprint = t * half_tan * step / (2 * min(wide, high)) * TILE

            fade = one / (one + np.float32(0.03) * footprint * footprint)
            fx, fy = fx * TILE - np.float32(0.5), fy * TILE - np.float32(0.5)
            ix, iy = math.floor(fx), math.floor(fy)
            rx, ry = fx - ix, fy - iy
            x0, x1, y0, y1 = ix % TILE, (ix + 1) % TILE, iy % TILE, (iy + 1) % TILE
            tile = int(row[13])

            # lamp, its shadow, and the darkening where solids meet
            tox, toy, toz = lamp[0] - px, lamp[1] - py, lamp[2] - pz
            far = math.sqrt(tox * tox + toy * toy + toz * toz)
            lit = (nx * tox + ny * toy + nz * toz) / far
            shadow, closeness = one, one

            if (v & 1 or u & 1) and owner[v & -2, u & -2] == k:
                shadow, closeness = dimmed[0, v >> 1, u >> 1], dimmed[1, v >> 1, u >> 1]
            elif row[12] == 0:
                # 2 mm off the surface, so that it does not shadow itself
                ex = px + np.float32(2e-3) * nx
                ey = py + np.float32(2e-3) * ny
                ez = pz + np.float32(2e-3) * nz

                for j in range(table.shape[0]):
                    other = table[j]
                    if other[0] == ROOM or other[12] > 0 or j == k:
                        continue

                    gx, gy, gz = px - other[1], py - other[2], pz - other[3]
                    apart = gx * gx + gy * gy + gz * gz
                    around = other[4] * other[4] + other[5] * other[5] + other[6] * other[6]

                    # a shadow only if the way to the lamp passes through the ball round the solid
                    if lit > 0 and shadow > 0:
                        along = -(gx * tox + gy * toy + gz * toz) / (far * far)
                        along = min(max(along, np.float32(0)), one)
                        mx, my, mz = gx + along * tox, gy + along * toy, gz + along * toz
                        passes = mx * mx + my * my + mz * mz < around
                        if passes and _enter(other, ex, ey, ez, tox, toy, toz) < one:
                            shadow = np.float32(0)

                    # the nearer to the solid's box, the darker
                    if apart > np.float32(2) * (around + np.float32(9) * lamp[4] * lamp[4]):
                        continue

                    mx = max(abs(other[7] * gx - other[8] * gz) - other[4], np.float32(0))
                    my = max(abs(gy) - other[5], np.float32(0))
                    mz = max(abs(other[8] * gx + other[7] * gz) - other[6], np.float32(0))
                    gap = (mx * mx + my * my + mz * mz) / (lamp[4] * lamp[4])
                    if gap < 9:
                        closeness *= one - np.float32(0.5) / (one + 3 * gap)

                # the edges of a room
                if row[0] == ROOM:
                    edge = lamp[4] * 3
                    own = max(abs(qx), abs(qy), abs(qz))
                    for reach, gap in (
                        (abs(qx), row[4] - abs(lx)),
                        (abs(qy), row[5] - abs(ly)),
                        (abs(qz), row[6] - abs(lz)),
                    ):
                        if reach < own:
                            closeness *= one - np.float32(0.3) / (one + (gap / edge) * (gap / edge))

                if not (v & 1 or u & 1):
                    dimmed[0, v >> 1, u >> 1], dimmed[1, v >> 1, u >> 1] = shadow, closeness

            # the lamp fades with the square of the distance, with a floor close to it
            fall = lamp[3] * lamp[3] / (far * far + np.float32(0.05) * lamp[3] * lamp[3])
            direct = max(lit, np.float32(0)) * shadow * fall
            up = np.float32(0.5) + np.float32(0.5) * ny

            # the lamp's mirror image
            shine = np.float32(0)

            if row[15] > 0 and shadow > 0:
                hx, hy, hz = tox / far - dx, toy / far - dy, toz / far - dz
                half = (nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz)
                shine = row[15] * max(half, np.float32(0)) ** 40 * fall

            # the texture's value, and all light together
            for channel in range(3):
                top = tiles[tile, y0, x0, channel] * (one - rx) + tiles[tile, y0, x1, channel] * rx
                bottom = tiles[tile, y1, x0, channel] * (one - rx) + tiles[tile, y1, x1, channel] * rx
                mean = means[tile, channel]
                albedo = row[9 + channel] * (mean + fade * (top * (one - ry) + bottom * ry - mean))

                if row[12] > 0:
                    out[v, u, channel] = row[12] * albedo
                else:
                    ambient = (colours[1, channel] * up + colours[2, channel] * (one - up)) * closeness
                    out[v, u, channel] = (
                        albedo * (ambient + colours[0, channel] * direct) + colours[0, channel] * shine
                    )
