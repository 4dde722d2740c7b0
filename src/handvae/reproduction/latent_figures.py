"""Figures of cm-VAE's and dVAE's latent spaces: codes in a plane, walks, posterior samples."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from sklearn.manifold import TSNE
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.data.open import open_data
from handvae.errors import UserError
from handvae.evaluation.generation_inputs import fully_labelled_rows
from handvae.evaluation.latent import codes, silhouette
from handvae.inference.drawing import FINGER_COLOURS, grid, picture_cell
from handvae.noise import Noise, Stream
from handvae.reproduction.figure import LatentFigure, LatentView
from handvae.reproduction.options import LatentOptions
from handvae.reproduction.sheets import (
    CELL,
    DrawnFigure,
    Sheet,
    check_least,
    stacked,
    title_of,
    trained_models,
)
from handvae.systems.cm_vae import CmVae, pixel_fields
from handvae.systems.dvae_generator import DvaeGenerator
from handvae.training.checkpoint import Model, load_model

PLANE = 512
"""Pixels of a plane of codes."""
MARGIN = 24
"""Pixels between the codes and the plane's border."""
MOST_CODES = 400
"""Hands whose codes are shown, at most."""


def draw_latent_figure(figure: LatentFigure, options: LatentOptions) -> DrawnFigure:
    """A sheet for each model.

    Raises:
        UserError: an option is out of range, no model is trained, or a model or the data do not fit.
    """
    check_least(
        ("--hands", options.hands, 1),
        ("--columns", options.columns, 2),
        ("--seed", options.seed, 0),
    )
    data = open_data(options.data, options.split, options.protocol)

    names = list(options.model) or trained_models(figure.rows, options.out, options.seed)

    if not names:
        rows = " or ".join(repr(row) for row in figure.rows)
        fault = f"holds no trained {rows} of seed {options.seed}"
        remedy = "make the paper's tables first (handvae reproduce), or give --model"
        raise UserError(options.out, fault, remedy)

    sheets, notes = [], []
    for model in [load_model(name) for name in names]:
        sheet, note = VIEWS[figure.view](model, data, options)
        sheets.append((title_of(model), sheet))
        notes.append(f"{title_of(model)}: {note}")

    notes.append(f"{figure.about}; hands of {data.spec.name}")
    return DrawnFigure(stacked(sheets), tuple(notes))


def _random_hands(system: CmVae | DvaeGenerator, data: HandData, count: int, seed: int) -> Hands:
    """Crops of random hands that have all labels."""
    rows = fully_labelled_rows(data)
    if len(rows) < count:
        fault = f"has {len(rows)} hands with all labels, and {count} are needed"
        raise UserError(data.spec.name, fault, "lower --hands")

    order = torch.randperm(len(rows), generator=Noise(seed, stream=Stream.LATENT_ROWS).generator)
    chosen = rows[order[:count]]
    if isinstance(system, DvaeGenerator):
        return cut(data, chosen, system.crop)

    return cut(
        data,
        chosen,
        system.crop,
        fields=pixel_fields(system.config.encoded),
    )


def _cells(pictures: Tensor) -> list[np.ndarray]:
    """Pictures as the cells of a row."""
    return [picture_cell(picture, CELL) for picture in pictures]


def _columns_grid(columns: Sequence[Tensor]) -> Sheet:
    """A sheet from its columns, each a batch of pictures."""
    rows = zip(*(_cells(column) for column in columns), strict=True)
    return grid([list(row) for row in rows])


# ----------------------------------------------------------------------------------------------------- cm-VAE


