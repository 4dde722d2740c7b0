"""`handvae reproduce`: the table, going on, sharing of runs, and what it refuses."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from handvae.reproduction import experiment, picture_table
from handvae.reproduction.papers import TABLES
from handvae.training.presets import Preset, find_preset

ROWS = [row.name for row in TABLES["srv-vae-table3"].rows]


def narrow(name: str) -> Preset:
    """The preset, its networks an eighth as wide: for the tests of a table any will do."""
    preset = find_preset(name)
    widths = {
        part: tuple(max(8, width // 8) for width in getattr(preset.system, part))
        for part in ("encoder_widths", "decoder_widths")
    }
    return replace(preset, system=replace(preset.system, **widths))


@pytest.fixture(autouse=True, scope="module")
def narrow_networks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handvae.reproduction.recipe.find_preset", narrow)
        yield


@pytest.fixture(scope="module")
def halved_set(tiny_set, tmp_path_factory) -> Path:
    """The drawn hands, three persons in train and three in test: distances need 20 hands of each."""
    folder = tmp_path_factory.mktemp("halved") / "tiny"
    shutil.copytree(tiny_set, folder)
    content = json.loads((folder / "annotations.json").read_text())
    for picture in content["images"]:
        picture["split"] = "train" if picture["person"] < 3 else "test"
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def words(data: Path, out: Path, *more: object) -> list[object]:
    return ["reproduce", "srv-vae-table3", "--data", data, "--out", out, "--steps", 2, "--seeds", 2, *more]


@pytest.fixture(scope="module")
def finished(halved_set, tmp_path_factory) -> Path:
    """A finished reproduction. Not to be changed."""
    from handvae.apps.cli import main

    out = tmp_path_factory.mktemp("reproduced") / "out"
    assert main([str(word) for word in words(halved_set, out)]) == 0
    return out


def report(out: Path, table: str = "srv-vae-table3") -> dict:
    return json.loads((out / "laptop" / table / "report.json").read_text())


def test_the_papers_row_stands_beside_ours_with_mean_and_range_over_seeds(finished):
    found = report(finished)
    assert [row["name"] for row in found["rows"]] == ROWS
    assert found["rows"][1]["published"] == {"seen": 25.27, "unseen": 26.84}
    text = (finished / "laptop" / "srv-vae-table3" / "table.md").read_text()
    for row in found["rows"]:
        unseen = row["measures"]["fd_hand_unseen"]
        assert len(set(unseen["values"])) == 2  # seeds differ
        assert (
            unseen["low"]
            == min(unseen["values"])
            <= unseen["mean"]
            <= unseen["high"]
            == max(unseen["values"])
        )
        line = next(line for line in text.splitlines() if line.startswith(f"| {row['name']} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[3] == (f"{row['published']['unseen']:g}" if row["published"] else "-")
        assert cells[4] == f"{unseen['mean']:.4g} ({unseen['low']:.4g} to {unseen['high']:.4g})"


def test_each_number_names_what_it_depends_on(finished):
    text = (finished / "laptop" / "srv-vae-table3" / "table.md").read_text()
    for said in (
        "trunk of detector-64",
        "64 px pictures",
        "batch norm eval",
        "N(0, I)",
        "N = 24",
        "2 steps of 32",
        "seeds 0, 1",
    ):
        assert said in text, said
    assert "SRV-VAE: preset srv-vae-2d with train.batch = 32" in text
    assert "generation variance of z_t: dirac" in text
    assert "STB" in text


def numbers(out):
    return [row["measures"] for row in report(out)["rows"] if "measures" in row]


def test_a_finished_one_only_prints(finished, handvae, halved_set, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr(picture_table, "picture_measures", refuse)
    states = {path: path.read_bytes() for path in finished.rglob("model.safetensors")}
    before = report(finished)
    code, said, error = handvae(*words(halved_set, finished))
    assert code == 0, error
    assert "step 2/2" not in said
    assert report(finished) == before
    assert len(states) == 2 * len(ROWS)
    assert all(path.read_bytes() == content for path, content in states.items())


def test_a_killed_one_goes_on_with_the_same_numbers(finished, handvae, halved_set, tmp_path):
    """Killed before the last row of seed 1 was trained, in the middle of writing what was measured of the row
    before."""
    shutil.copytree(finished, tmp_path / "out")
    runs = sorted((tmp_path / "out" / "laptop" / "runs").glob("*-1"))
    shutil.rmtree(runs[0])
    (runs[1] / "measures.json").unlink()
    shutil.rmtree(tmp_path / "out" / "laptop" / "srv-vae-table3")
    code, said, error = handvae(*words(halved_set, tmp_path / "out"))
    assert code == 0, error
    assert said.count("step 2/2") == 1
    was, now = report(finished), report(tmp_path / "out")
    for first, second in zip(was["rows"], now["rows"], strict=True):
        assert first["measures"] == second["measures"]


def test_what_other_code_measured_is_measured_anew_and_nothing_trained(
    finished, handvae, halved_set, tmp_path, monkeypatch
):
    shutil.copytree(finished, tmp_path / "out")
    for path in (tmp_path / "out" / "laptop" / "runs").glob("*/measures.json"):
        path.write_text(path.read_text().replace('"value": ', '"value": 7'))
    handvae(*words(halved_set, tmp_path / "out"))
    assert numbers(tmp_path / "out") != numbers(finished), "kept numbers are taken as they are"
    monkeypatch.setattr(experiment, "measuring_code", lambda: "another version")
    code, said, error = handvae(*words(halved_set, tmp_path / "out"))
    assert code == 0, error
    assert "step 2/2" not in said
    assert numbers(tmp_path / "out") == numbers(finished)


def test_a_run_of_other_steps_is_not_taken_for_this_one(finished, refused, halved_set):
    assert "other options (train.steps)" in refused(
        "reproduce", "srv-vae-table3", "--data", halved_set, "--out", finished, "--steps", 3
    )


def test_tables_share_the_trainings_they_have_in_common(finished, handvae, halved_set, tmp_path):
    """Table 1 has three rows of its own; two of them go on from a model of table 3."""
    shutil.copytree(finished, tmp_path / "out")
    words = ("--data", halved_set, "--out", tmp_path / "out", "--steps", 2, "--seeds", 1)
    code, said, error = handvae("reproduce", "srv-vae-table1", *words)
    assert code == 0, error
    assert said.count("step 2/2") == 3
    rows = {row["name"]: row for row in report(tmp_path / "out", "srv-vae-table1")["rows"]}
    shared = next(row for row in report(finished)["rows"] if row["name"] == "SRV-VAE")["measures"][
        "fd_hand_seen"
    ]["values"]
    assert rows["SRV-VAE"]["measures"]["fd_hand_seen"]["values"] == shared[:1]
    for name in ("s-vae-ours-then-judged-0", "s-vae-ours-then-soft-intro-0"):
        config = json.loads((tmp_path / "out" / "laptop" / "runs" / name / "config.json").read_text())
        assert config["init"].endswith("s-vae-our-networks-and-weights-0/model.safetensors")

    code, said, error = handvae("reproduce", "srv-vae-table2", *words)
    assert code == 0, error
    assert "step 2/2" not in said  # table 2 is the same models, and the other poses
    text = (tmp_path / "out" / "laptop" / "srv-vae-table2" / "table.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| Soft-Intro-SRV-VAE |"))
    assert "| 14.62 |" in line
    assert "11.07" not in text
    assert "| SRV-VAE, 3D | - | 16.13 | - | - |" in text  # what the paper has and is not trained here


def test_the_3d_rows_are_trained_where_they_are_asked_for(handvae, halved_set, tmp_path):
    words = (
        "--data",
        halved_set,
        "--out",
        tmp_path,
        "--steps",
        1,
        "--seeds",
        1,
        "--rows",
        "SRV-VAE, 3D",
        "Soft-Intro-SRV-VAE, 3D",
    )
    code, _, error = handvae("reproduce", "srv-vae-table2", *words)
    assert code == 0, error
    rows = report(tmp_path, "srv-vae-table2")["rows"]
    assert [row["published"]["unseen"] for row in rows] == [16.13, 9.27]
    assert all(0 < row["measures"]["consistency_random_error_median"]["mean"] < 200 for row in rows)
    config = json.loads(
        (tmp_path / "laptop" / "runs" / "soft-intro-srv-vae-3d-0" / "config.json").read_text()
    )
    assert config["system"]["pose"] == "3d"


def test_a_row_comes_with_the_row_that_it_begins_with(handvae, halved_set, tmp_path):
    words = (
        "--data",
        halved_set,
        "--out",
        tmp_path,
        "--steps",
        1,
        "--seeds",
        1,
        "--rows",
        "S-VAE, ours, then judged",
    )
    code, _, error = handvae("reproduce", "srv-vae-table1", *words)
    assert code == 0, error
    assert [row["name"] for row in report(tmp_path, "srv-vae-table1")["rows"]] == [
        "S-VAE, our networks and weights",
        "S-VAE, ours, then judged",
    ]


def test_an_unknown_row_is_refused_with_the_known_ones(refused, halved_set):
    line = refused("reproduce", "srv-vae-table3", "--data", halved_set, "--rows", "S-VEA")
    assert "S-VAE; SRV-VAE" in line


def test_without_a_table_the_known_ones_are_listed(handvae):
    code, said, _ = handvae("reproduce", "--help")
    assert code == 0
    assert all(name in said for name in TABLES)


def test_an_unknown_table_is_refused_with_the_known_ones(refused, halved_set):
    assert "did you mean srv-vae-table" in refused("reproduce", "srv-vae-table9", "--data", halved_set)
    assert "srv-vae-table3" in refused("reproduce", "xyz", "--data", halved_set)


def test_full_scale_names_the_data_set_it_needs(refused, halved_set, tmp_path):
    weights = tmp_path / "weights.pth"
    line = refused(
        "reproduce", "srv-vae-table3", "--data", halved_set, "--scale", "full", "--inception-weights", weights
    )
    assert "STB (Stereo Hand Pose Benchmark)" in line
    assert "FID" in refused("reproduce", "srv-vae-table3", "--data", halved_set, "--scale", "full")


def test_a_set_too_small_to_compare_is_refused_before_anything_is_trained(refused, tiny_set, tmp_path):
    out = tmp_path / "out"
    assert "32 seen and 16 unseen hands" in refused(
        "reproduce", "srv-vae-table3", "--data", tiny_set, "--out", out, "--steps", 2
    )
    assert not out.exists()


def test_gestures_can_be_held_out_only_where_the_data_name_them(refused, halved_set, tmp_path):
    line = refused(*words(halved_set, tmp_path / "out", "--hold-out", "fist"))
    assert "names no gestures" in line
