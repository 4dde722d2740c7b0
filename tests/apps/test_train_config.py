"""The configuration of a run as a file, short names of options, and train's quiet and JSON output."""

import json

import pytest

from handvae.apps.train import SHORT, full_names
from handvae.apps.train_options import parse_options
from handvae.training.configuration import of_preset
from handvae.training.presets import PRESETS


@pytest.fixture
def flags(tiny_set, tiny_flags):
    """The words of a two-step run, without --out."""
    return ["--data.root", tiny_set, *tiny_flags, "--steps", "2"]


@pytest.fixture
def config(flags, handvae, tmp_path):
    """A file that --print-config wrote for that run."""
    code, out, error = handvae("train", "photos-64", *flags, "--print-config")
    assert code == 0, error
    path = tmp_path / "config.json"
    path.write_text(out)
    return path


def test_a_printed_configuration_gives_the_same_run(flags, config, handvae, tmp_path):
    assert handvae("train", "photos-64", *flags, "--out", tmp_path / "flags")[0] == 0
    assert handvae("train", "photos-64", "--config", config, "--out", tmp_path / "file")[0] == 0
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "flags" / name).read_bytes() == (tmp_path / "file" / name).read_bytes()


@pytest.mark.parametrize("name", PRESETS)
def test_every_presets_configuration_is_read_back_as_it_was_printed(name, handvae, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(handvae("train", name, "--print-config")[1])
    assert parse_options(name, ["--config", str(path)]).configuration == of_preset(name)


def test_options_override_the_file_which_overrides_the_preset(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"train": {"lr": 0.5, "batch": 7}}))
    train = parse_options("photos-64", ["--config", str(path), "--train.batch", "9"]).configuration.train
    assert (train.lr, train.batch) == (0.5, 9)
    assert train.steps == PRESETS["photos-64"].train.steps


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"optimizer": {}}', "optimizer: unknown field"),
        ('{"train": {"learning_rate": 1}}', "train.learning_rate: unknown field"),
        ('{"train": {"steps": "many"}}', "train.steps: Input should be a valid integer"),
        ('{"train": {"steps": "5"}}', "train.steps: Input should be a valid integer"),
        ('{"train": {"lr": -1.0}}', "lr and epochs are positive"),
        ('{"system": {"encoder_widths": 3}}', "system.encoder_widths: Input should be a valid"),
        ('{"crop": []}', "crop: is no JSON object"),
        ('{"init": 3}', "init: is no text"),
        ('{"preset": "lifting"}', "preset: is 'lifting', not 'photos-64'"),
        ("[]", "is no JSON object"),
        ("{", "is no JSON"),
    ],
)
def test_a_file_with_a_fault_is_refused_with_the_field(content, fault, refused, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(content)
    line = refused("train", "photos-64", "--config", path, "--out", tmp_path / "run")
    assert str(path) in line
    assert fault in line
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_not_there_is_refused(refused, tmp_path):
    assert "No such file" in refused("train", "photos-64", "--config", tmp_path / "none.json")


@pytest.mark.parametrize(("words", "missing"), [((), "--data.root"), (("--data.root", "x"), "--out")])
def test_a_run_without_data_or_folder_is_refused(words, missing, refused):
    assert f"{missing} is required" in refused("train", "photos-64", *words)


@pytest.mark.parametrize("short", SHORT)
def test_a_short_name_is_the_full_one(short):
    assert full_names([short, "3"])[:2] == [SHORT[short], "3"]
    assert full_names([f"{short}=3"])[0] == f"{SHORT[short]}=3"


def test_steps_outrank_the_epochs_of_a_preset():
    words = full_names(["--steps", "12"])
    train = parse_options("srv-vae-2d", words).configuration.train
    assert train.total_steps(1000) == 12


def test_a_quiet_run_prints_nothing(flags, handvae, tmp_path):
    assert handvae("train", "photos-64", *flags, "--out", tmp_path / "run", "--quiet") == (0, "", "")
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_the_result_as_json_is_all_that_a_run_prints(flags, handvae, tmp_path):
    code, out, _ = handvae("train", "photos-64", *flags, "--out", tmp_path / "run", "--json")
    assert code == 0
    assert json.loads(out) == {
        "model": str(tmp_path / "run" / "model.safetensors"),
        "report": str(tmp_path / "run" / "report.html"),
    }


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cpu:1", "cuda:x", ""])
def test_a_device_that_is_unknown_or_absent_is_refused(device, flags, refused, tmp_path):
    line = refused("train", "photos-64", *flags, "--out", tmp_path / "run", "--device", device)
    assert "--device" in line
    assert not (tmp_path / "run").exists()


def test_the_everyday_options_are_options(handvae):
    """The short help lists them apart from the parser."""
    printed = {}
    for flag in ("--help", "--help-all"):
        code, printed[flag], _ = handvae("train", "photos-64", flag)
        assert code == 0
    assert len(printed["--help"].splitlines()) < 50
    for line in printed["--help"].splitlines():
        option = line.strip("│| ").partition(" ")[0]
        if option.startswith("--"):
            assert SHORT.get(option, option) in printed["--help-all"]
