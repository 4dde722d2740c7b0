"""Poses that a hand can take: drawn at random, free of overlapping flesh, pads brought together."""

from dataclasses import dataclass
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from numba import njit

from handvae.hand import (
    ANGLE_LIMITS,
    POSE_NAMES,
    REST_FRAMES,
    THUMB_PRONATION,
    HandShape,
    clamp_to_limits,
    named_pose,
)

WRIST_LIMITS_RAD = np.deg2rad([[-60.0, 60.0], [-25.0, 15.0]])
"""Flexion (to the palm) and deviation (to the thumb) of the hand against the forearm."""

_LOWER = ANGLE_LIMITS[0].numpy()
_UPPER = ANGLE_LIMITS[1].numpy()
_REST = REST_FRAMES.numpy()
_NAMED = np.stack([named_pose(name, torch.float64).numpy() for name in POSE_NAMES])
# the finger that meets the thumb in a named pose
_CONTACTS = {"pinch": 1, "ok": 1}
_NOISE_RAD = np.deg2rad([5.0, 2.5, 5.0, 3.0])
_FAN_DEGREES = np.array([0.0, 9.0, 0.0, -6.0, -12.0])


@dataclass(frozen=True)
class PoseRanges:
    """How poses are drawn."""

    named: int | float = 0.6
    """Share of poses mixed from two named ones; in the others each finger curls by itself."""
    alone: int | float = 0.25
    """Share of the mixed poses that are one named pose alone; such pictures have a gesture."""
    blended: int | float = 0.4
    """Share of the mixed poses whose fingers are blended, each by its own amount; the others take all fingers
    from one of the two poses."""
    contact: int | float = 0.2
    """Share of poses whose thumb touches another finger's pad."""
    noise: int | float = 1.0
    """Factor on the noise of all angles (5, 2.5, 5 and 3 degrees from a finger's base to its end)."""
    wrist: int | float = 0.5
    """Standard deviation of the wrist's two angles, as a share of their limits."""
    penetration_mm: int | float = 3.0
    """Deepest overlap of flesh that is accepted."""


@dataclass(frozen=True)
class Pose:
    """Angles of a hand's joints."""

    angles: Float[np.ndarray, "5 4"]
    """Radians, as `handvae.hand.forward_kinematics` takes them."""
    wrist: Float[np.ndarray, " 2"]
    """Flexion and deviation, radians; moves the forearm, the hand stays."""
    name: str = ""
    """The named pose it was made from, empty if there is no single one."""


# --------------------------------------------------------------------------------------------------- drawing


def sample_pose(generator: np.random.Generator, shape: HandShape, ranges: PoseRanges | None = None) -> Pose:
    """Draw a pose for a hand: within the limits, flesh at most `penetration_mm` deep in other flesh.

    Args:
        generator: source of randomness.
        shape: one hand, without a batch dimension.
        ranges: how to draw.
    """
    ranges = ranges or PoseRanges()
    wrist = np.clip(generator.normal(size=2) * ranges.wrist, -1, 1) * np.abs(WRIST_LIMITS_RAD).max(1)
    wrist = np.clip(wrist, *WRIST_LIMITS_RAD.T)

    # draw again until the flesh fits
    while True:
        name = ""
        if generator.random() < ranges.named:
            angles, name = _mixed(generator, ranges)
        else:
            angles = _curled(generator)

        angles = angles + ranges.noise * generator.normal(size=(5, 4)) * _NOISE_RAD

        contact = _CONTACTS.get(name, -1)
        if not name and generator.random() < ranges.contact:
            contact = int(generator.integers(1, 5))

        angles = resolve(angles, shape, contact)
        if penetration_mm(angles, shape) <= ranges.penetration_mm:
            return Pose(angles, wrist, name)


def make_pose(name: str, shape: HandShape) -> Pose:
    """A named pose, resolved for one hand: pads that should touch do touch.

    Raises:
        UserError: there is no pose of that name.
    """
    angles = named_pose(name, torch.float64).numpy()
    return Pose(resolve(angles, shape, _CONTACTS.get(name, -1)), np.zeros(2), name)


def _mixed(generator: np.random.Generator, ranges: PoseRanges) -> tuple[Float[np.ndarray, "5 4"], str]:
    """Angles, and the pose's name where it is one alone."""
    first, second = generator.integers(len(_NAMED), size=2)
    if generator.random() < ranges.alone:
        second = first

    share = generator.random((5, 1))
    if generator.random() >= ranges.blended:
        share = np.full((5, 1), float(share[0, 0] > 0.5))

    name = POSE_NAMES[first] if first == second else ""
    return _NAMED[first] * (1 - share) + _NAMED[second] * share, name


