"""`handvae reproduce --jobs`: trainings in several processes give the table that one process gives."""

import json
from pathlib import Path

import pytest

from handvae.errors import UserError

ROWS = ("Var. 1, 2D to 3D", "Var. 2, 2D to 3D")


def words(data: Path, out: Path, *more: object) -> list[object]:
    return ["reproduce", "cm-vae-table1", "--data", data, "--out", out, "--steps", 2, "--rows", *ROWS, *more]


def test_two_processes_make_the_table_that_one_makes(handvae, tiny_set, tmp_path):
    reports = []
    for jobs in (1, 2):
        code, said, error = handvae(*words(tiny_set, tmp_path / str(jobs), "--seeds", 2, "--jobs", jobs))
        assert code == 0, error
        assert f"{ROWS[1]}, seed 1: " in said
        assert "4 of 4 done" in said
        reports.append(
            json.loads((tmp_path / str(jobs) / "laptop" / "cm-vae-table1" / "report.json").read_text())
        )
    one, two = reports
    assert [row["name"] for row in two["rows"]] == list(ROWS)
    for alone, beside in zip(one["rows"], two["rows"], strict=True):
        for name in ("epe", "epe_median", "epe_low", "epe_high"):
            values = alone["measures"][name]["values"]
            assert len(set(values)) == 2, name  # seeds differ
            assert beside["measures"][name]["values"] == pytest.approx(values, rel=1e-3), name


def test_a_fault_in_one_process_is_said_in_one_line(handvae, refused, tiny_set, tmp_path):
    assert handvae(*words(tiny_set, tmp_path, "--jobs", 2))[0] == 0
    line = refused(
        "reproduce",
        "cm-vae-table1",
        "--data",
        tiny_set,
        "--out",
        tmp_path,
        "--steps",
        3,
        "--rows",
        *ROWS,
        "--jobs",
        2,
    )
    assert "other options (train.steps)" in line


def test_no_job_at_all_is_refused(refused, tiny_set, tmp_path):
    assert "--jobs: is 0" in refused(*words(tiny_set, tmp_path, "--jobs", 0))


def test_a_fault_comes_whole_out_of_another_process():
    import pickle

    error = pickle.loads(pickle.dumps(UserError("a.json", "has no joints", "add them")))
    assert (error.where, error.fault, error.remedy) == ("a.json", "has no joints", "add them")
    assert str(error) == "a.json: has no joints; add them"
