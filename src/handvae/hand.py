"""The hand itself: joints and their orders, bone units, shape, kinematics, limits, named poses.

Internal order: 0 wrist, then thumb 1-4, index 5-8, middle 9-12, ring 13-16, pinky 17-20, each from base to
tip. Hand frame: a right hand, origin at the wrist, x distal, y radial (to the thumb), z dorsal, in
millimetres.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from handvae.choices import POSE_NAMES
from handvae.errors import UserError
from handvae.words import nearest_or_all

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
JOINT_NAMES = (
    "wrist",
    *(f"thumb_{part}" for part in ("cmc", "mcp", "ip", "tip")),
    *(f"{finger}_{part}" for finger in FINGERS[1:] for part in ("mcp", "pip", "dip", "tip")),
)
PARENTS = (0, *(0 if (joint - 1) % 4 == 0 else joint - 1 for joint in range(1, 21)))
"""The wrist is its own parent."""
BONES = tuple((PARENTS[child], child) for child in range(1, 21))
FINGERTIPS = (4, 8, 12, 16, 20)
SEGMENTATION_CLASSES = ("background", "forearm", "palm", *FINGERS)
"""Classes of a pixel; the hand is the palm and all after it."""
LEFT, RIGHT = 0, 1
"""Sides; also the index into cm-VAE's one-hot side: left = [1, 0]."""
UNKNOWN = -1
"""The side of a hand that nobody has told."""

Root = Literal["palm", "wrist", "middle_mcp"]
WristRule = Literal["ring_mcp", "middle_mcp", "middle_mcp_2.2", "fingers_2.25"]