def _curled(generator: np.random.Generator) -> Float[np.ndarray, "5 4"]:
    """Angles of fingers that curl each by itself; a third of them stay almost straight."""
    curl = generator.random(5)
    curl = np.where(generator.random(5) < 0.35, curl * 0.15, curl)
    base = np.clip(curl + 0.25 * generator.normal(size=5), 0, 1)
    fan = generator.random() * (1 - curl) * _FAN_DEGREES + 2 * generator.normal(size=5)

    # base flexion, abduction, middle and end flexion; the thumb's joints have other ranges
    degrees = np.stack([-10 + 95 * base, fan, 3 + 100 * curl, 2 + 63 * curl], -1)
    degrees[0] = [-10 + 45 * curl[0], 14 - 32 * base[0], 48 * curl[0], -8 + 65 * base[0]]
    return np.deg2rad(degrees)


# --------------------------------------------------------------------------------------- spheres and contact
# Flesh is 57 spheres: three on each bone of the fingers, twelve in the palm.

# places on a bone, as shares of its length; the tip's sphere stays inside
_ALONG = np.array([[0.12, 0.5, 0.88], [0.12, 0.5, 0.88], [0.12, 0.5, 0.82]])
_CARPUS_MM = np.array([[13.0, 10.0, 1.0], [12.0, 3.0, 2.0], [11.0, -5.0, 1.5], [9.0, -12.0, 0.0]])
_PALM_RADIUS_MM = 10.5
_PAD_ALONG, _PAD_DEPTH_MM = 0.62, 1.2
_PALM = 9
"""Stands in a sphere's label where a finger has its number."""


def _pairs() -> np.ndarray:
    """Pairs of spheres that may not overlap.

    Those of different fingers, except at their common root, and middle and end bones against the palm.
    """
    labels = [(finger, bone, place) for finger in range(5) for bone in range(3) for place in range(3)]
    labels += [(_PALM, 0, 0)] * 12

    pairs = []

    for one, (finger, bone, place) in enumerate(labels):
        for two in range(one + 1, len(labels)):
            other_finger, other_bone, other_place = labels[two]
            if finger == other_finger:
                continue

            if other_finger == _PALM:
                if bone >= 1:
                    pairs.append((one, two))
                continue

            # the thumb's metacarpal lies in the palm; the fingers' first spheres lie in one web
            in_palm = bone == 0 and finger == 0
            in_web = bone == 0 and other_bone == 0 and (place == 0 or other_place == 0)
            if not in_palm and not in_web:
                pairs.append((one, two))

    return np.array(pairs)


_PAIRS = _pairs()


class _Flesh(NamedTuple):
    """One hand in spheres, mm; a tuple that compiled code reads."""

    base: np.ndarray
    lengths: np.ndarray
    radii: np.ndarray
    spheres: np.ndarray
    """Radii of all spheres: 45 of the fingers, 12 of the palm."""
    palm: np.ndarray
    """The palm's centres."""


def _flesh(shape: HandShape) -> _Flesh:
    base = shape.base_mm.double().numpy()
    lengths = shape.lengths_mm.double().numpy()
    radii = shape.radii_mm.double().numpy()
    size, thickness = float(shape.size), float(shape.thickness)

    # three spheres on the way from the carpus to each finger, a little towards the palm's skin
    carpus = _CARPUS_MM * size
    along = np.array([0.25, 0.55, 0.85])[:, None]
    palm = carpus[:, None] + (base[1:] - carpus)[:, None] * along + np.array([0.0, 0.0, -3.0])

    finger_radii = radii[:, :3, None] * (1 - _ALONG) + radii[:, 1:, None] * _ALONG
    palm_radii = np.full(12, _PALM_RADIUS_MM * size * thickness)

    return _Flesh(
        base=base,
        lengths=lengths,
        radii=radii,
        spheres=np.concatenate([finger_radii.ravel(), palm_radii]),
        palm=palm.reshape(12, 3),
    )


