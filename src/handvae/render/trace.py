"""The reference renderer: rays marched through the signed distance, four a pixel; compiled.

Rays of a tile of 8 x 8 pixels share the list of capsules whose discs on the picture touch the tile, so most
points are measured against a dozen capsules. Occlusion and shadow use all that are near enough to matter.
"""

import math
from typing import no_type_check

import numpy as np
from numba import njit

from handvae.render.hand.body import COUNT
from handvae.render.hand.distance import SCRATCH, distance, gradient, near, to_rest
from handvae.render.hand.shade import light_point
from handvae.render.hand.skin import paint, relief

_TILE = 8
# four rays of a pixel, on a rotated grid
_GRID = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))
# where occlusion measures the distance, mm above the skin, and its weights
_TAPS = ((2.5, 0.30), (7.0, 0.30), (15.0, 0.25), (28.0, 0.15))


@njit(cache=True, fastmath=True)
@no_type_check
def _in_tile(table, ends, focal, centre, x0, y0, side, use):
    """List in `use` the capsules that a ray of the tile may meet; returns how many, and the depth to start.

    Each end's sphere, widened by the room that blending takes, is bounded by a square on the picture.
    """
    count, start = 0, 1e9
    for i in range(COUNT):
        hit = False
        closest = 1e9
        reach = max(table[i, 13], table[i, 13] + table[i, 14]) * 1.9 + 8.0
        low_x = low_y = 1e9
        high_x = high_y = -1e9

        for e in range(2):
            z = max(ends[i, e, 2], 30.0)
            u = focal * ends[i, e, 0] / z + centre
            v = focal * ends[i, e, 1] / z + centre
            r = focal * reach / max(z - reach, 20.0)
            low_x, high_x = min(low_x, u - r), max(high_x, u + r)
            low_y, high_y = min(low_y, v - r), max(high_y, v + r)
            closest = min(closest, ends[i, e, 2] - reach)

        hit = low_x <= x0 + side and high_x >= x0 and low_y <= y0 + side and high_y >= y0
        if hit:
            use[count] = i
            count += 1
            start = min(start, closest)

    return count, max(start, 25.0)


@njit(cache=True, fastmath=True)
@no_type_check
def march(table, use, count, dx, dy, dz, t, far, pieces):
    """Distance along a ray to the skin, or -1.

    Sphere tracing: the distance to the skin is a safe step. After ten steps a smallest step that grows keeps
    rays along a surface from crawling.
    """
    gap = 9.0
    for step in range(80):
        gap = distance(table, use, count, dx * t, dy * t, dz * t, pieces)
        if gap <= 0.06:
            return t
        t += max(gap, 0.02 * (step - 10))
        if t > far:
            return -1.0

    return t if gap < 0.5 else -1.0


@njit(cache=True, fastmath=True)
@no_type_check
def occlusion_at(table, x, y, z, normal, use, pieces):
    """Share of the sky that is open to a point of skin.

    Above open skin the distance grows as the height; where it grows less, flesh covers that much of the sky.
    """
    count = near(table, x, y, z, 60.0, use)
    open_sky = 0.0
    for height, weight in _TAPS:
        gap = distance(
            table, use, count, x + normal[0] * height, y + normal[1] * height, z + normal[2] * height, pieces
        )
        open_sky += weight * min(max(gap / height, 0.0), 1.0)

    return open_sky**1.1


@njit(cache=True, fastmath=True)
@no_type_check
def shadow_at(table, x, y, z, normal, key, sharpness, use, pieces):
    """Share of the key light that reaches a point of skin.

    Marches towards the light; the narrowest gap over its distance is the angle of the lamp that stays open,
    from -1 (covered) to 1, and a cubic turns it into a share of its disc.
    """
    for i in range(COUNT):
        use[i] = i

    lit, t = 1.0, 2.0
    x, y, z = x + 1.2 * normal[0], y + 1.2 * normal[1], z + 1.2 * normal[2]
    for _ in range(14):
        gap = distance(table, use, COUNT, x + key[0] * t, y + key[1] * t, z + key[2] * t, pieces)
        lit = min(lit, max(sharpness * gap / t, -1.0))
        if lit <= -1.0 or t > 220.0:
            break
        t += min(max(gap, 2.0), 30.0)

    return 0.25 * (1 + lit) ** 2 * (2 - lit)


