"""From a figure and what is asked of it to its picture; each kind loads its own systems."""

from handvae.reproduction.figure import (
    AppearanceFigure,
    CurveFigure,
    LatentFigure,
    PaperFigure,
    PredictionFigure,
    WalkFigure,
)
from handvae.reproduction.options import (
    AppearanceOptions,
    CurveOptions,
    FigureOptions,
    LatentOptions,
    PredictionOptions,
    WalkOptions,
)
from handvae.reproduction.sheets import DrawnFigure


def draw_figure(figure: PaperFigure, options: FigureOptions) -> DrawnFigure:
    """The picture of a figure, with notes about it.

    Args:
        figure: any kind.
        options: those of its kind (`options.FIGURE_OPTIONS`).

    Raises:
        UserError: there is no model to show, or a model or the data do not fit.
    """
    match figure, options:
        case AppearanceFigure(), AppearanceOptions():
            from handvae.reproduction.appearance_figures import draw_appearance_figure

            return draw_appearance_figure(figure, options)
        case LatentFigure(), LatentOptions():
            from handvae.reproduction.latent_figures import draw_latent_figure

            return draw_latent_figure(figure, options)
        case WalkFigure(), WalkOptions():
            from handvae.reproduction.factor_walks import draw_walk_figure

            return draw_walk_figure(figure, options)
        case CurveFigure(), CurveOptions():
            from handvae.reproduction.curve_figures import draw_curve_figure

            return draw_curve_figure(figure, options)
        case PredictionFigure(), PredictionOptions():
            from handvae.reproduction.prediction_figures import draw_prediction_figure

            return draw_prediction_figure(figure, options)

    raise TypeError(f"options of another kind of figure: {options}")