def resolve(
    angles: Float[np.ndarray, "5 4"], shape: HandShape, contact: int = -1
) -> Float[np.ndarray, "5 4"]:
    """The nearest pose within the limits whose flesh hardly overlaps, by 150 steps of Adam on the angles.

    Args:
        angles: radians, the target pose.
        shape: one hand.
        contact: finger (1 index to 4 pinky) whose pad should meet the thumb's; -1 for none.
    """
    target = clamp_to_limits(torch.from_numpy(np.ascontiguousarray(angles, dtype=np.float64))).numpy()
    return _solve(target, _flesh(shape), contact, _REST, _LOWER, _UPPER, _PAIRS, _ALONG)


def penetration_mm(angles: Float[np.ndarray, "5 4"], shape: HandShape) -> float:
    """Deepest overlap of two spheres of a hand's flesh, mm."""
    flesh = _flesh(shape)
    origins, _, _, _ = _chain(np.asarray(angles, np.float64), _REST, flesh.base, flesh.lengths)
    centres = _centres(origins, flesh.palm, _ALONG)

    one, two = _PAIRS.T
    gap = np.linalg.norm(centres[one] - centres[two], axis=1) - flesh.spheres[one] - flesh.spheres[two]
    return float(max(0.0, -gap.min()))


# -------------------------------------------------------------------------------------- the solver, compiled


@njit(cache=True)
@no_type_check
def _about(frame, axis, angle, out):
    """`out` = `frame` turned about its own axis: the other two columns mix."""
    c, s = np.cos(angle), np.sin(angle)
    one, two = (axis + 1) % 3, (axis + 2) % 3
    for row in range(3):
        x, y = frame[row, one], frame[row, two]
        out[row, axis] = frame[row, axis]
        out[row, one], out[row, two] = c * x + s * y, c * y - s * x


@njit(cache=True)
@no_type_check
def _chain(angles, rest, base, lengths):
    """Origins [5, 4, 3] and rotations [5, 3, 3, 3] of the bones; axis and pivot [5, 4, 3] of each angle.

    The same chain as `handvae.hand.forward_kinematics`, which a test compares it with; a gradient needs the
    axes and pivots too.
    """
    origins = np.empty((5, 4, 3))
    rotations = np.empty((5, 3, 3, 3))
    axes = np.empty((5, 4, 3))
    pivots = np.empty((5, 4, 3))
    spread = np.empty((3, 3))
    flexed = np.empty((3, 3))

    for f in range(5):
        # R1 = rest Rz(abduction) Ry(flexion) Rx(pronation), R2 = R1 Ry(middle), R3 = R2 Ry(end)
        pronation = THUMB_PRONATION if f == 0 else 0.0
        first, second, third = rotations[f, 0], rotations[f, 1], rotations[f, 2]
        _about(rest[f], 2, angles[f, 1], spread)
        _about(spread, 1, angles[f, 0], flexed)
        _about(flexed, 0, pronation * angles[f, 0], first)
        _about(first, 1, angles[f, 2], second)
        _about(second, 1, angles[f, 3], third)

        for k in range(3):
            origins[f, 0, k] = base[f, k]
            for bone in range(3):
                origins[f, bone + 1, k] = origins[f, bone, k] + rotations[f, bone, k, 0] * lengths[f, bone]

            # a flexed base also pronates: it turns about two axes at once
            axes[f, 0, k] = spread[k, 1] + pronation * first[k, 0]
            axes[f, 1, k] = rest[f, k, 2]
            axes[f, 2, k] = first[k, 1]
            axes[f, 3, k] = second[k, 1]
            pivots[f, 0, k] = origins[f, 0, k]
            pivots[f, 1, k] = origins[f, 0, k]
            pivots[f, 2, k] = origins[f, 1, k]
            pivots[f, 3, k] = origins[f, 2, k]

    return origins, rotations, axes, pivots


@njit(cache=True)
@no_type_check
def _centres(origins, palm, along):
    """Centres of all 57 spheres."""
    centres = np.empty((57, 3))
    for f in range(5):
        for bone in range(3):
            for place in range(3):
                share = along[bone, place]
                centres[9 * f + 3 * bone + place] = (
                    origins[f, bone] * (1 - share) + origins[f, bone + 1] * share
                )

    centres[45:] = palm
    return centres


@njit(cache=True)
@no_type_check
def _pad(origins, rotations, lengths, radii, f):
    """Point on the skin of a fingertip's pad."""
    bone = rotations[f, 2]
    return (
        origins[f, 2] + bone[:, 0] * lengths[f, 2] * _PAD_ALONG - bone[:, 2] * (radii[f, 3] + _PAD_DEPTH_MM)
    )


