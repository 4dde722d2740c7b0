"""`handvae walk A B`: an animation between two poses, or two appearances."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from handvae.apps.options import GENERATOR, DeviceOption, QuietOption, parse
from handvae.apps.output import output
from handvae.choices import Between, Suffix
from handvae.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from handvae.training.checkpoint import Model

MOST_FRAMES = 1000
"""All are in memory at once."""


@dataclass(frozen=True)
class Options:
    """Walk from A to B and back: one factor moves, the other stands still.

    With cm-VAE the frames show every modality that it decodes, side by side.
    """

    a: tyro.conf.Positional[str]
    """Factor pose: a named pose or JSON file (cm-VAE: or a photo). Factor appearance: a named one, photo,
    folder (its mean) or `random`."""
    b: tyro.conf.Positional[str]
    """Where the walk goes."""
    factor: Literal["pose", "appearance"] = "pose"
    """What changes."""
    out: Annotated[Path, Suffix(".gif")] = Path("out/walk.gif")
    """The animation."""
    model: str = GENERATOR
    """A shipped model, a .safetensors file or a run folder."""
    pose: str = "open"
    """The pose that stands still, for factor appearance."""
    appearance: str = "random"
    """The appearance that stands still, for factor pose: `random`, a named one, a photo or a folder of
    photos."""
    frames: Annotated[int, Between(2, 1000)] = 24
    """Pictures from A to B."""
    seed: Annotated[int, Between(0, 2**62)] = 0
    """Of random appearances."""
    device: DeviceOption = "cpu"
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, decode, write."""
    options = parse(Options, arguments, "handvae walk")

    from handvae.device import find_device
    from handvae.inference.drawing import write_gif
    from handvae.inference.networks import load_model

    model = load_model(options.model, find_device(options.device))
    frames = _frames(options, model)

    with output(options.quiet, out=options.out):
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_gif(options.out, frames)
        print(f"animation: {options.out}")


def _frames(options: Options, model: "Model") -> "list[np.ndarray]":
    """Pictures from A to B."""
    import torch

    from handvae.inference.appearance import read_appearance
    from handvae.inference.latent_walk import modality_frames
    from handvae.inference.networks import random_appearance
    from handvae.inference.poses import read_poses
    from handvae.inference.sheets import animation_frames
    from handvae.inference.walk import appearance_walk, pose_walk
    from handvae.noise import Noise
    from handvae.systems.cm_vae import CmVae

    share = torch.linspace(0, 1, options.frames)

    if isinstance(model.system, CmVae):
        if options.factor != "pose":
            raise UserError("--factor", "is appearance, and cm-VAE has one latent for all", "leave it out")
        return modality_frames(model.system, options.a, options.b, share)

    system, noise = model.generator, Noise(options.seed)

    def appearance(text: str) -> torch.Tensor:
        if text == "random":
            return random_appearance(system, 1, noise, "aggregate")
        return read_appearance(text, model)[0]

    # one factor moves, the other one stands still
    if options.factor == "pose":
        joints = pose_walk(system, options.a, options.b, share)
        appearances = appearance(options.appearance).expand(len(share), -1)
    else:
        start = appearance(options.a)
        end = appearance(options.b)
        appearances = appearance_walk(start, end, share)
        joints = read_poses(options.pose, None, "palm", system, 1).joints[:1].expand(len(share), -1, -1)

    return animation_frames(system, joints, appearances)
