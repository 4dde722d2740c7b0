"""A paper's figure as data: what it shows, and the table rows whose models it shows.

Nothing here imports torch, so that the command line lists figures at once. `figure_models.py` finds or trains
the models.
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
    fallback: str = "photos-128"
    """A shipped model, shown where no row is trained."""


LatentView = Literal[
    "modality walks",
    "codes",
    "samples",
    "pose walks",
    "content walks",
    "transfers",
    "exchanged layers",
]


@dataclass(frozen=True)
class LatentFigure:
    """A latent space of cm-VAE or dVAE (`latent_figures.py`, `content_figures.py`)."""

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
    rows: tuple[str, ...]
    """Table rows whose models it shows."""
    factor: int
    """0 to 2, for z1 to z3."""


Counted = Literal["joints", "frames"]
"""What a curve counts: joints within an error (PCK), or frames whose worst joint is within it (PCF)."""


@dataclass(frozen=True)
class CurveFigure:
    """Shares of joints or frames within an error, a curve for each model (`curve_figures.py`)."""

    name: str
    about: str
    rows: tuple[str, ...]
    """Table rows whose models it shows."""
    counted: Counted
    published: str
    """What the paper's figure says in numbers."""
    shows_stb_curves: bool = False
    """Whether the paper's figure shows the curves of `published_curves.py`."""
    fallback: str = ""
    """A shipped model, shown where no row is trained."""


Side = Literal["truth", "prediction"]
Layout = Literal["side by side", "one over the other", "canonical"]


@dataclass(frozen=True)
class PredictionFigure:
    """Hands with the poses that are read from them beside the true ones (`prediction_figures.py`)."""

    name: str
    about: str
    rows: tuple[str, ...]
    """Table rows whose models it shows."""
    layout: Layout
    """`canonical` adds the canonical poses of dVAE."""
    colours: tuple[Side, Side] = ("truth", "prediction")
    """Which of both is blue, and which is red, as in the paper."""
    fallback: str = ""
    """A shipped model, shown where no row is trained."""


PaperFigure = AppearanceFigure | LatentFigure | WalkFigure | CurveFigure | PredictionFigure
