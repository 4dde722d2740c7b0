"""What is wrong with a command line, in plain words: tyro's faults, empty options, numbers out of range."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from handvae.choices import PICTURE, Between, Folder, Suffix
from handvae.errors import UserError


def refusal(text: str, prog: str) -> UserError:
    """The error for the box that tyro prints."""
    fault, hint = _read_box(text)
    remedy = f"{hint}see {prog} --help"

    wrong = re.match(r"error parsing (-\S+?): .*'(.*?)'", fault)
    if wrong and re.search(r"int|float|INT|FLOAT", fault):
        value = re.search(r"from \['(.*?)'\]", fault) or re.search(r": '(.*?)'$", fault)
        given = value[1] if value else wrong[2]
        return UserError(wrong[1].split("/")[-1], f"{given!r} is no number", remedy)

    choice = re.match(r"invalid choice '(.*?)' for argument '(.*?)'\. Expected one of \((.*)\)", fault)
    if choice:
        names = choice[3].replace("'", "").strip(", ")
        return UserError(choice[2].split("/")[-1], f"there is no {choice[1]!r}", f"give one of {names}")

    value = re.match(r"missing value for argument '(.*?)'", fault)
    if value:
        return UserError(value[1].split("/")[-1], "has no value", remedy)

    missing = re.match(r"missing from [^:]*: (?:(-\S+) )?[A-Z|{}\[\].]+ (.*?)\(required\)", fault)
    if missing:
        about = missing[2].strip().rstrip(".")
        where = missing[1].rstrip(",") if missing[1] else "an argument"
        return UserError(where, f"is missing: {about[:1].lower()}{about[1:]}", remedy)

    unknown = re.match(r"unrecognized options?: ([^\s,]+)", fault, re.IGNORECASE)
    if unknown:
        return UserError(unknown[1], f"is no option of {prog}", remedy)

    return UserError("command line", fault, remedy)


def _read_box(text: str) -> tuple[str, str]:
    """The fault in the first part of tyro's box, and what its later parts suggest."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = plain.splitlines()

    # A terminal without box letters gets no frame: a title, a rule and the rows
    rows = [line.strip("│ ") for line in lines if line.startswith("│")]
    if not rows:
        rows = [line.strip() for line in lines[2:]]

    parts: list[list[str]] = [[]]
    for row in rows:
        if set(row) in ({"─"}, {"-"}):
            parts.append([])
        else:
            parts[-1].append(row)

    fault = (" ".join(filter(None, parts[0])) or plain).strip(" .\n")

    # The last part points to the help, which our own line does
    suggestions = [row for part in parts[1:-1] for row in part]
    matches = [re.match(r"--?[A-Za-z][\w.-]*", row) for row in suggestions]
    near = [match[0] for match in matches if match]

    if near and fault.startswith("Unrecognized"):
        hint = f"did you mean {' or '.join(near)}? "
    else:
        known = [row for row in suggestions if row.startswith(("Available", "Unrecognized"))]
        hint = "".join(f"{row}; " for row in known)

    return fault[:1].lower() + fault[1:], hint


def refuse_empty(words: Sequence[str], prog: str) -> None:
    """Refuse options without a value, as an unset variable of a shell gives them."""
    for before, word in zip(["", *words], words, strict=False):
        flag, equals, value = word.partition("=")
        if word == "" or (flag.startswith("--") and equals and not value):
            where = flag or (before if before.startswith("-") else "an argument")
            raise UserError(where, "is empty", f"give a value or leave it out; see {prog} --help")


def check_values(options: object) -> None:
    """Check the numbers and the outputs of a dataclass of options against what their annotations allow.

    Raises:
        UserError: a number lies outside of its range, or an output cannot be written under its name.
    """
    if not is_dataclass(options) or isinstance(options, type):
        return

    kinds = get_type_hints(type(options), include_extras=True)
    for field in fields(options):
        value: Any = getattr(options, field.name)
        flag = f"--{field.name.replace('_', '-')}"
        marks = list(_marks_of(kinds[field.name]))
        if isinstance(value, Path):
            _check_output(value, marks)

        if isinstance(value, int | float) and not isinstance(value, bool):
            _check_number(flag, value, marks)


def _check_number(flag: str, value: int | float, marks: Sequence[Any]) -> None:
    """Refuse a number that is none, or lies outside of its range."""
    if not math.isfinite(value):
        raise UserError(flag, f"is {value}", "give a number")
    for mark in marks:
        if isinstance(mark, Between) and not mark.low <= value <= mark.high:
            raise UserError(flag, f"is {value}", f"give {_ends(mark)}")


def _marks_of(kind: Any) -> Iterator[Any]:
    """What stands in an annotation besides types, however deep."""
    yield from getattr(kind, "__metadata__", ())
    for inner in get_args(kind):
        yield from _marks_of(inner)


def _check_output(path: Path, marks: Sequence[Any]) -> None:
    """Refuse an output that could not be written, before the work for it begins."""
    suffix = path.suffix.lower()
    for mark in marks:
        if isinstance(mark, Suffix) and suffix not in mark.allowed:
            fault = f"is called {path.suffix}" if suffix else "has no suffix"
            raise UserError(path, fault, f"end its name in {' or '.join(mark.allowed)}")
        if isinstance(mark, Folder) and path.exists() and not path.is_dir():
            raise UserError(path, "is a file", "give a folder")
        if isinstance(mark, Folder) and suffix in PICTURE.allowed:
            raise UserError(path, f"is called {path.suffix}, as a picture is", "give the name of a folder")


def _ends(limits: Between) -> str:
    """A range in words."""
    low, high = _written(limits.low), _written(limits.high)
    return f"{low} to {high}" if math.isfinite(limits.high) else f"{low} or more"


def _written(number: int | float) -> str:
    """A number as people write it."""
    return f"{number:,.0f}" if math.isfinite(number) and number == int(number) else f"{number:g}"
