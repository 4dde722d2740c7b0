"""What a reproduction is asked for: the options of each kind of table and of figure.

Nothing here imports torch: the command line reads these. `build.py` makes a table's `Reproduction` of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from handvae.choices import Between, Folder, PoseKind
from handvae.reproduction.figure import (
    AppearanceFigure,
    CurveFigure,
    LatentFigure,
    PaperFigure,
    PredictionFigure,
    WalkFigure,
)
from handvae.reproduction.table import Kind, Scale


@dataclass(frozen=True)
class CommonOptions:
    """What every table and figure is asked for."""

    data: Path
    """The data set. Tables at full scale need the paper's own; else any labelled set will do."""
    out: Annotated[Path, Folder()] = Path("out/reproduce")
    """Folder of the runs, of the tables (TABLE/table.md) and of the figures (FIGURE.png)."""
    quiet: bool = False
    """Print no progress and no summary; errors stay."""
    json: bool = False
    """Print the result as one JSON object instead of prose."""


# ----------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class TableOptions(CommonOptions):
    """Reproduce a paper's table: train and measure each row with each seed, next to the published numbers.

    Stop it and run it again at any time: finished trainings are kept. Tables share trainings.
    """

    scale: Scale = "laptop"
    """`laptop`: short trainings on your data. `full`: the paper's preset and data set."""
    steps: Annotated[int | None, Between(1, 10**9)] = None
    """Steps of each training. Default: the table's laptop steps, or the preset's length at full scale."""
    seeds: Annotated[int, Between(1, 100)] = 3
    """Trainings of each row."""
    rows: tuple[str, ...] = ()
    """Names of rows: train only these, and the rows that initialise them."""
    jobs: Annotated[int, Between(1, 256)] = 1
    """Trainings at a time, each in its own process with its share of the cores."""


@dataclass(frozen=True)
class PictureOptions(TableOptions):
    """Reproduce a table of generators: train and measure each row, next to the published numbers.

    Stop it and run it again at any time: finished trainings are kept. Tables share trainings.
    """

    hold_out: tuple[str, ...] = ()
    """Gestures to keep out of training and to use as unseen poses. Without: the poses of split test."""
    inception_weights: Path | None = None
    """Weights of the FID's Inception-v3 (pt_inception-2015-12-05-6726825d.pth): adds fid; needed at full
    scale."""


@dataclass(frozen=True)
class DetectorOptions(TableOptions):
    """Reproduce table 4: train detectors on few real pictures, and on the same and new ones, in equal steps.

    Stop it and run it again at any time: finished trainings are kept.
    """

    real: Annotated[int | None, Between(1)] = None
    """Real training pictures, chosen by the seed. Default: 300 at laptop scale, the paper's number at full
    scale."""
    test: Annotated[int | None, Between(1)] = None
    """Test hands, evenly over split test. Default: all at laptop scale, the paper's number at full scale."""
    times: Annotated[int, Between(1, 1000)] = 2
    """New pictures for each real one (paper: 2)."""
    poses: tuple[PoseKind, ...] = ("same",)
    """Poses of the new pictures, as for `handvae upsample`."""
    appearance: Literal["dataset", "random"] = "dataset"
    """Appearances of the new pictures: another real picture's (paper; another person's where people are
    known), or random."""
    generator: str = "own"
    """`own`: trained on the same real pictures. Or a shipped model, a file or a run folder, which may have
    seen more people."""
    generator_steps: Annotated[int | None, Between(1, 10**9)] = None
    """Steps of an own generator. Default: 1000 at laptop scale, the preset's length at full scale."""


@dataclass(frozen=True)
class PoseOptions(TableOptions):
    """Reproduce a table of 3D errors: train and measure each row, next to the published numbers.

    Stop it and run it again at any time: finished trainings are kept. Tables share trainings. Rows whose
    system needs what the data lack (pictures, depth, contents) are left out.
    """

    seeds: Annotated[int, Between(1, 100)] = 1
    """Trainings of each row; the intervals are over test hands."""
    protocol: str | None = None
    """Which hands, where a data set has several protocols: `lifting` reads RHD's annotation alone, for rows
    from 2D to 3D. At full scale `P0` to `P8` leave out one of MSRA's people; without, each is left out once,
    and the numbers are the mean over the nine."""
    render: Annotated[int, Between(0, 10**7)] = 0
    """First draw this many hands into the folder --data, unless they exist; a tenth are for testing."""


