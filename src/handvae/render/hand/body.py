"""A hand as a table of tapered capsules, posed: the distance function, the mesh and the skin build on it.

Each capsule runs between two anchors. An anchor is a frame (the palm, the forearm, a finger's root, a bone)
and an offset in it; radii are sums of terms of the hand's shape. Lengths in mm, x distal, y radial, z dorsal.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int

from handvae.hand import HandShape, forward_kinematics
from handvae.render.hand.pose import Pose

# Frames: the palm, the forearm, 5 finger roots (palm axes, mm of the mean hand whatever the size), 15 bones
# (x as a share of the bone's length).
_PALM, _FOREARM, _FIRST_ROOT, _FIRST_BONE = 0, 1, 2, 7
_FRAME_COUNT = 22


@dataclass(frozen=True)
class _Radius:
    """A radius in mm, as a sum of terms of the hand's shape and pose.

    size * thickness * (body + fist * flexion of the fingers + curl * curl of its finger)
        + share * (radius of `finger` at `joint`) + plain
    """

    body: float = 0.0
    """mm of the mean hand."""
    share: float = 0.0
    """Share of the finger's radius at a joint."""
    finger: int = 0
    joint: int = 0
    plain: float = 0.0
    """mm, whatever the hand's size."""
    fist: float = 0.0
    """mm that a fist adds."""
    curl: float = 0.0
    """mm that a curled finger adds."""


@dataclass(frozen=True)
class _Capsule:
    name: str
    group: int
    """0 palm and forearm, 1-5 a finger from thumb to pinky; groups blend within themselves."""
    start: tuple[int, tuple[float, float, float]]
    end: tuple[int, tuple[float, float, float]]
    start_radius: _Radius
    end_radius: _Radius
    wide: float = 1.0
    """Stretch across (y)."""
    deep: float = 1.0
    """Stretch from palm to back (z)."""
    tip: float = 0.0
    """Draw the end back by this share of the fingertip's radius."""


Anchor = tuple[int, tuple[float, float, float]]


def _palm(x: float, y: float, z: float) -> Anchor:
    return _PALM, (x, y, z)


def _arm(x: float, y: float, z: float) -> Anchor:
    return _FOREARM, (x, y, z)


def _bone(finger: int, bone: int, x: float, z: float) -> Anchor:
    return _FIRST_BONE + 3 * finger + bone, (x, 0.0, z)


def _flesh(body: float, fist: float = 0.0) -> _Radius:
    return _Radius(body=body, fist=fist)


def _of(finger: int, joint: int, share: float, plain: float = 0.0, curl: float = 0.0) -> _Radius:
    return _Radius(share=share, finger=finger, joint=joint, plain=plain, curl=curl)


