"""Which hands are held out, and how a recipe becomes a run."""

import pytest
import torch

from handvae.data.hands import DataSpec, Hands
from handvae.data.reader import HandData
from handvae.errors import UserError
from handvae.evaluation.paper_tables import TABLES
from handvae.evaluation.picture_table import hold_out
from handvae.evaluation.table import Recipe
from handvae.systems.srv_vae import SrvVaeConfig


class Posing(HandData):
    """Six hands of three gestures; one of no gesture."""

    spec = DataSpec("posing", 7, 32, ("joints_2d", "gesture"), "right", gestures=("fist", "flat", "point"))
    gesture = torch.tensor([0, 1, 2, 0, 1, 2, -1])

    def __len__(self) -> int:
        return 7

    def labels(self, rows):
        return Hands(gesture=self.gesture[rows])


def test_held_out_gestures_are_in_no_training_hand_and_in_every_unseen_one():
    poses = hold_out(Posing(), ["flat", "point"])
    seen, unseen = (data.labels(torch.arange(len(data))).need("gesture")[0].tolist() for data in (poses.seen, poses.unseen))
    assert seen == [0, 0, -1]
    assert unseen == [1, 2, 1, 2]
    assert "flat, point" in poses.about


def test_an_unknown_gesture_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="fist, flat, point"):
        hold_out(Posing(), ["flat", "wave"])


def test_a_recipe_changes_its_preset_and_a_short_run_is_not_compiled():
    recipe = Recipe("photos-base-64", system={"latent": "rv"}, crop={"margin": 1.5}, train={"batch": 8})
    preset = recipe.settled(seed=4, steps=100)
    assert isinstance(preset.system, SrvVaeConfig)
    assert (preset.system.latent, preset.crop.margin, preset.train.batch, preset.train.seed) == ("rv", 1.5, 8, 4)
    assert (preset.train.steps, preset.train.stop_at, preset.train.warmup_steps, preset.train.compile) == (100, None, 20, False)
    assert recipe.settled(4, None).train.stop_at == 12000
    assert recipe.settled(4, 4000).train.compile
    assert recipe.words == "preset photos-base-64 with system.latent = rv, crop.margin = 1.5, train.batch = 8"


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_row_of_every_table_has_a_preset_that_takes_its_changes(table):
    for scale in ("laptop", "full"):
        rows = table.rows_at(scale)
        assert rows
        for number, (row, recipe) in enumerate(rows):
            assert recipe.settled(0, None).system is not None
            assert row.after in {"", *(earlier.name for earlier, _ in rows[:number])}  # trained before it
    assert all(row.need for row in table.rows if row.full is not None)
    if any(row.published for row in table.rows):  # a curve of a paper may give no numbers
        assert all(any(column in row.published for row in table.rows) for column in table.columns)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_data_set_of_the_paper_gets_its_own_rows_at_full_scale(table):
    rows = [[row.name for row, _ in table.rows_at("full", need)] for need in table.needs]
    assert all(rows)
    assert sorted(name for names in rows for name in names) == sorted(row.name for row in table.rows if row.full)
