"""Appearances that a caller names: random, a name, a photo, a folder of photos, a data set."""

from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.choices import Side
from handvae.data.crop import check_crop, cut
from handvae.data.open import is_data_set, open_data
from handvae.data.subset import with_known_sides
from handvae.errors import UserError
from handvae.inference.locate import one_hand, one_hand_each
from handvae.inference.networks import appearance_of, random_appearance
from handvae.inference.pictures import PictureSource, pictures_in
from handvae.inference.square import Box
from handvae.noise import Noise
from handvae.training.appearances import read_named_appearances
from handvae.training.checkpoint import Model

RandomSource = Literal["prior", "aggregate"]
"""N(0, I), or the Gaussian fitted to the training pictures' appearances."""
BATCH = 64


def read_appearance(
    source: PictureSource, model: Model, box: Box | None = None, side: Side | None = None
) -> tuple[Float[Tensor, "1 appearance"], str]:
    """One appearance, and a note on where it comes from.

    Args:
        source: a name of the model's library, a photo, or a folder of photos, whose mean it is.
        model: whose appearance it is.
        box: of the joints in the photos, px.
        side: which hands the photos show; None: as it is recognised.

    Raises:
        UserError: it is none of these, or no hand is found in a photo.
    """
    if not isinstance(source, str | Path):
        photo = one_hand(source, model.generator, box, side)
        return appearance_of(model.generator, photo.image), f"{photo.name} ({photo.located_by})"

    # a file of that name outranks the library
    path = Path(source)
    if path.is_dir() or path.is_file():
        return _of_photos(path, model, box, side)

    library = read_named_appearances(model)
    if str(source) not in library:
        named = f"there are {', '.join(library)}" if library else f"{model.name} has no named ones"
        fault = "is no photo, folder of photos or named appearance"
        raise UserError(source, fault, f"check the path; {named}")

    return library[str(source)].appearance[None], str(source)


def _of_photos(
    path: Path, model: Model, box: Box | None, side: Side | None
) -> tuple[Float[Tensor, "1 appearance"], str]:
    """The appearance of a photo, or the mean of a folder's."""
    system = model.generator
    photos = one_hand_each(pictures_in(path), model.generator, box, side)
    each = torch.cat([appearance_of(system, photo.image) for photo in photos])
    note = f"mean of the {len(photos)} photos in {path.name}"
    if path.is_file():
        note = f"{path.name} ({photos[0].located_by})"
    return each.mean(0, keepdim=True), note


def read_appearances(
    source: PictureSource,
    split: str | None,
    count: int,
    model: Model,
    noise: Noise,
    random_source: RandomSource,
    subjects: Int[Tensor, " count"] | None,
) -> tuple[Float[Tensor, "count appearance"], list[str]]:
    """Appearances for `count` pictures, and a note on each.

    `random` draws them; `library` gives the model's named ones in turn; a name, a photo or a folder of photos
    gives one to all; a data set gives each picture one of its hands at random, of another person than the
    pose's where both name their people (`subjects` are the poses').

    Raises:
        UserError: it is none of these.
    """
    if isinstance(source, str) and source == "random":
        drawn = random_appearance(model.generator, count, noise, random_source)
        return drawn, [f"random from the {random_source}"] * count
    if isinstance(source, str) and source == "library":
        return _library_in_turn(model, count)
    if isinstance(source, str | Path) and _is_data_set(Path(source)):
        return _of_data_set(Path(source), split, count, model, noise, subjects)

    appearance, note = read_appearance(source, model)
    return appearance.expand(count, -1), [note] * count


def _is_data_set(path: Path) -> bool:
    return path.name == "annotations.json" or (path.is_dir() and is_data_set(path))


def _library_in_turn(model: Model, count: int) -> tuple[Tensor, list[str]]:
    library = read_named_appearances(model)
    if not library:
        fault = f"{model.name} has no named appearances"
        raise UserError("--appearance library", fault, "make them with runs/appearances.py")
    names = [list(library)[number % len(library)] for number in range(count)]
    return torch.stack([library[name].appearance for name in names]), names


def _of_data_set(
    path: Path, split: str | None, count: int, model: Model, noise: Noise, subjects: Tensor | None
) -> tuple[Tensor, list[str]]:
    system = model.generator
    data = with_known_sides(open_data(path, split), path)
    check_crop(data, system.crop, path)

    # a draw a pair of picture and hand; the highest wins, so the choice is uniform among other people's hands
    people = data.labels(torch.arange(len(data))).subject
    scores = noise.uniform(count, len(data))
    if subjects is not None and people is not None:
        scores = scores.masked_fill(subjects[:, None] == people[None], -1.0)

    choice = scores.argmax(1)

    batches = [cut(data, rows, system.crop).require("image") for rows in choice.split(BATCH)]
    appearances = torch.cat([appearance_of(system, image) for image in batches])
    return appearances, [f"hand {row} of {path}" for row in choice.tolist()]
