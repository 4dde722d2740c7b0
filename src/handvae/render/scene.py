"""A scene drawn from (seed, index): its parts, and the steps that place the hand before a camera.

A content id fixes person, skin, light, background and sensor, which come from one set of random streams; pose
and view come from another. So the same content appears under many poses. A stream is a pure function of its
numbers, in whichever process it is drawn.
"""

from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from jaxtyping import Float

from handvae.geometry import PALM_TO_CAMERA, random_rotation, rotation_x, rotation_y, rotation_z
from handvae.hand import LEFT, RIGHT, HandShape, sample_shape
from handvae.render.hand.body import Body, pose_body
from handvae.render.hand.pose import Pose, PoseRanges, make_pose, sample_pose
from handvae.render.hand.shade import Light, LightRanges, sample_light, studio_light
from handvae.render.hand.skin import SkinAppearance, SkinRanges, sample_skin
from handvae.render.surroundings.background import BackgroundRanges
from handvae.render.surroundings.objects import OccluderRanges
from handvae.render.surroundings.sensor import SensorRanges

CONTENT, POSE, BACKGROUND, SENSOR, OBJECT, OTHER, CLOUD = range(7)
"""Streams of random numbers."""


@dataclass(frozen=True)
class CameraRanges:
    """How cameras are placed."""

    upright: int | float = 0.9
    """Share of views with fingers roughly up; the others are uniform over all rotations."""
    tilt_deg: tuple[float, float] = (35.0, 30.0)
    """Largest lean of an upright hand, sideways and to or from the camera."""
    distance_mm: tuple[float, float] = (350.0, 800.0)
    """From the camera to the middle of the hand."""
    fill: tuple[float, float] = (0.34, 0.47)
    """Radius of the hand in the picture, over the picture's side."""
    shift: int | float = 0.06
    """Largest offset from the picture's middle, over its side."""
    left: int | float = 0.5
    """Share of left hands."""


@dataclass(frozen=True)
class SceneRanges:
    """Everything that is drawn at random, and how widely."""

    pose: PoseRanges = field(default_factory=PoseRanges)
    skin: SkinRanges = field(default_factory=SkinRanges)
    light: LightRanges = field(default_factory=LightRanges)
    camera: CameraRanges = field(default_factory=CameraRanges)
    background: BackgroundRanges = field(default_factory=BackgroundRanges)
    sensor: SensorRanges = field(default_factory=SensorRanges)
    objects: OccluderRanges = field(default_factory=OccluderRanges)
    shape: int | float = 1.0
    """Factor on the variety of hand shapes."""
    hidden: int | float = 0.12
    """Share of pictures with an object in front of the hand."""
    other_hand: int | float = 0.06
    """Share of pictures with another person's hand in the background."""
    per_content: int = 4
    """Pictures that share a content id: one person, skin, light and background under several poses and views.
    """

    def __post_init__(self) -> None:
        if self.per_content < 1:
            raise ValueError("per_content is 1 or more")


@dataclass(frozen=True)
class Placed:
    """A right hand before the camera."""

    body: Body
    skin: SkinAppearance
    rotation: Float[np.ndarray, "3 3"]
    """Hand frame to camera frame."""
    translation: Float[np.ndarray, " 3"]
    """The wrist in the camera frame, mm."""


@dataclass(frozen=True)
class Scene:
    """Everything that a picture shows, whatever its size."""

    hand: Placed
    pose: Pose
    shape: HandShape
    light: Light
    focal: float
    """Focal length over the picture's side."""
    side: int
    """A left hand is drawn as a right one and the picture mirrored."""
    content: int
    ranges: SceneRanges
    seed: int
    index: int
    other: Placed | None = None
    hidden: bool = False
    studio: bool = False
    """Plain background and a perfect sensor, for pictures that explain."""

    def generator(self, stream: int) -> np.random.Generator:
        """The random numbers of one stream of this scene."""
        fixed_by_content = stream in (CONTENT, BACKGROUND, SENSOR)
        number = self.content if fixed_by_content else self.index
        return stream_of(self.seed, stream, number)


def stream_of(seed: int, stream: int, number: int) -> np.random.Generator:
    """The random numbers of a stream; the same on every machine and worker."""
    return np.random.default_rng([seed, stream, number])


def sample_scene(seed: int, index: int, ranges: SceneRanges | None = None) -> Scene:
    """The scene of one index: a pure function of its arguments."""
    ranges = ranges or SceneRanges()

    # fixed by the content
    content = index // ranges.per_content
    of_content = stream_of(seed, CONTENT, content)
    shape = _sample_shape(of_content, ranges.shape)
    skin = sample_skin(of_content, ranges.skin)
    light = sample_light(of_content, ranges.light)

    # pose and view
    generator = stream_of(seed, POSE, index)
    pose = sample_pose(generator, shape, ranges.pose)
    body = pose_body(pose, shape)
    rotation = _sample_rotation(generator, ranges.camera)
    translation, focal = _frame(generator, body, rotation, ranges.camera)
    side = LEFT if generator.random() < ranges.camera.left else RIGHT
    hidden = generator.random() < ranges.hidden
    other = None
    if generator.random() < ranges.other_hand:
        other = _another_person(stream_of(seed, OTHER, index), translation, focal, ranges)

    return Scene(
        hand=Placed(body, skin, rotation, translation),
        pose=pose,
        shape=shape,
        light=light,
        focal=focal,
        side=side,
        content=content,
        ranges=ranges,
        seed=seed,
        index=index,
        other=other,
        hidden=hidden,
    )


