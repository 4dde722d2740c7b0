"""Pickles of others, read without running anything in them.

They give plain Python values and numpy arrays of numbers or text, nothing else. A pickle names functions that
the reader calls: here it gets stand-ins for those that numpy writes, and an error for all others, so not even
numpy's own unpickling sees unchecked bytes.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from handvae.data.dataset import GIVE_ORIGINAL, require_size
from handvae.errors import UserError

MAX_BYTES = 2**30
"""A larger file is refused before it is read."""
_KINDS = "biufSU"


class _Type:
    """Stands in for `numpy.dtype`."""

    def __init__(self, code: object, *flags: object) -> None:
        self.dtype = np.dtype(code if isinstance(code, str) else "V")
        if self.dtype.kind not in _KINDS:
            raise pickle.UnpicklingError(f"it holds an array of {code!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands in for an array until its content comes."""

    value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        self.value = _array(content, kind, shape, "F" if fortran else "C")


def _array(content: object, kind: object, shape: object, order: str = "C") -> np.ndarray:
    if not isinstance(kind, _Type) or not isinstance(shape, tuple):
        raise pickle.UnpicklingError("it holds a malformed array")
    # Python 2 wrote bytes as text: latin-1 gives every byte back
    raw = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(raw, (bytes, bytearray)) or len(raw) != math.prod(shape) * kind.dtype.itemsize:
        raise pickle.UnpicklingError("an array's content does not fit its shape")
    # a copy: a view of the bytes would be read-only
    return np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if order == "F" else "C").copy()


def _reconstruct(*arguments: object) -> _Array:
    return _Array()


def _scalar(kind: object, content: object) -> Any:
    return _array(content, kind, ()).item()


def _frombuffer(content: object, kind: object, shape: object, order: str) -> np.ndarray:
    return _array(content, kind, shape, order)


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Older protocols write empty bytes as a call."""
    return b""


_STAND_INS: dict[str, Any] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Type,
    "multiarray._reconstruct": _reconstruct,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _frombuffer,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _no_bytes,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The stand-in for a function or class that the pickle names."""
        name = f"{module_name}.{global_name}"
        # numpy 2 renamed numpy.core to numpy._core
        short = name.removeprefix("numpy.core.").removeprefix("numpy._core.")
        if short not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {name}, which is not run")
        return _STAND_INS[short]


def read_pickle(path: Path) -> Any:
    """Dictionaries, lists, numbers, text and numpy arrays from a pickle; Python 2's too.

    Raises:
        UserError: it cannot be read, is too large, is damaged, or asks for anything but those.
    """
    require_size(path, MAX_BYTES)
    try:
        content = _Reader(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        return _plain(content)
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the file") from error
    except UserError:
        raise
    except Exception as error:
        # a damaged pickle raises nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(path, f"is no pickle of numbers ({reason[:120]})", GIVE_ORIGINAL) from error


def _plain(value: Any) -> Any:
    """The same with arrays in place of their stand-ins."""
    match value:
        case _Array():
            return value.value
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(_plain(item) for item in value)
        case _:
            return value
