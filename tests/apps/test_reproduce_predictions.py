"""`handvae reproduce cm-vae-figure7` and others: hands with the poses read from them and the true ones."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.open import open_data
from handvae.data.readers.coco import CocoHands
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.reproduction.figure import PredictionFigure
from handvae.reproduction.figure_hands import random_rows
from handvae.reproduction.papers import FIGURES, TABLES
from handvae.reproduction.prediction_figures import read_poses
from handvae.reproduction.sheets import CELL, GAP, HEADER, LABELS, TITLE
from handvae.reproduction.skeletons import BLUE, RED, middle_of, reach_of, skeleton_cell
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.systems.dvae_pose import DvaePose, DvaePoseConfig
from handvae.training.checkpoint import load_model, save_model

HANDS = 2
SMALL = {"hidden": 16, "norm": "group", "posterior_samples": 2, "root": "wrist"}
STEP = CELL + GAP


@pytest.fixture
def models(tiny_set, tmp_path):
    """Untrained models by name."""
    spec = replace(CocoHands(tiny_set).spec, size_px=32)
    cm = CmVaeConfig(variant=1, latent_dims=4, encoder=ResNetEncoder(8), **SMALL)
    dvae = DvaePoseConfig(factor_dims=4, trunk_width=8, **SMALL)
    made = {}
    for name, kind, config, crop in (
        ("cm", CmVae, cm, Crop(32)),
        ("dvae", DvaePose, dvae, Crop(32, sides="left")),
    ):
        torch.manual_seed(0)
        sides = "left" if crop.sides == "left" else spec.sides
        made[name] = tmp_path / f"{name}.safetensors"
        save_model(made[name], kind(config, replace(spec, sides=sides), crop).eval())
    return made


@pytest.fixture
def drawn(handvae, tiny_set, tmp_path):
    """Draws a figure; returns its cells right of the names of rows, and its numbers."""

    def make(name, model):
        words = ("--data", tiny_set, "--model", model, "--hands", HANDS, "--out", tmp_path / "out", "--json")
        code, said, error = handvae("reproduce", name, *words)
        assert code == 0, error
        sheet = cv2.imread(str(tmp_path / "out" / f"{name}.png"))[..., ::-1]
        inner = sheet[TITLE + HEADER :, LABELS:]
        columns = (inner.shape[1] + GAP) // STEP
        cells = [
            [inner[r * STEP : r * STEP + CELL, c * STEP : c * STEP + CELL] for c in range(columns)]
            for r in range(HANDS)
        ]
        return cells, json.loads(said)

    return make


def has(cell, colour):
    return bool((cell == np.array(colour)).all(2).any())


def test_truth_and_prediction_stand_side_by_side_from_the_camera_and_from_the_side(drawn, models, tiny_set):
    cells, result = drawn("cm-vae-figure7", models["cm"])
    assert all(len(row) == 5 for row in cells)
    model, data = load_model(models["cm"]), open_data(tiny_set, "test")
    (pair,) = read_poses(model, data, random_rows(data, HANDS, 0), canonical=False)
    (errors,) = result["epe_mm"].values()
    assert errors == pytest.approx(pair.errors.tolist())

    reach = reach_of(pair.truth)
    for row, truth, prediction in zip(cells, pair.truth, pair.prediction, strict=True):
        middle = middle_of(truth)
        expected = [
            skeleton_cell([(pose, None)], view, middle, reach)
            for view in ("camera", "side")
            for pose in (truth, prediction)
        ]
        for cell, picture in zip(row[1:], expected, strict=True):
            assert np.array_equal(cell, picture)


def test_predictions_lie_over_the_truth_in_the_papers_colours(drawn, models):
    for name, model in (("cm-vae-figure10", "cm"), ("da-vae-figure8", "cm")):
        cells, _ = drawn(name, models[model])
        assert all(len(row) == 3 for row in cells)
        for row in cells:
            assert all(has(cell, BLUE) and has(cell, RED) for cell in row[1:])


def test_canonical_poses_stand_beside_the_poses_truth_red_and_prediction_blue(drawn, models):
    cells, _ = drawn("dvae-figure8", models["dvae"])
    for row in cells:
        assert len(row) == 9
        for truth, prediction in zip(row[1::2], row[2::2], strict=True):
            assert has(truth, RED)
            assert not has(truth, BLUE)
            assert has(prediction, BLUE)
            assert not has(prediction, RED)


def test_canonical_poses_are_those_of_the_labels(models, tiny_set):
    """The middle finger's base lies on -y of the canonical frame, the little finger's in its plane."""
    data = open_data(tiny_set, "test")
    canonical, pose = read_poses(load_model(models["dvae"]), data, torch.arange(4), canonical=True)
    assert canonical.truth[:, 9, 1].max() < 0
    assert np.abs(canonical.truth[:, 9, [0, 2]]).max() < 0.1
    sizes = [np.linalg.norm(pair.truth[:, 9] - pair.truth[:, 10], axis=1) for pair in (canonical, pose)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-4)


def test_a_skeleton_is_drawn_to_scale():
    """A line of 100 mm along x reaches over half of a cell of 200 mm, and is a point from the side."""
    joints = np.zeros((21, 3))
    joints[1, 0] = 100.0
    flat = skeleton_cell([(joints, RED)], "camera", np.array([50.0, 0, 0]), 100.0)
    red = np.argwhere((flat == np.array(RED)).all(2))[:, 1]
    assert CELL // 2 - 4 <= red.max() - red.min() <= CELL // 2 + 4
    side = skeleton_cell([(joints, RED)], "side", np.array([50.0, 0, 0]), 100.0)
    red = np.argwhere((side == np.array(RED)).all(2))[:, 1]
    assert red.max() - red.min() <= 8


def test_what_a_figure_cannot_show_is_refused(refused, models, tiny_set, tmp_path):
    words = ("--data", tiny_set, "--out", tmp_path / "out")
    assert "give a dvae_pose" in refused("reproduce", "dvae-figure8", *words, "--model", models["cm"])
    assert "give a 3D model" in refused("reproduce", "cm-vae-figure7", *words, "--model", "detector-64")
    many = ("--model", models["cm"], "--hands", 99)
    assert "lower --hands" in refused("reproduce", "cm-vae-figure7", *words, *many)
    assert not (tmp_path / "out").exists()


def test_the_figures_rows_are_rows_of_the_tables():
    known = {row.name for table in TABLES.values() for row in table.rows}
    figures = [figure for figure in FIGURES.values() if isinstance(figure, PredictionFigure)]
    assert len(figures) == 5
    assert all(set(figure.rows) <= known for figure in figures)
