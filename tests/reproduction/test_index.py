"""The list of every table and figure of the papers."""

import json
import re

import pytest

from handvae.reproduction.index import PAPERS, Drawn, Made, as_json, listing
from handvae.reproduction.papers import FIGURES, TABLES

NUMBERS = {
    "SRV-VAE": (4, 6),
    "cm-VAE": (6, 12),
    "dVAE": (0, 9),
    "da-VAE": (4, 8),
}
"""Tables and figures of each paper."""
FILES = {"SRV-VAE": "000_", "cm-VAE": "003_", "dVAE": "001_", "da-VAE": "002_"}


def paper(title):
    return next(paper for paper in PAPERS if paper.title.startswith(title))


@pytest.mark.parametrize("title", NUMBERS)
def test_every_table_and_figure_of_a_paper_is_named(title):
    tables, figures = NUMBERS[title]
    expected = {f"table {number + 1}" for number in range(tables)}
    expected |= {f"figure {number + 1}" for number in range(figures)}
    named = {entry.number for entry in paper(title).shows}
    assert {number for number in named if not number.startswith("section")} == expected


@pytest.mark.parametrize("title", FILES)
def test_the_list_has_every_number_that_the_papers_text_captions(title, data_root):
    folder = data_root.parent / "papers"
    if not folder.is_dir():
        pytest.skip(f"no papers at {folder}")
    (path,) = folder.glob(f"{FILES[title]}*.txt")
    captions = re.findall(r"^(Fig\.|Figure|Table) (\d+)[:. ]", path.read_text(), re.MULTILINE)
    found = {f"{'table' if kind == 'Table' else 'figure'} {number}" for kind, number in captions}
    assert len(found) > 3
    assert found <= {entry.number for entry in paper(title).shows}


def test_every_entry_has_a_command_or_says_what_it_is_a_drawing_of():
    commands = TABLES.keys() | FIGURES.keys()
    for shown in PAPERS:
        for entry in shown.shows:
            match entry:
                case Made():
                    assert entry.command in commands
                case Drawn():
                    assert re.search("drawing|list of layers", entry.about)
        assert set(shown.ours) <= commands


def test_every_command_is_in_the_list():
    listed = {entry["command"] for entries in as_json().values() for entry in entries} - {""}
    assert listed == TABLES.keys() | FIGURES.keys()


def test_the_list_is_printed_as_lines_and_as_json(handvae, refused):
    code, said, error = handvae("reproduce", "--list")
    assert code == 0, error
    assert "no command" not in said
    assert all(line in said for line in listing())
    code, said, _ = handvae("reproduce", "--list", "--json")
    assert code == 0
    assert json.loads(said) == {"papers": as_json()}
    assert handvae("reproduce")[0] == 2
