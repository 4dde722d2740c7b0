import subprocess
import sys

import pytest

from handvae import __version__
from handvae.apps.commands import COMMANDS
from handvae.apps.data import SUBCOMMANDS


@pytest.mark.parametrize("word", [(), ("--help",), ("-h",), ("help",), ("--help-all",)])
def test_the_help_lists_every_command(word, handvae):
    code, out, error = handvae(*word)
    assert code == 0
    assert error == ""
    assert all(f"  {name} " in out for name in COMMANDS)


def test_the_version_is_the_packages(handvae):
    assert handvae("--version")[:2] == (0, f"{__version__}\n")


@pytest.mark.parametrize(
    "command", [*(name for name in COMMANDS if name != "data"), *(f"data {name}" for name in SUBCOMMANDS)]
)
def test_every_command_explains_its_options(command, capsys):
    from handvae.apps.cli import main

    words = ["train", "photos-64"] if command == "train" else command.split()
    try:
        code = main([*words, "--help"])
    except SystemExit as stop:
        code = stop.code
    printed = capsys.readouterr()
    assert code in (0, None)
    assert f"usage: handvae {' '.join(words)}" in printed.out
    assert printed.err == ""


def test_training_shows_its_presets_when_asked(handvae):
    code, out, _ = handvae("train", "--help")
    assert code == 0
    assert "photos-64" in out


def test_a_listing_whose_reader_has_gone_ends_quietly(tiny_set):
    script = "from handvae.apps.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "data", "info", str(tiny_set)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert b"Traceback" not in error


def test_a_stopped_command_says_so_and_ends_with_130(handvae, monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("handvae.apps.data.main", interrupted)
    code, _, error = handvae("data", "info", "x")
    assert code == 130
    assert error == "handvae data: stopped\n"


@pytest.mark.parametrize(
    ("command", "remedy"), [("train", "--resume"), ("render", "same command"), ("upsample", "same command")]
)
def test_a_stopped_command_that_can_continue_says_how(command, remedy, handvae, monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"handvae.apps.{command}.main", interrupted)
    code, _, error = handvae(command)
    assert code == 130
    assert error.startswith(f"handvae {command}: stopped; ")
    assert remedy in error


def test_a_full_disk_is_one_line(refused, monkeypatch):
    def full(arguments):
        raise OSError(28, "No space left on device", "out/a.png")

    monkeypatch.setattr("handvae.apps.data.main", full)
    assert "out/a.png: No space left on device" in refused("data", "info", "x")


def test_a_fault_of_ours_is_not_dressed_up_as_the_users(handvae, monkeypatch):
    def broken(arguments):
        raise ZeroDivisionError

    monkeypatch.setattr("handvae.apps.data.main", broken)
    with pytest.raises(ZeroDivisionError):
        handvae("data", "info", "x")


def test_the_help_of_data_lists_every_subcommand(handvae):
    code, out, _ = handvae("data", "--help")
    assert code == 0
    assert all(f"  {name} " in out for name in SUBCOMMANDS)


def test_a_misspelt_subcommand_is_named_with_the_nearest(refused):
    line = refused("data", "chekc", "x")
    assert "chekc: is no subcommand" in line
    assert "handvae data check?" in line


def test_the_listed_presets_are_the_presets():
    from handvae.training.preset_list import PRESET_LIST
    from handvae.training.presets import PRESETS

    assert list(PRESET_LIST) == list(PRESETS)


@pytest.mark.parametrize(
    "command",
    [
        "",
        *(name for name in COMMANDS if name != "upsample"),
        *(f"data {name}" for name in SUBCOMMANDS),
        "train photos-64",
    ],
)
def test_the_short_help_of_every_command_is_shown_without_torch(command):
    script = """
import contextlib, sys
from handvae.apps.cli import main
with contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print("torch" in sys.modules, file=sys.stderr)
"""
    arguments = [sys.executable, "-c", script, *command.split(), "--help"]
    process = subprocess.run(arguments, capture_output=True, text=True)
    assert process.stderr.split() == ["False"]
    assert "usage: handvae" in process.stdout
