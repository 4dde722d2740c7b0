"""Signed distance to a posed hand, its normal, and the place of a point on the resting hand; compiled.

A capsule's distance d_i is that of its squashed local coordinates, never more than the true one. Capsules of
a group g blend by a log-sum-exp of k_g mm, the six groups by another of u mm:
    D_g = -k_g log Σ_{i in g} exp(-d_i / k_g)        D = -u log Σ_g exp(-D_g / u)
So the fingers stay apart from the palm and from each other, and their roots web. All exponents are taken
relative to the nearest capsule, which keeps them in range.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from handvae.render.hand.body import BLEND_MM, COUNT, GROUP, UNION_MM, Body

_FAR_MM = 1e9
_BLENDS = tuple(BLEND_MM.tolist())
_GROUPS = GROUP.copy()
_SKIN_BLEND_MM = 2.2
SCRATCH = COUNT + 12
"""Numbers that `scratch` must hold: a distance a capsule, two a group."""


@njit(cache=True, fastmath=True, inline="always")
@no_type_check
def capsule_distance(table, i, x, y, z):
    """Distance from one capsule: to its axis, minus its radius there."""
    along = table[i, 0] * x + table[i, 1] * y + table[i, 2] * z + table[i, 9]
    across = table[i, 3] * x + table[i, 4] * y + table[i, 5] * z + table[i, 10]
    dorsal = table[i, 6] * x + table[i, 7] * y + table[i, 8] * z + table[i, 11]
    share = min(max(along / table[i, 12], 0.0), 1.0)
    beyond = along - share * table[i, 12]
    return np.sqrt(beyond * beyond + across * across + dorsal * dorsal) - table[i, 13] - share * table[i, 14]


@njit(cache=True, fastmath=True)
@no_type_check
def distance(table, use, count, x, y, z, scratch):
    """Distance in mm from the capsules `use[:count]`; `scratch` has room for `SCRATCH` numbers."""
    nearest = _FAR_MM
    for j in range(count):
        scratch[j] = capsule_distance(table, use[j], x, y, z)
        nearest = min(nearest, scratch[j])

    # Sums of the groups in registers, not in an array: this is the innermost function of every ray. Terms
    # below 1e-5 are left out.
    sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    s0, s1, s2, s3, s4, s5 = sums
    for j in range(count):
        group = _GROUPS[use[j]]
        over = scratch[j] - nearest
        if group == 0:
            if over < 43.0:
                s0 += np.exp(-over / _BLENDS[0])
        elif over < 14.0:
            weight = np.exp(-over / _BLENDS[1])
            if group == 1:
                s1 += weight
            elif group == 2:
                s2 += weight
            elif group == 3:
                s3 += weight
            elif group == 4:
                s4 += weight
            else:
                s5 += weight

    # distances of the groups, relative to the nearest capsule
    o0 = -_BLENDS[0] * np.log(s0) if s0 > 0 else 50.0
    o1 = -_BLENDS[1] * np.log(s1) if s1 > 0 else 50.0
    o2 = -_BLENDS[1] * np.log(s2) if s2 > 0 else 50.0
    o3 = -_BLENDS[1] * np.log(s3) if s3 > 0 else 50.0
    o4 = -_BLENDS[1] * np.log(s4) if s4 > 0 else 50.0
    o5 = -_BLENDS[1] * np.log(s5) if s5 > 0 else 50.0
    low = min(min(min(o0, o1), min(o2, o3)), min(o4, o5))

    total = 0.0

    for o in (o0, o1, o2, o3, o4, o5):
        if o - low < 6.0:
            total += np.exp((low - o) / UNION_MM)

    return nearest + low - UNION_MM * np.log(total)


@njit(cache=True, fastmath=True)
@no_type_check
def gradient(table, use, count, x, y, z, scratch, out):
    """Outward unit normal into `out[:3]`; returns the distance.

    The exact gradient of `distance`, a weighted mean of the capsules' gradients:
        w_i = exp(-(d_i - D_g) / k_g) exp(-(D_g - D) / u)
    """
    nearest = _FAR_MM
    for j in range(count):
        scratch[j] = capsule_distance(table, use[j], x, y, z)
        nearest = min(nearest, scratch[j])

    sums = scratch[COUNT : COUNT + 6]
    offsets = scratch[COUNT + 6 : COUNT + 12]
    sums[:] = 0.0
    for j in range(count):
        group = _GROUPS[use[j]]
        sums[group] += np.exp(-(scratch[j] - nearest) / _BLENDS[group])

    # distances of the groups, then their weights
    low = _FAR_MM
    for group in range(6):
        offsets[group] = -_BLENDS[group] * np.log(sums[group] + 1e-30)
        low = min(low, offsets[group])

    total = 0.0
    for group in range(6):
        offsets[group] = np.exp((low - offsets[group]) / UNION_MM)
        total += offsets[group]

    nx = ny = nz = 0.0
    for j in range(count):
        i = use[j]
        group = _GROUPS[i]
        weight = np.exp(-(scratch[j] - nearest) / _BLENDS[group]) / (sums[group] + 1e-30) * offsets[group]
        if weight < 1e-7:
            continue

        # the point in the capsule's coordinates, as in `capsule_distance`
        along = table[i, 0] * x + table[i, 1] * y + table[i, 2] * z + table[i, 9]
        across = table[i, 3] * x + table[i, 4] * y + table[i, 5] * z + table[i, 10]
        dorsal = table[i, 6] * x + table[i, 7] * y + table[i, 8] * z + table[i, 11]
        share = along / table[i, 12]
        inside = 0.0 < share < 1.0
        share = min(max(share, 0.0), 1.0)
        beyond = along - share * table[i, 12]
        radial = np.sqrt(beyond * beyond + across * across + dorsal * dorsal)

        # Gradient of this distance in its coordinates, then in those of the caller. Between the ends the
        # radius changes along the axis, beyond them it does not.
        scale = weight / max(radial, 1e-4)
        gx = scale * (beyond - (table[i, 14] / table[i, 12] * radial if inside else 0.0))
        gy, gz = scale * across, scale * dorsal
        nx += gx * table[i, 0] + gy * table[i, 3] + gz * table[i, 6]
        ny += gx * table[i, 1] + gy * table[i, 4] + gz * table[i, 7]
        nz += gx * table[i, 2] + gy * table[i, 5] + gz * table[i, 8]

    norm = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
    out[0], out[1], out[2] = nx / norm, ny / norm, nz / norm
    return nearest + low - UNION_MM * np.log(total)


@njit(cache=True, fastmath=True)
@no_type_check
def near(table, x, y, z, reach, use):
    """List in `use` the capsules at most `reach` mm further than the nearest one; returns how many.

    With 30 mm and more the blended distance is that of all capsules to a hundredth of a millimetre.
    """
    nearest = _FAR_MM
    for i in range(COUNT):
        nearest = min(nearest, capsule_distance(table, i, x, y, z))

    count = 0
    for i in range(COUNT):
        if capsule_distance(table, i, x, y, z) <= nearest + reach:
            use[count] = i
            count += 1

    return count


@njit(cache=True)
@no_type_check
def _distances(table, points):
    use, scratch, out = np.arange(COUNT), np.empty(SCRATCH), np.empty(len(points))
    for row in range(len(points)):
        out[row] = distance(table, use, COUNT, points[row, 0], points[row, 1], points[row, 2], scratch)
    return out


def distances(body: Body, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, " point"]:
    """Signed distance, mm, of points in the hand frame: negative inside."""
    return _distances(body.packed(np.eye(3), np.zeros(3)), np.ascontiguousarray(points, np.float64))


@njit(cache=True)
@no_type_check
def _normals(table, points):
    use, scratch, out = np.arange(COUNT), np.empty(SCRATCH), np.empty((len(points), 3))
    for row in range(len(points)):
        gradient(table, use, COUNT, points[row, 0], points[row, 1], points[row, 2], scratch, out[row])
    return out


def normals(body: Body, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    """Outward unit normals at points in the hand frame."""
    return _normals(body.packed(np.eye(3), np.zeros(3)), np.ascontiguousarray(points, np.float64))


def rest_maps(
    body: Body, rest: Body, rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "capsule 12"]:
    """For each capsule the affine map from the camera frame to the same capsule of the resting hand.

    Lengths and radii are stretched to those of the resting hand. Columns: the 3 x 3 matrix row by row, then
    the shift.
    """
    stretch = np.empty((COUNT, 3))
    stretch[:, 0] = rest.length / body.length
    stretch[:, 1:] = (rest.radius.mean(1) / body.radius.mean(1))[:, None]

    # camera -> local axes, stretched -> hand frame of the resting hand
    local = body.axes @ rotation.T
    origin = body.start @ rotation.T + translation
    matrix = np.swapaxes(rest.axes, 1, 2) @ (stretch[:, :, None] * local)
    shift = rest.start - np.einsum("cij,cj->ci", matrix, origin)

    return np.ascontiguousarray(np.concatenate([matrix.reshape(COUNT, 9), shift], 1))


@njit(cache=True, fastmath=True)
@no_type_check
def to_rest(table, maps, use, count, x, y, z, scratch, out):
    """Inverse skinning: the place of a point of skin on the resting hand.

    `out[:12]` is the affine map from the camera frame at this point, a mean of the capsules' maps by their
    nearness; `out[12:15]` the place; `out[15]` the share of the palm's and forearm's capsules; `out[16]` the
    finger (0-4) with the largest share.
    """
    nearest = _FAR_MM
    for j in range(count):
        scratch[j] = capsule_distance(table, use[j], x, y, z)
        nearest = min(nearest, scratch[j])

    for k in range(17):
        out[k] = 0.0

    total = 0.0
    groups = scratch[COUNT : COUNT + 6]
    groups[:] = 0.0

    for j in range(count):
        weight = np.exp(-(scratch[j] - nearest) / _SKIN_BLEND_MM)
        if weight < 1e-4:
            continue

        i = use[j]
        total += weight
        groups[_GROUPS[i]] += weight
        for k in range(12):
            out[k] += weight * maps[i, k]

    for k in range(12):
        out[k] /= total

    out[12] = out[0] * x + out[1] * y + out[2] * z + out[9]
    out[13] = out[3] * x + out[4] * y + out[5] * z + out[10]
    out[14] = out[6] * x + out[7] * y + out[8] * z + out[11]
    out[15] = groups[0] / total
    out[16] = np.argmax(groups[1:])
