"""Options of `handvae evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from handvae.apps.options import JsonOption, QuietOption, Rare, SeedOption
from handvae.choices import Between, Folder, Side


@dataclass(frozen=True)
class Options:
    """Measure models on labelled pictures they were not trained on; several are compared on the same hands.

    A file of predictions is measured by `handvae evaluate --predictions FILE --truth FILE`, which has options
    of its own.
    """

    what: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL [MODEL ...] DATASET")]
    """Models (a shipped one's name, a .safetensors file or a run folder), then the folder of a data set. A
    finder, alone or before a reader, is measured on whole pictures, or on photos without hands (a folder)."""
    split: str | None = "test"
    """Split of the data set; None for all of it."""
    protocol: str | None = None
    """Which hands or which division, for data sets that have several (docs/data.md)."""
    side: Side | None = None
    """Side of the hands whose side the data set does not tell."""
    metrics: str = "all"
    """Comma-separated, out of: pose, reading, picture, spread, pixels, sets, consistency, leakage, factors,
    latent_factors; or all that the data allow."""
    detector: str | None = None
    """Model that reads joints from generated pictures, for consistency and leakage: detector-64 unless given;
    `own`: each model its own."""
    detector_command: Rare[str | None] = None
    """A program instead of a model: called with a folder of PNG files, it prints JSON, for each file's name
    21 pairs [x, y] in px, or null."""
    min_score: Rare[Annotated[float, Between(0, 1)]] = 0.5
    """Probability from which on a hand counts as found."""
    report: Annotated[Path | None, Folder()] = None
    """Folder for report.json and report.html."""
    curves: Rare[Path | None] = None
    """Published PCK curves to draw with those of 3D models: JSON, {name: {"x": [errors in mm], "y": [shares
    of joints]}, ...}."""
    keep_spread: bool = False
    """Fit the scale of the model's spread on these hands and keep it in the model's file, so that its spread
    is calibrated wherever it is used. Give hands that it was not trained on and that nothing else is measured
    on. The numbers printed are those from before."""
    inception_weights: Rare[Path | None] = None
    """File of the FID's Inception-v3 (pt_inception-2015-12-05-6726825d.pth): adds fid and kid to `sets`."""
    renew_statistics: Rare[Annotated[int, Between(0, 10**6)]] = 0
    """Batches of generated pictures on which the statistics of a generator's batch normalisation are measured
    again before anything else (a thousand are usual); 0 keeps those of training. A Frechet distance may
    depend on it much, and names it."""
    seed: SeedOption = 0
    quiet: QuietOption = False
    json: JsonOption = False
