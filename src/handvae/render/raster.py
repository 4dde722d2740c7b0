"""The fast renderer: the baked surface in a z-buffer with four samples a pixel; compiled."""

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
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= -1e-9:  # seen from behind: y points down, so what faces us turns the other way
            continue
        left, right = (
            max(math.ceil(min(ax, bx, cx) - 0.5), 0),
            min(math.floor(max(ax, bx, cx) - 0.5), side - 1),
        )
        upper, lower = (
            max(math.ceil(min(ay, by, cy) - 0.5), 0),
            min(math.floor(max(ay, by, cy) - 0.5), side - 1),
        )
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
                    share[v, u, 0], share[v, u, 1] = wb, wc


@njit(cache=True, fastmath=True, nogil=True)
@no_type_check
def raster(points, shading, surface, marks, skin_look, light, focal, size, colour, alpha, depth, group):
    """Draw a posed mesh: the same outputs as `trace.trace`."""
    zbuffer = np.full((2 * size, 2 * size), 1e9)
    owner = np.full((2 * size, 2 * size), -1, np.int64)
    share = np.empty((2 * size, 2 * size, 2))
    _fill(points, surface.faces, focal, size, zbuffer, owner, share)
    skin, scratch, rgb, votes = np.empty(7), np.empty(18), np.empty(3), np.empty(8)
    at = np.empty(
        (4, 10)
    )  # of each sample: normal, open sky, key light, place on the resting hand, depth, share of palm
    which = np.empty(4, np.int64)
    for v in range(size):
        for u in range(size):
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
                    at[hits, 5 + k] = (
                        wa * surface.rest[a, k] + wb * surface.rest[b, k] + wc * surface.rest[c, k]
                    )
                at[hits, 8] = zbuffer[j, i]
                at[hits, 9] = wa * surface.body[a] + wb * surface.body[b] + wc * surface.body[c]
                which[hits] = (
                    surface.finger[a]
                    if wa >= max(wb, wc)
                    else surface.finger[b]
                    if wb >= wc
                    else surface.finger[c]
                )
                hits += 1
            if hits == 0:
                continue
            low, high, alike = at[0, 8], at[0, 8], True
            for sample in range(1, hits):
                low, high = min(low, at[sample, 8]), max(high, at[sample, 8])
                alike &= which[sample] == which[0]
            footprint = low / focal
            shaded = hits
            if (
                alike and high - low < 2.0 + 3.0 * footprint
            ):  # one piece of skin: shaded once, at the samples' mean
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
            votes[:] = 0.0
            red = green = blue = 0.0
            for sample in range(shaded):
                p = at[sample]
                length = math.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]) + 1e-9
                paint(marks, skin_look, p[5], p[6], p[7], which[sample], p[9], footprint, skin, scratch)
                light_point(
                    skin_look,
                    light,
                    p[0] / length,
                    p[1] / length,
                    p[2] / length,
                    -dx / norm,
                    -dy / norm,
                    -1 / norm,
                    skin,
                    p[3],
                    p[4],
                    rgb,
                )
                red, green, blue = red + rgb[0], green + rgb[1], blue + rgb[2]
                votes[which[sample] + 1 if p[9] < 0.5 else 6 if p[5] < 0 else 0] += 1
            weight = hits / (4.0 * shaded)
            colour[v, u, 0], colour[v, u, 1], colour[v, u, 2] = red * weight, green * weight, blue * weight
            alpha[v, u] = hits / 4
            depth[v, u] = low
            group[v, u] = np.argmax(votes)
