"""Progress of long work: lines on standard error where there is no terminal, and none in what is piped on."""

import sys

import pytest
from rich.console import Console

from handvae.apps import progress as module
from handvae.apps.progress import counted, progress


def test_lines_come_every_so_many_things_and_name_the_total(capfd):
    with progress("hands", 100, every=30) as advance:
        for _ in range(10):
            advance(10)
    said = capfd.readouterr()
    assert said.err.splitlines() == ["30 of 100 hands", "60 of 100 hands", "90 of 100 hands"]
    assert said.out == ""


def test_counted_items_are_the_items_and_an_unknown_total_is_left_out(capfd, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 2)
    assert list(counted(iter("abcde"), "letters", None)) == list("abcde")
    assert capfd.readouterr().err.splitlines() == ["2 letters", "4 letters"]


def test_a_terminal_sees_a_bar_on_standard_error_and_no_lines(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(
        module, "Console", lambda stderr: Console(stderr=stderr, force_terminal=True, width=80)
    )
    assert list(counted(range(3), "pictures", 3)) == [0, 1, 2]
    said = capsys.readouterr()
    assert "3/3" in said.err
    assert "3 of 3 pictures" not in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("data convert SET OUT --format parquet", "40 of 48 hands"),
        ("data check SET", "40 of 48 pictures"),
        ("synthesize --model MODEL --pose SET --out OUT", "40 of 48 pictures"),
        ("evaluate MODEL SET --split None --metrics picture", "48 of 48 hands read by"),
        ("data label PICTURES --model MODEL --most-spread 100 --out OUT", "40 pictures"),
    ],
)
def test_long_commands_say_how_far_they_are(
    command, line, handvae, tiny_set, tiny_model, tmp_path, monkeypatch
):
    for name in (
        "handvae.apps.progress.EVERY",
        "handvae.apps.data_check.EVERY",
        "handvae.apps.evaluate_studies.EVERY",
    ):
        monkeypatch.setattr(name, 20)
    words = {"SET": tiny_set, "OUT": tmp_path / "out", "MODEL": tiny_model, "PICTURES": tiny_set / "images"}
    code, said, error = handvae(*(words.get(word, word) for word in command.split()))
    assert code == 0, error
    assert line in error
    assert line not in said
