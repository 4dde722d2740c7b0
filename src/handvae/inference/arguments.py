"""Arguments of the public functions, checked against the annotations that document them."""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from PIL import Image

from handvae.choices import Between
from handvae.errors import ArgumentError, UserError

P = ParamSpec("P")
R = TypeVar("R")

WORDS: dict[Any, str] = {
    NoneType: "None",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a string",
    Path: "a path",
    Image.Image: "a PIL picture",
    np.ndarray: "an array",
    torch.device: "a torch.device",
}
"""What messages call a type; others are called by their name."""
LONGEST = 60
"""Characters of a value that a message repeats."""
FIELDS = {"depth_encoding": "depth.encoding", "depth_unit_mm": "depth.unit_mm", "focal": "depth.focal_px"}
"""Options of the command line that are a field of an argument here."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of each call against the function's annotations, ranges included.

    Errors from within that name an option of the command line name the argument instead.

    Raises:
        ArgumentError: one does not fit; names it.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # Python's own TypeError for an argument that is missing or unknown names it already
        bound = signature.bind(*args, **kwargs)
        hints = _hints(function)
        for name, value in bound.arguments.items():
            check(name, value, hints[name])

            # a number of NumPy goes on as Python's own
            if isinstance(value, np.number):
                bound.arguments[name] = value.item()

        try:
            return function(*bound.args, **bound.kwargs)
        except UserError as error:
            parts = error.where, error.fault, error.remedy
            words = [_without_options(part) for part in parts]
            if tuple(words) == parts:
                raise
            raise UserError(*words) from error

    return call


def check_fields(record: Any) -> None:
    """Check the fields of a dataclass likewise, from its `__post_init__`.

    Raises:
        ArgumentError: one does not fit.
    """
    for name, hint in _hints(type(record)).items():
        check(name, getattr(record, name), hint)


def check(name: str, value: Any, hint: Any) -> None:
    """Refuse a value that does not fit an annotation.

    Args:
        name: of the argument.
        value: what was given.
        hint: the annotation; understood are classes, unions, literals, lists, sequences and ranges.

    Raises:
        ArgumentError: it does not fit.
    """
    if not _fits(value, hint):
        raise ArgumentError(name, f"is {_shown(value)}", f"give {' or '.join(_options(hint))}")

    # the operating system takes no such path, and no name of ours holds one
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str | Path) and "\0" in str(part):
            raise ArgumentError(name, f"{str(part)!r} holds a null character", "give a path without it")


def _without_options(text: str) -> str:
    """A message with `--depth-unit-mm` as `depth.unit_mm`."""

    def argument(match: re.Match[str]) -> str:
        name = match[1].replace("-", "_")
        return FIELDS.get(name, name)

    # not within a path or a word
    return re.sub(r"(?<![\w/.-])--([a-z][a-z-]*)", argument, text)


@functools.cache
def _hints(annotated: Any) -> dict[str, Any]:
    # read at the first call: it costs more than the check
    return get_type_hints(annotated, include_extras=True)


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Annotated:
        ranges = [part for part in parts[1:] if isinstance(part, Between)]
        return _fits(value, parts[0]) and all(one.low <= value <= one.high for one in ranges)
    if origin is Literal:
        return isinstance(value, str) and value in parts

    if origin is list:
        return isinstance(value, list) and all(_fits(one, parts[0]) for one in value)
    if origin is Sequence:
        is_row = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        is_row = is_row or (isinstance(value, np.ndarray) and value.ndim == 1)
        return is_row and all(_fits(one, parts[0]) for one in value)

    # True is a whole number to Python, and never one that a caller means
    if isinstance(value, bool | np.bool_):
        return hint is bool
    if hint in (int, float):
        return isinstance(value, (int, np.integer) if hint is int else (float, np.floating))
    return isinstance(value, hint)


def _options(hint: Any) -> list[str]:
    """What fits an annotation, in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        words = [word for part in parts for word in _options(part)]
        # a whole number is a number
        words = [word for word in words if word != "a whole number" or "a number" not in words]
        return list(dict.fromkeys(words))
    if origin is Annotated:
        ranges = [_range(part) for part in parts[1:] if isinstance(part, Between)]
        return [" ".join([" or ".join(_options(parts[0])), *ranges])]
    if origin is Literal:
        return [repr(part) for part in parts]

    if origin is list:
        return ["a list of these"]
    if origin is Sequence:
        return [f"a sequence of {' or '.join(_options(parts[0])).removeprefix('a ')}s"]
    return [WORDS.get(hint, f"a {hint.__name__}")]


def _range(between: Between) -> str:
    if between.high == float("inf"):
        return f"of at least {between.low:g}"
    return f"from {between.low:g} to {between.high:g}"


def _shown(value: Any) -> str:
    """A value as a message repeats it, on one line."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}, dtype {value.dtype}"
    if value is None or isinstance(value, str | int | float | Path):
        text = repr(value)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return f"a value of type {type(value).__name__}"
