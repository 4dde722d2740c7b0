"""Hands from photos, depth pictures and files of 2D joints."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, overload

from handvae.choices import Between, Side
from handvae.inference.arguments import checked
from handvae.inference.crops import as_box
from handvae.inference.depth_input import DepthFormat
from handvae.inference.estimator import Estimator, default_model
from handvae.inference.locate import Located
from handvae.inference.networks import Device
from handvae.inference.pictures import PictureSource
from handvae.inference.result import Hand
from handvae.training.checkpoint import Model


@overload
def estimate(
    source: PictureSource,
    model: str | Path | Model | None = ...,
    *,
    side: Side | None = ...,
    box: Sequence[int | float] | None = ...,
    min_score: float = ...,
    max_hands: int = ...,
    lift: bool = ...,
    bone_mm: int | float | None = ...,
    depth: DepthFormat | None = ...,
    device: Device = ...,
) -> list[Hand]: ...


@overload
def estimate(
    source: list[PictureSource],
    model: str | Path | Model | None = ...,
    *,
    side: Side | None = ...,
    box: Sequence[int | float] | None = ...,
    min_score: float = ...,
    max_hands: int = ...,
    lift: bool = ...,
    bone_mm: int | float | None = ...,
    depth: DepthFormat | None = ...,
    device: Device = ...,
) -> list[list[Hand]]: ...


@checked
def estimate(
    source: PictureSource | list[PictureSource],
    model: str | Path | Model | None = None,
    *,
    side: Side | None = None,
    box: Sequence[int | float] | None = None,
    min_score: Annotated[float, Between(0, 1)] = 0.5,
    max_hands: Annotated[int, Between(1, 1000)] = 10,
    lift: bool = True,
    bone_mm: Annotated[int | float, Between(1e-3, 1e4)] | None = None,
    depth: DepthFormat | None = None,
    device: Device = "cpu",
) -> list[Hand] | list[list[Hand]]:
    """Read the hands of pictures: all of them, whichever side they are.

    A photo is searched for hands, unless a box is given or a COCO file next to it names its hands. A photo
    without a hand gives an empty list. A file of 2D joints may hold several hands.

    Args:
        source: the path of a photo, a depth picture (PNG of 16 bits) or a JSON file of 2D joints; a PIL
            picture; an array (height, width, 3), uint8 or floats in [0, 1]; or a list of these.
        model: a shipped model's name, a `.safetensors` file, a run folder, or what `handvae.load_model` gave.
            None takes reader-128, or lifting for a file of 2D joints.
        side: `left` or `right`; None: as a file or labels next to the photo tell, else as it is recognised;
            right for depth pictures and files that do not tell.
        box: x, y, width, height of the hand's joints, px.
        min_score: least probability of a hand that is searched for.
        max_hands: hands of a photo that are searched for, at most; the surest ones.
        lift: read 3D joints from the 2D ones, where the model reads 2D.
        bone_mm: length of the bone from joint 9 to joint 10; `Hand.unit_mm` is then known.
        depth: how depth pictures are packed; None: one channel of 16 bits, mm.
        device: where the networks run, of a model that is given by name.

    Returns:
        The hands; for a list of inputs, a list of hands for each.

    Raises:
        UserError: a file is missing or damaged, a box lies outside, or there is no such model or device.
        ArgumentError: an argument is of another type or out of its range; a UserError, TypeError and
            ValueError at once.
        TypeError: an array is of another dtype.
        ValueError: an array has another shape or range.
    """
    known_mm = None if bone_mm is None else float(bone_mm)
    place = None if box is None else as_box(box)
    located = Located(side, place, min_score, max_hands, depth or DepthFormat())

    sources = source if isinstance(source, list) else [source]
    if not sources:
        return []

    # models are opened once for all inputs; of several calls too, where they ship
    known = default_model(sources[0]) if model is None else model
    estimator = Estimator.open(known, lift, device)
    hands = [own for _, own in estimator.read_all(sources, located, known_mm)]
    return hands if isinstance(source, list) else hands[0]
