"""What commands say of wrong options: one line of plain words, whatever the option."""

import dataclasses
import importlib
import re
from typing import Any, get_args, get_type_hints

import pytest

from handvae.apps.commands import COMMANDS
from handvae.apps.options import parse

MODULES = {
    "demo": "demo",
    "synthesize": "synthesize",
    "transfer": "transfer",
    "walk": "walk",
    "estimate": "estimate",
    "render": "render_options",
    "models": "models",
    "poses": "poses",
    "data info": "data_info",
    "data check": "data_check",
    "data convert": "data_convert",
    "data label": "data_label",
    "evaluate": "evaluate",
    "export": "export",
    "upsample": "upsample",
}
"""Where each command keeps its options."""
NEEDED = {
    "synthesize": "--pose open --out nowhere",
    "transfer": "a.png b.png",
    "walk": "open fist",
    "estimate": "a.png",
    "render": "--out nowhere",
    "data info": "nowhere",
    "data check": "nowhere",
    "data convert": "nowhere elsewhere",
    "data label": "nowhere --out elsewhere",
    "evaluate": "detector-64 nowhere",
    "export": "photos-64",
    "upsample": "nowhere --out elsewhere",
}
"""What each command cannot do without."""
TYROS_WORDS = (
    "could be instantiated",
    "invalid literal",
    "could not convert",
    "Expected",
    "NoneType",
    "{None}",
)


def options_of(command: str) -> type:
    """The dataclass of a command's options: the last that its module defines."""
    module = importlib.import_module(f"handvae.apps.{MODULES[command]}")
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    ]
    return kinds[0]


def numbers_of(command: str) -> list[str]:
    """The flags of a command that take a number."""
    hints = get_type_hints(options_of(command))
    return [f"--{name.replace('_', '-')}" for name, kind in hints.items() if {int, float} & kinds_in(kind)]


def kinds_in(kind: Any) -> set[Any]:
    return {kind} | {inner for part in get_args(kind) for inner in kinds_in(part)}


NUMBERS = [(command, flag) for command in MODULES for flag in numbers_of(command)]


def test_every_command_is_tried():
    tried = {name.split()[0] for name in MODULES}
    assert set(COMMANDS) - tried == {"train", "reproduce"}
    assert len(NUMBERS) >= 25


@pytest.mark.parametrize("value", ["x", "1.5.2", "ten", "nan", "inf", "-1e30", "1e30", ""])
@pytest.mark.parametrize(("command", "flag"), NUMBERS, ids=lambda part: part)
def test_a_wrong_number_is_one_line_that_names_the_option(command, flag, value, refused):
    line = refused(*command.split(), *NEEDED.get(command, "").split(), f"{flag}={value}")
    assert flag in line
    assert not [word for word in TYROS_WORDS if word in line], line


@pytest.mark.parametrize("command", MODULES)
def test_what_is_missing_is_named_in_plain_words(command, handvae):
    code, _, error = handvae(*command.split())
    if code == 0:
        return
    assert code == 2
    assert len(error.splitlines()) == 1
    assert not re.search(r"\b(STR|PATH|INT|required)\b", error), error


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_is_its_help(command, handvae):
    first, second = handvae("help", command), handvae(command, "--help")
    assert first == second
    assert first[0] == 0


def test_an_unknown_choice_names_the_choices(refused):
    line = refused("synthesize", "--pose", "open", "--format", "nope", "--out", "x")
    assert "there is no 'nope'; give one of coco, freihand" in line


@pytest.mark.parametrize("words", [["--model", ""], ["--model="], ["--out", ""]])
def test_an_empty_value_is_no_value(words, refused):
    assert "is empty" in refused("estimate", "x.png", *words)


def test_ranges_are_those_of_the_annotations():
    options = parse(options_of("export"), ["photos-64", "--batch", "4096"], "handvae export")
    assert options.batch == 4096
