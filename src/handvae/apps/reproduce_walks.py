"""Figures 5 and 6 of da-VAE's paper as sheets: one part of the latent walks from one hand to another, the
others stand still.

Beside each rebuilt picture the paper shows MANO, fitted to the predicted joints; here it is our own hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handvae.apps.options import parse
from handvae.data.cloud import dots
from handvae.data.crop import cut, in_own_crop
from handvae.data.files.pictures import as_pixels, write_picture
from handvae.data.open import open_data
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT, HandShape
from handvae.inference.drawing import enlarge, grid
from handvae.noise import Noise, Stream
from handvae.render.hand.fitting import fit_hands
from handvae.render.picture import draw
from handvae.reproduction.experiment import run_folder
from handvae.systems.da_vae import DaVae
from handvae.training.checkpoint import load_model

SIDE = 128
"""Pixels of a cell."""
ROW = "da-VAE"
"""Of the tables, whose model is shown."""


@dataclass(frozen=True)
class Walk:
    """A figure: which part of the latent walks."""

    about: str
    part: int


WALKS = {
    "da-vae-figure5": Walk("z1 (pose) walks between two hands, appearance and shape stand still", 0),
    "da-vae-figure6": Walk("z2 (appearance) walks between two hands, pose and shape stand still", 1),
    "da-vae-shape": Walk("z3 (shape) walks between two hands, which the paper could not show", 2),
}


@dataclass(frozen=True)
class Options:
    """A sheet: for each pair of test hands, the pictures rebuilt on the way, our hand fitted to the joints,
    and the clouds.

    First and last column: the two hands themselves, masked.
    """

    data: Path
    """The data set whose test split gives the hands."""
    model: str | None = None
    """A model of da-VAE; without, what `handvae reproduce` has trained in --out."""
    split: str | None = "test"
    """Split of the data set; None for a set without splits."""
    pairs: int = 3
    """Pairs of hands."""
    frames: int = 7
    """Steps of a walk, its ends included."""
    beyond: float = 0.0
    """How far the walk goes on beyond both ends, in its own lengths: shows a part that changes little."""
    seed: int = 0
    """Of the hands, and of the trained model."""
    out: Path = Path("out/reproduce")
    """Folder of the reproductions; the sheet is FIGURE.png in it."""


def draw_walk(name: str, words: Sequence[str]) -> None:
    """Parse, walk, write the sheet."""
    options = parse(Options, words, f"handvae reproduce {name}")
    for option, value, least in (
        ("--pairs", options.pairs, 1),
        ("--frames", options.frames, 2),
        ("--seed", options.seed, 0),
    ):
        if value < least:
            raise UserError(option, f"is {value}", f"give at least {least}")
    if not 0 <= options.beyond <= 10:
        raise UserError("--beyond", f"is {options.beyond}", "give 0 to 10")
    model = load_model(options.model or _trained(options))
    if not isinstance(model.system, DaVae):
        raise UserError(
            model.path,
            f"is a {model.header.system}, whose latent has no such parts",
            "give a model of da-VAE",
        )
    data = open_data(options.data, options.split)
    if len(data) < 2 * options.pairs:
        raise UserError(
            data.spec.name, f"has {len(data)} hands, and pairs need {2 * options.pairs}", "lower --pairs"
        )
    chosen = torch.randperm(len(data), generator=Noise(options.seed, stream=Stream.WALK_PAIRS).generator)[
        : 2 * options.pairs
    ]
    image = cut(data, chosen, model.system.crop).require("image")
    share = torch.linspace(-options.beyond, 1 + options.beyond, options.frames)
    rows = [row for pair in image.split(2) for row in walk(model.system, pair, WALKS[name].part, share)]
    path = options.out / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, grid(rows))
    print(f"{WALKS[name].about}; {model.name}, {data.spec.name}\nsheet: {path}")


def _trained(options: Options) -> str:
    """The run folder of da-VAE, of full scale before laptop scale."""
    for scale in ("full", "laptop"):
        folder = run_folder(options.out / scale, ROW, options.seed)
        if (folder / "model.safetensors").is_file():
            return str(folder)
    fault = f"no {ROW} of seed {options.seed} is trained in {options.out}"
    raise UserError(
        "--model", f"is not given, and {fault}", "name a model, or run handvae reproduce da-vae-table1 first"
    )


def between(
    first: Float[Tensor, "latent"],
    last: Float[Tensor, "latent"],
    dims: Sequence[int],
    part: int,
    share: Float[Tensor, " frame"],
) -> Float[Tensor, "frame latent"]:
    """Points of the latent whose `part` is a share of the way from the first's to the last's; the other parts
    are the first's."""
    inside = torch.cat([torch.full((size,), number == part) for number, size in enumerate(dims)])
    return torch.where(inside, first + share[:, None] * (last - first), first)


@torch.no_grad()
def walk(
    system: DaVae, pair: Float[Tensor, "2 3 height width"], part: int, share: Float[Tensor, " frame"]
) -> list[list[np.ndarray]]:
    """Three rows of cells: pictures rebuilt between the two hands, our hand fitted to the joints, clouds from
    the front."""
    masked = system.masked(pair)
    ends = system.encode(pair, masked).mean
    found = system.decode(between(ends[0], ends[1], system.config.dims, part, share))
    side = torch.full((len(share),), LEFT if system.spec.sides == "left" else RIGHT)
    hands = fit_hands(found.joints * HandShape.mean().lengths_mm[2, 0], side)
    first, last = (_cell(picture) for picture in masked)
    blank = np.full_like(first, 255)
    clouds = dots(in_own_crop(found.cloud[..., :2], 1.1), SIDE)
    return [
        [first, *(_cell(picture) for picture in found.image), last],
        [blank, *(draw(hands.scene(row), SIDE).image for row in range(len(share))), blank],
        [blank, *(as_pixels(cloud.numpy()) for cloud in clouds), blank],
    ]


def _cell(picture: Float[Tensor, "3 size size"]) -> UInt8[np.ndarray, "side side 3"]:
    return enlarge(as_pixels(picture.numpy()), SIDE)