@njit(cache=True, fastmath=True, nogil=True)
@no_type_check
def trace(table, maps, ends, marks, appearance, light, focal, size, colour, alpha, depth, group):
    """Draw a hand into arrays of `size` x `size`.

    `colour` gets radiance times coverage, `alpha` coverage, `depth` that of the nearest hit in mm, `group`
    the group that most rays hit (-1 none, 0 palm, 1-5 a finger, 6 forearm).
    """
    centre = size / 2
    use, close, pieces = np.empty(COUNT, np.int64), np.empty(COUNT, np.int64), np.empty(SCRATCH)
    normal, rest, skin = np.empty(3), np.empty(17), np.empty(7)
    scratch, shape, rgb = np.empty(18), np.empty(6), np.empty(3)
    votes = np.empty(8)

    # no ray needs to go further than the furthest end of a capsule
    far = 0.0

    for i in range(COUNT):
        for e in range(2):
            far = max(far, math.sqrt(ends[i, e, 0] ** 2 + ends[i, e, 1] ** 2 + ends[i, e, 2] ** 2) + 60.0)

    for y0 in range(0, size, _TILE):
        for x0 in range(0, size, _TILE):
            count, start = _in_tile(table, ends, focal, centre, x0, y0, _TILE, use)
            if count == 0:
                continue

            for v in range(y0, min(y0 + _TILE, size)):
                for u in range(x0, min(x0 + _TILE, size)):
                    votes[:] = 0.0
                    red = green = blue = 0.0
                    hits, nearest = 0, 1e9

                    for ray in range(4):
                        dx = (u + 0.5 + _GRID[ray][0] - centre) / focal
                        dy = (v + 0.5 + _GRID[ray][1] - centre) / focal
                        norm = math.sqrt(dx * dx + dy * dy + 1)
                        dx, dy, dz = dx / norm, dy / norm, 1 / norm
                        t = march(table, use, count, dx, dy, dz, start, far, pieces)
                        if t < 0:
                            continue

                        hits += 1
                        x, y, z = dx * t, dy * t, dz * t
                        nearest = min(nearest, z)

                        # the normal, and the point on the resting hand, where the skin is painted
                        around = near(table, x, y, z, 30.0, close)
                        gradient(table, close, around, x, y, z, pieces, normal)
                        to_rest(table, maps, close, around, x, y, z, pieces, rest)
                        rx, ry, rz, body, which = rest[12], rest[13], rest[14], rest[15], int(rest[16])
                        footprint = 0.5 * t / focal
                        paint(marks, appearance, rx, ry, rz, which, body, footprint, skin, scratch)

                        # Relief: its gradient on the resting hand by differences, brought back to the camera.
                        nx, ny, nz = normal[0], normal[1], normal[2]

                        if appearance.glove == 0 and skin[4] < 0.5:
                            flat, step = scratch[12], 0.35
                            wobble = scratch[4]
                            relief(marks, rx + step, ry, rz, which, body, wobble, footprint, shape)
                            gx = (shape[0] - flat) / step
                            relief(marks, rx, ry + step, rz, which, body, wobble, footprint, shape)
                            gy = (shape[0] - flat) / step
                            relief(marks, rx, ry, rz + step, which, body, wobble, footprint, shape)
                            gz = (shape[0] - flat) / step

                            # n + roughness - A^T g, A the affine map to the resting hand
                            rough = appearance.bump * (1 - 0.8 * skin[5])
                            nx += rough * (0.07 * scratch[8] + 0.06 * scratch[4]) - (
                                rest[0] * gx + rest[3] * gy + rest[6] * gz
                            )
                            ny += rough * (0.07 * scratch[9] + 0.06 * scratch[5]) - (
                                rest[1] * gx + rest[4] * gy + rest[7] * gz
                            )
                            nz += rough * (0.07 * scratch[10] + 0.06 * scratch[6]) - (
                                rest[2] * gx + rest[5] * gy + rest[8] * gz
                            )
                            norm = math.sqrt(nx * nx + ny * ny + nz * nz)
                            nx, ny, nz = nx / norm, ny / norm, nz / norm

                        open_sky = occlusion_at(table, x, y, z, normal, close, pieces)
                        key = light.key_direction
                        lit = shadow_at(table, x, y, z, normal, key, light.sharpness, close, pieces)
                        light_point(appearance, light, nx, ny, nz, -dx, -dy, -dz, skin, open_sky, lit, rgb)
                        red += rgb[0]
                        green += rgb[1]
                        blue += rgb[2]
                        votes[which + 1 if body < 0.5 else 6 if rx < 0 else 0] += 1

                    if hits:
                        colour[v, u, 0], colour[v, u, 1], colour[v, u, 2] = red / 4, green / 4, blue / 4
                        alpha[v, u] = hits / 4
                        depth[v, u] = nearest
                        group[v, u] = np.argmax(votes)
