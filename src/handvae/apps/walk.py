"""`handvae walk A B`: an animation between two poses, or two appearances."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro

from handvae.apps.options import GENERATOR, parse
from handvae.apps.walk_latent import modality_frames
from handvae.data.files.pictures import as_pixels
from handvae.errors import UserError
from handvae.geometry import VIEWS, orthographic_view
from handvae.hand import POSE_NAMES, HandShape, forward_kinematics, named_pose
from handvae.inference.drawing import enlarge, write_gif
from handvae.inference.inputs import read_appearance, read_poses
from handvae.noise import Noise
from handvae.systems.cm_vae import CmVae
from handvae.systems.system import Generator
from handvae.training.checkpoint import Model, load_model

MOST_FRAMES = 1000
"""All are in memory at once."""


@dataclass(frozen=True)
class Options:
    """Walk from A to B and back: one factor moves, the other stands still; with cm-VAE every modality it
    decodes, side by side."""

    a: tyro.conf.Positional[str]
    """Factor pose: a named pose or JSON file (cm-VAE: or a photo). Factor appearance: a named one, photo,
    folder (its mean) or `random`."""
    b: tyro.conf.Positional[str]
    """Where the walk goes."""
    factor: Literal["pose", "appearance"] = "pose"
    """What changes."""
    out: Path = Path("out/walk.gif")
    """The animation."""
    model: str = GENERATOR
    """A shipped model, a .safetensors file or a run folder."""
    pose: str = "open"
    """The pose that stands still, for factor appearance."""
    appearance: str = "random"
    """The looks that stand still, for factor pose: `random`, a named appearance, a photo or a folder of
    photos."""
    frames: int = 24
    """Pictures from A to B."""
    seed: int = 0
    """Of random appearances."""


def main(arguments: Sequence[str]) -> None:
    """Parse, decode, write."""
    options = parse(Options, arguments, "handvae walk")
    if not 2 <= options.frames <= MOST_FRAMES:
        raise UserError("--frames", f"is {options.frames}", f"give 2 to {MOST_FRAMES}")
    if options.out.suffix.lower() != ".gif":
        raise UserError(options.out, "is no .gif file", "an animation is one: name it something.gif")
    model = load_model(options.model)
    share = torch.linspace(0, 1, options.frames)
    if isinstance(model.system, CmVae):
        if options.factor != "pose":
            raise UserError("--factor", "is appearance, and cm-VAE has one latent for all", "leave it out")
        return _write(options, modality_frames(model.system, options.a, options.b, share))
    system = model.generator
    noise = Noise(options.seed)
    if options.factor == "pose":
        joints = pose_walk(system, options.a, options.b, share)
        appearances = _appearances(options.appearance, model, noise).expand(len(share), -1)
    else:
        start, end = _appearances(options.a, model, noise), _appearances(options.b, model, noise)
        appearances = appearance_walk(start, end, share)
        joints = read_poses(options.pose, None, "palm", system, 1).joints[:1].expand(len(share), -1, -1)
    _write(options, frames(system, joints, appearances))


def _write(options: Options, pictures: Sequence[np.ndarray]) -> None:
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_gif(options.out, pictures)
    print(f"animation: {options.out}")


def frames(
    system: Generator, joints: torch.Tensor, appearances: torch.Tensor, side: int = 256
) -> list[np.ndarray]:
    """A picture per pose and appearance."""
    return [enlarge(as_pixels(picture), side) for picture in system.synthesize(joints, appearances).numpy()]


def pose_walk(system: Generator, a: str, b: str, share: torch.Tensor) -> torch.Tensor:
    """Poses between two: named ones turn their joint angles (bones keep their length), others move along
    straight lines."""
    if a in POSE_NAMES and b in POSE_NAMES and system.pose == "2d":
        start, end = named_pose(a), named_pose(b)
        angles = start + share[:, None, None] * (end - start)
        shape = HandShape.mean()
        seen = orthographic_view(
            forward_kinematics(angles, shape).joints, VIEWS["palm"].float()[None], margin=system.crop.margin
        )
        mirror = -1.0 if system.spec.sides == "left" else 1.0
        return seen.joints_2d * torch.tensor([mirror, 1.0])
    start, end = (read_poses(text, None, "palm", system, 1).joints[:1] for text in (a, b))
    return start + share[:, None, None] * (end - start)


def appearance_walk(start: torch.Tensor, end: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Appearances between two along a great circle, whose length does not dip as a straight line's does."""
    weight = share[:, None]
    cosine = torch.nn.functional.cosine_similarity(start, end).clamp(-0.9999, 0.9999)
    angle = torch.acos(cosine)
    return (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / torch.sin(angle)


def _appearances(text: str, model: Model, noise: Noise) -> torch.Tensor:
    if text == "random":
        return model.generator.random_appearance(1, noise, "aggregate")
    return read_appearance(text, model)[0]
