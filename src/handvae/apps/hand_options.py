"""Options that tell which hand a picture shows, and where."""

from handvae.choices import Side
from handvae.errors import UserError


def parse_side(text: str) -> Side | None:
    """Read auto, left or right; None for auto: as it is told or recognised.

    Raises:
        UserError: the text is none of these.
    """
    if text == "auto":
        return None
    if text == "left":
        return "left"
    if text == "right":
        return "right"
    raise UserError("--side", f"is {text!r}", "give auto, left or right")


def parse_box(text: str | None) -> tuple[float, float, float, float] | None:
    """Read x,y,width,height; None where nothing is given.

    Raises:
        UserError: the text is not four numbers.
    """
    if text is None:
        return None

    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError as error:
        fault = f"{text!r} is not four numbers"
        raise UserError("--box", fault, "give x,y,width,height in pixels") from error

    return x, y, width, height
