"""A paper's figure as data: what it shows, and the table rows whose models it shows.

Nothing here imports torch, so that the command line lists figures at once.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AppearanceFigure:
    """Generated pictures: a test pose in each column, an appearance in each row (`appearance_figures.py`)."""

    name: str
    about: str
    rows: tuple[str, ...]
    """Table rows whose models it shows."""
    transfer: bool = False
    """Whether the appearances come from pictures instead of being random."""


LatentView = Literal["modality walks", "codes", "samples", "pose walks", "content walks", "exchanged layers"]


@dataclass(frozen=True)
class LatentFigure:
    """A latent space of cm-VAE or dVAE (`latent_figures.py`)."""

    name: str
    about: str
    rows: tuple[str, ...]
    """Table rows whose models it shows."""
    view: LatentView


@dataclass(frozen=True)
class WalkFigure:
    """A walk of one factor of da-VAE's latent between two hands (`factor_walks.py`)."""

    name: str
    about: str
    factor: int
    """0 to 2, for z1 to z3."""


PaperFigure = AppearanceFigure | LatentFigure | WalkFigure
