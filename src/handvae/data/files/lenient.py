"""Values of JSON files as tools write them: what means one thing only is read as that.

For the `BeforeValidator`s of strict models. What means nothing here is passed on, and refused by the model.
"""

import math
from typing import Any


def identity(value: Any) -> Any:
    """An id: 7.0 and "7" are 7; a text that is no number stays a text.

    Raises:
        ValueError: it is true or false.
    """
    if isinstance(value, bool):
        raise ValueError("an id is a whole number or a text")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    # of absurd length: a text, which Python would take long to convert
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else value


def size(value: Any) -> Any:
    """A side of a picture, px: 40.0 and "40" are 40; 0 or less, as tools write for unknown, is None."""
    value = identity(value)
    return None if isinstance(value, int) and value <= 0 else value


def yes_or_no(value: Any) -> Any:
    """1 and 0, as numbers or texts, as true and false."""
    known = {1: True, 0: False, "1": True, "0": False, "true": True, "false": False}
    plain = value.lower() if isinstance(value, str) else value
    return known.get(plain, value) if isinstance(plain, str | int | float) else value


def flat(value: Any) -> Any:
    """21 triples as 63 numbers."""
    if isinstance(value, list) and all(isinstance(one, list) and len(one) == 3 for one in value):
        return [number for triple in value for number in triple]
    return value


def labelled(value: Any) -> Any:
    """x, y, visibility of joint after joint: zeros where the visibility is none, whatever stands there.

    Many tools write null or NaN for a joint without a label.
    """
    value = flat(value)
    if not isinstance(value, list) or len(value) % 3:
        return value

    numbers = list(value)
    for start in range(0, len(numbers), 3):
        visibility = numbers[start + 2]
        is_nan = isinstance(visibility, float) and math.isnan(visibility)
        if is_nan or visibility in (0, None):
            numbers[start : start + 3] = [0.0, 0.0, 0.0]
    return numbers