@njit(cache=True)
@no_type_check
def _pull(gradient, f, bone, force, point, axes, pivots):
    """Add to the gradient what a force dE/dp on a point p of a bone does to the angles before it.

    dE/da = force · (axis x (p - pivot))
    """
    for angle in range(2 + bone):
        gradient[f, angle] += np.dot(force, np.cross(axes[f, angle], point - pivots[f, angle]))


@njit(cache=True, nogil=True)
@no_type_check
def _solve(target, flesh, contact, rest, lower, upper, pairs, along):
    """Adam on E = 0.12 Σ overlap² + stay Σ (a - target)² + 0.3 Σ (end - 0.66 middle)² + contact.

    The third term couples the fingers' last two joints, as tendons do.
    """
    angles = target.copy()
    mean = np.zeros((5, 4))
    square = np.zeros((5, 4))
    tolerance = 1.2

    for step in range(150):
        origins, rotations, axes, pivots = _chain(angles, rest, flesh.base, flesh.lengths)
        centres = _centres(origins, flesh.palm, along)

        # spheres that overlap push each other apart
        forces = np.zeros((57, 3))
        touching = contact >= 0

        for pair in range(len(pairs)):
            one, two = pairs[pair]
            dx = centres[one, 0] - centres[two, 0]
            dy = centres[one, 1] - centres[two, 1]
            dz = centres[one, 2] - centres[two, 2]
            reach = flesh.spheres[one] + flesh.spheres[two] - tolerance
            distance2 = dx * dx + dy * dy + dz * dz
            if distance2 >= reach * reach:
                continue

            touching = True
            distance = np.sqrt(max(distance2, 1e-4))
            push = -0.24 * (reach - distance) / distance
            forces[one, 0] += push * dx
            forces[one, 1] += push * dy
            forces[one, 2] += push * dz
            forces[two, 0] -= push * dx
            forces[two, 1] -= push * dy
            forces[two, 2] -= push * dz

        if not touching and step % 50 == 0:
            break  # it starts free, or has come free and settled

        gradient = np.zeros((5, 4))
        for sphere in range(45):
            if forces[sphere, 0] != 0 or forces[sphere, 1] != 0 or forces[sphere, 2] != 0:
                _pull(gradient, sphere // 9, sphere % 9 // 3, forces[sphere], centres[sphere], axes, pivots)

        # stay near the target; the thumb, and the finger that should touch it, are freer
        for f in range(5):
            stay = 0.2 if f == 0 else 0.8
            if contact >= 0 and (f == 0 or f == contact):
                stay *= 0.25

            for angle in range(4):
                gradient[f, angle] += 2 * stay * (angles[f, angle] - target[f, angle])

            if f > 0:
                slack = angles[f, 3] - 0.66 * angles[f, 2]
                gradient[f, 3] += 0.6 * slack
                gradient[f, 2] -= 0.66 * 0.6 * slack

        # pads come together, and face each other: 0.06 |p - p'|² + 1.5 (1 + n n')
        if contact >= 0:
            thumb = _pad(origins, rotations, flesh.lengths, flesh.radii, 0)
            finger = _pad(origins, rotations, flesh.lengths, flesh.radii, contact)
            force = 0.12 * (thumb - finger)
            _pull(gradient, 0, 2, force, thumb, axes, pivots)
            _pull(gradient, contact, 2, -force, finger, axes, pivots)
            one, two = -rotations[0, 2, :, 2], -rotations[contact, 2, :, 2]

            for angle in range(4):
                gradient[0, angle] += 1.5 * np.dot(two, np.cross(axes[0, angle], one))
                gradient[contact, angle] += 1.5 * np.dot(one, np.cross(axes[contact, angle], two))

        # a step of Adam, within the limits
        rate = 0.03 if step < 100 else 0.01
        for f in range(5):
            for angle in range(4):
                mean[f, angle] = 0.9 * mean[f, angle] + 0.1 * gradient[f, angle]
                square[f, angle] = 0.999 * square[f, angle] + 0.001 * gradient[f, angle] ** 2
                unbiased = mean[f, angle] / (1 - 0.9 ** (step + 1))
                scale = np.sqrt(square[f, angle] / (1 - 0.999 ** (step + 1))) + 1e-8
                moved = angles[f, angle] - rate * unbiased / scale
                angles[f, angle] = min(max(moved, lower[f, angle]), upper[f, angle])

    return angles
