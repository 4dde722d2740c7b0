"""Names of appearances say what the pictures look like, and the chosen ones are unlike."""

import runpy
import shutil
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec
from handvae.nets.limb_maps import limb_maps
from handvae.systems.srv_vae import SrvVae
from handvae.training.appearances import read_named_appearances
from handvae.training.checkpoint import load_model
from handvae.upsampling.naming import colours_of, ground_word, named_appearances, skin_word, typology_angle


class Painter(SrvVae):
    """Paints hands of the colour of the first appearance's numbers on a ground of the last one."""

    def synthesize(self, joints, appearance):
        hand = limb_maps(joints, 32, 0.12).amax(1, keepdim=True)
        skin = torch.stack(
            [
                0.75 + 0.15 * appearance[:, 0].tanh(),
                0.55 + 0.15 * appearance[:, 0].tanh(),
                0.42 + 0.1 * appearance[:, 1].tanh(),
            ],
            1,
        )
        ground = (0.6 + 0.35 * appearance[:, 3].tanh())[:, None].expand(-1, 3)
        return hand * skin[..., None, None] + (1 - hand) * ground[..., None, None]


@pytest.fixture(autouse=True)
def few_drawn(monkeypatch):
    monkeypatch.setattr("handvae.upsampling.naming.DRAWN", 60)


@pytest.fixture
def painter(tiny_config, tiny_spec: DataSpec) -> Painter:
    return Painter(tiny_config, tiny_spec, Crop(32)).eval()


@pytest.mark.parametrize(
    ("lightness", "yellow", "word"),
    [(80, 15, "very-light"), (66, 16, "light"), (57, 18, "tan"), (48, 18, "brown"), (25, 12, "dark")],
)
def test_skin_is_named_by_its_typology_angle(lightness, yellow, word):
    assert skin_word(np.array([lightness, 10.0, yellow])) == word


def test_the_typology_angle_of_a_known_colour():
    assert typology_angle(np.array([60.0, 0.0, 10.0])) == pytest.approx(45)
    assert typology_angle(np.array([50.0, 0.0, 10.0])) == pytest.approx(0)


@pytest.mark.parametrize(
    ("lab", "word"),
    [
        ((90, 0, 0), "white"),
        ((58, 1, 1), "grey"),
        ((58, 0, -8), "cool-grey"),
        ((75, 1, 8), "warm-pale"),
        ((75, 9, 1), "pink-pale"),
        ((10, 0, 0), "dark"),
    ],
)
def test_a_ground_is_named_by_its_lightness_and_tint(lab, word):
    assert ground_word(np.array(lab, float)) == word


def test_colours_are_those_of_the_hand_and_of_the_ground(painter):
    found = colours_of(painter, torch.tensor([0.0, 0.0, 0.0, -3.0]))
    skin, ground = (
        cv2.cvtColor(np.array([[c]], np.float32), cv2.COLOR_RGB2LAB)[0, 0]
        for c in ((0.75, 0.55, 0.42), [0.6 - 0.35 * np.tanh(3)] * 3)
    )
    assert abs(found.ground[0] - ground[0]) < 3
    assert np.abs(found.skin - skin).max() < 6


def test_looks_are_named_after_their_own_pictures_and_differ(painter):
    appearances = named_appearances(painter, most=6)
    assert 3 <= len(appearances) <= 6
    for name, appearance in appearances.items():
        assert colours_of(painter, appearance.appearance).name == name
    light = [colours_of(painter, appearance.appearance).ground[0] for appearance in appearances.values()]
    assert max(light) - min(light) > 20


def test_the_same_seed_chooses_the_same_looks(painter):
    first, same, other = (named_appearances(painter, most=4, seed=seed) for seed in (0, 0, 1))
    assert list(first) == list(same)
    assert all(torch.equal(first[name].appearance, same[name].appearance) for name in first)
    assert any(
        name not in other or not torch.equal(first[name].appearance, other[name].appearance) for name in first
    )


def test_the_script_names_the_looks_of_a_model_and_draws_them(
    project, tiny_model, tmp_path, monkeypatch, capsys
):
    model = shutil.copy(tiny_model, tmp_path / "m.safetensors")
    monkeypatch.setattr(sys, "argv", ["appearances.py", str(model), "--sheet", str(tmp_path / "sheet.png")])
    runpy.run_path(str(project / "runs" / "appearances.py"), run_name="__main__")
    appearances = read_named_appearances(load_model(model))
    assert appearances
    assert all(name in capsys.readouterr().out for name in list(appearances)[:1])
    assert (tmp_path / "sheet.png").is_file()


def test_shipping_a_generator_names_its_looks(project, tiny_model, small_set, tmp_path, monkeypatch):
    monkeypatch.setattr("handvae.training.checkpoint.WEIGHTS", tmp_path)
    monkeypatch.setattr(
        sys,
        "argv",
        ["ship.py", str(tiny_model), "shipped", "--dataset", str(small_set()), "--split", "train"],
    )
    nothing_measured = SimpleNamespace(
        columns=[SimpleNamespace(measures=())]
    )  # what the card measures is tested elsewhere
    monkeypatch.setattr(
        "handvae.evaluation.study_report.report_studies", lambda studies, wanted: nothing_measured
    )
    runpy.run_path(str(project / "runs" / "ship.py"), run_name="__main__")
    appearances = read_named_appearances(load_model(tmp_path / "shipped.safetensors"))
    assert appearances
    assert all(f"`{name}`" in (tmp_path / "shipped.md").read_text() for name in appearances)
