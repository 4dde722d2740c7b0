"""Skin painted on the resting hand: colour, creases, nails, palm lines, rings, sleeves and gloves.

Everything is a function of the point's place on the resting mean hand (`body.rest_body`), so it sticks to the
skin in every pose, and the traced and the baked renderer share it. Lengths in mm; colours are linear RGB.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from numba import njit

from handvae.hand import HandShape
from handvae.render.hand.body import rest_body

# -------------------------------------------------------------------------------------------- what can vary


@dataclass(frozen=True)
class SkinRanges:
    """How skin, nails and what is worn are drawn."""

    melanin: tuple[float, float] = (0.05, 2.05)
    """Lightest and darkest skin; the density of melanin, drawn with a lean to the light end (u^1.3)."""
    blood: tuple[float, float] = (0.12, 0.42)
    """Density of haemoglobin: pale to flushed."""
    freckles: int | float = 0.2
    """Share of hands with freckles."""
    polish: int | float = 0.12
    """Share of hands with painted nails."""
    ring: int | float = 0.08
    """Share of hands that wear a ring."""
    glove: int | float = 0.04
    """Share of hands in a glove."""
    sleeve: int | float = 0.55
    """Share of arms with a sleeve."""
    sleeve_mm: tuple[float, float] = (-110.0, -22.0)
    """Where the sleeve ends: x in the hand frame, the wrist is 0."""


class SkinAppearance(NamedTuple):
    """How one hand looks; a tuple that compiled code reads."""

    melanin: float
    blood: float
    palm_light: float
    """How much lighter the palm is."""
    offset: np.ndarray
    """Where in the noise volume this hand lies."""
    bump: float
    freckles: float
    veins: float
    nail: np.ndarray
    """Colour of painted nails."""
    polished: float
    sleeve_mm: float
    """x of the sleeve's edge; -999 where there is none."""
    sleeve: np.ndarray
    glove: float
    cloth: np.ndarray
    """Colour of a glove."""
    ring: float
    """Finger that wears a ring, -1 for none."""
    ring_at: float
    """Where on the proximal bone, as a share of its length."""
    metal: np.ndarray
    roughness: float
    gloss: float


def sample_skin(generator: np.random.Generator, ranges: SkinRanges | None = None) -> SkinAppearance:
    """Draw the skin, the nails and the clothes of a hand."""
    ranges = ranges or SkinRanges()
    u = generator.uniform

    # The order of the draws is part of a seed's meaning. Whatever a hand lacks is drawn all the same, so that
    # a share that changes leaves the other hands alone.
    depth = u() ** 1.3
    low, high = ranges.melanin
    freckles = u() if u() < ranges.freckles else 0.0
    nail = np.array([u(0.2, 0.9), u(0.02, 0.3), u(0.05, 0.4)])
    polished = float(u() < ranges.polish)

    edge = u(*ranges.sleeve_mm)
    edge = edge if u() < ranges.sleeve else -999.0
    sleeve = u(0.02, 0.8) * (0.4 + 0.6 * u(size=3))
    glove = float(u() < ranges.glove)
    cloth = u(0.03, 0.8) * (0.4 + 0.6 * u(size=3))

    finger = float(generator.choice([1, 2, 3, 3, 4]))
    ring = finger if u() < ranges.ring else -1.0
    metal = np.array([[0.83, 0.62, 0.28], [0.75, 0.75, 0.76], [0.08, 0.08, 0.09]])[generator.integers(3)]

    return SkinAppearance(
        melanin=low + (high - low) * depth,
        blood=u(*ranges.blood),
        palm_light=0.15 + 0.5 * depth,
        offset=u(0, 1, 3),
        bump=u(0.5, 1.6),
        freckles=0.35 * freckles,
        veins=u(),
        nail=nail,
        polished=polished,
        sleeve_mm=edge,
        sleeve=sleeve,
        glove=glove,
        cloth=cloth,
        ring=ring,
        ring_at=u(0.22, 0.38),
        metal=metal,
        roughness=u(0.42, 0.62),
        gloss=u(0.5, 1.2),
    )


# --------------------------------------------------------------------------- landmarks of the resting hand


class Landmarks(NamedTuple):
    """Places on the resting hand that the paint refers to."""

    origin: np.ndarray
    """[5, 3], first joint of each finger."""
    frame: np.ndarray
    """[5, 3, 3], rows: along, across, dorsal."""
    lengths: np.ndarray
    """[5, 3], bones."""
    tip: np.ndarray
    """[5], half thickness of the fingertip."""
    knuckles: np.ndarray
    """[4, 3], MCPs."""
    lines: np.ndarray
    """[3, 24, 2], the palm's three creases as polylines in x, y."""
    noise: np.ndarray
    """[33, 33, 33, 4], a periodic volume in [-1, 1]."""