# fmt: off
def _capsules() -> list[_Capsule]:
    carpus = ((13.0, 10.0, 1.0), (12.0, 3.0, 2.0), (11.0, -5.0, 1.5), (9.0, -12.0, 0.0))
    palm = [
        *(_Capsule(f"metacarpal{f}", 0, _palm(*start), (_FIRST_ROOT + f, (-1.0, 0.0, -2.5)),
                   _flesh(6.5), _of(f, 0, 0.80), 1.1)
          for f, start in enumerate(carpus, 1)),
        _Capsule("pad", 0, _palm(70.0, 19.0, -8.5), _palm(63.0, -26.0, -9.5),
                 _flesh(5.0, 3.5), _flesh(4.6, 3.5)),
        _Capsule("hollow", 0, _palm(48.0, 8.0, -7.0), _palm(44.0, -20.0, -7.0),
                 _flesh(5.5, 7.0), _flesh(5.5, 7.0)),
        _Capsule("thenar", 0, _palm(13.0, 13.0, -7.0), _bone(0, 0, 0.78, -5.0),
                 _flesh(9.4, 4.0), _flesh(7.2, 3.5)),
        _Capsule("thenar2", 0, _palm(30.0, 12.0, -9.0), _bone(0, 0, 0.55, -6.0),
                 _flesh(7.5, 4.0), _flesh(7.5, 4.0)),
        _Capsule("thumb_metacarpal", 0, _bone(0, 0, 0.05, 0.0), _bone(0, 0, 1.0, -1.0),
                 _flesh(6.8), _of(0, 1, 0.86)),
        _Capsule("web1", 0, _bone(0, 0, 0.70, -1.0), _palm(60.0, 20.0, -4.0),
                 _flesh(3.6), _flesh(4.5)),
        _Capsule("web2", 0, _bone(0, 0, 0.45, -1.0), _palm(42.0, 17.0, -4.0),
                 _flesh(4.5), _flesh(5.5)),
        _Capsule("hypothenar", 0, _palm(10.0, -13.0, -7.0), _palm(58.0, -29.0, -7.0),
                 _flesh(9.6, 2.5), _flesh(6.6, 5.0)),
        _Capsule("heel", 0, _palm(6.0, 9.0, -5.0), _palm(8.0, -11.0, -5.0),
                 _flesh(9.0), _flesh(9.0)),
        _Capsule("wrist", 0, _arm(-4.0, -0.5, -1.5), _palm(16.0, -1.0, -2.5),
                 _flesh(11.0), _flesh(11.5), 1.85),
        _Capsule("forearm", 0, _arm(-230.0, -2.0, 0.0), _arm(-4.0, -0.5, -1.0),
                 _flesh(32.0), _flesh(11.3), 1.62),
        _Capsule("ulna", 0, _arm(-18.0, -15.0, 6.0), _arm(-9.0, -15.0, 5.0),
                 _flesh(4.0), _flesh(3.0)),
        # the palm's end of each finger: webs blend here, and fingertips never melt into the palm
        *(_Capsule(f"stub{f}", 0, _bone(f, 0, 0.0, -1.5), _bone(f, 0, 0.40, -1.5),
                   _of(f, 0, 0.80), _of(f, 0, 0.72)) for f in range(1, 5)),
        *(_Capsule(f"between{f}", 0, _bone(f, 0, 0.30, -1.0), _bone(f + 1, 0, 0.33, -1.0),
                   _flesh(2.6), _flesh(2.4)) for f in range(1, 4)),
    ]
    thumb = [
        _Capsule("thumb_root", 1, _bone(0, 0, 0.6, 0.0), _bone(0, 0, 1.0, 0.0),
                 _of(0, 0, 0.8), _of(0, 1, 0.9)),
        _Capsule("proximal0", 1, _bone(0, 1, 0.0, 0.0), _bone(0, 1, 1.0, 0.0),
                 _of(0, 1, 0.95), _of(0, 2, 1.0, -0.5), 1.06),
        _Capsule("proximal_pad0", 1, _bone(0, 1, 0.3, -2.6), _bone(0, 1, 0.7, -2.2),
                 _of(0, 2, 0.9), _of(0, 2, 0.84), 1.05),
        _Capsule("distal0", 1, _bone(0, 2, 0.0, 0.0), _bone(0, 2, 1.0, -0.4),
                 _of(0, 2, 1.0, -0.6), _of(0, 3, 1.0, -0.6), 1.22, tip=0.6),
        _Capsule("pulp0", 1, _bone(0, 2, 0.30, -2.2), _bone(0, 2, 0.62, -1.8),
                 _of(0, 3, 1.0), _of(0, 3, 0.9), 1.22),
    ]
    fingers = [
        capsule
        for f in range(1, 5)
        for capsule in (
            _Capsule(f"proximal{f}", f + 1, _bone(f, 0, 0.0, 0.0), _bone(f, 0, 1.0, 0.0),
                     _of(f, 0, 0.95), _of(f, 1, 1.0, -0.4), 1.04),
            _Capsule(f"proximal_pad{f}", f + 1, _bone(f, 0, 0.40, -3.0), _bone(f, 0, 0.72, -2.8),
                     _of(f, 1, 0.86, curl=2.2),
                     _of(f, 1, 0.82, curl=3.4), 1.05),
            _Capsule(f"middle{f}", f + 1, _bone(f, 1, 0.0, 0.0), _bone(f, 1, 1.0, 0.0),
                     _of(f, 1, 1.0, -0.5), _of(f, 2, 1.0, -0.3), 1.04),
            _Capsule(f"middle_pad{f}", f + 1, _bone(f, 1, 0.32, -2.3), _bone(f, 1, 0.68, -2.0),
                     _of(f, 2, 0.92, curl=3.0),
                     _of(f, 2, 0.88, curl=3.0), 1.05),
            _Capsule(f"distal{f}", f + 1, _bone(f, 2, 0.0, 0.0), _bone(f, 2, 1.0, -0.6),
                     _of(f, 2, 1.0, -0.5), _of(f, 3, 1.0, -0.3), 1.12,
                     tip=0.6),
            _Capsule(f"pulp{f}", f + 1, _bone(f, 2, 0.38, -1.8), _bone(f, 2, 0.66, -1.6),
                     _of(f, 3, 0.98), _of(f, 3, 0.88), 1.14),
        )
    ]

    return palm + thumb + fingers
# fmt: on


_TABLE = _capsules()
NAMES = tuple(row.name for row in _TABLE)
COUNT = len(_TABLE)
GROUP: Int[np.ndarray, " capsule"] = np.array([row.group for row in _TABLE])
BLEND_MM = np.array([3.6, 1.2, 1.2, 1.2, 1.2, 1.2])
"""Softness of the blend between capsules of a group, a group a number."""
UNION_MM = 0.45
"""Softness of the blend between groups."""

# the table's columns as arrays
_SQUASH = np.array([[1.0, 1 / row.wide, 1 / row.deep] for row in _TABLE])
_FRAMES = np.array([[row.start[0], row.end[0]] for row in _TABLE])
_OFFSETS = np.array([[row.start[1], row.end[1]] for row in _TABLE])
_TIP = np.array([row.tip for row in _TABLE])
_TIP_FINGER = np.maximum(GROUP - 1, 0)
_RADII = {
    field: np.array(
        [[getattr(radius, field) for radius in (row.start_radius, row.end_radius)] for row in _TABLE]
    )
    for field in _Radius.__dataclass_fields__
}


