"""The baked surface of the resting hand, posed: a vertex follows its capsules, then steps onto the surface.

`baked()` makes the mesh once a process: surface nets over the distance of `body.rest_body`. `deform` carries
it into a pose, with normals, occlusion and shadow, a vertex at a time and compiled.
"""

import math
from functools import lru_cache
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from handvae.render.hand.body import COUNT, GROUP, NAMES, Body, rest_body
from handvae.render.hand.distance import SCRATCH, capsule_distance, distances, gradient, normals

FINE_MM, COARSE_MM = 3.0, 4.5
"""Spacing of the mesh: the coarse one is for pictures of up to 160 px."""
_SKIN_BLEND_MM = 2.2
_FOLLOWED = 8
"""Capsules that a vertex follows and is measured against."""


def _casts_shadow(name: str) -> bool:
    """Whether a capsule hides sky and light: the thick ones, not the pads and webs between them."""
    fingers = ("proximal", "middle", "distal")
    palm = ("metacarpal", "thumb_metacarpal", "thenar", "hypothenar", "wrist", "forearm")
    return name.startswith(fingers + palm) and "pad" not in name and name != "thenar2"


CAST = np.array([i for i, name in enumerate(NAMES) if _casts_shadow(name)])
"""Capsules that hide sky and light."""


class Surface(NamedTuple):
    """The mesh of the resting hand; a tuple that compiled code reads."""

    rest: np.ndarray
    """[vertex, 3], mm."""
    faces: np.ndarray
    """[triangle, 3], counter-clockwise seen from outside."""
    capsules: np.ndarray
    """[vertex, _FOLLOWED], nearest first."""
    weights: np.ndarray
    """[vertex, _FOLLOWED], share of each in the vertex's movement."""
    finger: np.ndarray
    """[vertex], the nearest finger, 0-4."""
    body: np.ndarray
    """[vertex], share of palm and forearm; the rest is the finger's."""
    lift_mm: float
    """How far vertices lie outside the true surface, to make up for flat triangles on a round finger."""


@lru_cache(maxsize=2)
def baked(spacing_mm: float = FINE_MM) -> Surface:
    """The mesh at a spacing; less than a second, once a process."""
    rest = rest_body()

    # the distance on a grid, coarse along the forearm
    arm = np.arange(-266.0, -24.0, 12.0)
    axes = (
        np.concatenate([arm, np.arange(-24.0, 216.0, spacing_mm)]),
        np.arange(-84.0, 126.0, spacing_mm),
        np.arange(-90.0, 60.0, spacing_mm),
    )
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    field = distances(rest, grid.reshape(-1, 3)).reshape(grid.shape[:3])

    # a mesh of its zero level, moved onto the surface by a few Newton steps
    points, faces = _surface_nets(field, axes)
    for _ in range(4):
        points = points - normals(rest, points) * distances(rest, points)[:, None]

    # which capsules each vertex follows, and how much: the nearest ones, weights that fall as exp(-gap)
    table = rest.packed(np.eye(3), np.zeros(3))
    gaps = np.stack([_from_capsule(table, i, points) for i in range(COUNT)], 1)
    order = np.argsort(gaps, axis=1, kind="stable")[:, :_FOLLOWED]
    gaps = np.take_along_axis(gaps, order, 1)
    weights = np.exp(-(gaps - gaps[:, :1]) / _SKIN_BLEND_MM)
    weights = np.where(weights < 1e-3, 0, weights)
    weights = weights / weights.sum(1, keepdims=True)
    shares = np.stack([(weights * (GROUP[order] == group)).sum(1) for group in range(6)], 1)

    return Surface(
        rest=points,
        faces=faces,
        capsules=order,
        weights=weights,
        finger=shares[:, 1:].argmax(1),
        body=np.ascontiguousarray(shares[:, 0]),
        lift_mm=spacing_mm**2 / 60,
    )


