"""What the tests of systems share: Soft-Intro's runs; drawn hands with both sides, depth, a camera, contents
that repeat."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.crop import Crop, cut
from handvae.data.dataset import HandData
from handvae.data.hands import DataSpec, Hands
from handvae.data.readers.coco import CocoHands
from handvae.geometry import VIEWS, mirror_3d, project, rotation_z
from handvae.hand import (
    BONES,
    LEFT,
    POSE_NAMES,
    RIGHT,
    SEGMENTATION_CLASSES,
    HandShape,
    forward_kinematics,
    named_pose,
)
from handvae.systems.soft_intro import SoftIntroConfig, SoftIntroSrvVae
from handvae.systems.system import System
from handvae.training.config import Train
from handvae.training.run_folder import Run

SIDE = 64
PER_CONTENT = 4
CAMERA = torch.tensor([[160.0, 0.0, 32.0], [0.0, 160.0, 32.0], [0.0, 0.0, 1.0]])
FIELDS = (
    "image",
    "depth",
    "segmentation",
    "mask",
    "joints_2d",
    "joints_3d",
    "joint_valid",
    "joint_visible",
    "intrinsics",
    "side",
    "content",
    "subject",
)
SHORT = Train(
    steps=6, batch=4, workers=1, lr=1e-3, warmup_steps=0, log_every=1, compile=False, precision="float32"
)


class DrawnHands(HandData):
    """`count` hands, every other one a left hand; four in a row share the colours of hand and ground."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(3)
        poses = torch.stack([named_pose(POSE_NAMES[number % len(POSE_NAMES)]) for number in range(count)])
        turn = rotation_z((torch.rand(count, generator=generator) - 0.5) * 1.5) @ VIEWS["palm"].float()
        hands = forward_kinematics(poses, HandShape.mean()).joints @ turn.mT
        self.side = torch.tensor([LEFT, RIGHT]).repeat(count)[:count]
        hands = torch.where((self.side == LEFT)[:, None, None], mirror_3d(hands), hands)
        self.joints = hands - hands.mean(1, keepdim=True) + torch.tensor([0.0, 0.0, 600.0])
        self.content = torch.arange(count) // PER_CONTENT
        self.colours = (
            (torch.rand(int(self.content.max()) + 1, 2, 3, generator=generator) * 255).int().tolist()
        )
        self.spec = DataSpec("drawn", count, SIDE, FIELDS, "both", root="camera")

    def __len__(self) -> int:
        return self.spec.count

    def labels(self, rows):
        joints = self.joints[rows]
        there = torch.ones(joints.shape[:2], dtype=torch.bool)
        return Hands(
            joints_2d=project(joints, CAMERA), joints_3d=joints, joint_valid=there, joint_visible=there,
            intrinsics=CAMERA.expand(len(rows), 3, 3), side=self.side[rows],
            content=self.content[rows], subject=self.content[rows],
        )  # fmt: skip

    def _lines(self, row: int, canvas: np.ndarray, colour) -> np.ndarray:
        points = np.round((project(self.joints[row], CAMERA).numpy() - 0.5) * 16).astype(int).tolist()
        for parent, child in BONES:
            cv2.line(canvas, points[parent], points[child], colour, 4, cv2.LINE_8, 4)
        return canvas

    def picture(self, row: int):
        ground, skin = self.colours[int(self.content[row])]
        return self._lines(row, np.full((SIDE, SIDE, 3), ground, np.uint8), skin)

    def depth(self, row: int):
        return self._lines(row, np.zeros((SIDE, SIDE), np.float32), 600.0)

    def segmentation(self, row: int):
        return np.where(self.depth(row) > 0, SEGMENTATION_CLASSES.index("palm"), 0).astype(np.uint8)


@pytest.fixture(scope="session")
def drawn() -> Callable[[int], DrawnHands]:
    """Makes a data set of so many hands."""
    return DrawnHands


@pytest.fixture(scope="session")
def seen(drawn) -> Hands:
    """Sixteen drawn hands as crops of 32 px, with depth and another picture of their content, its parts
    told."""
    return cut(
        drawn(16),
        torch.arange(16),
        Crop(32),
        None,
        None,
        ("image", "depth", "segmentation", "tag", "tag_segmentation"),
    )


@pytest.fixture
def soft(tiny_spec: DataSpec, crops: Hands) -> Callable[[SoftIntroConfig], SoftIntroSrvVae]:
    """Builds a system with seeded weights, prepared on the drawn hands."""

    def make(config: SoftIntroConfig) -> SoftIntroSrvVae:
        torch.manual_seed(0)
        system = SoftIntroSrvVae(config, tiny_spec, Crop(32))
        system.prepare(crops)
        return system

    return make


@pytest.fixture
def run(tiny_set: Path) -> Callable[..., Run]:
    """A run of six steps on the drawn hands."""

    def make(system: System, out: Path, resume: bool = False, **changes: object) -> Run:
        still = Augment(rotation_deg=0.0, scale=0.0, shift=0.0)
        return Run(system, CocoHands(tiny_set, "train"), still, replace(SHORT, **changes), out, resume=resume)

    return make
