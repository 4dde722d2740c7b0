"""`handvae reproduce cm-vae-figure4` and others: shares of joints and of frames within an error."""

import json
from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.files.pictures import read_picture
from handvae.data.open import open_data
from handvae.data.readers.coco import CocoHands
from handvae.evaluation.estimate_metrics import pose_metric
from handvae.evaluation.model_predictions import predict_hands
from handvae.evaluation.study import Study
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.reproduction.curve_figures import area, shares_within, worst_joints
from handvae.reproduction.figure import CurveFigure
from handvae.reproduction.papers import FIGURES, TABLES
from handvae.reproduction.published_curves import STB_MM, published_pck
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.training.checkpoint import load_model, save_model

NAN = float("nan")


@pytest.fixture
def model(tiny_set, tmp_path):
    """An untrained cm-VAE."""
    torch.manual_seed(0)
    config = CmVaeConfig(
        variant=1,
        latent_dims=4,
        encoder=ResNetEncoder(8),
        hidden=16,
        norm="group",
        posterior_samples=2,
        root="wrist",
    )
    system = CmVae(config, replace(CocoHands(tiny_set).spec, size_px=32), Crop(32))
    save_model(tmp_path / "cm.safetensors", system.eval())
    return tmp_path / "cm.safetensors"


def test_a_frame_is_within_an_error_when_all_its_labelled_joints_are():
    errors = torch.tensor([[1.0, 9.0, NAN], [5.0, 5.0, 5.0], [NAN, NAN, NAN], [30.0, 2.0, 2.0]])
    worst = worst_joints(errors)
    assert worst.tolist() == [9.0, 5.0, 30.0]
    shares = shares_within(worst, torch.tensor([4.0, 5.0, 9.0, 29.9, 30.0]))
    torch.testing.assert_close(shares, torch.tensor([0, 1, 2, 2, 3]) / 3)


def test_the_area_of_a_straight_line_is_its_mean():
    assert area(torch.linspace(0.2, 0.6, 31)) == pytest.approx(0.4)


def test_the_published_curves_have_the_published_areas():
    for curve, auc in zip(published_pck(), (0.709, 0.748, 0.839), strict=True):
        assert curve.x == STB_MM
        assert area(torch.tensor(curve.y)) == pytest.approx(auc, abs=5e-4)
        assert f"AUC {auc}" in curve.name
        assert "STB" in curve.name


def test_the_published_curves_are_the_shared_ones(data_root):
    path = data_root / "metrics" / "stb_pck_curves.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    shared = json.loads(path.read_text())
    for curve, entry in zip(published_pck(), shared.values(), strict=True):
        assert list(curve.x) == entry["x"]
        assert list(curve.y) == pytest.approx(entry["y"], abs=5e-5)


def test_a_curve_of_joints_has_the_area_that_tables_print(handvae, model, tiny_set, tmp_path):
    words = ("--data", tiny_set, "--model", model, "--out", tmp_path / "out")
    code, said, error = handvae("reproduce", "cm-vae-figure4", *words, "--json")
    assert code == 0, error
    result = json.loads(said)
    (ours,) = [name for name in result["curves"] if "published" not in name]
    assert len(result["curves"]) == 4

    data = open_data(tiny_set, "test")
    system = load_model(model).pose_estimator
    measures = pose_metric(Study("", system, data, predict_hands(system, data))).measures
    values = {measure.name: measure.value for measure in measures}
    assert f"AUC {values['auc_20_50']:.3f}" in ours
    curve = result["curves"][ours]
    assert curve["x"] == list(range(20, 51))
    assert 100 * curve["y"][10] == pytest.approx(values["pck@30_mm"], abs=1e-4)

    pixels = read_picture(tmp_path / "out" / "cm-vae-figure4.png")
    assert pixels.shape[1] == 720
    code, said, _ = handvae("reproduce", "cm-vae-figure4", *words)
    assert code == 0
    assert "AUC 20-50 mm" in said
    assert "0.983 on STB" in said


def test_a_curve_of_frames_has_the_shares_that_tables_print(handvae, model, tiny_set, tmp_path):
    words = ("--data", tiny_set, "--model", model, "--out", tmp_path / "out", "--json")
    code, said, error = handvae("reproduce", "cm-vae-figure5", *words)
    assert code == 0, error
    ((name, curve),) = json.loads(said)["curves"].items()
    data = open_data(tiny_set, "test")
    system = load_model(model).pose_estimator
    measures = pose_metric(Study("", system, data, predict_hands(system, data))).measures
    values = {measure.name: measure.value for measure in measures}
    assert f"mean error {values['epe']:.1f} mm" in name
    for mm in (20, 30, 40):
        assert 100 * curve["y"][mm] == pytest.approx(values[f"pcf@{mm}_mm"], abs=1e-4)


def test_more_published_curves_come_from_a_file(handvae, refused, model, tiny_set, tmp_path):
    path = tmp_path / "curves.json"
    path.write_text(json.dumps({"theirs": {"x": [20, 50], "y": [0.5, 0.9]}}))
    words = ("--data", tiny_set, "--model", model, "--out", tmp_path / "out", "--curves", path)
    code, said, error = handvae("reproduce", "da-vae-figure4", *words, "--json")
    assert code == 0, error
    assert json.loads(said)["curves"]["theirs (published)"]["y"] == [0.5, 0.9]
    path.write_text("{}x")
    assert "curves.json" in refused("reproduce", "da-vae-figure4", *words)


def test_a_model_of_2d_poses_has_no_error_in_mm(refused, tiny_set, tmp_path):
    words = ("--data", tiny_set, "--model", "detector-64", "--out", tmp_path / "out")
    assert "give a 3D model" in refused("reproduce", "cm-vae-figure4", *words)
    assert not (tmp_path / "out").exists()


def test_the_curves_rows_are_rows_of_the_tables():
    known = {row.name for table in TABLES.values() for row in table.rows}
    figures = [figure for figure in FIGURES.values() if isinstance(figure, CurveFigure)]
    assert len(figures) == 5
    assert all(set(figure.rows) <= known for figure in figures)
