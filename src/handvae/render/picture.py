"""From a scene to a picture with every label."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from handvae.choices import Quality
from handvae.geometry import CanonicalPose, canonical_pose
from handvae.hand import FINGERS, LEFT, SEGMENTATION_CLASSES, scale_bone
from handvae.render.hand.body import rest_body
from handvae.render.hand.distance import rest_maps
from handvae.render.hand.shade import Light
from handvae.render.hand.skin import landmarks
from handvae.render.hand.surface import CAST, COARSE_MM, FINE_MM, baked, deform, pose_maps
from handvae.render.raster import raster
from handvae.render.scene import BACKGROUND, OBJECT, SENSOR, Placed, Scene
from handvae.render.surroundings.background import KINDS, paint
from handvae.render.surroundings.objects import occluder
from handvae.render.surroundings.sensor import CLEAN, expose
from handvae.render.trace import trace

_CLASS_OF_GROUP = np.array(
    [
        SEGMENTATION_CLASSES.index("palm"),
        *(SEGMENTATION_CLASSES.index(finger) for finger in FINGERS),
        SEGMENTATION_CLASSES.index("forearm"),
        0,
    ],
    np.uint8,
)
"""Codes of `hand.SEGMENTATION_CLASSES` by the renderer's group: palm, thumb to pinky, forearm, none (-1)."""
_WRIST_DEPTH_MM = 28.0
_MIRROR = np.array([-1.0, 1.0, 1.0])

_ANGLES = ("base_flexion", "base_abduction", "middle_flexion", "end_flexion")
_DIRECTIONS = ("fingers", "back")
FACTORS = (
    *(f"{finger}_{angle}_deg" for finger in FINGERS for angle in _ANGLES),
    "wrist_flexion_deg", "wrist_deviation_deg",
    "size", "palm_width", "thickness", "finger_length", "thumb_length",
    *(f"view_{axis}_{direction}" for direction in _DIRECTIONS for axis in "xyz"), "distance_mm", "left",
    "melanin", "blood", "light_x", "light_y", "light_z", "light_strength", "ambient", "sleeve", "background",
)  # fmt: skip
"""Names of the generative factors: pose, shape, viewpoint, and appearance, in this order."""
POSE_FACTORS = slice(0, 22)
SHAPE_FACTORS = slice(22, 27)
VIEW_FACTORS = slice(27, 35)
CONTENT_FACTORS = slice(35, 44)


@dataclass(frozen=True)
class Picture:
    """A rendered hand and its labels; frames and units as in `handvae.data.hands.Hands`."""

    image: UInt8[np.ndarray, "size size 3"]
    depth: Float[np.ndarray, "size size"]
    """mm to the nearest skin of this hand or its arm; 0 elsewhere and where an object hides it."""
    segmentation: UInt8[np.ndarray, "size size"]
    joints_2d: Float[np.ndarray, "21 2"]
    joints_3d: Float[np.ndarray, "21 3"]
    joint_visible: Bool[np.ndarray, " 21"]
    intrinsics: Float[np.ndarray, "3 3"]
    side: int
    content: int
    factors: Float[np.ndarray, " factor"]
    pose_name: str

    @cached_property
    def _canonical(self) -> CanonicalPose:
        return canonical_pose(torch.from_numpy(self.joints_3d), torch.tensor(self.side))

    @property
    def canonical(self) -> Float[np.ndarray, "21 3"]:
        """Canonical pose in bone units."""
        return self._canonical.pose.numpy()

    @property
    def viewpoint(self) -> Float[np.ndarray, "3 3"]:
        """Rotation from the canonical frame to the camera."""
        return self._canonical.viewpoint.numpy()

    @property
    def scale_mm(self) -> float:
        """Length of the scale bone."""
        return float(scale_bone(torch.from_numpy(self.joints_3d)))