# quadratic Bezier curves on the palm: x, y of three points
_PALM_LINES = (
    ((66, 27), (62, -2), (14, 4)),
    ((66, 26), (60, 6), (42, -28)),
    ((80, 12), (62, 2), (63, -38)),
)


@lru_cache(maxsize=1)
def landmarks() -> Landmarks:
    """The landmarks of `body.rest_body`."""
    rest = rest_body()
    mean = HandShape.mean(torch.float64)

    # B(t) = (1 - t)² a + 2t(1 - t) b + t² c
    t = np.linspace(0, 1, 24)[:, None]
    lines = []
    for a, b, c in _PALM_LINES:
        lines.append((1 - t) ** 2 * np.array(a) + 2 * t * (1 - t) * np.array(b) + t * t * np.array(c))

    # periodic: the last layer along each axis repeats the first
    volume = np.random.default_rng(0).uniform(-1, 1, (32, 32, 32, 4))
    volume = np.pad(volume, [(0, 1)] * 3 + [(0, 0)], mode="wrap")

    return Landmarks(
        origin=np.ascontiguousarray(rest.joints[1::4]),
        frame=np.ascontiguousarray(np.swapaxes(rest.rotations[:, 0], 1, 2)),
        lengths=mean.lengths_mm.numpy().copy(),
        tip=mean.radii_mm.numpy()[:, 3].copy(),
        knuckles=np.ascontiguousarray(rest.joints[5::4]),
        lines=np.stack(lines),
        noise=volume,
    )


# ------------------------------------------------------------------------------------------------- compiled


@njit(cache=True, inline="always")
@no_type_check
def smoothstep(low, high, x):
    """0 at `low`, 1 at `high`, smooth between; `low` may be the larger."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@njit(cache=True, inline="always")
@no_type_check
def _bell(x, width, footprint):
    """A bell of unit height; a narrower one than the footprint is widened and lowered to the same area."""
    wide = max(width, 0.6 * footprint)
    return math.exp(-((x / wide) ** 2)) * width / wide


@njit(cache=True, fastmath=True)
@no_type_check
def noise_at(volume, x, y, z, cell_mm, offset, out):
    """Four smooth noises in [-1, 1] into `out[:4]`, one lattice cell every `cell_mm`."""
    x = x / cell_mm + 32 * offset[0]
    y = y / cell_mm + 32 * offset[1]
    z = z / cell_mm + 32 * offset[2]
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    i, j, k = int(fx) % 32, int(fy) % 32, int(fz) % 32
    x, y, z = x - fx, y - fy, z - fz

    # trilinear between the eight corners of the cell
    for c in range(4):
        low = (volume[i, j, k, c] * (1 - z) + volume[i, j, k + 1, c] * z) * (1 - y)
        low += (volume[i, j + 1, k, c] * (1 - z) + volume[i, j + 1, k + 1, c] * z) * y
        high = (volume[i + 1, j, k, c] * (1 - z) + volume[i + 1, j, k + 1, c] * z) * (1 - y)
        high += (volume[i + 1, j + 1, k, c] * (1 - z) + volume[i + 1, j + 1, k + 1, c] * z) * y
        out[c] = low * (1 - x) + high * x


@njit(cache=True, fastmath=True)
@no_type_check
def _palm_line(marks, x, y, footprint):
    """Depth, 0 to 1, of the nearest of the palm's three creases."""
    best = 1e9
    for curve in range(3):
        for k in range(23):
            ax, ay = marks.lines[curve, k, 0], marks.lines[curve, k, 1]
            ex, ey = marks.lines[curve, k + 1, 0] - ax, marks.lines[curve, k + 1, 1] - ay
            share = min(max(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0.0), 1.0)
            dx, dy = x - ax - share * ex, y - ay - share * ey
            best = min(best, dx * dx + dy * dy)
    return _bell(math.sqrt(best), 0.8, footprint)


@njit(cache=True, fastmath=True, inline="always")
@no_type_check
def in_finger(marks, finger, x, y, z):
    """A point of the resting hand in a finger's own frame: along, across, dorsal, mm from its first joint."""
    dx, dy, dz = x - marks.origin[finger, 0], y - marks.origin[finger, 1], z - marks.origin[finger, 2]
    frame = marks.frame[finger]
    along = frame[0, 0] * dx + frame[0, 1] * dy + frame[0, 2] * dz
    across = frame[1, 0] * dx + frame[1, 1] * dy + frame[1, 2] * dz
    return along, across, frame[2, 0] * dx + frame[2, 1] * dy + frame[2, 2] * dz


