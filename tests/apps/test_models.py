"""The lists of shipped models and of named poses, and their sheets."""

import json

from handvae.data.files.pictures import read_picture
from handvae.hand import POSE_NAMES
from handvae.inference.model_cards import models
from handvae.training.checkpoint import WEIGHTS


def test_every_shipped_model_is_in_the_table_with_its_size_and_licence(handvae):
    code, out, _ = handvae("models")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert set(lines) == {path.stem for path in WEIGHTS.glob("*.safetensors")}
    assert "pictures" in lines["detector-64"]
    assert "1.67 % of hand size" in lines["detector-64"]
    assert "Apache-2.0" in lines["lifting"]


def test_what_no_card_says_is_called_not_measured():
    assert {row.error_on_foreign_photos for row in models()} == {"not measured"}
    assert all(row.error_at_home != "not measured" for row in models())
    assert all(row.reads and row.makes and row.licence and row.size_mb > 1 for row in models())


def test_the_models_as_json_are_one_object_and_nothing_else(handvae):
    _, out, error = handvae("models", "--json")
    rows = json.loads(out)["models"]
    assert error == ""
    assert {row["name"]: row["pixels"] for row in rows}["photos-128"] == 128


def test_the_sheet_of_the_models_has_a_row_a_model(handvae, tmp_path):
    code, out, _ = handvae("models", "--sheet", tmp_path / "models.png")
    assert code == 0
    assert str(tmp_path / "models.png") in out
    height, width = read_picture(tmp_path / "models.png").shape[:2]
    assert height // 160 == len(models())
    assert width // 160 == 6


def test_the_poses_are_listed_by_name(handvae):
    assert handvae("poses")[1].split() == list(POSE_NAMES)


def test_quiet_keeps_the_list_and_draws(handvae, tmp_path):
    code, out, error = handvae("poses", "--quiet", "--sheet", tmp_path / "poses.png")
    assert (code, out.split(), error) == (0, list(POSE_NAMES), "")
    assert read_picture(tmp_path / "poses.png").shape[0] // 160 == 4


def test_a_sheet_in_no_picture_format_is_refused(refused, tmp_path):
    assert ".png" in refused("poses", "--sheet", tmp_path / "poses.txt")