@dataclass(frozen=True)
class _Layer:
    """One hand as drawn: radiance times coverage, coverage, depth, group."""

    colour: Float[np.ndarray, "size size 3"]
    alpha: Float[np.ndarray, "size size"]
    depth: Float[np.ndarray, "size size"]
    group: Int[np.ndarray, "size size"]

    def mirrored(self) -> "_Layer":
        return _Layer(
            colour=np.ascontiguousarray(self.colour[:, ::-1]),
            alpha=np.ascontiguousarray(self.alpha[:, ::-1]),
            depth=np.ascontiguousarray(self.depth[:, ::-1]),
            group=np.ascontiguousarray(self.group[:, ::-1]),
        )

    def over(self, behind: Float[np.ndarray, "size size 3"]) -> Float[np.ndarray, "size size 3"]:
        """This layer composited over a picture."""
        return self.colour + (1 - self.alpha[..., None]) * behind


def draw(scene: Scene, size_px: int, quality: Quality = "fast") -> Picture:
    """The picture of a scene and its labels.

    Args:
        scene: hand, light and surroundings.
        size_px: side of the picture.
        quality: `reference` marches four rays a pixel through the exact surface; `fast` draws a baked
            mesh, at least ten times as fast.
    """
    # the principal point lies in the middle
    focal = scene.focal * size_px
    intrinsics = np.array([[focal, 0.0, size_px / 2], [0.0, focal, size_px / 2], [0.0, 0.0, 1.0]])
    joints_3d = scene.hand.body.joints @ scene.hand.rotation.T + scene.hand.translation

    # a left hand is drawn as a right hand in mirrored light, then mirrored
    if scene.side == LEFT:
        layer = _draw_hand(scene.hand, _mirrored(scene.light), focal, size_px, quality).mirrored()
        joints_3d = joints_3d * _MIRROR
    else:
        layer = _draw_hand(scene.hand, scene.light, focal, size_px, quality)

    joints_2d = joints_3d[:, :2] / joints_3d[:, 2:] * focal + size_px / 2

    # compose in linear light, from back to front
    linear, kind = _surroundings(scene, size_px)
    if scene.other is not None:
        linear = _draw_hand(scene.other, scene.light, focal, size_px, "fast").over(linear)

    linear = layer.over(linear)
    is_hand = layer.alpha >= 0.5
    visible = _visible(joints_2d, joints_3d[:, 2], np.where(is_hand, layer.depth, np.inf), scene)

    if scene.hidden:
        left, top, right, bottom = np.clip([*joints_2d.min(0), *joints_2d.max(0)], 0, size_px).tolist()
        thing = occluder(scene.generator(OBJECT), size_px, (left, top, right, bottom), scene.ranges.objects)
        shaded = linear * ((1 - thing.alpha) * (1 - thing.shadow))[..., None]
        linear = thing.colour * thing.alpha[..., None] + shaded
        is_hand &= thing.alpha <= 0.5
        visible &= ~_at(joints_2d, thing.alpha > 0.5, False)

    sensor = CLEAN if scene.studio else scene.ranges.sensor
    return Picture(
        image=expose(linear.astype(np.float32), scene.generator(SENSOR), sensor),
        depth=np.where(is_hand, layer.depth, 0).astype(np.float32),
        segmentation=np.where(is_hand, _CLASS_OF_GROUP[layer.group], 0).astype(np.uint8),
        joints_2d=joints_2d.astype(np.float32),
        joints_3d=joints_3d.astype(np.float32),
        joint_visible=visible,
        intrinsics=intrinsics.astype(np.float32),
        side=scene.side,
        content=scene.content,
        factors=_factors(scene, kind),
        pose_name=scene.pose.name,
    )


def _mirrored(light: Light) -> Light:
    return light._replace(
        key_direction=light.key_direction * _MIRROR,
        fill_direction=light.fill_direction * _MIRROR,
        up=light.up * _MIRROR,
    )


