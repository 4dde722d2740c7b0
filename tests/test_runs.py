"""The scripts of runs/ ask for what there is."""

import os
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from handvae.apps.cli import COMMANDS
from handvae.reproduction.papers import FIGURES, TABLES
from handvae.training.presets import PRESETS

SCRIPTS = sorted((Path(__file__).parents[1] / "runs").glob("*.sh"))


@pytest.fixture
def called(tmp_path):
    """Runs a script with a `handvae` that only writes down its arguments; returns a list of them a call."""

    def run(script: Path, *words: object) -> list[list[str]]:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "handvae").write_text(
            '#!/bin/sh\nprintf "%s\\t" "$@" >> "$CALLS"; echo >> "$CALLS"\n'
        )
        (tmp_path / "bin" / "handvae").chmod(0o755)
        calls = tmp_path / "calls"
        environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CALLS": str(calls)}
        subprocess.run(
            ["bash", str(script), *map(str, words)], env=environment, check=True, capture_output=True
        )
        return [line.rstrip("\t").split("\t") for line in calls.read_text().splitlines()]

    return run


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_names_only_commands_and_presets_that_there_are(script):
    text = script.read_text()
    assert set(re.findall(r"^\s*handvae (\S+)", text, re.MULTILINE)) <= COMMANDS.keys()
    assert set(re.findall(r"handvae train (\S+)", text)) <= PRESETS.keys()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_sets_only_options_that_its_presets_have(script):
    text = script.read_text()
    known = set()
    for name in re.findall(r"handvae train (\S+)", text):
        preset = PRESETS[name]
        for section in ("system", "crop", "augment", "train"):
            known |= {(section, field.name) for field in fields(getattr(preset, section))}

    options = re.findall(r"--(system|crop|augment|train)\.([a-z-]+)", text)
    assert {(section, name.removeprefix("no-").replace("-", "_")) for section, name in options} <= known


TRAINED = [(row.name, row.need) for table in TABLES.values() for row, _ in table.rows_at("full")]
NEEDED = [
    *((table.name, need.layout) for table in TABLES.values() for need in table.needs),
    *{
        (figure.name, need.layout)
        for figure in FIGURES.values()
        for name, need in TRAINED
        if name in figure.rows and need is not None
    },
]
"""Each table and figure with each of the data sets that the rows behind it are trained on."""


def made_of(calls: list[list[str]]) -> list[tuple[str, str]]:
    """The name and the data set's folder of each `reproduce`."""
    return [(words[1], Path(words[words.index("--data") + 1]).name) for words in calls]


def test_every_table_and_figure_of_the_papers_is_made_on_each_of_its_data_sets(called, project, tmp_path):
    for _, layout in NEEDED:
        (tmp_path / "data" / layout).mkdir(parents=True, exist_ok=True)
    calls = called(project / "runs" / "paper.sh", tmp_path / "data", "inception.pth", tmp_path / "out")
    assert sorted(made_of(calls)) == sorted(NEEDED)
    assert all(words[0] == "reproduce" and words[words.index("--scale") + 1] == "full" for words in calls)
    for words in calls:
        is_pictures = words[1] in TABLES and TABLES[words[1]].kind == "pictures"
        assert ("--inception-weights" in words) == is_pictures


def test_figures_come_after_the_tables_that_train_their_models(called, project, tmp_path):
    for _, layout in NEEDED:
        (tmp_path / "data" / layout).mkdir(parents=True, exist_ok=True)
    made = made_of(called(project / "runs" / "paper.sh", tmp_path / "data", "inception.pth"))
    for place, (name, layout) in enumerate(made):
        if name not in FIGURES:
            continue
        before = {table for table, where in made[:place] if where == layout}
        trained = {row.name for table in before & set(TABLES) for row, _ in TABLES[table].rows_at("full")}
        assert trained & set(FIGURES[name].rows), f"{name} on {layout}"


def test_what_needs_sets_that_are_not_there_is_left_out(called, project, tmp_path):
    (tmp_path / "data" / "msra").mkdir(parents=True)
    calls = called(project / "runs" / "paper.sh", tmp_path / "data", "inception.pth")
    assert [words[1] for words in calls] == ["cm-vae-depth", "cm-vae-figure5", "cm-vae-figure12"]


def test_without_rhd_there_is_no_mask_network_for_stb(called, project, tmp_path):
    (tmp_path / "data" / "stb").mkdir(parents=True)
    calls = called(project / "runs" / "paper.sh", tmp_path / "data", "inception.pth")
    assert not [words for words in calls if words[1].startswith("da-vae")]