@njit(cache=True)
@no_type_check
def _from_capsule(table, i, points):
    """Distance of each point from one capsule."""
    out = np.empty(len(points))
    for row in range(len(points)):
        out[row] = capsule_distance(table, i, points[row, 0], points[row, 1], points[row, 2])
    return out


def _surface_nets(
    field: Float[np.ndarray, "x y z"], axes: tuple[np.ndarray, ...]
) -> tuple[Float[np.ndarray, "vertex 3"], np.ndarray]:
    """Mesh of the zero level of a field on a rectilinear grid.

    A vertex in the middle of each cell that the surface crosses, a quad round each crossed edge.
    """
    inside = field < 0
    corners = np.stack(
        [
            inside[i : i - 1 or None, j : j - 1 or None, k : k - 1 or None]
            for i in (0, 1)
            for j in (0, 1)
            for k in (0, 1)
        ]
    )

    # a cell is crossed if some of its corners are inside and some are not
    crossed = corners.any(0) & ~corners.all(0)
    number = np.full(crossed.shape, -1)
    number[crossed] = np.arange(crossed.sum())
    cells = np.argwhere(crossed)
    points = np.stack([(axis[:-1] + axis[1:])[cells[:, d]] / 2 for d, axis in enumerate(axes)], 1)

    # the four cells round an edge along axis d; the quad turns with the direction in which the edge leaves
    quads = []

    for d in range(3):
        low = np.moveaxis(inside, d, 0)[:-1]
        high = np.moveaxis(inside, d, 0)[1:]
        numbers = np.moveaxis(number, d, 0)

        for flipped, edge in ((False, low & ~high), (True, ~low & high)):
            a, b, c = np.argwhere(edge[:, 1:-1, 1:-1]).T
            quad = [numbers[a, b + y, c + z] for y, z in ((0, 0), (1, 0), (1, 1), (0, 1))]
            outward = flipped ^ (d == 1)  # moving axis 1 to the front turns the other two round
            quads.append(np.stack(quad[::-1] if outward else quad, 1))

    quad = np.concatenate(quads)
    return points, np.ascontiguousarray(np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]))


def pose_maps(
    body: Body, rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "capsule 12"]:
    """The affine map of each capsule from the resting hand to the camera; inverts `distance.rest_maps`."""
    rest = rest_body()
    stretch = np.empty((COUNT, 3))
    stretch[:, 0] = body.length / rest.length
    stretch[:, 1:] = (body.radius.mean(1) / rest.radius.mean(1))[:, None]
    matrix = np.swapaxes(body.axes @ rotation.T, 1, 2) @ (stretch[:, :, None] * rest.axes)
    shift = body.start @ rotation.T + translation - np.einsum("cij,cj->ci", matrix, rest.start)
    return np.ascontiguousarray(np.concatenate([matrix.reshape(COUNT, 9), shift], 1))


@njit(cache=True, fastmath=True)
@no_type_check
def _hidden_sky(table, cast, x, y, z, nx, ny, nz, use):
    """The four taps of `trace.occlusion_at`, against the few capsules that matter and without blending."""
    count = 0
    for k in range(len(cast)):
        if capsule_distance(table, cast[k], x, y, z) < 29.0:
            use[count] = cast[k]
            count += 1

    open_sky = 0.0
    for tap in range(4):
        height = (2.5, 7.0, 15.0, 28.0)[tap]
        gap = height
        for k in range(count):
            gap = min(gap, capsule_distance(table, use[k], x + nx * height, y + ny * height, z + nz * height))
        open_sky += (0.30, 0.30, 0.25, 0.15)[tap] * max(gap / height, 0.0)

    return open_sky**1.1


