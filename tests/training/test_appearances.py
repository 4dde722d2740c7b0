"""Named appearances on disk: what is written is read again, and only with the weights it was made for."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from handvae.errors import UserError
from handvae.noise import Noise
from handvae.systems.system import Generator
from handvae.training.appearances import (
    NamedAppearance,
    appearances_file,
    read_named_appearances,
    write_named_appearances,
)
from handvae.training.checkpoint import WEIGHTS, load_model

LOOKS = {
    "tan-on-grey": NamedAppearance(torch.tensor([0.5, -1.0, 0.0, 2.25]), "tan"),
    "light": NamedAppearance(torch.ones(4), "light"),
}


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_model, tmp_path / "m.safetensors"))


def test_looks_come_back_in_their_order(model):
    write_named_appearances(model, LOOKS)
    again = read_named_appearances(load_model(model))
    assert list(again) == list(LOOKS)
    assert all(
        torch.equal(again[name].appearance, appearance.appearance) and again[name].about == appearance.about
        for name, appearance in LOOKS.items()
    )


def test_a_model_without_the_file_has_none(model):
    assert read_named_appearances(load_model(model)) == {}


def test_looks_of_other_weights_are_refused(model, build):
    write_named_appearances(model, LOOKS)
    content = json.loads(appearances_file(model).read_text())
    content["weights"] = "0" * 16
    appearances_file(model).write_text(json.dumps(content))
    with pytest.raises(UserError, match="other weights"):
        read_named_appearances(load_model(model))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content["appearances"]["light"]["appearance"].append(1.0),
        lambda content: content["appearances"]["light"].pop("appearance"),
        lambda content: content["appearances"].update({"../up": content["appearances"]["light"]}),
        lambda content: content.update(more=1),
    ],
    ids=["too long", "no numbers", "a path as a name", "an unknown field"],
)
def test_a_damaged_file_is_named(model, spoil):
    write_named_appearances(model, LOOKS)
    content = json.loads(appearances_file(model).read_text())
    spoil(content)
    appearances_file(model).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"appearances\.json"):
        read_named_appearances(load_model(model))


@pytest.mark.parametrize("weights", sorted(WEIGHTS.glob("*.safetensors")), ids=lambda path: path.stem)
def test_every_shipped_generator_has_named_looks_of_its_own_weights(weights):
    model = load_model(weights)
    if not isinstance(model.system, Generator):
        assert not appearances_file(weights).exists()
        return
    appearances = read_named_appearances(model)
    assert len(appearances) >= 8
    stacked = torch.stack([appearance.appearance for appearance in appearances.values()])
    assert torch.pdist(stacked).min() > 0.5
    assert stacked.shape[1] == model.generator.random_appearance(1, Noise(0)).shape[1]
