"""`Hands`, a batch of hands and their labels, and `DataSpec`, what a data set offers."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from handvae.hand import JOINT_NAMES, LEFT

Sides = Literal["left", "right", "both"]


@dataclass(frozen=True)
class Hands:
    """A batch of hands; every field is optional, and all fields that are given share the first axis.

    Joints are in the order of `handvae.hand.JOINT_NAMES`. Pixels: x right, y down; the first pixel covers
    [0, 1) and has its centre at 0.5. Camera frame: x right, y down, z forward, in mm.
    """

    image: Float[Tensor, "batch 3 height width"] | None = None
    """RGB in [0, 1]."""
    depth: Float[Tensor, "batch 1 height width"] | None = None
    """mm along the camera's z axis; 0 where unknown."""
    mask: Float[Tensor, "batch 1 height width"] | None = None
    """1 on the hand, forearm not included."""
    tag: Float[Tensor, "batch 3 height width"] | None = None
    """Another picture of the same content, RGB in [0, 1] (dVAE's tag image)."""
    tag_segmentation: Int[Tensor, "batch 1 height width"] | None = None
    """`segmentation` of `tag`."""
    segmentation: Int[Tensor, "batch 1 height width"] | None = None
    """The class of each pixel: indices into `handvae.hand.SEGMENTATION_CLASSES`."""
    joints_2d: Float[Tensor, "batch joint 2"] | None = None
    """Pixels of `image`."""
    joints_3d: Float[Tensor, "batch joint 3"] | None = None
    """mm in the camera frame, or relative to the data set's root where the camera is unknown."""
    joint_valid: Bool[Tensor, "batch joint"] | None = None
    """False where a label is missing."""
    present: Bool[Tensor, " batch"] | None = None
    """False where the picture shows no hand: `joints_2d` then only say where it is cut."""
    pose_known: Bool[Tensor, " batch"] | None = None
    """False where training must not use the pose (semi-supervision); None where it may use all."""
    joint_visible: Bool[Tensor, "batch joint"] | None = None
    """False where something hides a joint: another finger, the palm, an object, the picture's edge."""
    joint_spread: Float[Tensor, "batch joint"] | None = None
    """Standard deviation of a 2D label over several labellings, in pixels of `image`."""
    intrinsics: Float[Tensor, "batch 3 3"] | None = None
    side: Int[Tensor, " batch"] | None = None
    """`handvae.hand.LEFT` or `RIGHT`."""
    viewpoint: Float[Tensor, "batch 3 3"] | None = None
    """Rotation from the canonical frame to the camera."""
    canonical: Float[Tensor, "batch joint 3"] | None = None
    """Canonical pose in bone units."""
    cloud: Float[Tensor, "batch point 3"] | None = None
    content: Int[Tensor, " batch"] | None = None
    """Same number: same background, light and skin (dVAE's content)."""
    subject: Int[Tensor, " batch"] | None = None
    """Same number: same person."""
    gesture: Int[Tensor, " batch"] | None = None
    """Index into the data set's `DataSpec.gestures`; -1: none of them."""
    scale_mm: Float[Tensor, " batch"] | None = None
    """Length of the scale bone, for data that give it without the joints."""
    instances: Float[Tensor, "batch hand joint 2"] | None = None
    """2D joints of all hands of a whole picture, px of `image` (`data.scenes`)."""
    instance_valid: Bool[Tensor, "batch hand"] | None = None
    """False for those that only fill up."""
    instance_side: Int[Tensor, "batch hand"] | None = None
    """`LEFT`, `RIGHT`, or -1 where it is not known."""
    all_labelled: Bool[Tensor, " batch"] | None = None
    """False where a picture may show hands besides its instances."""
    picture_size: Float[Tensor, "batch 2"] | None = None
    """Width and height of the whole picture, px."""
    factors: Float[Tensor, "batch factor"] | None = None
    """True generative factors, in the order of `DataSpec.factors`."""

    def __post_init__(self) -> None:
        # a field cut by another row selection would pair labels with the wrong hands
        counts = {name: len(value) for name, value in self.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"fields of one batch differ in length: {counts}")

    def items(self) -> list[tuple[str, Tensor]]:
        """Names and tensors of the fields that are given."""
        pairs = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return [(name, value) for name, value in pairs if value is not None]

    def __len__(self) -> int:
        return next((len(value) for _, value in self.items()), 0)

    def __getitem__(
        self, rows: slice | Sequence[int] | Int[Tensor, " rows"] | Bool[Tensor, " rows"]
    ) -> "Hands":
        """The chosen rows, as a batch."""
        return replace(self, **{name: value[rows] for name, value in self.items()})

    def to(self, device: torch.device | str) -> "Hands":
        """The same batch on another device."""
        return replace(self, **{name: value.to(device, non_blocking=True) for name, value in self.items()})

    def require(self, name: str) -> Tensor:
        """The named field.

        Raises:
            ValueError: the batch lacks it.
        """
        return self.require_all(name)[0]

    def require_all(self, *names: str) -> tuple[Tensor, ...]:
        """The named fields.

        Raises:
            ValueError: the batch lacks one of them; says which.
        """
        given = dict(self.items())
        missing = [name for name in names if name not in given]
        if missing:
            raise ValueError(f"this batch has no {', '.join(missing)}; it has {', '.join(given)}")
        return tuple(given[name] for name in names)

    @classmethod
    def cat(cls, batches: "Sequence[Hands]") -> "Hands":
        """One batch from several that have the same fields."""
        names = [name for name, _ in batches[0].items()]
        return cls(**{name: torch.cat([batch.require(name) for batch in batches]) for name in names})


MOST_JOINTS, MOST_PX = 1000, 65536
"""Of any data set."""


@dataclass(frozen=True)
class DataSpec:
    """What a data set offers; a system is built from it and keeps it in its checkpoint."""

    name: str
    """The data set's name, such as `photos`."""
    count: int
    """Number of hands."""
    size_px: int
    """Side of the square crops."""
    modalities: tuple[str, ...]
    """Fields of `Hands` that every sample has."""
    sides: Sides
    """Which hands the crops show, after mirroring if the crop asks for it."""
    root: Literal["wrist", "palm", "middle_mcp", "camera"] = "wrist"
    """Where the origin of `joints_3d` lies."""
    joints: int = 21
    """Number of joints."""
    joint_names: tuple[str, ...] = JOINT_NAMES
    """Names of the joints; depth data sets have their own."""
    gestures: tuple[str, ...] = ()
    """Names of the classes that `Hands.gesture` counts."""
    factors: tuple[str, ...] = ()
    """Names of the columns of `Hands.factors`."""
    licence: str = ""
    """What may be done with the pictures, in a few words."""

    def __post_init__(self) -> None:
        # a damaged file may give any number, and networks are built by these
        if not 0 <= self.joints <= MOST_JOINTS or not 0 <= self.size_px <= MOST_PX or self.count < 0:
            raise ValueError(
                f"count is 0 or more, joints 0 to {MOST_JOINTS}, size_px 0 to {MOST_PX}: "
                f"they are {self.count}, {self.joints} and {self.size_px}"
            )

    @property
    def has_camera(self) -> bool:
        """Whether the 3D joints lie in the frame of a known camera."""
        return self.root == "camera" and {"joints_3d", "intrinsics"} <= set(self.modalities)


def sides_shown(side: Int[Tensor, " hand"] | None) -> Sides:
    """Which sides these hands show; "both" where the sides are not known."""
    values = [] if side is None else side.unique().tolist()
    if len(values) != 1:
        return "both"
    return "left" if values[0] == LEFT else "right"
