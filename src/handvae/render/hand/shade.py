"""Light on skin: a key light with a soft, reddish shadow edge, a fill light, a sky, and gloss.

`light_point` is compiled and takes one point at a time. Colours are linear RGB.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, no_type_check

import numpy as np
from numba import njit


@dataclass(frozen=True)
class LightRanges:
    """How lights are drawn; directions are in the camera frame."""

    key: tuple[float, float] = (0.8, 1.7)
    """Strength of the key light."""
    fill: tuple[float, float] = (0.0, 0.45)
    """Strength of a second light from the other side."""
    ambient: tuple[float, float] = (0.20, 0.55)
    """Strength of the sky."""
    warmth: int | float = 1.0
    """How far the key light may be warm or cool: 1 is about 3,800 to 7,500 K."""
    sharpness: tuple[float, float] = (3.5, 14.0)
    """Shadow edges, from soft to hard."""
    back: int | float = 0.15
    """Share of scenes lit from behind the hand."""


class Light(NamedTuple):
    """The lights of one scene; a tuple that compiled code reads. Directions point to the light."""

    key_direction: np.ndarray
    key: np.ndarray
    fill_direction: np.ndarray
    fill: np.ndarray
    up: np.ndarray
    ambient_low: np.ndarray
    ambient_high: np.ndarray
    sharpness: float


def sample_light(generator: np.random.Generator, ranges: LightRanges | None = None) -> Light:
    """Draw the lights of a scene."""
    ranges = ranges or LightRanges()
    u = generator.uniform

    # z points away from the camera: most keys stand on the camera's side of the hand
    depth = u(0.2, 1.0) if u() < ranges.back else u(-1.3, -0.25)
    key_direction = _unit(np.array([u(-1, 1), u(-1.2, 0.2), depth]))
    fill_direction = _unit(np.array([-key_direction[0] + u(-0.4, 0.4), u(-0.6, 0.6), u(-1, 0.6)]))

    # a warm key goes with a cool fill
    tint = np.array([1.0, 0.97, 0.93]) * (1 + ranges.warmth * u(-1, 1) * np.array([0.10, 0.0, -0.14]))
    key = u(*ranges.key) * tint
    fill = u(*ranges.fill) * (1 - (tint - 1) * 0.8)
    ambient = u(*ranges.ambient) * (1 + 0.12 * u(-1, 1, 3))
    up = _unit(np.array([u(-0.3, 0.3), u(-1, -0.7), u(-0.4, 0.2)]))

    return Light(
        key_direction=key_direction,
        key=key,
        fill_direction=fill_direction,
        fill=fill,
        up=up,
        ambient_low=ambient * 0.55,
        ambient_high=ambient * 1.1,
        sharpness=u(*ranges.sharpness),
    )


def studio_light() -> Light:
    """One even light, for pictures that explain."""
    ambient = np.array([0.32, 0.34, 0.38])
    return Light(
        key_direction=_unit(np.array([-0.6, -0.75, -0.75])),
        key=np.array([1.15, 1.1, 1.02]),
        fill_direction=_unit(np.array([0.9, 0.1, -0.3])),
        fill=np.array([0.22, 0.25, 0.3]),
        up=np.array([0.0, -1.0, 0.0]),
        ambient_low=ambient * 0.6,
        ambient_high=ambient,
        sharpness=7.0,
    )


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


@njit(cache=True, fastmath=True)
@no_type_check
def light_point(appearance, light, nx, ny, nz, vx, vy, vz, skin, occlusion, shadow, out):
    """Radiance towards the camera into `out[:3]`.

    Args:
        appearance: roughness and gloss of the skin.
        light: the lights of the scene.
        nx, ny, nz: the normal; vx, vy, vz: the unit vector to the camera.
        skin: the seven numbers that `skin.paint` writes.
        occlusion: 1 under an open sky, 0 where flesh covers all of it.
        shadow: 1 in the key light, 0 in its shadow.
        out: three numbers.
    """
    cloth, metal = skin[4], skin[6]
    hemisphere = 0.5 + 0.5 * (nx * light.up[0] + ny * light.up[1] + nz * light.up[2])
    roughness = appearance.roughness * skin[3]
    alpha2 = roughness**4
    gloss = appearance.gloss * (1 - 0.8 * cloth) * (1 + 6 * metal)

    # The sky: a gradient from low to high, dimmed by occlusion; less in channels that skin scatters widely.
    # Seen at a grazing angle, skin also mirrors some of it.
    facing = min(max(nx * vx + ny * vy + nz * vz, 0.0), 1.0)
    rim = 0.10 * (1 - facing) ** 4 * occlusion

    for c in range(3):
        sky = light.ambient_low[c] * (1 - hemisphere) + light.ambient_high[c] * hemisphere
        out[c] = skin[c] * sky * occlusion ** (1 - 0.45 * min(skin[c], 1.0)) + rim * light.ambient_high[c]

    for number in range(2):
        if number == 0:
            direction, strength, lit = light.key_direction, light.key, shadow
        else:
            direction, strength, lit = light.fill_direction, light.fill, 0.35 + 0.65 * occlusion

        lx, ly, lz = direction[0], direction[1], direction[2]

        # cosines: light to normal, half vector to normal, light to half vector
        cosine = nx * lx + ny * ly + nz * lz
        hx, hy, hz = lx + vx, ly + vy, lz + vz
        norm = math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
        half = min(max((nx * hx + ny * hy + nz * hz) / norm, 0.0), 1.0)
        angle = min(max((lx * hx + ly * hy + lz * hz) / norm, 0.0), 1.0)

        # Gloss: GGX's distribution of facets, Schlick's Fresnel term, and a cheap fit of the visibility.
        spread = alpha2 / (math.pi * (half * half * (alpha2 - 1) + 1) ** 2)
        fresnel = 0.03 + 0.97 * (1 - angle) ** 5
        shine = spread * fresnel * 0.25 / (0.1 + 0.9 * angle * angle) * max(cosine, 0.0) * lit * gloss

        # Diffuse light wraps round the edge into the shadow, red furthest: light that scattered under the
        # skin.
        for c in range(3):
            wrap = (0.38 if c == 0 else 0.16 if c == 1 else 0.10) * (1 - cloth)
            diffuse = max((cosine + wrap) / (1 + wrap), 0.0)
            edge = lit ** (1 - 0.55 * wrap / 0.38) if number == 0 else lit
            out[c] += strength[c] * (skin[c] * diffuse * edge * (1 - 0.7 * metal) + shine)
