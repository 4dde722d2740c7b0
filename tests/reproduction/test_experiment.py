"""Which hands are held out, and how a recipe becomes a run."""

import shutil
from pathlib import Path

import pytest
import torch

from handvae.data.dataset import HandData
from handvae.data.hands import DataSpec, Hands
from handvae.errors import UserError
from handvae.reproduction.experiment import NOT_MEASURING, measuring_code
from handvae.reproduction.papers import TABLES
from handvae.reproduction.picture_table import hold_out
from handvae.reproduction.recipe import resolve
from handvae.reproduction.table import Recipe
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
    seen, unseen = (
        data.labels(torch.arange(len(data))).require("gesture").tolist()
        for data in (poses.seen, poses.unseen)
    )
    assert seen == [0, 0, -1]
    assert unseen == [1, 2, 1, 2]
    assert "flat, point" in poses.about


def test_an_unknown_gesture_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="fist, flat, point"):
        hold_out(Posing(), ["flat", "wave"])


def test_a_recipe_changes_its_preset_and_a_short_run_is_not_compiled():
    recipe = Recipe("photos-base-64", system={"latent": "rv"}, crop={"margin": 1.5}, train={"batch": 8})
    preset = resolve(recipe, seed=4, steps=100)
    assert isinstance(preset.system, SrvVaeConfig)
    assert (preset.system.latent, preset.crop.margin, preset.train.batch, preset.train.seed) == (
        "rv",
        1.5,
        8,
        4,
    )
    assert (preset.train.steps, preset.train.stop_at, preset.train.warmup_steps, preset.train.compile) == (
        100,
        None,
        20,
        False,
    )
    assert resolve(recipe, 4, None).train.stop_at == 12000
    assert resolve(recipe, 4, 4000).train.compile
    assert recipe.words == "preset photos-base-64 with system.latent = rv, crop.margin = 1.5, train.batch = 8"


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_row_of_every_table_has_a_preset_that_takes_its_changes(table):
    for scale in ("laptop", "full"):
        rows = table.rows_at(scale)
        assert rows
        for number, (row, recipe) in enumerate(rows):
            assert resolve(recipe, 0, None).system is not None
            assert row.after in {"", *(earlier.name for earlier, _ in rows[:number])}  # trained before it
    assert all(row.need for row in table.rows if row.full is not None)
    if any(row.published for row in table.rows):  # a curve of a paper may give no numbers
        assert all(any(column in row.published for row in table.rows) for column in table.columns)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_data_set_of_the_paper_gets_its_own_rows_at_full_scale(table):
    rows = [[row.name for row, _ in table.rows_at("full", need)] for need in table.needs]
    assert all(rows)
    assert sorted(name for names in rows for name in names) == sorted(
        row.name for row in table.rows if row.full
    )


# ------------------------------------------------------------------------------------------------ the key of
# kept measures


PACKAGE = Path(__file__).resolve().parents[2] / "src" / "handvae"
ROOMS = sorted(
    path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
)


@pytest.fixture(scope="module")
def copied_package(tmp_path_factory) -> Path:
    """The package's code, and a stand-in for its weights, to be changed."""
    copy = tmp_path_factory.mktemp("package") / "handvae"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    (copy / "weights").mkdir(exist_ok=True)
    (copy / "weights" / "detector.safetensors").write_bytes(b"weights")
    return copy


def deepest_file(copied_package: Path, room: str) -> Path:
    """A file of a room, as many folders down as there are."""
    if (copied_package / f"{room}.py").is_file():
        return copied_package / f"{room}.py"
    files = [path for path in sorted((copied_package / room).rglob("*.py")) if path.stem != "__init__"]
    return max(files, key=lambda path: len(path.parts))


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in NOT_MEASURING])
def test_a_change_in_any_room_that_can_change_a_number_changes_the_key(copied_package, room):
    before = measuring_code.__wrapped__(copied_package)
    path = deepest_file(copied_package, room)
    path.write_text(path.read_text() + "\n# changed\n")
    assert measuring_code.__wrapped__(copied_package) != before


def test_other_weights_change_the_key(copied_package):
    before = measuring_code.__wrapped__(copied_package)
    (copied_package / "weights" / "detector.safetensors").write_bytes(b"other")
    assert measuring_code.__wrapped__(copied_package) != before


def test_a_file_that_is_moved_changes_the_key(copied_package):
    before = measuring_code.__wrapped__(copied_package)
    (copied_package / "losses.py").rename(copied_package / "terms.py")
    after = measuring_code.__wrapped__(copied_package)
    (copied_package / "terms.py").rename(copied_package / "losses.py")
    assert after != before
    assert measuring_code.__wrapped__(copied_package) == before


def test_a_command_cannot_change_a_number_and_leaves_the_key(copied_package):
    before = measuring_code.__wrapped__(copied_package)
    path = deepest_file(copied_package, "apps")
    path.write_text(path.read_text() + "\n# changed\n")
    assert measuring_code.__wrapped__(copied_package) == before
