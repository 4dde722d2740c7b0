"""`handvae reproduce srv-vae-figure3` to `6`: what stands in each cell, and whose models are shown."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from handvae.apps.options import GENERATOR
from handvae.data.crop import cut
from handvae.data.files.pictures import as_pixels
from handvae.data.readers.coco import CocoHands
from handvae.inference.drawing import enlarge
from handvae.reproduction.papers import TABLES
from handvae.reproduction.sheets import CELL, LABELS, TITLE
from handvae.reproduction.srv_vae import SRV_VAE_FIGURES
from handvae.training.checkpoint import load_model

POSES, APPEARANCES = 4, 3


@pytest.fixture
def drawn(handvae, tiny_set, tiny_model, tmp_path):
    """Draws a figure; returns its cells below the title, and what was said."""

    def make(name: str, *more: object) -> tuple[list[list[np.ndarray]], str]:
        asked = (
            "--data",
            tiny_set,
            "--model",
            tiny_model,
            "--poses",
            POSES,
            "--appearances",
            APPEARANCES,
            "--out",
            tmp_path,
        )
        code, said, error = handvae("reproduce", name, *asked, *more)
        assert code == 0, error
        sheet = cv2.imread(str(tmp_path / f"{name}.png"))[TITLE:, LABELS:, ::-1]
        step = CELL + 2
        rows, columns = ((length + 2) // step for length in sheet.shape[:2])
        return [
            [sheet[r * step : r * step + CELL, c * step : c * step + CELL] for c in range(columns)]
            for r in range(rows)
        ], said

    return make


def real_cells(tiny_set, tiny_model) -> list[np.ndarray]:
    """The test pictures as a sheet shows them."""
    image = cut(CocoHands(tiny_set, "test"), torch.arange(16), load_model(tiny_model).system.crop).require(
        "image"
    )
    return [enlarge(as_pixels(picture.numpy()), CELL) for picture in image]


def place(cell: np.ndarray, cells: list[np.ndarray]) -> int:
    """Which of the pictures a cell is."""
    (found,) = [number for number, other in enumerate(cells) if np.array_equal(cell, other)]
    return found


def test_a_row_is_an_appearance_and_a_column_the_pose_of_the_picture_above(drawn, tiny_set, tiny_model):
    cells, _ = drawn("srv-vae-figure3")
    assert [len(row) for row in cells] == [POSES] * (1 + APPEARANCES)
    assert len({place(cell, real_cells(tiny_set, tiny_model)) for cell in cells[0]}) == POSES
    one_pose = torch.from_numpy(np.array([cells[row][0] for row in range(1, 1 + APPEARANCES)])).float()
    assert (one_pose[1:] - one_pose[:-1]).abs().amax((1, 2, 3)).min() > 2  # appearances differ
    again, _ = drawn("srv-vae-figure3", "--appearances", 1)
    for column in range(
        POSES
    ):  # the first appearance does not depend on how many are drawn, nor a picture on its neighbours
        assert np.array_equal(again[1][column], cells[1][column])


def test_in_figure_6_the_first_column_gives_the_looks_of_its_row(drawn, tiny_set, tiny_model):
    cells, _ = drawn("srv-vae-figure6")
    real, data = real_cells(tiny_set, tiny_model), CocoHands(tiny_set, "test")
    posed = [place(cell, real) for cell in cells[0][1:]]
    givers = [place(row[0], real) for row in cells[1:]]
    assert len({*posed, *givers}) == POSES + APPEARANCES
    system = load_model(tiny_model).generator
    hands, image = (
        cut(data, torch.tensor(posed), system.crop),
        cut(data, torch.tensor(givers), system.crop).require("image"),
    )
    for row, appearance in zip(cells[1:], system.appearance_of(image), strict=True):
        made = system.synthesize(system.joints_of(hands), appearance.expand(POSES, -1))
        for cell, picture in zip(row[1:], made, strict=True):
            assert np.abs(cell.astype(int) - enlarge(as_pixels(picture.numpy()), CELL)).max() <= 1


def test_another_seed_is_another_sheet_and_the_same_seed_the_same(drawn):
    first, again, other = (drawn("srv-vae-figure4", "--seed", seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[1], other[1])


def test_the_tables_models_are_shown_where_they_are_trained(handvae, tiny_set, tiny_model, tmp_path):
    words = ("--data", tiny_set, "--poses", 2, "--appearances", 1, "--out", tmp_path)
    run = tmp_path / "laptop" / "runs" / "srv-vae-0"
    run.mkdir(parents=True)
    shutil.copy(tiny_model, run / "model.safetensors")
    code, said, error = handvae("reproduce", "srv-vae-figure3", *words)
    assert code == 0, error
    assert str(run) in said
    code, said, error = handvae("reproduce", "srv-vae-figure4", *words)
    assert code == 0, error
    assert "no trained 'Soft-Intro-SRV-VAE' of seed 0" in said
    assert f"{GENERATOR} in its place" in said


def test_the_figures_rows_are_rows_of_the_tables():
    rows = {row.name for table in TABLES.values() for row in table.rows}
    assert {name for figure in SRV_VAE_FIGURES for name in figure.rows} <= rows


def test_more_hands_than_there_are_cannot_be_shown(refused, tiny_set, tiny_model, tmp_path):
    words = (
        "reproduce",
        "srv-vae-figure6",
        "--data",
        tiny_set,
        "--model",
        tiny_model,
        "--out",
        tmp_path / "out",
    )
    assert "16 hands" in refused(*words, "--poses", 12)
    assert "--appearances" in refused(*words, "--appearances", 0)
    assert not Path(tmp_path / "out").exists()


def test_a_detector_makes_no_figure(refused, tiny_set, tmp_path):
    line = refused(
        "reproduce",
        "srv-vae-figure3",
        "--data",
        tiny_set,
        "--model",
        "detector-64",
        "--out",
        tmp_path / "out",
    )
    assert "makes no pictures" in line


def test_a_figure_as_json_names_its_sheet_and_quiet_prints_nothing(handvae, tiny_set, tiny_model, tmp_path):
    words = ("--data", tiny_set, "--model", tiny_model, "--poses", 2, "--appearances", 1, "--out", tmp_path)
    code, printed, error = handvae("reproduce", "srv-vae-figure3", *words, "--json")
    assert code == 0, error
    result = json.loads(printed)
    assert result["figure"] == "srv-vae-figure3"
    assert Path(result["sheet"]).is_file()
    assert handvae("reproduce", "srv-vae-figure3", *words, "--quiet")[1] == ""


@pytest.mark.parametrize("module", ["reproduce", "upsample"])
def test_a_command_is_parsed_without_torch(module):
    code = f"import sys, handvae.apps.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
