"""Options of `handvae estimate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from handvae.apps.options import DeviceOption, JsonOption, QuietOption, Rare
from handvae.choices import Between, Drawings, Encoding, Folder


@dataclass(frozen=True)
class Options:
    """Read the poses of hands in photos, depth pictures or files of 2D joints."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Photos, depth pictures (PNG), folders of them, JSON files of 2D joints (21 pairs, COCO), or a video."""
    out: Annotated[Path, Folder()] = Path("out/estimate")
    """Folder for estimate.json and what is drawn."""
    model: str | None = None
    """A shipped model, a .safetensors file or a run folder; default reader-128, for 2D joints lifting."""
    lift: bool = True
    """Where the model reads 2D joints, read 3D joints from these (by the shipped model lifting)."""
    side: Annotated[str, tyro.conf.arg(metavar="auto|left|right")] = "auto"
    """Which hands are shown; auto: as labels next to a photo tell, else as is recognised."""
    box: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H")] = None
    """Where the joints of the one hand are, px. Without it labels next to a photo tell, else all hands are
    searched for."""
    max_hands: Annotated[int, Between(1, 1000)] = 10
    """Hands of a photo that are searched for, at most."""
    min_score: Annotated[float, Between(0, 1)] = 0.5
    """Least probability of a hand that is searched for."""
    smooth: bool = True
    """Of a video: joints are smoothed over time, by their spread."""
    draw: Drawings = "2d"
    """What is drawn: nothing, joints on the photo (2d), or in space too, with our hand fitted (all)."""
    together: bool = False
    """All files show one hand: what a model reads in its photo, its depth and its joints is fused."""
    bone_mm: Annotated[float, Between(0, 1e4)] = 0.0
    """Length of the hand's bone from the middle finger's base to its next joint: joints are then also given
    in mm."""
    depth_encoding: Rare[Encoding] = "plane"
    """How depth is packed: 16 bits of grey (none: these are photos too), or colours as in a data set."""
    depth_unit_mm: Rare[Annotated[float, Between(1e-9, 1e6)]] = 1.0
    """What one unit of a 16-bit depth picture stands for."""
    focal: Rare[Annotated[float, Between(0, 1e6)]] = 0.0
    """Focal length of the depth camera, px; 0 guesses."""
    device: DeviceOption = "cpu"
    quiet: QuietOption = False
    json: JsonOption = False