@njit(cache=True, fastmath=True)
@no_type_check
def _lit(table, cast, x, y, z, lx, ly, lz, sharpness):
    """Share of a light that passes all capsules, each at the point where the ray comes closest to it.

    The same soft shadow as `trace.shadow_at`, in closed form instead of by marching.
    """
    lit = 1.0
    for k in range(len(cast)):
        i = cast[k]

        # the ray q + t w in the capsule's coordinates, whose axis is the segment from 0 to length along x
        qx = table[i, 0] * x + table[i, 1] * y + table[i, 2] * z + table[i, 9]
        qy = table[i, 3] * x + table[i, 4] * y + table[i, 5] * z + table[i, 10]
        qz = table[i, 6] * x + table[i, 7] * y + table[i, 8] * z + table[i, 11]
        wx = table[i, 0] * lx + table[i, 1] * ly + table[i, 2] * lz
        wy = table[i, 3] * lx + table[i, 4] * ly + table[i, 5] * lz
        wz = table[i, 6] * lx + table[i, 7] * ly + table[i, 8] * lz

        # t closest to the axis, then to the segment's end if that point lies beyond it
        length = table[i, 12]
        around = wy * wy + wz * wz
        t = -(qy * wy + qz * wz) / max(around, 1e-6)
        share = qx + t * wx

        if share < 0 or share > length:
            end = 0.0 if share < 0 else length
            t = -((qx - end) * wx + qy * wy + qz * wz) / (wx * wx + around)

        t = max(t, 2.0)

        # the gap there, over t, is the angle that stays open
        share = min(max(qx + t * wx, 0.0), length)
        bx, by, bz = qx + t * wx - share, qy + t * wy, qz + t * wz
        gap = math.sqrt(bx * bx + by * by + bz * bz) - table[i, 13] - share / length * table[i, 14]
        lit = min(lit, sharpness * gap / t)
        if lit <= -1.0:
            return 0.0

    return 0.25 * (1 + lit) ** 2 * (2 - lit)


@njit(cache=True, fastmath=True, nogil=True)
@no_type_check
def deform(surface, maps, table, cast, light, points, shading):
    """Pose the mesh.

    `points` [vertex, 3] gets places in the camera frame, `shading` [vertex, 5] the normal, the share of open
    sky and the share of the key light.
    """
    scratch, use, normal = np.empty(SCRATCH), np.empty(COUNT, np.int64), np.empty(3)
    lx, ly, lz = light.key_direction[0], light.key_direction[1], light.key_direction[2]
    for row in range(len(surface.rest)):
        # linear blend skinning with the capsules' maps
        rx, ry, rz = surface.rest[row, 0], surface.rest[row, 1], surface.rest[row, 2]
        x = y = z = 0.0
        for k in range(_FOLLOWED):
            weight = surface.weights[row, k]
            if weight > 0:
                i = surface.capsules[row, k]
                x += weight * (maps[i, 0] * rx + maps[i, 1] * ry + maps[i, 2] * rz + maps[i, 9])
                y += weight * (maps[i, 3] * rx + maps[i, 4] * ry + maps[i, 5] * rz + maps[i, 10])
                z += weight * (maps[i, 6] * rx + maps[i, 7] * ry + maps[i, 8] * rz + maps[i, 11])

        # one step along the normal onto the true surface
        gap = gradient(table, surface.capsules[row], _FOLLOWED, x, y, z, scratch, normal)
        gap = min(max(gap, -4.0), 4.0) - surface.lift_mm
        x, y, z = x - gap * normal[0], y - gap * normal[1], z - gap * normal[2]
        nx, ny, nz = normal[0], normal[1], normal[2]
        points[row, 0], points[row, 1], points[row, 2] = x, y, z
        shading[row, 0], shading[row, 1], shading[row, 2] = nx, ny, nz

        # a vertex that faces away from the camera is never seen
        if nx * x + ny * y + nz * z > 0.2 * math.sqrt(x * x + y * y + z * z):
            shading[row, 3], shading[row, 4] = 1.0, 0.0
            continue

        shading[row, 3] = _hidden_sky(table, cast, x, y, z, nx, ny, nz, use)
        if nx * lx + ny * ly + nz * lz > -0.1:
            sx, sy, sz = x + 1.2 * nx, y + 1.2 * ny, z + 1.2 * nz
            shading[row, 4] = _lit(table, cast, sx, sy, sz, lx, ly, lz, light.sharpness)
        else:
            shading[row, 4] = 0.0
