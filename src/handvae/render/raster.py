"""The fast renderer: the baked surface in a z-buffer with four samples a pixel; compiled.

A sample keeps its nearest triangle and its place within it (barycentric weights). A pixel whose samples all
show one piece of skin is shaded once, any other once a sample.
"""

import math
from typing import no_type_check

import numpy as np
from numba import njit

from handvae.render.hand.shade import light_point
from handvae.render.hand.skin import paint


@njit(cache=True, fastmath=True)
@no_type_check
def _fill(points, faces, focal, size, zbuffer, owner, share):
    """z-buffer of 2 x 2 samples a pixel: nearest depth, its triangle (-1 none) and the place within it."""
    side = 2 * size
    centre = float(size)
    scale = 2 * focal

    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        az, bz, cz = points[a, 2], points[b, 2], points[c, 2]
        if az < 30.0 or bz < 30.0 or cz < 30.0:
            continue

        ax, ay = scale * points[a, 0] / az + centre, scale * points[a, 1] / az + centre
        bx, by = scale * points[b, 0] / bz + centre, scale * points[b, 1] / bz + centre
        cx, cy = scale * points[c, 0] / cz + centre, scale * points[c, 1] / cz + centre

        # seen from behind: y points down, so a triangle that faces the camera has a negative area
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= -1e-9:
            continue

        # samples whose centres lie in the triangle's rectangle
        left = max(math.ceil(min(ax, bx, cx) - 0.5), 0)
        right = min(math.floor(max(ax, bx, cx) - 0.5), side - 1)
        upper = max(math.ceil(min(ay, by, cy) - 0.5), 0)
        lower = min(math.floor(max(ay, by, cy) - 0.5), side - 1)

        # 1/z is linear on the picture, z is not
        ia, ib, ic = 1 / az, 1 / bz, 1 / cz

        for v in range(upper, lower + 1):
            py = v + 0.5
            for u in range(left, right + 1):
                px = u + 0.5
                wb = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) / area
                wc = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) / area
                wa = 1 - wb - wc
                if wa < 0 or wb < 0 or wc < 0:
                    continue

                depth = 1 / (wa * ia + wb * ib + wc * ic)
                if depth < zbuffer[v, u]:
                    zbuffer[v, u] = depth
                    owner[v, u] = face
                    share[v, u, 0] = wb
                    share[v, u, 1] = wc


@njit(cache=True, fastmath=True, nogil=True)
@no_type_check
def raster(points, shading, surface, marks, appearance, light, focal, size, colour, alpha, depth, group):
    """Draw a posed mesh: the same outputs as `trace.trace`."""
    zbuffer = np.full((2 * size, 2 * size), 1e9)
    owner = np.full((2 * size, 2 * size), -1, np.int64)
    share = np.empty((2 * size, 2 * size, 2))
    _fill(points, surface.faces, focal, size, zbuffer, owner, share)

    # of each sample: normal 0-2, open sky 3, key light 4, place on the resting hand 5-7, depth 8, share of
    # the palm 9
    at = np.empty((4, 10))
    which = np.empty(4, np.int64)
    skin, scratch, rgb, votes = np.empty(7), np.empty(18), np.empty(3), np.empty(8)

    for v in range(size):
        for u in range(size):
            # interpolate over the triangle of each sample that hits
            hits = 0
            for sample in range(4):
                j, i = 2 * v + sample // 2, 2 * u + sample % 2
                face = owner[j, i]
                if face < 0:
                    continue

                a, b, c = surface.faces[face, 0], surface.faces[face, 1], surface.faces[face, 2]
                wb, wc = share[j, i, 0], share[j, i, 1]
                wa = 1 - wb - wc
                for k in range(5):
                    at[hits, k] = wa * shading[a, k] + wb * shading[b, k] + wc * shading[c, k]

                for k in range(3):
                    rest = surface.rest
                    at[hits, 5 + k] = wa * rest[a, k] + wb * rest[b, k] + wc * rest[c, k]

                at[hits, 8] = zbuffer[j, i]
                at[hits, 9] = wa * surface.body[a] + wb * surface.body[b] + wc * surface.body[c]

                # a finger is a name, so the nearest corner decides
                if wa >= max(wb, wc):
                    which[hits] = surface.finger[a]
                elif wb >= wc:
                    which[hits] = surface.finger[b]
                else:
                    which[hits] = surface.finger[c]

                hits += 1

            if hits == 0:
                continue

            low, high = 1e9, 0.0
            alike = True
            for sample in range(hits):
                low = min(low, at[sample, 8])
                high = max(high, at[sample, 8])
                alike &= which[sample] == which[0]

            # one piece of skin is shaded once, at the samples' mean
            footprint = low / focal
            shaded = hits
            if alike and high - low < 2.0 + 3.0 * footprint:
                for k in range(10):
                    mean = 0.0
                    for sample in range(hits):
                        mean += at[sample, k]
                    at[0, k] = mean / hits
                shaded = 1
            else:
                footprint *= 0.5

            dx, dy = (u + 0.5 - size / 2) / focal, (v + 0.5 - size / 2) / focal
            norm = math.sqrt(dx * dx + dy * dy + 1)
            vx, vy, vz = -dx / norm, -dy / norm, -1 / norm
            votes[:] = 0.0
            red = green = blue = 0.0

            for sample in range(shaded):
                p = at[sample]
                length = math.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]) + 1e-9
                nx, ny, nz = p[0] / length, p[1] / length, p[2] / length
                paint(marks, appearance, p[5], p[6], p[7], which[sample], p[9], footprint, skin, scratch)
                light_point(appearance, light, nx, ny, nz, vx, vy, vz, skin, p[3], p[4], rgb)
                red += rgb[0]
                green += rgb[1]
                blue += rgb[2]
                # 0 palm, 1-5 a finger, 6 the forearm, which lies behind the wrist at x = 0
                votes[which[sample] + 1 if p[9] < 0.5 else 6 if p[5] < 0 else 0] += 1

            weight = hits / (4.0 * shaded)
            colour[v, u, 0] = red * weight
            colour[v, u, 1] = green * weight
            colour[v, u, 2] = blue * weight
            alpha[v, u] = hits / 4
            depth[v, u] = low
            group[v, u] = np.argmax(votes)