@njit(cache=True, fastmath=True)
@no_type_check
def relief(marks, x, y, z, finger, body, wobble, footprint, out):
    """Small shapes of the skin into `out`.

    `out`: 0 displacement in mm (grooves negative), 1 crease, 2 nail, 3 its rim, 4 and 5 place on the nail.

    Args:
        marks: `landmarks()`.
        x, y, z: the point on the resting hand.
        finger: the nearest one, 0-4.
        body: share of palm and forearm in this skin; the rest is the finger's.
        wobble: a noise that keeps creases from being straight.
        footprint: mm that one sample stands for; finer shapes fade.
    """
    crease = nail = rim = 0.0
    out[4] = out[5] = 0.0

    # the palm's lines
    if body > 0.5 and z < 0.0 and x > 5.0:
        crease = (
            0.8 * _palm_line(marks, x, y, footprint) * smoothstep(-2.0, -7.0, z) * smoothstep(0.5, 0.9, body)
        )

    if body < 1:
        along, across, dorsal = in_finger(marks, finger, x, y, z)
        own = smoothstep(1.0, 0.5, body)
        back = smoothstep(1.0, 5.0, dorsal) * own
        front = smoothstep(0.0, -4.0, dorsal) * own

        # the two joints: folds on the back, two grooves in front
        joint = 0.0

        for bone in range(2):
            joint += marks.lengths[finger, bone]
            u = along - joint + 0.9 * wobble
            if abs(u) < 12.0 + footprint:
                folds = math.exp(-((u / 4.2) ** 2)) * (
                    0.5 + 0.5 * math.cos(u * (2 * math.pi / 2.7)) * max(0.0, 1.0 - footprint / 2.7)
                )
                groove = _bell(u - 0.2, 0.75, footprint) + 0.55 * _bell(u - 2.6, 0.55, footprint)
                crease = max(crease, back * folds * 0.55 + front * groove)

        # the crease at a finger's root
        if finger > 0:
            u = along - 0.47 * marks.lengths[finger, 0] + 0.8 * wobble
            groove = _bell(u, 0.8, footprint) + 0.4 * _bell(u - 2.2, 0.6, footprint)
            crease = max(crease, groove * smoothstep(-1.0, -5.0, dorsal) * own)

        # the nail: a rounded square (|x|^3.2 + |y|^3.2 = 1) on the back of the fingertip
        r = marks.tip[finger]
        centre = joint + marks.lengths[finger, 2] - 0.52 * r
        xn, yn = (along - centre) / (1.12 * r), across / (1.0 * r)
        if abs(xn) < 1.4 and abs(yn) < 1.4 and dorsal > 0:
            edge = (abs(xn) ** 3.2 + abs(yn) ** 3.2 + 1e-6) ** (1 / 3.2)
            upper = smoothstep(0.1, 0.35, dorsal / r)
            nail = upper * smoothstep(1.06, 0.94, edge)
            rim = upper * math.exp(-(((edge - 1.04) / 0.10) ** 2)) / (1 + footprint)
            out[4], out[5] = xn, yn

    out[0] = -0.38 * crease - 0.35 * rim + 0.22 * nail
    out[1], out[2], out[3] = crease, nail, rim


