"""Figures of cm-VAE's and dVAE's latent spaces as sheets: codes of all modalities in a plane, walks, samples
of a posterior."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from sklearn.manifold import TSNE
from torch import Tensor

from handvae.apps.options import parse
from handvae.apps.reproduce_figures import title_of, titled, trained_rows
from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.data.files.pictures import as_pixels, write_picture
from handvae.data.hands import Hands
from handvae.data.open import open_data
from handvae.errors import UserError
from handvae.evaluation.generation_inputs import fully_labelled_rows
from handvae.evaluation.latent import codes, silhouette
from handvae.inference.drawing import FINGER_COLOURS, enlarge, grid
from handvae.noise import Noise, Stream
from handvae.systems.cm_vae import FIELDS, CmVae
from handvae.systems.dvae_generator import DvaeGenerator
from handvae.training.checkpoint import Model, load_model

CELL, PLANE = 128, 512
"""Pixels of a cell, and of a plane of codes."""
MOST_CODES = 400
"""Hands whose codes are shown, at most."""


@dataclass(frozen=True)
class Options:
    """A sheet of a paper's figure of a latent space, from hands of the test split."""

    data: Path
    """The data set whose test split is encoded."""
    model: tuple[str, ...] = ()
    """Files or run folders, a sheet each. Without: what `handvae reproduce` has trained in --out."""
    split: str | None = "test"
    """Split of the data set; None for a set without splits."""
    protocol: str | None = None
    """Which hands, where a data set has several protocols."""
    hands: int = 5
    """Rows: walks, or hands that are read."""
    columns: int = 8
    """Steps of a walk, or samples."""
    seed: int = 0
    """Of the hands and samples, and of the trained models."""
    out: Path = Path("out/reproduce")
    """Folder of the reproductions; the sheet is FIGURE.png in it."""


Sheet = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class LatentFigure:
    """A figure of a latent space."""

    about: str
    rows: tuple[str, ...]
    """Rows of the paper's tables whose models it shows."""
    make: Callable[[Model, HandData, Options], tuple[Sheet, str]]
    """The sheet of a model, and what is to be said of it."""


def draw_latent(name: str, words: Sequence[str]) -> None:
    """Parse, make the sheets, say what they show."""
    options = parse(Options, words, f"handvae reproduce {name}")
    for option, value, least in (
        ("--hands", options.hands, 1),
        ("--columns", options.columns, 2),
        ("--seed", options.seed, 0),
    ):
        if value < least:
            raise UserError(option, f"is {value}", f"give at least {least}")
    figure, data = LATENT_FIGURES[name], open_data(options.data, options.split, options.protocol)
    names = list(options.model) or trained_rows(figure.rows, options.out, options.seed)
    if not names:
        fault = f"holds no trained {' or '.join(repr(row) for row in figure.rows)} of seed {options.seed}"
        raise UserError(
            options.out, fault, "make the paper's tables first (handvae reproduce), or give --model"
        )
    models = [load_model(model) for model in names]
    made = [figure.make(model, data, options) for model in models]
    sheets = [titled(sheet, title_of(model)) for model, (sheet, _) in zip(models, made, strict=True)]
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [
        np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), constant_values=255) for sheet in sheets
    ]
    path = options.out / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, np.concatenate(padded))
    for model, (_, said) in zip(models, made, strict=True):
        print(f"{title_of(model)}: {said}")
    print(f"{figure.about}; hands of {data.spec.name}\nsheet: {path}")


# ----------------------------------------------------------------------------------------------- ----- cm-VAE