@dataclass(frozen=True)
class Body:
    """The capsules of one posed right hand in the hand frame, and its joints."""

    start: Float[np.ndarray, "capsule 3"]
    axes: Float[np.ndarray, "capsule 3 3"]
    """Rows: along, across, dorsal."""
    length: Float[np.ndarray, " capsule"]
    radius: Float[np.ndarray, "capsule 2"]
    joints: Float[np.ndarray, "21 3"]
    rotations: Float[np.ndarray, "5 3 3 3"]

    def packed(
        self, rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, " 3"]
    ) -> Float[np.ndarray, "capsule 15"]:
        """The table that the compiled distance reads, for points in the camera frame.

        Columns: 0-8 the map to local coordinates (squashed, so that a capsule is round), 9-11 its shift,
        12 length, 13 start radius, 14 end minus start radius.
        """
        local = (self.axes @ rotation.T) * _SQUASH[:, :, None]
        origin = self.start @ rotation.T + translation
        shift = -np.einsum("cij,cj->ci", local, origin)
        radius = self.radius

        columns = (
            local.reshape(COUNT, 9),
            shift,
            self.length[:, None],
            radius[:, :1],
            radius[:, 1:] - radius[:, :1],
        )

        return np.ascontiguousarray(np.concatenate(columns, 1))


def pose_body(pose: Pose, shape: HandShape) -> Body:
    """The capsules of a hand in a pose.

    Args:
        pose: angles and wrist.
        shape: one hand, without a batch dimension.
    """
    kinematics = forward_kinematics(torch.from_numpy(pose.angles), shape.to(torch.float64))
    joints = kinematics.joints.numpy()
    rotations = kinematics.rotations.numpy()
    lengths = shape.lengths_mm.double().numpy()
    radii = shape.radii_mm.double().numpy()
    size, width, thickness = float(shape.size), float(shape.width), float(shape.thickness)

    # the frames: rotation, origin, and the unit of each axis in mm
    turns = np.broadcast_to(np.eye(3), (_FRAME_COUNT, 3, 3)).copy()
    turns[_FOREARM] = _forearm_turn(pose.wrist)
    turns[_FIRST_BONE:] = rotations.reshape(15, 3, 3)
    chain = joints[1:].reshape(5, 4, 3)
    origins = np.zeros((_FRAME_COUNT, 3))
    origins[_FIRST_ROOT:_FIRST_BONE] = chain[:, 0]
    origins[_FIRST_BONE:] = chain[:, :3].reshape(15, 3)
    units = np.ones((_FRAME_COUNT, 3))
    units[:2] = size, size * width, size * thickness
    units[_FIRST_BONE:, 0] = lengths.ravel()
    units[_FIRST_BONE:, 1:] = size * thickness

    # both ends of each capsule
    offsets = _OFFSETS * units[_FRAMES]
    offsets[:, 1, 0] -= _TIP * radii[_TIP_FINGER, 3]
    ends = origins[_FRAMES] + np.einsum("ceij,cej->cei", turns[_FRAMES], offsets)

    # Its axes: dorsal is the bone's own where both ends lie on one bone, else the palm's.
    on_one_bone = (_FRAMES[:, 0] == _FRAMES[:, 1]) & (_FRAMES[:, 0] != _PALM)
    dorsal = np.where(on_one_bone[:, None], turns[_FRAMES[:, 0], :, 2], np.array([0.0, 0.0, 1.0]))
    along = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(along, axis=1)
    along = along / length[:, None]
    across = np.cross(dorsal, along)
    across = across / np.linalg.norm(across, axis=1)[:, None]
    axes = np.stack([along, across, np.cross(along, across)], 1)

    # Its radii: flesh that is pressed bulges, in a fist and in a curled finger.
    terms = _RADII
    finger = terms["finger"].astype(int)
    fist = float(np.clip(pose.angles[1:, 0].mean() / np.deg2rad(85), 0, 1))
    curl = np.clip((np.rad2deg(pose.angles[:, 2]) - 60) / 40, 0, 1) * (np.arange(5) > 0)
    of_finger = radii[finger, terms["joint"].astype(int)]
    bulge = fist * terms["fist"] + curl[finger] * terms["curl"]
    radius = size * thickness * (terms["body"] + bulge) + terms["share"] * of_finger + terms["plain"]

    return Body(ends[:, 0], axes, length, radius, joints, rotations)


def _forearm_turn(wrist: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "3 3"]:
    """The hand stays and the forearm turns: against the hand's flexion, then against its deviation."""
    flexion, deviation = -wrist

    c, s = np.cos(flexion), np.sin(flexion)
    bend = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])

    c, s = np.cos(deviation), np.sin(deviation)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ bend


@lru_cache(maxsize=1)
def rest_body() -> Body:
    """The mean hand with its fingers straight and spread: the space that skin is painted in."""
    angles = np.zeros((5, 4))
    angles[:, 1] = np.deg2rad([14, 10, 1, -8, -15])
    return pose_body(Pose(angles, np.zeros(2)), HandShape.mean(torch.float64))