# internal[i] = source[ORDERS[name][i]]; each is one hand's 21 joints, so take RHD's right hand as [21:] and
# InterHand's left as [21:].
_TIP_TO_BASE = (4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17)
_SAME = tuple(range(21))
ORDERS: dict[str, tuple[int, ...]] = {
    "freihand":  _SAME,
    "openpose":  _SAME,
    "mediapipe": _SAME,
    "coco":      _SAME,
    "rhd":       (0, *_TIP_TO_BASE),
    "interhand": (20, *(joint - 1 for joint in _TIP_TO_BASE)),
    "stb":       (0, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4),
    "msra":      (0, 17, 18, 19, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
    "ho3d":      (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20),
    "fpha":      (0, 1, 6, 7, 8, 2, 9, 10, 11, 3, 12, 13, 14, 4, 15, 16, 17, 5, 18, 19, 20),
}  # fmt: skip


def _unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    return UserError(f"{kind} {name!r}", f"there is no such {kind}", nearest_or_all(name, known))


def _order(name: str) -> tuple[int, ...]:
    if name not in ORDERS:
        raise _unknown("joint order", name, ORDERS)
    return ORDERS[name]


def to_internal(
    joints: Shaped[Tensor, "*batch 21 coordinate"], order: str
) -> Shaped[Tensor, "*batch 21 coordinate"]:
    """Put one hand's joints, listed as a data set lists them, into the internal order.

    Only the order changes: STB's joint 0 stays the palm centre, and units stay what they were.

    Raises:
        UserError: `order` is not a key of `ORDERS`.
    """
    return joints[..., list(_order(order)), :]


def from_internal(
    joints: Shaped[Tensor, "*batch 21 coordinate"], order: str
) -> Shaped[Tensor, "*batch 21 coordinate"]:
    """List joints of the internal order as a data set lists them: the inverse of `to_internal`.

    Raises:
        UserError: `order` is not a key of `ORDERS`.
    """
    source = _order(order)
    # the inverse of a permutation is its argsort
    return joints[..., sorted(range(21), key=source.__getitem__), :]


# --------------------------------------------------------------------------------------- roots and bone units


def palm_centre(joints: Float[Tensor, "*batch 21 dim"]) -> Float[Tensor, "*batch dim"]:
    """Palm centre of hands whose joint 0 is the wrist, in any unit.

    Half way to the middle MCP, as RHD's protocol has it.
    """
    return 0.5 * (joints[..., 0, :] + joints[..., 9, :])


# from these MCPs, this many times the way to the palm
_WRIST_RULES: dict[WristRule, tuple[tuple[int, ...], float]] = {
    "ring_mcp":       ((13,), 2.0),
    "middle_mcp":     ((9,), 2.0),
    "middle_mcp_2.2": ((9,), 2.2),
    "fingers_2.25":   ((5, 9, 13, 17), 2.25),
}  # fmt: skip


def wrist_from_palm(
    joints: Float[Tensor, "*batch 21 dim"], rule: WristRule = "ring_mcp"
) -> Float[Tensor, "*batch dim"]:
    """Extrapolate the wrist of hands whose joint 0 is the palm centre, as STB's is (any unit).

    Published loaders disagree and their results must not be mixed.

    Args:
        joints: internal order, the palm centre at joint 0.
        rule: "ring_mcp" is 2 palm - ring MCP, as Zimmermann & Brox (2017) and hand-graph-cnn have it;
            "middle_mcp" is the exact inverse of `palm_centre`; "middle_mcp_2.2" and "fingers_2.25" (the
            mean over four fingers) are the two that BiHand offers.
    """
    knuckles, factor = _WRIST_RULES[rule]
    # wrist = MCP + factor (palm - MCP)
    knuckle = joints[..., list(knuckles), :].mean(-2)
    return knuckle + factor * (joints[..., 0, :] - knuckle)


def root(joints: Float[Tensor, "*batch 21 dim"], kind: Root) -> Float[Tensor, "*batch dim"]:
    """The point that a protocol subtracts from every joint (any unit).

    "wrist" is joint 0, whatever the data set keeps there: it is also the root of data whose joint 0 is the
    palm already, as STB's.
    """
    match kind:
        case "palm":
            return palm_centre(joints)
        case "wrist":
            return joints[..., 0, :]
        case "middle_mcp":
            return joints[..., 9, :]


def side_in(name: str) -> int:
    """The side that a name of a class tells: `left`, `Right_Hand`, `lefthand`; UNKNOWN for none or both."""
    text = name.lower()
    left, right = "left" in text, "right" in text
    if left == right:
        return UNKNOWN
    return LEFT if left else RIGHT


def scale_bone(joints: Float[Tensor, "*batch 21 dim"]) -> Float[Tensor, "*batch"]:
    """The length of one bone unit: the middle finger's proximal phalanx, |X10 - X9|, in the joints' unit."""
    return (joints[..., 10, :] - joints[..., 9, :]).norm(dim=-1)


def to_bone_units(
    joints: Float[Tensor, "*batch 21 dim"], kind: Root = "palm"
) -> Float[Tensor, "*batch 21 dim"]:
    """Root-relative joints in bone units, (X - root) / |X10 - X9|.

    A hand whose scale bone has no length gives values that are not finite.
    """
    return (joints - root(joints, kind)[..., None, :]) / scale_bone(joints)[..., None, None]


def bone_lengths(joints: Float[Tensor, "*batch 21 dim"]) -> Float[Tensor, "*batch 20"]:
    """Lengths of the 20 bones in the order of `BONES`, in the joints' unit."""
    return (joints[..., 1:, :] - joints[..., list(PARENTS[1:]), :]).norm(dim=-1)


# -------------------------------------------------------------------------------- shape, of a mean right hand

_BASE_MM = ((17.0, 19.0, -7.0), (86.0, 24.0, 1.0), (88.0, 3.0, 3.0), (82.0, -16.0, 1.0), (73.0, -33.0, -4.0))
_LENGTH_MM = (
    (44.0, 33.0, 26.0),
    (43.0, 26.0, 22.0),
    (47.0, 30.0, 23.5),
    (43.0, 28.5, 23.5),
    (34.0, 20.5, 20.5),
)
_RADIUS_MM = (
    (9.5, 9.3, 8.6, 6.4),
    (8.9, 7.9, 6.8, 5.3),
    (9.2, 8.1, 7.0, 5.5),
    (8.6, 7.6, 6.6, 5.2),
    (7.5, 6.5, 5.7, 4.5),
)


@dataclass(frozen=True)
class HandShape:
    """What does not move: the sizes of a right hand, fingers from thumb to pinky."""

    base_mm: Float[Tensor, "*batch 5 3"]
    """First joint of each finger in the hand frame: the thumb's CMC, the others' MCP."""
    lengths_mm: Float[Tensor, "*batch 5 3"]
    """Lengths of each finger's three bones from base to tip; the thumb's first is its metacarpal."""
    radii_mm: Float[Tensor, "*batch 5 4"]
    """Half thickness of each finger at its four joints, base to tip."""
    size: Float[Tensor, "*batch"]
    """Factor on everything, 1 for the mean hand; already in the millimetres above, as are the next two."""
    width: Float[Tensor, "*batch"]
    """Factor on the palm across the fingers."""
    thickness: Float[Tensor, "*batch"]
    """Factor on thickness."""

    @classmethod
    def mean(cls, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> "HandShape":
        """The mean hand, without a batch dimension: 188 mm from wrist to middle fingertip when flat."""
        tables = [
            torch.tensor(table, dtype=dtype, device=device) for table in (_BASE_MM, _LENGTH_MM, _RADIUS_MM)
        ]
        return cls(*tables, *torch.ones(3, dtype=dtype, device=device).unbind())

    def to(self, target: Tensor | torch.dtype | torch.device | str) -> "HandShape":
        """The same shape with the dtype and device of a tensor, or with a new dtype or device."""
        return type(self)(**{field.name: getattr(self, field.name).to(target) for field in fields(self)})


def sample_shape(
    count: int, generator: torch.Generator, amount: int | float = 1.0, dtype: torch.dtype = torch.float32
) -> HandShape:
    """Draw `count` hands on the generator's device.

    Every factor is normal about 1, cut at two standard deviations: size 6 %, palm width 5 %, thickness 7 %,
    all bones 3 %, each finger's length 4 %, each bone 2.5 %, each finger's radius 2.5 %. Drawn in float64
    whatever `dtype`, so that a seed means one hand.

    Args:
        count: how many hands.
        generator: source of randomness.
        amount: factor on the standard deviations: 0 gives the mean hand.
        dtype: of the result.
    """
    device = generator.device

    def factor(deviation: float, *shape: int) -> Tensor:
        # cut at two deviations, which rules out extreme hands
        normal = torch.randn(count, *shape, generator=generator, dtype=torch.float64, device=device)
        return 1 + amount * deviation * normal.clamp(-2, 2)

    mean = HandShape.mean(torch.float64, device)
    # the order of the draws is part of what a seed means
    size, width, thickness = factor(0.06), factor(0.05), factor(0.07)
    overall = size[:, None, None]
    # only y, across the fingers, follows the palm's width
    base = (
        mean.base_mm
        * overall
        * torch.stack([torch.ones_like(width), width, torch.ones_like(width)], -1)[:, None]
    )
    lengths = mean.lengths_mm * overall * factor(0.03, 1, 1) * factor(0.04, 5, 1) * factor(0.025, 5, 3)
    radii = mean.radii_mm * overall * thickness[:, None, None] * factor(0.025, 5, 1)

    return HandShape(base, lengths, radii, size, width, thickness).to(dtype)


# ------------------------------------------------------------------------------------------------- kinematics

_YAW_DEGREES = (0.0, 3.0, 0.0, -4.0, -9.0)  # the fingers' fan at rest
_ROLL_DEGREES = (0.0, -5.0, 0.0, 7.0, 14.0)  # makes flexed fingers converge on the scaphoid
_THUMB_DISTAL, _THUMB_NAIL = (0.74, 0.55, -0.40), (-0.25, 0.80, 0.50)
THUMB_PRONATION = -1.1  # roll per flexion at the CMC; a search over it gave the best thumb across a fist


@dataclass(frozen=True)
class Kinematics:
    """A posed right hand in the hand frame."""

    rotations: Float[Tensor, "*batch 5 3 3 3"]
    """Bone frame to hand frame for each finger's three bones, base to tip; columns are the bone's distal,
    radial and dorsal axes."""
    joints: Float[Tensor, "*batch 21 3"]
    """Joints in mm, internal order, the wrist at the origin."""


def axis_rotation(
    axis: Literal["x", "y", "z"], angle: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """Matrix that turns column vectors about one axis by `angle` radians, right-handed."""
    cosine, sine, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    match axis:
        case "x":
            rows = [one, zero, zero, zero, cosine, -sine, zero, sine, cosine]
        case "y":
            rows = [cosine, zero, sine, zero, one, zero, -sine, zero, cosine]
        case "z":
            rows = [cosine, -sine, zero, sine, cosine, zero, zero, zero, one]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def _rest_frames() -> Float[Tensor, "5 3 3"]:
    yaw, roll = (
        torch.tensor(degrees, dtype=torch.float64).deg2rad() for degrees in (_YAW_DEGREES, _ROLL_DEGREES)
    )
    # fingers: fan about the dorsal axis, then roll about the bone
    frames = axis_rotation("z", yaw) @ axis_rotation("x", roll)
    # the thumb is set by two directions, made orthonormal by Gram-Schmidt
    distal, nail = (torch.tensor(axis, dtype=torch.float64) for axis in (_THUMB_DISTAL, _THUMB_NAIL))
    distal = distal / distal.norm()
    dorsal = nail - (nail @ distal) * distal
    dorsal = dorsal / dorsal.norm()
    frames[0] = torch.stack([distal, torch.linalg.cross(dorsal, distal), dorsal], -1)
    return frames


REST_FRAMES = _rest_frames()


def forward_kinematics(angles: Float[Tensor, "*batch 5 4"], shape: HandShape) -> Kinematics:
    """Pose a hand: joints in mm and bone rotations in the hand frame.

    Differentiable in the angles and the shape. A finger's frames are R1 = rest Rz(abduction) Ry(flexion), R2
    = R1 Ry(PIP), R3 = R2 Ry(DIP), and each bone lies along its frame's x. Positive flexion goes to the palm,
    positive abduction to the thumb's side. The thumb also pronates as its CMC flexes.

    Args:
        angles: radians; fingers have MCP flexion, MCP abduction, PIP, DIP; the thumb has CMC flexion, CMC
            abduction, MCP, IP.
        shape: its batch broadcasts with that of the angles; cast to their dtype and device.
    """
    shape = shape.to(angles)
    batch = torch.broadcast_shapes(angles.shape[:-2], shape.size.shape)
    flexion, abduction, middle, end = angles.expand(*batch, 5, 4).unbind(-1)
    # R1 = rest Rz(abduction) Ry(flexion) Rx(pronation); only the thumb pronates
    pronation = flexion * flexion.new_tensor([THUMB_PRONATION, 0, 0, 0, 0])
    first = (
        REST_FRAMES.to(angles)
        @ axis_rotation("z", abduction)
        @ axis_rotation("y", flexion)
        @ axis_rotation("x", pronation)
    )
    second = first @ axis_rotation("y", middle)
    third = second @ axis_rotation("y", end)
    rotations = torch.stack([first, second, third], -3)
    # a bone lies along the first column of its frame, its distal axis
    bones = rotations[..., 0] * shape.lengths_mm[..., None]
    base = shape.base_mm.expand(*batch, 5, 3)[..., None, :]
    chain = torch.cat([base, base + bones.cumsum(-2)], -2).flatten(-3, -2)

    return Kinematics(rotations, torch.cat([torch.zeros_like(chain[..., :1, :]), chain], -2))


_LOWER_DEGREES = (
    (-20, -26, -8, -15),
    (-18, -10, -3, -3),
    (-18, -10, -3, -3),
    (-18, -12, -3, -3),
    (-18, -16, -3, -3),
)
_UPPER_DEGREES = ((45, 22, 55, 75), (88, 16, 105, 70), (90, 9, 107, 70), (90, 9, 105, 70), (90, 10, 100, 70))
ANGLE_LIMITS = (
    torch.tensor(_LOWER_DEGREES, dtype=torch.float64).deg2rad(),
    torch.tensor(_UPPER_DEGREES, dtype=torch.float64).deg2rad(),
)
"""Lowest and highest angles, radians, laid out as `forward_kinematics` takes them."""


def clamp_to_limits(angles: Float[Tensor, "*batch 5 4"]) -> Float[Tensor, "*batch 5 4"]:
    """The nearest angles, each by itself, that lie within `ANGLE_LIMITS` (radians)."""
    return angles.clamp(*(limit.to(angles) for limit in ANGLE_LIMITS))


# ------------------------------------------------------------------------------------------------ named poses

_POSES_DEGREES: dict[str, tuple[tuple[int, int, int, int], ...]] = {  # thumb, index, middle, ring, pinky
    "open":    ((-6, 14, 4, -4),   (2, 7, 5, 3),     (2, 0, 5, 3),     (3, -5, 6, 4),    (3, -9, 7, 5)),
    "flat":    ((0, 0, 5, 5),      (2, 1, 4, 3),     (2, 0, 4, 3),     (3, 0, 4, 3),     (3, 3, 5, 3)),
    "relaxed": ((8, 0, 14, 12),    (24, 1, 26, 16),  (30, 0, 32, 20),  (34, 0, 34, 22),  (36, -2, 32, 20)),
    "fist":    ((30, 12, 24, 52),  (85, 0, 104, 72), (89, 0, 107, 74), (90, 0, 107, 74), (90, 0, 102, 72)),
    "point":   ((28, 10, 22, 52),  (4, 2, 6, 4),     (82, 0, 100, 60), (84, 0, 98, 60),  (82, 0, 92, 58)),
    "victory": ((29, 4, 28, 42),   (2, 12, 5, 3),    (2, -6, 5, 3),    (80, 0, 98, 58),  (80, 0, 92, 56)),
    "pinch":   ((26, 0, 8, 8),     (48, 0, 42, 26),  (34, 0, 36, 22),  (32, 0, 32, 22),  (30, -3, 28, 18)),
    "ok":      ((24, 0, 8, 4),     (52, 2, 56, 30),  (14, 0, 16, 10),  (8, -4, 10, 8),   (4, -10, 10, 6)),
    "thumbup": ((-18, 10, -4, -8), (80, 0, 98, 58),  (84, 0, 100, 60), (86, 0, 98, 60),  (84, 0, 92, 58)),
    "claw":    ((4, 10, 16, 24),   (10, 8, 60, 36),  (10, 0, 62, 38),  (10, -5, 60, 36), (12, -10, 54, 34)),
}  # fmt: skip
assert tuple(_POSES_DEGREES) == POSE_NAMES


def named_pose(name: str, dtype: torch.dtype = torch.float32) -> Float[Tensor, "5 4"]:
    """Angles in radians of one of `POSE_NAMES`, within `ANGLE_LIMITS` (the fist as drawn asks for a little
    more than they allow).

    Raises:
        UserError: there is no pose of that name.
    """
    if name not in _POSES_DEGREES:
        raise _unknown("pose", name, POSE_NAMES)
    return clamp_to_limits(torch.tensor(_POSES_DEGREES[name], dtype=torch.float64).deg2rad()).to(dtype)
