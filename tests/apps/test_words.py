"""The words of all commands: helps and refusals in plain words; every number of every command is tried."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from handvae.apps.cli import main
from handvae.apps.commands import COMMANDS
from handvae.apps.data import SUBCOMMANDS
from handvae.apps.export import Options as ExportOptions
from handvae.apps.options import parse
from handvae.reproduction.papers import FIGURES
from handvae.words import nearest_or_all, plural

PYTHON = ("{None}", "default: None", "default: True", "default: False", "default: )")
"""How Python says that nothing is given."""
TYRO = (
    *("parsing", "invalid literal", "could not convert", "NoneType", "{None}", "class '"),
    *("instantiated", "Expected", "Traceback"),
)
"""What the parser says for itself, and no user should read."""

WHOLE = [[name] for name in COMMANDS if name not in ("data", "train", "reproduce")]
WHOLE += [["data", name] for name in SUBCOMMANDS]
"""Commands with their subcommands. Training's options are those of its preset, a table's of its kind."""

NEEDED = {
    "demo": "",
    "synthesize": "--pose open --out nowhere",
    "transfer": "a.jpg b.jpg",
    "walk": "open fist",
    "estimate": "a.jpg",
    "live": "--camera nowhere",
    "render": "--out nowhere",
    "models": "",
    "poses": "",
    "upsample": "nowhere --out new",
    "evaluate": "photos-64 nowhere",
    "export": "nowhere",
    "data info": "nowhere",
    "data check": "nowhere",
    "data convert": "nowhere new",
    "data label": "nowhere --out new",
}
"""What each command asks for."""


def help_of(words: list[str], flag: str = "--help-all") -> str:
    """What a command prints of itself."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main([*words, flag])
    return text.getvalue()


@pytest.fixture(scope="module")
def options_of() -> dict[str, list[tuple[str, str]]]:
    """For each command its options with the kind of value that their help names."""
    found = {}
    for words in WHOLE:
        found[" ".join(words)] = re.findall(r"(--[a-z][a-z-]*) (INT|FLOAT|PATH)\b", help_of(words))
    return found


@pytest.mark.parametrize("flag", ["--help", "--help-all"])
@pytest.mark.parametrize("words", WHOLE, ids=" ".join)
def test_the_help_speaks_of_values_and_not_of_python(words, flag):
    said = help_of(words, flag)
    assert "--help" in said
    assert [word for word in PYTHON if word in said] == []


def test_the_options_were_found(options_of):
    """Nothing below can fail for a command whose help was not understood."""
    assert ("--size", "INT") in options_of["render"]
    assert ("--bone-mm", "FLOAT") in options_of["estimate"]
    assert ("--out", "PATH") in options_of["data label"]
    assert sum(map(len, options_of.values())) > 45


@pytest.mark.parametrize("words", WHOLE, ids=" ".join)
@pytest.mark.parametrize(
    "value", ["x", "", "1x", "--", "0x10", "1.5.2", "ten", "nan", "inf", "-1e30", "1e30"]
)
def test_a_number_that_is_none_is_refused_by_the_name_of_its_option(words, value, options_of, refused):
    numbers = [option for option, kind in options_of[" ".join(words)] if kind != "PATH"]
    for option in numbers:
        line = refused(*words, *NEEDED[" ".join(words)].split(), f"{option}={value}")
        assert option in line
        assert [word for word in TYRO if word in line] == []


@pytest.mark.parametrize("words", WHOLE, ids=" ".join)
def test_an_option_without_its_value_is_named(words, options_of, refused):
    for option, _ in options_of[" ".join(words)]:
        line = refused(*words, *NEEDED[" ".join(words)].split(), option)
        assert f"{option}: has no value" in line


@pytest.mark.parametrize("words", WHOLE, ids=" ".join)
def test_an_option_that_nobody_knows_is_named(words, refused):
    line = refused(*words, *NEEDED[" ".join(words)].split(), "--nonesuch")
    assert "--nonesuch: is no option" in line


def test_data_without_a_subcommand_names_them(refused):
    line = refused("data")
    assert all(name in line for name in SUBCOMMANDS)


@pytest.mark.parametrize("words", WHOLE, ids=" ".join)
def test_what_is_missing_is_named_in_plain_words(words, handvae):
    code, _, error = handvae(*words)
    if code == 0:
        return
    assert code == 2
    assert len(error.splitlines()) == 1
    assert not re.search(r"\b(STR|PATH|INT|required)\b", error), error


def test_an_unknown_choice_names_the_choices(refused):
    line = refused("synthesize", "--pose", "open", "--format", "nope", "--out", "x")
    assert "there is no 'nope'; give one of coco, freihand" in line


@pytest.mark.parametrize("words", [["--model", ""], ["--model="], ["--out", ""]])
def test_an_empty_value_is_no_value(words, refused):
    assert "is empty" in refused("estimate", "x.png", *words)


def test_the_ends_of_a_range_are_allowed():
    options = parse(ExportOptions, ["photos-64", "--batch", "4096"], "handvae export")
    assert options.batch == 4096


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_that_commands(name):
    assert help_of(["help"], name) == help_of([name], "--help")


def test_a_name_that_no_table_has_is_answered_with_figures_too(refused):
    line = refused("reproduce", "nope")
    assert all(name in line for name in FIGURES)


@pytest.mark.parametrize("typed", ["victori", "victry"])
def test_both_commands_that_take_a_pose_suggest_the_same(typed, refused, tmp_path):
    lines = [
        refused("synthesize", "--pose", typed, "--out", tmp_path / "set"),
        refused("render", "--pose", typed, "--out", tmp_path / "sheet.png"),
    ]
    assert all("did you mean victory?" in line for line in lines)


@pytest.mark.parametrize("name", ["models", "poses"])
def test_lists_are_printed_without_torch(name):
    code = (
        f"import sys; from handvae.apps.cli import main; main([{name!r}]); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 hands"), (1, "1 hand"), (2, "2 hands"), (12345, "12,345 hands")]
)
def test_a_number_has_its_noun(count, text):
    assert plural(count, "hand") == text


def test_a_noun_may_have_its_own_plural():
    assert plural(1, "person", "persons") == "1 person"
    assert plural(3, "box", "boxes") == "3 boxes"


def test_a_name_near_none_is_answered_with_all():
    assert nearest_or_all("xyzzy", ["open", "fist"]) == "give one of open, fist"
    assert nearest_or_all("Fst", ["open", "fist"], "pose ") == "did you mean pose fist?"


def test_no_message_counts_one_as_many():
    """`{len(...)} hands` is `1 hands` for a set of one; `plural` is not."""
    source = Path(sys.modules["handvae"].__file__ or "").parent / "apps"
    pattern = re.compile(r"\{[^{}]+\} (hands|pictures|photos|files|frames|models|faults|tensors)\b")
    found = [
        f"{path.name}: {match[0]}"
        for path in sorted(source.glob("*.py"))
        for match in pattern.finditer(path.read_text())
    ]
    assert found == []
