"""Every row of every table at full scale trains a step on its paper's data set, and is measured."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from handvae.reproduction.papers import TABLES
from handvae.reproduction.table import DataNeed, Table, TableRow

pytestmark = pytest.mark.usefixtures("narrow_networks")

ROWS = [
    pytest.param(table, need, row, id=f"{table.name}-{need.layout}-{row.name}")
    for table in TABLES.values()
    for need in table.needs
    for row, _ in table.rows_at("full", need)
]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of a data set share the trainings that they have in common."""
    return tmp_path_factory.mktemp("full")


def words(table: Table, need: DataNeed, sets: Path, out: Path) -> list[object]:
    """The command of a table at full scale, one step of one seed."""
    given: list[object] = ["--scale", "full", "--data", sets / need.layout, "--out", out / need.layout]
    given += ["--steps", 1, "--seeds", 1]
    if table.kind == "pictures":
        given += ["--inception-weights", "inception.pth"]
    if table.kind == "detectors":
        given += ["--generator-steps", 1]
    if table.name == "da-vae-table4":
        given += ["--mask", out / "rhd" / "full" / "runs" / "da-vae-0"]
    return ["reproduce", table.name, *given]


@pytest.mark.parametrize(("table", "need", "row"), ROWS)
def test_a_row_trains_a_step_at_full_scale_and_is_measured(
    table: Table, need: DataNeed, row: TableRow, paper_sets: Path, out: Path, handvae: Callable[..., tuple]
):
    code, _, error = handvae(*words(table, need, paper_sets, out), "--rows", row.name)
    assert code == 0, error
    report = json.loads((out / need.layout / "full" / table.name / "report.json").read_text())
    measured = next(found["measures"] for found in report["rows"] if found["name"] == row.name)
    assert measured
