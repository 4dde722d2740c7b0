"""Published curves next to ours, read from a file of the user's: their numbers are not ours to distribute."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from handvae.data.readers.coco import Number
from handvae.errors import UserError
from handvae.evaluation.plots import Curve
from handvae.evaluation.study_report import Report


@dataclass(frozen=True)
class _Published:
    x: list[Number]
    """Errors, mm."""
    y: list[Number]
    """Shares of joints, 0 to 1."""
    auc: float | None = None


def read_curves(path: Path) -> tuple[Curve, ...]:
    """Curves of a JSON file.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    remedy = 'give JSON: {"name": {"x": [errors in mm], "y": [shares of joints, 0 to 1]}, ...}'
    try:
        published = TypeAdapter(dict[str, _Published]).validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(path, f"{where}: {first['msg']}", remedy) from error

    curves = []
    for name, curve in published.items():
        shares_valid = all(0 <= share <= 1 for share in curve.y)
        if len(curve.x) != len(curve.y) or not curve.x or not shares_valid:
            raise UserError(path, f"{name}: x and y are not as many errors as shares from 0 to 1", remedy)
        curves.append(Curve(f"{name} (published)", tuple(curve.x), tuple(curve.y), "dashed"))

    return tuple(curves)


def with_curves(report: Report, published: tuple[Curve, ...]) -> Report:
    """The report with the curves added to its figures over errors in mm.

    Raises:
        UserError: there are curves and no such figure.
    """
    figures = []
    fits = False
    for figure in report.figures:
        if figure.x_label == "error, mm":
            fits = True
            figure = replace(figure, curves=figure.curves + published)
        figures.append(figure)

    if published and not fits:
        fault = "are of errors in mm, and no 3D model's pose is measured here"
        raise UserError("--curves", fault, "leave the option out")

    return replace(report, figures=tuple(figures))