def _draw_hand(hand: Placed, light: Light, focal: float, size: int, quality: Quality) -> _Layer:
    """A right hand, drawn into arrays that the compiled renderers fill."""
    layer = _Layer(
        colour=np.zeros((size, size, 3)),
        alpha=np.zeros((size, size)),
        depth=np.zeros((size, size)),
        group=np.full((size, size), -1),
    )
    out = (layer.colour, layer.alpha, layer.depth, layer.group)

    body, rotation, translation = hand.body, hand.rotation, hand.translation
    table = body.packed(rotation, translation)

    if quality == "reference":
        maps = rest_maps(body, rest_body(), rotation, translation)
        end = body.start + body.axes[:, 0] * body.length[:, None]
        ends = np.stack([body.start, end], 1) @ rotation.T + translation
        trace(table, maps, np.ascontiguousarray(ends), landmarks(), hand.skin, light, focal, size, *out)
    else:
        surface = baked(COARSE_MM if size <= 160 else FINE_MM)
        points = np.empty((len(surface.rest), 3))
        shading = np.empty((len(surface.rest), 5))
        deform(surface, pose_maps(body, rotation, translation), table, CAST, light, points, shading)
        raster(points, shading, surface, landmarks(), hand.skin, light, focal, size, *out)

    return layer


def _surroundings(scene: Scene, size: int) -> tuple[Float[np.ndarray, "size size 3"], str]:
    """The background in linear light, and its kind; a grey gradient in the studio."""
    if scene.studio:
        return np.broadcast_to(np.linspace(0.5, 0.25, size)[:, None, None], (size, size, 3)), "plain"
    background = paint(scene.generator(BACKGROUND), size, scene.ranges.background)
    return background.colour, background.kind


def _at(joints_2d: Float[np.ndarray, "21 2"], plane: np.ndarray, outside: float | bool) -> np.ndarray:
    """A plane's value under each joint, or `outside` beyond the picture."""
    pixel = np.floor(joints_2d).astype(int)
    within = ((pixel >= 0) & (pixel < len(plane))).all(1)
    pixel = np.clip(pixel, 0, len(plane) - 1)
    return np.where(within, plane[pixel[:, 1], pixel[:, 0]], outside)


def _visible(
    joints_2d: Float[np.ndarray, "21 2"],
    z: Float[np.ndarray, " 21"],
    surface: Float[np.ndarray, "size size"],
    scene: Scene,
) -> Bool[np.ndarray, " 21"]:
    """Joints in the picture whose own skin the camera sees.

    The surface there may lie in front of the joint by little more than the thickness of its flesh.
    """
    radii = np.concatenate([[0.0], scene.shape.radii_mm.double().numpy().ravel()])
    reach = 1.5 * radii + 5
    reach[0] = _WRIST_DEPTH_MM
    return _at(joints_2d, surface, -np.inf) > z - reach


def _factors(scene: Scene, background: str) -> Float[np.ndarray, " factor"]:
    """The numbers of `FACTORS`; directions as in the picture, so those of a left hand are mirrored."""
    shape, skin, light, hand = scene.shape, scene.hand.skin, scene.light, scene.hand
    lengths = shape.lengths_mm.double().numpy().sum(1) / float(shape.size)
    mirrored = _MIRROR if scene.side == LEFT else np.ones(3)
    values = [
        *np.rad2deg(scene.pose.angles).ravel(), *np.rad2deg(scene.pose.wrist),
        float(shape.size), float(shape.width), float(shape.thickness), lengths[1:].mean(), lengths[0],
        *(hand.rotation[:, 0] * mirrored), *(hand.rotation[:, 2] * mirrored),
        hand.translation[2], float(scene.side == LEFT),
        skin.melanin, skin.blood, *light.key_direction, light.key.mean(), light.ambient_high.mean(),
        float(skin.sleeve_mm > -900), KINDS.index(background),
    ]  # fmt: skip

    return np.array(values, np.float32)