def posed_scene(name: str, turn_deg: int | float, side: int = RIGHT, seed: int | None = None) -> Scene:
    """A named pose in even light before a plain background, turned about its upright axis.

    Args:
        name: one of `handvae.hand.POSE_NAMES`.
        turn_deg: degrees; 0 shows the palm, 180 the back.
        side: LEFT or RIGHT.
        seed: draws person and skin; None is the mean hand in light skin.

    Raises:
        UserError: there is no such pose.
    """
    shape = HandShape.mean(torch.float64)
    generator = np.random.default_rng(0 if seed is None else seed)
    skin = sample_skin(generator, SkinRanges(ring=0, glove=0, polish=0, freckles=0, sleeve=0))

    if seed is None:
        skin = skin._replace(melanin=0.28, blood=0.25, palm_light=0.25)
    else:
        shape = _sample_shape(generator, 1.0)

    pose = make_pose(name, shape)
    body = pose_body(pose, shape)
    turn = torch.tensor(np.deg2rad(turn_deg), dtype=torch.float64)
    rotation = (rotation_y(turn) @ PALM_TO_CAMERA).numpy()

    # centred on the box of the joints and a piece of the forearm
    outline = np.concatenate([body.joints, [[-40.0, 0.0, 0.0]]])
    translation = np.array([0.0, 0.0, 560.0]) - rotation @ ((outline.min(0) + outline.max(0)) / 2)
    return Scene(
        hand=Placed(body, skin, rotation, translation),
        pose=pose,
        shape=shape,
        light=studio_light(),
        focal=2.2,
        side=side,
        content=0,
        ranges=SceneRanges(),
        seed=0,
        index=0,
        studio=True,
    )


# --------------------------------------------------------------------------------------- drawing the parts


def _torch_generator(generator: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(generator.integers(2**62)))


def _sample_shape(generator: np.random.Generator, amount: float) -> HandShape:
    drawn = sample_shape(1, _torch_generator(generator), amount, torch.float64)
    return HandShape(**{name.name: getattr(drawn, name.name)[0] for name in fields(HandShape)})


def _sample_rotation(generator: np.random.Generator, ranges: CameraRanges) -> Float[np.ndarray, "3 3"]:
    uniform = random_rotation(1, _torch_generator(generator), torch.float64)[0]

    most_lean, most_nod = ranges.tilt_deg
    lean = torch.tensor(np.deg2rad(generator.uniform(-1, 1) * most_lean), dtype=torch.float64)
    nod = torch.tensor(np.deg2rad(generator.uniform(-1, 1) * most_nod), dtype=torch.float64)
    turn = torch.tensor(generator.uniform(-np.pi, np.pi), dtype=torch.float64)
    upright = rotation_z(lean) @ rotation_x(nod) @ rotation_y(turn) @ PALM_TO_CAMERA
    return (upright if generator.random() < ranges.upright else uniform).numpy()


def _frame(
    generator: np.random.Generator, body: Body, rotation: Float[np.ndarray, "3 3"], ranges: CameraRanges
) -> tuple[Float[np.ndarray, " 3"], float]:
    """The wrist's place and the focal length that make the hand fill the picture as drawn from `fill`."""
    turned = body.joints @ rotation.T
    centre = (turned.min(0) + turned.max(0)) / 2
    depth = generator.uniform(*ranges.distance_mm)

    # radius in the picture = focal * radius / depth
    radius = np.linalg.norm((turned - centre)[:, :2], axis=1).max() + 12
    focal = generator.uniform(*ranges.fill) * depth / radius
    offset = generator.uniform(-1, 1, 2) * ranges.shift * depth / focal
    return np.array([*offset, depth]) - centre, float(focal)


def _another_person(
    generator: np.random.Generator, translation: Float[np.ndarray, " 3"], focal: float, ranges: SceneRanges
) -> Placed:
    """Another person's hand, deeper in the scene and to a side."""
    shape = _sample_shape(generator, ranges.shape)
    body = pose_body(sample_pose(generator, shape, replace(ranges.pose, contact=0.0)), shape)
    rotation = _sample_rotation(generator, ranges.camera)

    turned = body.joints @ rotation.T
    depth = translation[2] + generator.uniform(120, 400)
    angle = generator.uniform(0, 2 * np.pi)
    aside = generator.uniform(0.3, 0.55) * depth / focal * np.array([np.cos(angle), np.sin(angle)])
    place = np.array([*aside, depth]) - (turned.min(0) + turned.max(0)) / 2

    return Placed(body, sample_skin(generator, ranges.skin), rotation, place)
