"""JSON files that may be large: read whole where that is small, else one member at a time.

NaN and Infinity, which are no JSON but which tools write, are passed on: whoever uses a number checks it and
can name its field.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from handvae.data.dataset import require_size
from handvae.errors import UserError

MAX_WHOLE_BYTES = 2**29
"""A file that is read whole may not be larger."""
MAX_BYTES = 2**32
"""A file that is read member by member may not be larger: its labels would not fit a usual memory."""
MAX_MEMBER_CHARACTERS = 2**26
"""One member may not be longer."""
CHUNK = 2**20
_SPACE = " \t\r\n"
_AFTER_VALUE = _SPACE + ",:]}"
_DECODER = json.JSONDecoder()


def read_json(path: Path) -> Any:
    """A whole JSON document.

    Raises:
        UserError: it cannot be read, is too large, or is no JSON.
    """
    require_size(path, MAX_WHOLE_BYTES)
    try:
        return _DECODER.decode(path.read_text("utf-8-sig"))
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the file") from error
    except (ValueError, RecursionError) as error:
        raise UserError(path, f"Invalid JSON ({error})", "mend it, or copy the file again") from error


def members(path: Path) -> Iterator[tuple[str, str | int, Any]]:
    """The members of an object's members: of {"a": [x], "b": {"c": z}} the triples (a, 0, x), (b, c, z).

    Only one is in memory at a time. Members that are neither arrays nor objects are skipped.

    Raises:
        UserError: it cannot be read, is too large, or is no JSON object.
    """
    require_size(path, MAX_BYTES)
    try:
        with path.open(encoding="utf-8-sig") as handle:
            yield from _Scanner(handle).members()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the file") from error
    except (ValueError, RecursionError) as error:
        raise UserError(path, f"Invalid JSON ({error})", "mend it, or copy the file again") from error


def first_fault(error: ValidationError, *where: str | int) -> str:
    """The first fault of a value, after the field's full name: `images.3.width: ...`.

    Args:
        error: what the value's schema found.
        where: keys from the document's root to the value.
    """
    first = error.errors(include_url=False)[0]
    field = ".".join(str(key) for key in (*where, *first["loc"]))
    return f"{field}: {first['msg']}"


class _Scanner:
    """A window over the text of one JSON object."""

    def __init__(self, handle: TextIO) -> None:
        self.handle = handle
        self.text = ""
        self.at = 0
        self.ended = False

    def members(self) -> Iterator[tuple[str, str | int, Any]]:
        """As `members`."""
        self._expect("{")
        for key in self._keys():
            opening = self._peek()
            if opening == "[":
                self.at += 1
                yield from ((key, index, value) for index, value in enumerate(self._items()))
            elif opening == "{":
                self.at += 1
                yield from ((key, inner, self._value()) for inner in self._keys())
            else:
                self._value()

        if self._peek():
            raise ValueError("there is more after its end")

    def _keys(self) -> Iterator[str]:
        """The keys of an object whose brace has been read; after each the scanner stands at its value."""
        if self._peek() == "}":
            self.at += 1
            return

        while True:
            key = self._value()
            if not isinstance(key, str):
                raise ValueError("a key is no text")
            self._expect(":")
            yield key
            if self._expect(",}") == "}":
                return

    def _items(self) -> Iterator[Any]:
        """The items of an array whose bracket has been read."""
        if self._peek() == "]":
            self.at += 1
            return
        while True:
            yield self._value()
            if self._expect(",]") == "]":
                return

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError:
                # cut off by the window, or wrong
                if not self._more():
                    raise
                continue

            # without a character behind it, a number may continue beyond the window
            whole = end < len(self.text) and self.text[end] in _AFTER_VALUE
            if whole or not self._more():
                self.at = end
                return value

    def _peek(self) -> str:
        """The next character that is not space; empty at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _SPACE:
                    return self.text[self.at]
                self.at += 1
            if not self._more():
                return ""

    def _expect(self, one_of: str) -> str:
        character = self._peek()
        if not character or character not in one_of:
            raise ValueError(f"there is {character!r} where {' or '.join(one_of)} belongs")
        self.at += 1
        return character

    def _more(self) -> bool:
        """Drop what has been read, and read on; the pieces grow while one member does not end."""
        if self.ended:
            return False

        # from the current value on: what was cut off is decoded once more as a whole
        kept = self.text[self.at :]
        if len(kept) > MAX_MEMBER_CHARACTERS:
            raise ValueError("one of its members does not end")

        # doubling: a member of n characters is decoded log n times, not n / CHUNK times
        piece = self.handle.read(max(CHUNK, len(kept)))
        self.ended = not piece
        self.text = kept + piece
        self.at = 0
        return not self.ended
