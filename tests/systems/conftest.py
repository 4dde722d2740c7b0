"""What the tests of Soft-Intro-SRV-VAE share."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.coco import CocoHands
from handvae.data.hands import DataSpec, Hands
from handvae.data.view import Crop
from handvae.systems.soft_intro import SoftIntroConfig, SoftIntroSrvVae
from handvae.systems.system import System
from handvae.training.config import Train
from handvae.training.run_folder import Run

SHORT = Train(steps=6, batch=4, workers=1, lr=1e-3, warmup_steps=0, log_every=1, compile=False, precision="float32")


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