def code_plane(model: Model, data: HandData, options: LatentOptions) -> tuple[Sheet, str]:
    """t-SNE of the codes of all modalities together, a colour for each modality."""
    system = _cm_vae(model)
    by_modality = codes(system, data, MOST_CODES)
    count = len(by_modality[system.config.input])

    if len(by_modality) < 2:
        fault = f"encodes {system.config.input} alone"
        remedy = "give a model with several encoders: variant 2 or 4, or more pairs"
        raise UserError(model.path, fault, remedy)

    if count < 10:
        raise UserError(data.spec.name, f"has {count} hands with all their labels", "give at least 10")

    # a perplexity above a third of the points is an error of t-SNE
    points = torch.cat(list(by_modality.values())).double().numpy()
    perplexity = min(30.0, (len(points) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=options.seed)
    flat = tsne.fit_transform(points)

    # one scale for both axes: distances in the plane stay comparable
    low, high = flat.min(0), flat.max(0)
    places = np.round((flat - low) / (high - low).max() * (PLANE - 2 * MARGIN) + MARGIN).astype(int)

    canvas = np.full((PLANE, PLANE, 3), 255, np.uint8)

    for number, (x, y) in enumerate(places):
        colour = FINGER_COLOURS[(number // count) % len(FINGER_COLOURS)]
        cv2.circle(canvas, (int(x), int(y)), 3, colour, -1, cv2.LINE_AA)

    for number, name in enumerate(by_modality):
        corner = (6 + 60 * number, PLANE - 8)
        colour = FINGER_COLOURS[number]
        cv2.putText(canvas, name, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)

    separation = silhouette(by_modality)
    note = (
        f"{count} hands by {', '.join(by_modality)}; silhouette by modality, in all {points.shape[1]} "
        f"dimensions, {separation:.3f}"
    )
    return canvas, note


@torch.no_grad()
def modality_walks(model: Model, data: HandData, options: LatentOptions) -> tuple[Sheet, str]:
    """Straight walks from the code of one hand to that of another; each has a row for each modality."""
    system = _cm_vae(model)
    config = system.config
    hands = _random_hands(system, data, 2 * options.hands, options.seed)
    starts, ends = system.encode(hands, config.input).mean.split(options.hands)

    share = torch.linspace(0, 1, options.columns)[:, None]
    rows = []

    for start, end in zip(starts, ends, strict=True):
        path = torch.lerp(start, end, share)
        for modality in config.decoded:
            rows.append(_cells(system.visualise(system.decode(path, modality), modality)))

    decoded = ", ".join(config.decoded)
    note = f"rows: {decoded} of each of {options.hands} walks between hands read by {config.input}"
    return grid(rows), note


@torch.no_grad()
def posterior_samples(model: Model, data: HandData, options: LatentOptions) -> tuple[Sheet, str]:
    """The input, the true pose, the pose of the posterior's mean, and poses of samples from it."""
    system = _cm_vae(model)
    modality = system.config.input
    hands = _random_hands(system, data, options.hands, options.seed)

    posterior = system.encode(hands, modality)
    noise = Noise(options.seed, stream=Stream.LATENT_SAMPLES)
    draws = noise.normal(options.columns, options.hands, posterior.shape[1])
    latents = [posterior.mean, *(posterior.mean + posterior.std * draws)]
    poses = [system.joints_of(hands), *(system.decode(z, "3d") for z in latents)]

    # pictures are encoded from -0.5 to 0.5
    encoder_input = system.observed(hands, modality)
    if modality == "rgb":
        encoder_input = encoder_input + 0.5

    columns = [system.visualise(encoder_input, modality)]
    columns += [system.visualise(pose, "3d") for pose in poses]
    note = f"columns: {modality}, the truth, the mean, {options.columns} samples of the posterior"
    return _columns_grid(columns), note


def _cm_vae(model: Model) -> CmVae:
    if not isinstance(model.system, CmVae):
        fault = f"is a {model.header.system}, and the figure is of cm-VAE"
        raise UserError(model.path, fault, "give a cm_vae")
    return model.system


# ------------------------------------------------------------------------------------------------------- dVAE


def pose_walks(model: Model, data: HandData, options: LatentOptions) -> tuple[Sheet, str]:
    """The pose's code walks from one hand to another, the content stands still."""
    return _factor_walks(model, data, options, moves="pose")


def content_walks(model: Model, data: HandData, options: LatentOptions) -> tuple[Sheet, str]:
    """The content walks from one hand to another, the pose stands still."""
    return _factor_walks(model, data, options, moves="content")


@torch.no_grad()
def _factor_walks(model: Model, data: HandData, options: LatentOptions, moves: str) -> tuple[Sheet, str]:
    """Generated pictures of each walk between the real pictures of its two ends."""
    system = _dvae(model)
    hands = _random_hands(system, data, 2 * options.hands, options.seed)
    image = hands.require("image")
    pose = system.pose_encoder(system.joints_of(hands)).mean
    content = system.appearance_of(image)

    share = torch.linspace(0, 1, options.columns)[:, None]
    rows = []

    for start in range(options.hands):
        end = start + options.hands
        latent = []
        for name, code in (("pose", pose), ("content", content)):
            if name == moves:
                latent.append(torch.lerp(code[start], code[end], share))
            else:
                latent.append(code[start].expand(len(share), -1))

        generated = system.image_of(torch.cat(latent, 1))
        rows.append(_cells(torch.stack([image[start], *generated, image[end]])))

    note = f"{options.hands} walks of the {moves}, the real pictures of both ends at the sides"
    return grid(rows), note


@torch.no_grad()
def exchanged_layers(model: Model, data: HandData, options: LatentOptions) -> tuple[Sheet, str]:
    """Hands in their true poses with their own appearance, and with one or both layers of another hand's."""
    system = _dvae(model)
    layers = system.content_layers
    if len(layers) < 2:
        remedy = "give a model of `handvae train rendered-dvae-layers-64`"
        raise UserError(model.path, "holds its content in one piece", remedy)

    hands = _random_hands(system, data, 2 * options.hands, options.seed)
    image = hands.require("image")
    joints = system.joints_of(hands)[: options.hands]
    own, other = system.appearance_of(image).split(options.hands)

    appearances = [own, *(system.exchanged(own, layer, other) for layer in layers), other]
    generated = [system.synthesize(joints, appearance) for appearance in appearances]

    exchanged = ", ".join(f"the other's {layer}" for layer in layers)
    note = (
        "columns: a picture, another one, generated with the first's true pose and appearance, "
        f"with {exchanged}, with both"
    )

    return _columns_grid([*image.split(options.hands), *generated]), note


def _dvae(model: Model) -> DvaeGenerator:
    if not isinstance(model.system, DvaeGenerator):
        fault = f"is a {model.header.system}, and the figure is of dVAE's pictures"
        raise UserError(model.path, fault, "give a dvae_image")
    return model.system


VIEWS: dict[LatentView, Callable[[Model, HandData, LatentOptions], tuple[Sheet, str]]] = {
    "codes": code_plane,
    "modality walks": modality_walks,
    "samples": posterior_samples,
    "pose walks": pose_walks,
    "content walks": content_walks,
    "exchanged layers": exchanged_layers,
}
"""Each draws the sheet of a model, and a note about it."""
