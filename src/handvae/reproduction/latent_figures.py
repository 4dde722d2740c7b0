"""Figures of cm-VAE's and dVAE's latent spaces: codes in a plane, walks, posterior samples.

Those of dVAE's are drawn in `content_figures.py`.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from jaxtyping import Float
from sklearn.manifold import TSNE
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.evaluation.latent import codes, silhouette
from handvae.hand import scale_bone
from handvae.inference.drawing import FINGER_COLOURS
from handvae.noise import Noise, Stream
from handvae.reproduction.content_figures import content_walks, exchanged_layers, pose_walks, transfers
from handvae.reproduction.figure import LatentFigure, LatentView
from handvae.reproduction.figure_hands import cells, input_cells, random_rows
from handvae.reproduction.figure_models import shown
from handvae.reproduction.options import LatentOptions
from handvae.reproduction.sheets import DrawnFigure, Sheet, check_least, labelled_grid, stacked, title_of
from handvae.reproduction.skeletons import BLUE, RED, middle_of, reach_of, skeleton_cell
from handvae.systems.cm_vae import CmVae, pixel_fields
from handvae.training.checkpoint import Model

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
    found = shown(figure.rows, options)
    data = found.data

    sheets, notes = [], []
    for model in found.models:
        sheet, note = VIEWS[figure.view](model, data, options)
        sheets.append((title_of(model), sheet))
        notes.append(f"{title_of(model)}: {note}")

    notes.append(f"{figure.about}; hands of {data.spec.name}")
    return DrawnFigure(stacked(sheets), tuple(notes))


def _random_hands(system: CmVae, data: HandData, count: int, seed: int) -> Hands:
    """Crops of random hands that have all labels, as the encoders see them."""
    rows = random_rows(data, count, seed)
    return cut(data, rows, system.crop, fields=pixel_fields(system.config.encoded))


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
            rows.append(cells(system.visualise(system.decode(path, modality), modality)))

    decoded = ", ".join(config.decoded)
    note = f"rows: {decoded} of each of {options.hands} walks between hands read by {config.input}"
    labels = [f"walk {walk + 1}: {modality}" for walk in range(options.hands) for modality in config.decoded]
    return labelled_grid(rows, labels, _walk_columns(options.columns)), note


def _walk_columns(count: int) -> list[str]:
    """Names of the columns of a walk."""
    return ["first hand", *[""] * (count - 2), "last hand"]


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

    unit_mm = _unit_mm(system, hands)[:, None, None]
    truth = (system.joints_of(hands) * unit_mm).numpy()
    read = [(system.decode(z, "3d") * unit_mm).numpy() for z in latents]
    reach = reach_of(truth)

    columns = [input_cells(system, hands)]
    for poses, colour in ((truth, BLUE), *((poses, RED) for poses in read)):
        places = zip(poses, truth, strict=True)
        columns.append([skeleton_cell([(p, colour)], "camera", middle_of(t), reach) for p, t in places])

    names = [modality, "true", "posterior's mean"]
    names += [f"sample {number + 1}" for number in range(options.columns)]
    note = f"columns: {modality}, the truth, the mean, {options.columns} samples of the posterior; bars 50 mm"
    return labelled_grid([list(row) for row in zip(*columns, strict=True)], column_labels=names), note


def _unit_mm(system: CmVae, hands: Hands) -> Float[Tensor, " hand"]:
    """Length of the model's unit for each hand."""
    if system.unit_mm is None:
        return scale_bone(hands.require("joints_3d"))
    return torch.full((len(hands),), system.unit_mm)


def _cm_vae(model: Model) -> CmVae:
    if not isinstance(model.system, CmVae):
        fault = f"is a {model.header.system}, and the figure is of cm-VAE"
        raise UserError(model.path, fault, "give a cm_vae")
    return model.system


VIEWS: dict[LatentView, Callable[[Model, HandData, LatentOptions], tuple[Sheet, str]]] = {
    "codes": code_plane,
    "modality walks": modality_walks,
    "samples": posterior_samples,
    "pose walks": pose_walks,
    "content walks": content_walks,
    "transfers": transfers,
    "exchanged layers": exchanged_layers,
}
"""Each draws the sheet of a model, and a note about it."""