@njit(cache=True, fastmath=True)
@no_type_check
def paint(marks, skin, x, y, z, finger, body, footprint, out, scratch):
    """Skin at a point of the resting hand, into `out`.

    `out`: 0-2 albedo, 3 factor on the roughness, 4 cloth, 5 nail, 6 metal. `skin` is the `SkinAppearance`;
    `finger` and `body` as in `relief`; `scratch` has room for 18 numbers, and afterwards holds the coarse,
    middle and fine noise, four each, and the relief.
    """
    coarse, middle, fine, shape = scratch[0:4], scratch[4:8], scratch[8:12], scratch[12:18]
    noise_at(marks.noise, x, y, z, 9.0, skin.offset, coarse)
    noise_at(marks.noise, x, y, z, 3.2, skin.offset, middle)

    if footprint < 2.0:
        noise_at(marks.noise, x, y, z, 1.0, skin.offset, fine)
    else:
        fine[:] = 0.0

    relief(marks, x, y, z, finger, body, middle[0], footprint, shape)
    crease, nail, rim, xn, yn = shape[1] * (1 - shape[2]), shape[2], shape[3], shape[4], shape[5]

    # where on the hand: palm side, knuckles, fingertips
    tips = knuckle = palmar = along = 0.0
    if body > 0:
        palmar = body * smoothstep(-1.0, -8.0, z) * smoothstep(-14.0, 2.0, x)
        for k in range(4):
            gap = (x - marks.knuckles[k, 0]) ** 2 + (y - marks.knuckles[k, 1]) ** 2
            knuckle = max(knuckle, body * math.exp(-gap / 150.0))

    if body < 1:
        along, _, dorsal = in_finger(marks, finger, x, y, z)
        palmar += (1 - body) * smoothstep(1.0, -3.5, dorsal)
        end = marks.lengths[finger, 0] + marks.lengths[finger, 1] + marks.lengths[finger, 2]
        tips = (1 - body) * math.exp(-(((along - end + 5.0) / 7.0) ** 2))
        knuckle += (1 - body) * math.exp(-((along - marks.lengths[finger, 0]) ** 2) / 110.0)

    knuckle *= 1 - palmar

    # Pigments: the palm has less melanin, knuckles and creases more; blood shows in fingertips and palm.
    melanin = (
        skin.melanin
        * (1 + 0.10 * coarse[0] + 0.07 * middle[1] + 0.05 * fine[2] + 0.22 * knuckle)
        * (1 - skin.palm_light * palmar)
    )
    melanin += skin.melanin * (
        0.05 * crease + skin.freckles * smoothstep(0.55, 0.8, middle[3]) * (1 - palmar)
    )
    flush = 0.35 * coarse[1] + 0.2 * middle[2] + 0.7 * tips + 0.35 * knuckle + 0.45 * palmar + 0.9 * crease
    blood = skin.blood * (1 + flush) + 0.02

    # Beer-Lambert: what the pigments leave of the light that bare dermis returns
    red = 0.84 * math.exp(-0.72 * melanin - 0.10 * blood)
    green = 0.70 * math.exp(-melanin - blood)
    blue = 0.60 * math.exp(-1.30 * melanin - 0.78 * blood)

    # veins on the back: the zero lines of a noise
    if body > 0.5 and palmar < 1:
        line = math.exp(-(((coarse[3] + 0.3 * middle[0]) / 0.09) ** 2))
        vein = line * (1 - palmar) * skin.veins * smoothstep(0.5, 0.9, body)
        red *= 1 - 0.09 * vein
        green *= 1 - 0.04 * vein
        blue *= 1 - 0.03 * vein

    # nails: painted, or skin with less melanin, a white edge and a pale half-moon
    if nail > 0:
        if skin.polished > 0:
            nr, ng, nb = skin.nail[0], skin.nail[1], skin.nail[2]
        else:
            m = skin.melanin * 0.35 * (1 - 0.3 * skin.palm_light)
            b = skin.blood * 1.5 + 0.05
            white = 0.75 * smoothstep(0.55, 0.72, xn) + 0.25 * smoothstep(-0.45, -0.75, xn)
            nr = 0.84 * math.exp(-0.72 * m - 0.10 * b) * (1 - white) + 0.80 * white
            ng = 0.70 * math.exp(-m - b) * (1 - white) + 0.76 * white
            nb = 0.60 * math.exp(-1.30 * m - 0.78 * b) * (1 - white) + 0.68 * white

        shade = 0.85 + 0.15 * smoothstep(1.0, 0.5, abs(yn))
        red = red * (1 - nail) + nr * shade * nail
        green = green * (1 - nail) + ng * shade * nail
        blue = blue * (1 - nail) + nb * shade * nail

    # grooves hold less light
    dark = (1 - 0.35 * rim) * (1 - 0.22 * crease)
    red *= dark
    green *= dark
    blue *= dark

    # what is worn: a ring, a glove, a sleeve
    cloth = metal = 0.0

    if skin.ring == finger and body < 0.5:
        gap = abs(along - skin.ring_at * marks.lengths[finger, 0])
        metal = smoothstep(2.1, 1.5, gap) * (1.0 if footprint < 1.2 else 1.2 / footprint)
        red = red * (1 - metal) + skin.metal[0] * metal
        green = green * (1 - metal) + skin.metal[1] * metal
        blue = blue * (1 - metal) + skin.metal[2] * metal

    if skin.glove > 0:
        weave = 1 + 0.14 * fine[0] + 0.10 * coarse[0] - 0.25 * crease
        red = skin.cloth[0] * weave
        green = skin.cloth[1] * weave
        blue = skin.cloth[2] * weave
        cloth = 1.0
        nail = 0.0

    if x < skin.sleeve_mm + 4.0 and body > 0.5:
        covered = smoothstep(-1.2, 1.2, skin.sleeve_mm - x + 1.5 * coarse[2])
        weave = 1 + 0.22 * fine[0] + 0.12 * middle[1] + 0.15 * coarse[0]
        red = red * (1 - covered) + skin.sleeve[0] * weave * covered
        green = green * (1 - covered) + skin.sleeve[1] * weave * covered
        blue = blue * (1 - covered) + skin.sleeve[2] * weave * covered
        cloth = max(cloth, covered)

    out[0], out[1], out[2] = max(red, 0.003), max(green, 0.003), max(blue, 0.003)
    out[3] = (1 - 0.55 * nail) * (1 + 0.5 * cloth) * (1 - 0.5 * metal)
    out[4], out[5], out[6] = cloth, nail, metal
