"""Published curves beside our own: read from a file of the user's, because their numbers are not ours to give
on."""

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
        content = TypeAdapter(dict[str, _Published]).validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UserError(
            path, f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}", remedy
        ) from error
    for name, curve in content.items():
        if len(curve.x) != len(curve.y) or not curve.x or not all(0 <= share <= 1 for share in curve.y):
            raise UserError(path, f"{name}: x and y are not as many errors as shares from 0 to 1", remedy)
    return tuple(
        Curve(f"{name} (published)", tuple(curve.x), tuple(curve.y), "dashed")
        for name, curve in content.items()
    )


def with_curves(found: Report, published: tuple[Curve, ...]) -> Report:
    """The report with the curves drawn where joints are counted by their error in mm.

    Raises:
        UserError: there are curves, and nothing was counted so.
    """
    fitting = [figure for figure in found.figures if figure.x_label == "error, mm"]
    if published and not fitting:
        raise UserError(
            "--curves", "are of errors in mm, and no 3D model's pose is measured here", "leave the option out"
        )
    drawn = tuple(
        replace(figure, curves=figure.curves + published) if figure in fitting else figure
        for figure in found.figures
    )
    return replace(found, figures=drawn)