def plane(model: Model, data: HandData, options: Options) -> tuple[Sheet, str]:
    """t-SNE of the codes of all modalities together, a colour each."""
    system = _cm_vae(model)
    found = codes(system, data, MOST_CODES)
    count = len(found[system.config.input])
    if len(found) < 2:
        raise UserError(
            model.path,
            f"encodes {system.config.input} alone",
            "give a model with several encoders: variant 2 or 4, or more pairs",
        )
    if count < 10:
        raise UserError(data.spec.name, f"has {count} hands with all their labels", "give at least 10")
    points = torch.cat(list(found.values())).double().numpy()
    near = min(30.0, (len(points) - 1) / 3)
    flat = TSNE(2, perplexity=near, init="pca", random_state=options.seed).fit_transform(points)
    low, high = flat.min(0), flat.max(0)
    places = np.round((flat - low) / (high - low).max() * (PLANE - 48) + 24).astype(int)
    canvas = np.full((PLANE, PLANE, 3), 255, np.uint8)
    for number, place in enumerate(places):
        colour = FINGER_COLOURS[(number // count) % len(FINGER_COLOURS)]
        cv2.circle(canvas, (int(place[0]), int(place[1])), 3, colour, -1, cv2.LINE_AA)
    for number, name in enumerate(found):
        cv2.putText(
            canvas,
            name,
            (6 + 60 * number, PLANE - 8),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.5,
            FINGER_COLOURS[number],
            1,
            cv2.LINE_AA,
        )
    return (
        canvas,
        f"{count} hands by {', '.join(found)}; silhouette by modality, in all {points.shape[1]} dimensions, {silhouette(found):.3f}",
    )


@torch.no_grad()
def walks(model: Model, data: HandData, options: Options) -> tuple[Sheet, str]:
    """From the code of one hand to that of another along a line; each walk a row for each modality."""
    system = _cm_vae(model)
    hands = _hands(system, data, 2 * options.hands, options.seed)
    code = system.encode(hands, system.config.input).mean
    share = torch.linspace(0, 1, options.columns)[:, None]
    rows = [
        [
            _cell(picture)
            for picture in system.shown(system.decode(torch.lerp(start, end, share), modality), modality)
        ]
        for start, end in zip(code[: options.hands], code[options.hands :], strict=True)
        for modality in system.config.decoded
    ]
    return (
        grid(rows),
        f"rows: {', '.join(system.config.decoded)} of each of {options.hands} walks between hands read by {system.config.input}",
    )


@torch.no_grad()
def samples(model: Model, data: HandData, options: Options) -> tuple[Sheet, str]:
    """What is read, the true pose, the pose of the posterior's mean, and poses of samples from it."""
    system = _cm_vae(model)
    hands = _hands(system, data, options.hands, options.seed)
    seen = system.observed(hands, system.config.input)
    seen = seen + 0.5 if system.config.input == "rgb" else seen
    posterior = system.encode(hands, system.config.input)
    draws = Noise(options.seed, stream=Stream.LATENT_SAMPLES).normal(
        options.columns, options.hands, posterior.shape[1]
    )
    poses = [
        system.joints_of(hands),
        *(system.decode(z, "3d") for z in (posterior.mean, *(posterior.mean + posterior.std * draws))),
    ]
    columns = [system.shown(seen, system.config.input), *(system.shown(pose, "3d") for pose in poses)]
    rows = [[_cell(column[row]) for column in columns] for row in range(options.hands)]
    return grid(
        rows
    ), f"columns: {system.config.input}, the truth, the mean, {options.columns} samples of the posterior"


def _cm_vae(model: Model) -> CmVae:
    if not isinstance(model.system, CmVae):
        raise UserError(
            model.path, f"is a {model.header.system}, and the figure is of cm-VAE", "give a cm_vae"
        )
    return model.system


def _hands(system: CmVae | DvaeGenerator, data: HandData, count: int, seed: int) -> Hands:
    """Hands with all labels, drawn at random."""
    rows = fully_labelled_rows(data)
    if len(rows) < count:
        raise UserError(
            data.spec.name, f"has {len(rows)} hands with all labels, and {count} are needed", "lower --hands"
        )
    chosen = rows[
        torch.randperm(len(rows), generator=Noise(seed, stream=Stream.LATENT_ROWS).generator)[:count]
    ]
    if isinstance(system, DvaeGenerator):
        return cut(data, chosen, system.crop)
    return cut(
        data,
        chosen,
        system.crop,
        fields=tuple(field for name, field in FIELDS.items() if name in system.config.encoded),
    )


# ----------------------------------------------------------------------------------------------- ------- dVAE


def pose_walks(model: Model, data: HandData, options: Options) -> tuple[Sheet, str]:
    """The pose's code goes from one hand's to another's, the content stands still."""
    return _dvae_walks(model, data, options, moves="pose")


def content_walks(model: Model, data: HandData, options: Options) -> tuple[Sheet, str]:
    """The content goes from one hand's to another's, the pose stands still."""
    return _dvae_walks(model, data, options, moves="content")


@torch.no_grad()
def _dvae_walks(model: Model, data: HandData, options: Options, moves: str) -> tuple[Sheet, str]:
    """Pictures of the walks between two real ones, which stand at either end."""
    system = _dvae(model)
    hands = _hands(system, data, 2 * options.hands, options.seed)
    image = hands.require("image")
    factors = {
        "pose": system.pose_encoder(system.joints_of(hands)).mean,
        "content": system.appearance_of(image),
    }
    share = torch.linspace(0, 1, options.columns)[:, None]
    rows = []
    for row in range(options.hands):
        ends = {name: (code[row], code[row + options.hands]) for name, code in factors.items()}
        parts = [
            torch.lerp(*ends[name], share) if name == moves else ends[name][0].expand(len(share), -1)
            for name in ("pose", "content")
        ]
        made = system.image_of(torch.cat(parts, 1))
        rows.append([_cell(picture) for picture in (image[row], *made, image[row + options.hands])])
    return grid(rows), f"{options.hands} walks of the {moves}, the real pictures of both ends at the sides"


@torch.no_grad()
def exchanges(model: Model, data: HandData, options: Options) -> tuple[Sheet, str]:
    """Hands in their true poses with the own looks, and with the hand's, the ground's or both looks of
    another one."""
    system = _dvae(model)
    if len(system.content_layers) < 2:
        raise UserError(
            model.path,
            "holds its content in one piece",
            "give a model of `handvae train rendered-dvae-layers-64`",
        )
    hands = _hands(system, data, 2 * options.hands, options.seed)
    image = hands.require("image")
    joints, (own, other) = (
        system.joints_of(hands)[: options.hands],
        system.appearance_of(image).split(options.hands),
    )
    appearances = [own, *(system.exchanged(own, part, other) for part in system.content_layers), other]
    columns = [
        *image.split(options.hands),
        *(system.synthesize(joints, appearance) for appearance in appearances),
    ]
    parts = ", ".join(f"the other's {part}" for part in system.content_layers)
    return grid([[_cell(column[row]) for column in columns] for row in range(options.hands)]), (
        f"columns: a picture, another one, made of the first's true pose and looks, with {parts}, with both"
    )


def _dvae(model: Model) -> DvaeGenerator:
    if not isinstance(model.system, DvaeGenerator):
        raise UserError(
            model.path,
            f"is a {model.header.system}, and the figure is of dVAE's pictures",
            "give a dvae_image",
        )
    return model.system


def _cell(picture: Float[Tensor, "3 size size"]) -> UInt8[np.ndarray, "side side 3"]:
    return enlarge(as_pixels(picture.numpy()), CELL)


_CROSSED = ("ours: RGB, 2D and 3D crossed", "Var. 4, 2D to 3D", "ours: 2D and 3D not crossed")
_PICTURES = ("dVAE, pictures: tags (algorithm 1)", "dVAE, pictures: z_u (algorithm 2)")
_APART = "ours: light KL, pictures: hand and ground apart"
LATENT_FIGURES = {
    "cm-vae-figure6": LatentFigure(
        "cm-VAE: walks decoded in all modalities at once (also figure 9)", _CROSSED[:2], walks
    ),
    "cm-vae-figure8": LatentFigure(
        "cm-VAE: codes of all modalities by t-SNE (also figure 1)", _CROSSED, plane
    ),
    "cm-vae-figure11": LatentFigure("cm-VAE: samples from a prediction", _CROSSED[:2], samples),
    "dvae-figure4": LatentFigure("dVAE: walks of the pose, the content stands still", _PICTURES, pose_walks),
    "dvae-figure5": LatentFigure(
        "dVAE: walks of the content, the pose stands still", _PICTURES, content_walks
    ),
    "dvae-layers": LatentFigure(
        "dVAE, ours: the looks of hand and ground exchanged, each by itself", (_APART,), exchanges
    ),
}