@dataclass(frozen=True)
class FactorsOptions(PoseOptions):
    """Reproduce a table of da-VAE: train and measure each row, next to the published numbers.

    Stop it and run it again at any time: finished trainings are kept. Tables share trainings.
    """

    mask: str | None = None
    """A trained mask network, for data without masks: run folder or file. Without: one is trained first."""


TABLE_OPTIONS: dict[Kind, type[TableOptions]] = {
    "pictures": PictureOptions,
    "detectors": DetectorOptions,
    "poses": PoseOptions,
    "factors": FactorsOptions,
}

# ---------------------------------------------------------------------------------------------------- figures


@dataclass(frozen=True)
class FigureOptions(CommonOptions):
    """What every figure is asked for."""

    model: tuple[str, ...] = ()
    """Shipped models, files or run folders. Without: the models that `handvae reproduce` trained in --out."""
    scale: Scale | None = None
    """First train what is missing of the figure's models: `laptop`, short trainings on your data, or `full`,
    the paper's presets and data set. Without, nothing is trained."""
    steps: Annotated[int | None, Between(1, 10**9)] = None
    """Steps of each training with --scale. Default: as for the paper's tables."""
    split: str | None = "test"
    """Split of the data set whose hands are shown; None for a set without splits."""
    protocol: str | None = None
    """Which hands, where a data set has several protocols. Default: the paper's."""
    seed: Annotated[int, Between(0, 2**62)] = 0
    """Of all that is drawn at random, and of the trained models."""


@dataclass(frozen=True)
class AppearanceOptions(FigureOptions):
    """Draw a figure of generated pictures: a test pose in each column, under its real picture, and an
    appearance in each row; a sheet for each model. Without a trained model the best shipped one is shown."""

    poses: Annotated[int, Between(1, 1000)] = 8
    """Columns."""
    appearances: Annotated[int, Between(1, 1000)] = 5
    """Rows."""


@dataclass(frozen=True)
class LatentOptions(FigureOptions):
    """Draw a figure of a latent space, from hands of the test split; a sheet for each model."""

    hands: Annotated[int, Between(1, 1000)] = 5
    """Rows: walks, or hands that are read."""
    columns: Annotated[int, Between(2, 1000)] = 8
    """Steps of a walk, samples, or contents."""


@dataclass(frozen=True)
class PoseFigureOptions(FigureOptions):
    """What figures of 3D poses are asked for."""

    mask: str | None = None
    """A trained mask network, with which --scale trains da-VAE on data without masks."""


@dataclass(frozen=True)
class WalkOptions(PoseFigureOptions):
    """Draw a walk of one factor for pairs of test hands: pictures, our hand fitted to the joints, clouds.

    First and last column: the two hands themselves, masked.
    """

    pairs: Annotated[int, Between(1, 1000)] = 3
    """Pairs of hands."""
    frames: Annotated[int, Between(2, 1000)] = 7
    """Steps of a walk, its ends included."""
    beyond: float = 0.0
    """Extends the walk beyond both ends, in its own lengths: shows a factor that changes little."""


@dataclass(frozen=True)
class CurveOptions(PoseFigureOptions):
    """Draw shares of joints or frames within an error, a curve for each model, beside published curves."""

    curves: Path | None = None
    """More published curves: {"name": {"x": [errors in mm], "y": [shares, 0 to 1]}, ...}."""


@dataclass(frozen=True)
class PredictionOptions(PoseFigureOptions):
    """Draw test hands with the poses that are read from them beside the true ones, from the camera and from
    the side; a sheet for each model."""

    hands: Annotated[int, Between(1, 1000)] = 6
    """Rows."""


FIGURE_OPTIONS: dict[type[PaperFigure], type[FigureOptions]] = {
    AppearanceFigure: AppearanceOptions,
    LatentFigure: LatentOptions,
    WalkFigure: WalkOptions,
    CurveFigure: CurveOptions,
    PredictionFigure: PredictionOptions,
}
